//! What the requests of a pipeline ask of its stages: how many requests each stage gets for one picture, and how large they
//! are, learnt from those that were answered.

use crate::estimate::mean::Mean;
use crate::estimate::service::is_fresh;
use crate::stages::Stages;
use crate::units::{Bytes, Mono, Span};

/// What one pipeline request has asked of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests.
    pub count: u64,
    /// Their payloads together.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    count: Mean,
    bytes: Mean,
}

/// The means of one pipeline.
#[derive(Clone, Copy, Debug, Default)]
pub struct FanOut {
    stages: [Stage; Stages::CAPACITY],
    last: Option<Mono>,
}

impl FanOut {
    /// A pipeline request was answered after it had asked this of its stages.
    pub fn learn(&mut self, now: Mono, asked: &[Asked]) {
        if !self.is_current(now) {
            self.stages.iter_mut().for_each(|stage| stage.count.distrust());
        }
        self.last = Some(now);
        for (stage, asked) in self.stages.iter_mut().zip(asked) {
            stage.count.learn(asked.count);
            if let Some(each) = asked.bytes.checked_div(asked.count) {
                stage.bytes.learn(each);
            }
        }
    }

    /// How many requests of which size a stage is expected to get; `None` if no pipeline request was answered yet.
    pub fn expected(&self, stage: usize) -> Option<(u64, Bytes)> {
        let stage = self.stages.get(stage)?;
        Some((stage.count.get()?, Bytes(stage.bytes.get().unwrap_or(0))))
    }

    /// Whether one was answered lately, so that what is known may be held against a request. The next picture may show less
    /// text than the last one: what is never corrected must not refuse for ever.
    pub fn is_current(&self, now: Mono) -> bool {
        self.last.is_some_and(|last| is_fresh(last, now, Span::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_each_stage_is_expected_and_grows_old() {
        let (mut fan_out, at) = (FanOut::default(), |ms| Span::from_millis(ms).from(Mono::default()));
        assert_eq!(fan_out.expected(0), None);
        assert!(!fan_out.is_current(at(0)));
        fan_out.learn(at(0), &[Asked { count: 1, bytes: 900 }, Asked { count: 4, bytes: 400 }, Asked::default()]);
        fan_out.learn(at(5), &[Asked { count: 1, bytes: 700 }, Asked { count: 8, bytes: 1600 }, Asked::default()]);
        assert_eq!(fan_out.expected(0), Some((1, Bytes(800))));
        assert_eq!(fan_out.expected(1), Some((6, Bytes(150))));
        assert_eq!(fan_out.expected(2), Some((0, Bytes(0))), "nothing was asked of it");
        assert_eq!(fan_out.expected(Stages::CAPACITY), None);
        assert!(fan_out.is_current(at(10_005)) && !fan_out.is_current(at(10_006)));
    }
}
