//! The last minutes in steps of ten seconds: what sparklines are drawn from. Begins with what the governor remembers.

use std::collections::VecDeque;

use edge_wire::dto::Status;
use edge_wire::governor::GovernorPoint;

use super::rates::Rates;

/// As long as a step of the governor's history, so that the two join.
pub const STEP_MS: i64 = 10_000;
/// Twenty minutes: more columns than a screen has for them.
const STEPS: usize = 120;

/// The values of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Of the zone nearest to its trip, degrees Celsius.
    pub temp_c: Option<f64>,
    /// Share of the lanes' time that is allowed.
    pub duty: Option<f64>,
    /// Requests done per second.
    pub done_per_s: Option<f64>,
}

/// A mean that grows.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

/// Steps, the oldest first; none of them without a value.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    steps: VecDeque<(i64, [Mean; 3])>,
}

impl Trail {
    /// What the governor remembers, as seen at this time.
    pub fn remembered(history: &[GovernorPoint], now_ms: i64) -> Trail {
        let mut trail = Trail::default();
        let mut points: Vec<&GovernorPoint> = history.iter().collect();
        points.sort_by_key(|point| std::cmp::Reverse(point.ago_ms));
        for point in points {
            let at = now_ms.saturating_sub(i64::try_from(point.ago_ms).unwrap_or(i64::MAX));
            let (duty, done_per_s) = (Some(point.duty), Some(point.done_per_s));
            trail.add(at, Point { temp_c: point.temp_c, duty, done_per_s });
        }
        trail
    }

    /// Adds what was seen at a time, which never goes back.
    pub fn add(&mut self, at_ms: i64, point: Point) {
        let step = at_ms.div_euclid(STEP_MS);
        if self.steps.back().is_none_or(|(last, _)| *last < step) {
            self.steps.push_back((step, [Mean::default(); 3]));
        }
        if let Some((_, means)) = self.steps.back_mut() {
            let values = [point.temp_c, point.duty, point.done_per_s];
            means.iter_mut().zip(values).for_each(|(mean, value)| mean.add(value));
        }
        while self.steps.len() > STEPS {
            self.steps.pop_front();
        }
    }

    /// The last so many steps until now, the oldest first.
    pub fn last(&self, steps: usize, now_ms: i64) -> Vec<Point> {
        let now = now_ms.div_euclid(STEP_MS);
        let first = now - i64::try_from(steps).unwrap_or(0) + 1;
        let point = |step: i64| {
            let found = self.steps.iter().find(|(at, _)| *at == step);
            found.map_or(Point::default(), |(_, [temp, duty, done])| Point {
                temp_c: temp.value(),
                duty: duty.value(),
                done_per_s: done.value(),
            })
        };
        (first..=now).map(point).collect()
    }
}

/// The values of a status and of the rates that go with it.
pub fn point(status: &Status, rates: Option<&Rates>) -> Point {
    let governor = &status.governor;
    let tightest = governor.zones.iter().find(|zone| zone.name == governor.tightest).map(|zone| zone.temp_c);
    let hottest = || status.hardware.zones.iter().filter_map(|zone| zone.temp_c.value).reduce(f64::max);
    Point {
        temp_c: tightest.or_else(hottest),
        duty: (!governor.regime.is_empty()).then_some(governor.capacity.duty),
        done_per_s: rates.map(|rates| rates.done_per_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(temp: f64) -> Point {
        Point { temp_c: Some(temp), ..Point::default() }
    }

    fn temps(trail: &Trail, steps: usize, now_ms: i64) -> Vec<Option<f64>> {
        trail.last(steps, now_ms).iter().map(|point| point.temp_c).collect()
    }

    #[test]
    fn a_step_is_the_mean_of_what_was_seen_in_it_and_a_gap_is_none() {
        let mut trail = Trail::default();
        trail.add(0, at(40.0));
        trail.add(9_999, at(50.0));
        trail.add(20_000, at(60.0));
        assert_eq!(temps(&trail, 4, 29_999), [None, Some(45.0), None, Some(60.0)]);
        assert_eq!(temps(&trail, 2, 30_000), [Some(60.0), None], "time goes on without a look");
    }

    #[test]
    fn what_the_governor_remembers_goes_on_in_what_is_seen() {
        let past = |ago_ms, temp| GovernorPoint { ago_ms, temp_c: Some(temp), ..GovernorPoint::default() };
        let mut trail = Trail::remembered(&[past(20_000, 40.0), past(10_000, 50.0)], 0);
        trail.add(0, at(60.0));
        assert_eq!(temps(&trail, 3, 0), [Some(40.0), Some(50.0), Some(60.0)]);
    }

    #[test]
    fn it_has_a_bound() {
        let mut trail = Trail::default();
        (0..1000).for_each(|step| trail.add(step * STEP_MS, at(1.0)));
        assert_eq!(trail.steps.len(), STEPS);
    }
}
