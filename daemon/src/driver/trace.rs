//! What happened to the last requests, kept in a ring so that a technician can ask afterwards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{Mono, Rows, Size, Why};
use edge_wire::dto::{Info, Trace, TraceStep};

use crate::handle::Deed;
use crate::request::Caller;

/// Settled requests that are remembered.
pub const KEPT: usize = 1024;

/// One step; its text is made only when somebody asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Received {
        bytes: u64,
    },
    Accepted {
        verdict: &'static str,
        reason: &'static str,
        predicted_us: Option<u64>,
        class: &'static str,
        deadline: Mono,
    },
    Refused {
        code: &'static str,
        reason: &'static str,
    },
    Preparing,
    Prepared {
        cost: u32,
        took_us: u64,
    },
    /// On which session of the model, of how many.
    Running {
        session: u16,
        of: u16,
        batch: u32,
    },
    Ran {
        took_us: u64,
    },
    Faulted {
        fault: &'static str,
    },
    /// A stage of a pipeline has said all that it was asked; its models took this long together.
    Stage {
        stage: String,
        said: String,
        took_us: u64,
    },
    /// It, or the rest of it, runs in chunks, so that others wait about as long as `most` at most.
    Divided {
        rows: u32,
        size: Size,
        most: Duration,
    },
    /// All its chunks ran; their runs took this long together.
    RanInChunks {
        count: u32,
        took_us: u64,
    },
    ChunkFaulted {
        rows: Rows,
        fault: &'static str,
    },
    StageFaulted {
        stage: String,
        fault: &'static str,
    },
    Settled {
        outcome: &'static str,
    },
    Duplicate,
    /// It was sent to another site.
    Sent {
        site: Arc<str>,
        zone: &'static str,
        reason: &'static str,
    },
    /// What came of that.
    Returned {
        site: Arc<str>,
        said: String,
        took_us: u64,
    },
    /// It is served here after all.
    Stayed {
        reason: &'static str,
    },
    /// Its answer was looked at.
    Checked {
        said: String,
    },
    /// A rule of the operator spoke of it.
    Ruled {
        said: String,
    },
    /// It waits on the disk.
    PutOff {
        reason: &'static str,
    },
    /// Its bytes came through a zone that its class does not allow.
    Beyond {
        class: &'static str,
        zone: &'static str,
    },
    /// A transport's own.
    Done(Deed),
}

impl Step {
    fn words(&self, received: Mono) -> (&'static str, String) {
        match self {
            Step::Received { bytes } => ("received", format!("{bytes} bytes")),
            Step::Accepted { verdict, reason, predicted_us, class, deadline } => {
                let predicted = match predicted_us {
                    Some(us) => format!("predicted {:.1} ms", ms(*us)),
                    None => "no prediction yet".to_owned(),
                };
                let left = u64::try_from(deadline.since(received).as_micros()).unwrap_or(u64::MAX);
                ("accepted", format!("{verdict}: {reason}, {predicted}, deadline {:.0} ms, class {class}", ms(left)))
            }
            Step::Refused { code, reason } => ("refused", format!("{code}: {reason}")),
            Step::Preparing => ("preparing", "decoding in the engine host".into()),
            Step::Prepared { cost, took_us } => ("prepared", format!("decoded in {:.2} ms, cost {cost}", ms(*took_us))),
            Step::Running { session, of, batch } => ("running", format!("session {session} of {of}, batch of {batch}")),
            Step::Ran { took_us } => ("ran", format!("model took {:.2} ms", ms(*took_us))),
            Step::Faulted { fault } => ("faulted", (*fault).into()),
            Step::Stage { stage, said, took_us } => ("stage", format!("{stage}: {said}, {:.2} ms", ms(*took_us))),
            Step::Divided { rows, size, most } => ("divided", divided(*rows, *size, *most)),
            Step::RanInChunks { count, took_us } => {
                ("ran", format!("{count} chunks, model took {:.2} ms in all", ms(*took_us)))
            }
            Step::ChunkFaulted { rows, fault } => ("faulted", format!("{}: {fault}", super::chunks::words(*rows))),
            Step::StageFaulted { stage, fault } => ("faulted", format!("stage {stage}: {fault}")),
            Step::Settled { outcome } => ("settled", (*outcome).into()),
            Step::Sent { site, zone, reason } => ("sent", format!("to site {site} ({zone}): {reason}")),
            Step::Returned { site, said, took_us } => {
                ("returned", format!("site {site}: {said} after {:.1} ms", ms(*took_us)))
            }
            Step::Stayed { reason } => ("stayed", format!("served here: {reason}")),
            Step::Checked { said } => ("checked", said.clone()),
            Step::Ruled { said } => ("ruled", said.clone()),
            Step::PutOff { reason } => ("put_off", format!("waits on the disk: {reason}")),
            Step::Duplicate => ("duplicate", "asked again with the same id".into()),
            Step::Beyond { class, zone } => ("beyond", super::words::beyond(class, zone)),
            Step::Done(Deed::Journaled) => ("journaled", "safe in the journal, acknowledged to the broker".into()),
            Step::Done(Deed::Replied(topic)) => ("replied", format!("the broker accepted the reply on {topic}")),
            Step::Done(Deed::ReplyRefused(topic)) => {
                ("reply_refused", format!("the broker refused the reply on {topic}"))
            }
        }
    }
}

