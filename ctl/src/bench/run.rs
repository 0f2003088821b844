//! The steps of a run, one after the other, each warmed up first; and what was found until the run ended.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use edge_wire::error::Refused;

use super::caller::Caller;
use super::input::{Input, Work};
use super::load::{self, Ended, Round};
use super::plan::Step;
use super::report::StepReport;
use super::tally::{Refusals, Served, Tally};
use crate::exit::Exit;
use crate::failure::{Failure, exit_of};

/// Before each step: connections, caches and the daemon's estimates settle.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// What was found.
#[derive(Debug)]
pub struct Found {
    pub steps: Vec<StepReport>,
    pub served: BTreeMap<Served, u64>,
    pub warnings: BTreeSet<String>,
    pub ended: Ended,
    /// The commonest "no" of the last step that had one.
    no: Option<Refusals>,
}

/// Runs the steps until they are done, somebody presses Ctrl-C, or the daemon is lost. `progress` is told each step.
///
/// # Errors
///
/// Nothing was answered and nothing else can be told: every request is refused whatever the load, or the daemon is lost.
pub async fn run(
    callers: &[Arc<Caller>],
    input: &Input,
    steps: &[Step],
    span: Duration,
    progress: impl Fn(usize),
) -> Result<Found, Failure> {
    let mut interrupt = pin!(interrupted());
    let mut found = Found::nothing();
    let mut made: Option<(Option<u64>, Arc<Work>)> = None;
    for (place, step) in steps.iter().enumerate() {
        progress(place);
        let work = match made.take() {
            Some((rows, work)) if rows == step.rows => work,
            _ => Arc::new(input.work(step.rows)?),
        };
        let callers = callers.get(..step.clients).unwrap_or(callers);
        let round = warmed(callers, &work, span, interrupt.as_mut()).await;
        let is_hopeless = round.tally.is_hopeless() && found.served.is_empty();
        found.take(*step, &work, round);
        if is_hopeless || !matches!(found.ended, Ended::Complete) {
            return found.verdict(is_hopeless);
        }
        made = Some((step.rows, work));
    }
    Ok(found)
}

/// Ctrl-C. Where it cannot be watched, it ends the process as ever.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The warm-up and the measurement. A warm-up in which every request was refused whatever the load stands for both.
async fn warmed(
    callers: &[Arc<Caller>],
    work: &Arc<Work>,
    span: Duration,
    mut interrupt: Pin<&mut impl Future<Output = ()>>,
) -> Round {
    let warm = load::round(callers, work, WARM_UP, interrupt.as_mut()).await;
    match warm.ended {
        Ended::Complete if warm.tally.is_hopeless() => warm,
        Ended::Complete => load::round(callers, work, span, interrupt).await,
        ended => Round { tally: Tally::default(), elapsed: Duration::ZERO, ended },
    }
}

impl Found {
    fn nothing() -> Found {
        Found {
            steps: Vec::new(),
            served: BTreeMap::new(),
            warnings: BTreeSet::new(),
            ended: Ended::Complete,
            no: None,
        }
    }

    /// How the command ends.
    pub fn exit(&self) -> Exit {
        match (&self.ended, &self.no) {
            (Ended::Interrupted, _) => Exit::Interrupted,
            (Ended::Lost(failure), _) => failure.exit(),
            (Ended::Complete, Some(no)) if self.served.is_empty() => exit_of(no.code),
            (Ended::Complete, _) => Exit::Done,
        }
    }

    /// A step that brought nothing before it was cut short is none.
    fn take(&mut self, step: Step, work: &Work, round: Round) {
        let Round { tally, elapsed, ended } = round;
        for (who, answered) in &tally.served {
            *self.served.entry(who.clone()).or_default() += answered;
        }
        self.warnings.extend(tally.warnings.iter().cloned());
        self.no = tally.commonest().cloned().or(self.no.take());
        self.ended = ended;
        if matches!(self.ended, Ended::Complete) || !tally.latency_us.is_empty() || !tally.refused.is_empty() {
            self.steps.push(StepReport::of(step, work.items, work.bytes, tally, elapsed));
        }
    }

    /// The failure of a run that was ended before anything was answered, unless somebody wanted it to end.
    fn verdict(self, is_hopeless: bool) -> Result<Found, Failure> {
        match (self.ended, self.no) {
            (Ended::Lost(failure), _) if self.served.is_empty() => Err(failure),
            (Ended::Complete, Some(no)) if is_hopeless => {
                let refused = Refused { code: no.code, message: no.message, retry_after_ms: None };
                Err(Failure::Refused { refused, info: None })
            }
            (ended, no) => Ok(Found { ended, no, ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::error::ErrorCode;

    use super::*;
    use crate::bench::caller::Told;
    use crate::bench::input::Body;

    fn found(answers: u32, no: Option<ErrorCode>, ended: Ended) -> Found {
        let mut tally = Tally::default();
        (0..answers).for_each(|_| tally.answered(Duration::from_millis(1), Told::default()));
        if let Some(code) = no {
            tally.refused(Refused { code, message: "no".into(), retry_after_ms: None });
        }
        let work = Work { body: Body::Tensors(vec![]), items: 1, bytes: 0 };
        let mut found = Found::nothing();
        let round = Round { tally, elapsed: Duration::from_secs(1), ended };
        found.take(Step { clients: 1, rows: None }, &work, round);
        found
    }

    fn lost() -> Ended {
        Ended::Lost(Failure::unreachable("gone", "look"))
    }

    #[test]
    fn the_exit_tells_how_the_run_ended() {
        let late = Some(ErrorCode::DeadlineExceeded);
        for (found, expected) in [
            (found(3, None, Ended::Complete), Exit::Done),
            (found(3, late, Ended::Complete), Exit::Done),
            (found(0, late, Ended::Complete), Exit::Deadline),
            (found(0, Some(ErrorCode::Overloaded), Ended::Complete), Exit::Refused),
            (found(3, late, Ended::Interrupted), Exit::Interrupted),
            (found(3, None, lost()), Exit::Unreachable),
        ] {
            assert_eq!(found.exit(), expected, "{found:?}");
        }
    }

    #[test]
    fn what_was_measured_is_kept_and_a_step_that_brought_nothing_is_not() {
        assert_eq!(found(0, None, Ended::Interrupted).steps.len(), 0);
        assert_eq!(found(1, None, Ended::Interrupted).verdict(false).unwrap().steps.len(), 1);
        assert_eq!(found(1, None, lost()).verdict(false).unwrap().steps.len(), 1);
        assert_eq!(found(0, Some(ErrorCode::Overloaded), Ended::Complete).steps.len(), 1);
    }

    #[test]
    fn a_run_without_an_answer_fails_with_what_was_said() {
        assert_eq!(found(0, None, lost()).verdict(false).unwrap_err().exit(), Exit::Unreachable);
        let hopeless = found(0, Some(ErrorCode::InvalidInput), Ended::Complete).verdict(true).unwrap_err();
        assert_eq!(hopeless.to_string(), "invalid_input: no");
    }
}
