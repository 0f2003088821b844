//! How fast sums grow: from two looks at them, with the daemon's own time between. Nothing is told of a span in which the
//! daemon was started anew.

use std::collections::BTreeMap;

use edge_wire::dto::{Counters, Status};
use serde::Serialize;

/// Requests per second between two looks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// How long the time between them was, milliseconds.
    pub over_ms: u64,
    /// That came in.
    pub arrived_per_s: f64,
    /// That were answered with a result.
    pub done_per_s: f64,
    /// That were refused, or shed after they were accepted.
    pub refused_per_s: f64,
    /// That failed, or were too late.
    pub failed_per_s: f64,
    /// Of each model, by `name:version`: those that were answered with a result.
    pub models: BTreeMap<String, f64>,
}

/// What became of the sums between two looks; `None` if that cannot be told.
pub fn between(before: &Status, now: &Status) -> Option<Rates> {
    let over_ms = now.uptime_ms.checked_sub(before.uptime_ms).filter(|ms| *ms > 0 && before.pid == now.pid)?;
    let per_s = |before: u64, now: u64| count(now.saturating_sub(before)) * 1000.0 / count(over_ms);
    let sums = |counters: &Counters| {
        let Counters { arrived, done, failed, refused, expired, shed, .. } = *counters;
        [arrived, done, refused.saturating_add(shed), failed.saturating_add(expired)]
    };
    let (old, new) = (sums(&before.counters), sums(&now.counters));
    let rate = |place: usize| per_s(old[place], new[place]);
    let done: BTreeMap<String, u64> = by_model(before).collect();
    let models = by_model(now).map(|(model, sum)| (done.get(&model).map_or(0.0, |before| per_s(*before, sum)), model));
    Some(Rates {
        over_ms,
        arrived_per_s: rate(0),
        done_per_s: rate(1),
        refused_per_s: rate(2),
        failed_per_s: rate(3),
        models: models.map(|(rate, model)| (model, rate)).collect(),
    })
}

fn by_model(status: &Status) -> impl Iterator<Item = (String, u64)> {
    status.models.iter().map(|model| (format!("{}:{}", model.name, model.version), model.done))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::ModelStatus;

    use super::*;

    fn status(pid: u32, uptime_ms: u64, done: u64) -> Status {
        let counters = Counters { arrived: 2 * done, done, refused: done / 2, shed: 1, ..Counters::default() };
        let model = ModelStatus { name: "a".into(), version: "1.0.0".into(), done, ..ModelStatus::default() };
        Status { pid, uptime_ms, counters, models: vec![model], ..Status::default() }
    }

    #[test]
    fn a_rate_is_the_difference_over_the_time_of_the_daemon() {
        let rates = between(&status(1, 1000, 10), &status(1, 3000, 30)).unwrap();
        assert_eq!(
            (rates.over_ms, rates.arrived_per_s, rates.done_per_s, rates.refused_per_s),
            (2000, 20.0, 10.0, 5.0)
        );
        assert_eq!(rates.models["a:1.0.0"], 10.0);
    }

    #[test]
    fn nothing_is_told_across_a_restart_or_of_the_same_look() {
        for (before, now) in [
            (status(1, 5000, 10), status(1, 1000, 30)),
            (status(1, 1000, 10), status(2, 3000, 30)),
            (status(1, 1000, 10), status(1, 1000, 30)),
        ] {
            assert_eq!(between(&before, &now), None);
        }
    }

    #[test]
    fn a_model_that_was_not_there_before_has_done_nothing_yet() {
        let before = Status { models: vec![], ..status(1, 1000, 10) };
        assert_eq!(between(&before, &status(1, 2000, 30)).unwrap().models["a:1.0.0"], 0.0);
    }
}
