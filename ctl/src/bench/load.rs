//! Many clients at the same time, for a while, and what came of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge_wire::error::Refused;
use tokio::task::JoinSet;

use super::caller::Caller;
use super::input::Work;
use super::tally::Tally;
use crate::clock::Stopwatch;
use crate::failure::Failure;

/// After a "no" without a time to try again: often enough to see that it is over, and no flood.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    pub tally: Tally,
    /// From the first call to the last answer.
    pub elapsed: Duration,
    pub ended: Ended,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// The time was over, and every client had its last answer.
    Complete,
    /// Somebody wanted it to end; what was under way is not counted.
    Interrupted,
    /// A client lost the daemon.
    Lost(Failure),
}

/// Lets all these clients ask until `span` is over; what was asked before is waited for. Each asks at least once.
pub async fn round(
    callers: &[Arc<Caller>],
    work: &Arc<Work>,
    span: Duration,
    interrupt: Pin<&mut impl Future<Output = ()>>,
) -> Round {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let watch = Stopwatch::start();
    let mut asking = JoinSet::new();
    for caller in callers {
        let (caller, work, tally) = (Arc::clone(caller), Arc::clone(work), Arc::clone(&tally));
        asking.spawn(async move { ask_until(&caller, &work, watch, span, &tally).await });
    }
    let ended = tokio::select! {
        ended = all(&mut asking) => ended,
        () = interrupt => Ended::Interrupted,
    };
    let elapsed = watch.elapsed();
    asking.abort_all();
    let tally = std::mem::take(&mut *open(&tally));
    Round { tally, elapsed, ended }
}

/// Waits for every client, or for the first that lost the daemon.
async fn all(asking: &mut JoinSet<Result<(), Failure>>) -> Ended {
    while let Some(done) = asking.join_next().await {
        match done {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return Ended::Lost(failure),
            Err(error) => return Ended::Lost(Failure::Mismatch { what: format!("a client of the run: {error}") }),
        }
    }
    Ended::Complete
}

async fn ask_until(
    caller: &Caller,
    work: &Work,
    round: Stopwatch,
    span: Duration,
    tally: &Mutex<Tally>,
) -> Result<(), Failure> {
    loop {
        let watch = Stopwatch::start();
        match caller.ask(work).await {
            Ok(told) => open(tally).answered(watch.elapsed(), told),
            Err(Failure::Refused { refused, .. }) => {
                let pause = pause(&refused, span.saturating_sub(round.elapsed()));
                open(tally).refused(refused);
                tokio::time::sleep(pause).await;
            }
            Err(lost) => return Err(lost),
        }
        if round.elapsed() >= span || open(tally).is_full() {
            return Ok(());
        }
    }
}

/// As long as the daemon says, and not beyond the end of the round.
fn pause(refused: &Refused, left: Duration) -> Duration {
    refused.retry_after_ms.map_or(PAUSE, Duration::from_millis).clamp(PAUSE, left.max(PAUSE))
}

fn open(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use edge_wire::error::ErrorCode;

    use super::*;

    #[test]
    fn a_client_waits_as_long_as_the_refusal_says_but_not_beyond_the_round() {
        let ms = Duration::from_millis;
        let after = |retry_after_ms| Refused { code: ErrorCode::Overloaded, message: String::new(), retry_after_ms };
        assert_eq!(pause(&after(Some(70)), ms(3000)), ms(70));
        assert_eq!(pause(&after(Some(70_000)), ms(3000)), ms(3000));
        assert_eq!(pause(&after(Some(0)), ms(3000)), PAUSE);
        assert_eq!(pause(&after(None), ms(3000)), PAUSE);
        assert_eq!(pause(&after(None), ms(0)), PAUSE);
    }
}