/// Into how many chunks of how many rows, and why.
fn divided(rows: u32, size: Size, most: Duration) -> String {
    let counted = |count: u32, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let each = match size.range(rows) {
        (small, large) if small == large => counted(large, "row"),
        (small, large) => format!("{small} to {large} rows"),
    };
    let most = most.as_millis();
    let why = match size.why() {
        Why::Time => format!("so that others wait at most {most} ms"),
        Why::Row => format!("so that others wait for one row at most, which takes more than {most} ms"),
        Why::Most => format!("the most that the model takes at once, so that others wait at most {most} ms"),
        Why::Cost => format!("as more together take longer for each, so that others wait at most {most} ms"),
        Why::Unmeasured => "as the model was not measured yet".to_owned(),
    };
    format!("{} in {} of {each}, {why}", counted(rows, "row"), counted(size.count(rows), "chunk"))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// The story of one request.
#[derive(Clone, Debug)]
pub struct Story {
    pub request_id: String,
    pub caller: Caller,
    pub model: String,
    pub received: Mono,
    pub received_at: String,
    pub steps: Vec<(Mono, Step)>,
    pub outcome: &'static str,
    pub code: &'static str,
    pub message: String,
    pub info: Option<Info>,
}

impl Story {
    /// As it crosses the bus.
    pub fn to_trace(&self) -> Trace {
        let steps = self.steps.iter().map(|(at, step)| {
            let (step, detail) = step.words(self.received);
            let at_us = u64::try_from(at.since(self.received).as_micros()).unwrap_or(u64::MAX);
            TraceStep { at_us, step: step.into(), detail }
        });
        let mut steps: Vec<TraceStep> = steps.collect();
        // What a transport notes comes later than it happened.
        steps.sort_by_key(|step| step.at_us);
        Trace {
            request_id: self.request_id.clone(),
            caller: self.caller.to_string(),
            model: self.model.clone(),
            outcome: self.outcome.into(),
            code: self.code.into(),
            message: self.message.clone(),
            received_at: self.received_at.clone(),
            steps,
            info: self.info.clone(),
        }
    }
}

/// The ring.
#[derive(Debug, Default)]
pub struct Ring {
    stories: VecDeque<Story>,
}

impl Ring {
    /// Keeps one story; the oldest one goes when the ring is full.
    pub fn keep(&mut self, story: Story) {
        if self.stories.len() >= KEPT {
            self.stories.pop_front();
        }
        self.stories.push_back(story);
    }

    /// The newest story of this id.
    pub fn find(&self, request_id: &str) -> Option<&Story> {
        self.stories.iter().rev().find(|story| story.request_id == request_id)
    }

    /// Adds a step to the newest story of this id; bounded, so that notes cannot grow without end.
    pub fn note(&mut self, request_id: &str, at: Mono, step: Step) {
        // Notes follow settlement at once; looking far back would cost time on every reply.
        let story = self.stories.iter_mut().rev().take(512).find(|story| story.request_id == request_id);
        if let Some(story) = story.filter(|story| story.steps.len() < 64) {
            story.steps.push((at, step));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_division_says_how_many_chunks_of_how_many_rows_and_why() {
        let most = Duration::from_millis(20);
        for (rows, size, expected) in [
            (200, Size::new(20, Why::Time), "200 rows in 10 chunks of 20 rows, so that others wait at most 20 ms"),
            (
                200,
                Size::new(13, Why::Time),
                "200 rows in 16 chunks of 12 to 13 rows, so that others wait at most 20 ms",
            ),
            (
                3,
                Size::new(1, Why::Row),
                "3 rows in 3 chunks of 1 row, so that others wait for one row at most, which takes more than 20 ms",
            ),
            (1, Size::new(4, Why::Unmeasured), "1 row in 1 chunk of 1 row, as the model was not measured yet"),
        ] {
            assert_eq!(divided(rows, size, most), expected);
        }
    }
}
