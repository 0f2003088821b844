//! Measuring the running system against the same model in one process: rounds of both in turn, medians of ratios.

pub mod baseline;
pub mod contest;
pub mod cycles;
pub mod drawing;
pub mod heat;
pub mod hop;
pub mod load;
pub mod mqtt;
pub mod picture;
pub mod planned;
pub mod programs;
pub mod pull;
pub mod quality;
pub mod sites;
pub mod spill;
pub mod switch;
pub mod table;
pub mod work;

use std::time::Duration;

/// What one round cost.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Inferences.
    pub calls: u32,
    pub wall: Duration,
    /// Processor time of what did the inferences.
    pub cpu: Duration,
    /// How long each call took, as its caller saw it.
    pub latencies: Vec<Duration>,
}

impl Round {
    /// Processor time of one call, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.calls.max(1))
    }

    /// Calls per second.
    pub fn rate(&self) -> f64 {
        f64::from(self.calls) / self.wall.as_secs_f64().max(1e-9)
    }

    /// Median latency, in microseconds.
    pub fn p50_us(&self) -> f64 {
        median(self.latencies.iter().map(|latency| latency.as_secs_f64() * 1e6))
    }
}

/// The middle value; of an even count the mean of the middle two; 0 of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(below), Some(at)) if values.len().is_multiple_of(2) => f64::midpoint(*below, *at),
        (_, Some(at)) => *at,
        _ => 0.0,
    }
}

/// The time below which this share of them lies; they are sorted.
pub fn at(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}

/// In milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([7.0].into_iter()), 7.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
