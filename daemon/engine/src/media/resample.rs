//! Sound from one rate to another.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters};

use super::MediaError;

/// Frames that are filtered together.
const CHUNK: usize = 1024;

/// The same sound at `rate` samples per second, band-limited.
pub fn to_rate(samples: Vec<f32>, from: u32, rate: u32) -> Result<Vec<f32>, MediaError> {
    if from == rate {
        return Ok(samples);
    }
    let failed = |error: &dyn std::fmt::Display| {
        MediaError::Invalid(format!("the sound cannot be brought from {from} to {rate} samples per second: {error}"))
    };
    // A windowed sinc: the crate's FFT resampler does the same for more code than all the rest of the engine host.
    let (ratio, filter) = (f64::from(rate) / f64::from(from), SincInterpolationParameters::default());
    let mut resampler =
        Async::<f32>::new_sinc(ratio, 1.0, &filter, CHUNK, 1, FixedAsync::Input).map_err(|error| failed(&error))?;
    let frames = samples.len();
    let source = SequentialSlice::new(&samples, 1, frames).map_err(|error| failed(&error))?;
    let resampled = resampler.process_all(&source, frames, None).map_err(|error| failed(&error))?;
    Ok(resampled.take_data())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn tone(rate: u32, seconds: u32, hertz: f32) -> Vec<f32> {
        let step = std::f32::consts::TAU * hertz / rate as f32;
        (0..rate * seconds).map(|n| (n as f32 * step).sin()).collect()
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn a_tone_keeps_its_length_and_its_shape() {
        for from in [8_000, 11_025, 22_050, 44_100, 48_000, 44_101] {
            let resampled = to_rate(tone(from, 1, 440.0), from, 16_000).unwrap();
            assert!(resampled.len().abs_diff(16_000) <= 1, "{from}: {}", resampled.len());
            let ideal = tone(16_000, 1, 440.0);
            let inner = 1_000..15_000;
            let off = inner.map(|at| (resampled[at] - ideal[at]).abs()).fold(0f32, f32::max);
            // The filter's delay is taken out in whole samples of the slower rate.
            let shift = std::f32::consts::TAU * 440.0 * 0.5 / from.min(16_000) as f32;
            assert!(off < 0.02 + shift, "{from}: {off}");
        }
    }

    #[test]
    fn what_the_new_rate_cannot_carry_is_gone() {
        let resampled = to_rate(tone(48_000, 1, 12_000.0), 48_000, 16_000).unwrap();
        let loudest = resampled[1_000..15_000].iter().fold(0f32, |most, sample| most.max(sample.abs()));
        assert!(loudest < 0.02, "{loudest}");
    }
}
