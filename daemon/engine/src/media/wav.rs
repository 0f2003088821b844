//! WAV to one channel of numbers in -1..=1. What a header claims is held against what is there before any of it is
//! believed.

use std::io::Cursor;

use hound::{Error, SampleFormat, WavReader, WavSpec};

use super::MediaError;

/// Rates that are taken, samples per second.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// Most channels that are mixed.
const MAX_CHANNELS: u16 = 32;

/// One channel of sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Mono {
    /// Samples per second.
    pub rate: u32,
    pub samples: Vec<f32>,
}

/// Reads a WAV of 8, 16, 24 or 32 bit integers or 32 bit floats; channels are mixed by their mean. Never panics, whatever
/// the bytes.
pub fn read(payload: &[u8], max_seconds: u32) -> Result<Mono, MediaError> {
    let mut reader = WavReader::new(Cursor::new(payload)).map_err(|error| broken(&error))?;
    let spec = reader.spec();
    check(spec, reader.len(), payload.len(), max_seconds)?;
    let channels = usize::from(spec.channels);
    let mixed = match spec.sample_format {
        SampleFormat::Float => mix(reader.samples::<f32>(), channels, |sample| sample),
        SampleFormat::Int => {
            let scale = full_scale(spec.bits_per_sample);
            #[expect(clippy::cast_precision_loss, reason = "32 bit samples lose what no model hears")]
            let number = move |sample: i32| sample as f32 * scale;
            mix(reader.samples::<i32>(), channels, number)
        }
    };
    let samples = mixed.map_err(|(error, there)| match error {
        Error::IoError(_) => MediaError::Invalid(format!(
            "the WAV says that it has {} samples per channel, but ends after {there}",
            reader.duration()
        )),
        other => broken(&other),
    })?;
    if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
        return Err(MediaError::Invalid(format!("sample {at} of the WAV is no finite number")));
    }
    Ok(Mono { rate: spec.sample_rate, samples })
}

fn check(spec: WavSpec, samples: u32, bytes: usize, max_seconds: u32) -> Result<(), MediaError> {
    let invalid = |what: String| Err(MediaError::Invalid(what));
    if !RATES.contains(&spec.sample_rate) {
        return invalid(format!("the WAV has {} samples per second, accepted are {RATES:?}", spec.sample_rate));
    }
    if !(1..=MAX_CHANNELS).contains(&spec.channels) {
        return invalid(format!("the WAV has {} channels, accepted are 1..={MAX_CHANNELS}", spec.channels));
    }
    let bits = spec.bits_per_sample;
    let good = match spec.sample_format {
        SampleFormat::Int => matches!(bits, 8 | 16 | 24 | 32),
        SampleFormat::Float => bits == 32,
    };
    if !good {
        return invalid(format!(
            "the WAV has samples of {bits} bits, accepted are integers of 8, 16, 24 or 32 and floats of 32"
        ));
    }
    let claimed = u64::from(samples) * u64::from(bits / 8);
    if claimed > bytes as u64 {
        return invalid(format!("the WAV says that it has {claimed} bytes of samples, the payload has {bytes} bytes"));
    }
    if samples == 0 {
        return invalid("the WAV has no samples".into());
    }
    let seconds = (samples / u32::from(spec.channels)).div_ceil(spec.sample_rate);
    if seconds > max_seconds {
        return Err(MediaError::TooLarge(format!("the WAV lasts {seconds} s, accepted are {max_seconds} s")));
    }
    Ok(())
}

fn full_scale(bits: u16) -> f32 {
    match bits {
        8 => 1.0 / 128.0,
        16 => 1.0 / 32_768.0,
        24 => 1.0 / 8_388_608.0,
        _ => 1.0 / 2_147_483_648.0,
    }
}

/// The mean of each frame; an error comes with the number of frames before it.
fn mix<S>(
    samples: impl Iterator<Item = Result<S, Error>>,
    channels: usize,
    number: impl Fn(S) -> f32,
) -> Result<Vec<f32>, (Error, usize)> {
    #[expect(clippy::cast_precision_loss, reason = "at most 32 channels")]
    let share = 1.0 / channels as f32;
    let (mut mixed, mut sum, mut in_frame) = (Vec::new(), 0f32, 0);
    for sample in samples {
        sum += number(sample.map_err(|error| (error, mixed.len()))?);
        in_frame += 1;
        if in_frame == channels {
            mixed.push(sum * share);
            (sum, in_frame) = (0.0, 0);
        }
    }
    Ok(mixed)
}

fn broken(error: &Error) -> MediaError {
    MediaError::Invalid(match error {
        Error::IoError(_) => "the WAV ends within its header".into(),
        Error::FormatError(what) => format!("not a WAV that can be read: {what}"),
        Error::Unsupported => "the WAV has an encoding other than PCM or IEEE float".into(),
        other => format!("the WAV cannot be read: {other}"),
    })
}
