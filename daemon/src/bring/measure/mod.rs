//! How right answers are: the measures of each task, as pure functions of answers and truths. Must not know bundles, files or
//! documents.

pub mod areas;
pub mod boxes;
pub mod likeness;
pub mod numbers;
pub mod ranks;
pub mod text;

/// `count` of `all` as a share; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of samples and pixels are far below 2^53")]
pub fn share(count: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { count as f64 / all as f64 }
}

/// The mean; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Share of a measure that was lost against another one, 0..=1; `None` if there was nothing to lose.
pub fn loss(first: f64, this: f64) -> Option<f64> {
    (first > 0.0 && this.is_finite()).then(|| ((first - this) / first).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_a_share_of_what_there_was() {
        let about = |(first, this), wanted: f64| {
            let lost = loss(first, this).unwrap();
            assert!((lost - wanted).abs() < 1e-12, "{first} {this}: {lost}");
        };
        about((0.8, 0.8), 0.0);
        about((0.8, 0.6), 0.25);
        about((0.8, 0.9), 0.0);
        about((0.8, 0.0), 1.0);
        about((0.8, -1.0), 1.0);
        assert_eq!((loss(0.0, 0.5), loss(0.5, f64::NAN)), (None, None));
    }

    #[test]
    fn of_nothing_there_is_no_mean() {
        assert_eq!((mean([]), mean([1.0, 2.0])), (None, Some(1.5)));
        assert_eq!((share(0, 0), share(1, 4)), (0.0, 0.25));
    }
}
