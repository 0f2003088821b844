//! Where in a sound somebody speaks: `{"segments": [{"start_ms", "end_ms", "start_sample", "end_sample"}, ...],
//! "speech_ms", "duration_ms", "sample_rate"}`; samples count at that rate, which is the model's. The model runs once per
//! window and carries a state along; segments are found in its probabilities by Silero's rules.

use serde::Serialize;

use super::{MediaError, find, floats, json, resample, wav};
use crate::bundle::{SoundRecipe, SpeechRecipe};
use crate::protocol::{Datatype, HostError, TensorSpec};
use crate::tensor::{Aligned, Answer, Feed};

/// One channel at the model's rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    pub samples: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    end: u64,
}

#[derive(Serialize)]
struct Document {
    segments: Vec<Row>,
    speech_ms: u64,
    duration_ms: u64,
    sample_rate: u32,
}

#[derive(Serialize)]
struct Row {
    start_ms: u64,
    end_ms: u64,
    start_sample: u64,
    end_sample: u64,
}

/// Where the recipe's tensors are in the graph.
struct Places {
    signal: usize,
    state: usize,
    rate: usize,
    probability: usize,
    next_state: usize,
}

/// Both recipes of a model that hears speech.
pub struct Speech {
    sound: SoundRecipe,
    rules: SpeechRecipe,
    max_seconds: u32,
    places: Places,
}

impl Speech {
    /// Holds the recipes against the graph.
    pub fn new(
        sound: SoundRecipe,
        rules: SpeechRecipe,
        max_seconds: u32,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> Result<Speech, MediaError> {
        let place = |key, specs: &[TensorSpec], name: &str, datatype: Datatype| {
            let (at, spec) = find(key, specs, name)?;
            let what = format!("{name} is {}, the recipe needs {}", spec.datatype.as_str(), datatype.as_str());
            if spec.datatype == datatype { Ok(at) } else { Err(MediaError::Recipe { key, what }) }
        };
        let places = Places {
            signal: place("input.signal", inputs, &sound.signal, Datatype::Fp32)?,
            state: place("input.state", inputs, &sound.state, Datatype::Fp32)?,
            rate: place("input.rate_tensor", inputs, &sound.rate_tensor, Datatype::Int64)?,
            probability: place("output.probability", outputs, &rules.probability, Datatype::Fp32)?,
            next_state: place("output.state", outputs, &rules.state, Datatype::Fp32)?,
        };
        if inputs.len() != 3 {
            let what = format!("the graph has {} inputs, the recipe gives 3", inputs.len());
            return Err(MediaError::Recipe { key: "input", what });
        }
        Ok(Speech { sound, rules, max_seconds, places })
    }

    /// Decodes a WAV.
    pub fn prepare(&self, payload: &[u8]) -> Result<Sound, MediaError> {
        let mono = wav::read(payload, self.max_seconds)?;
        Ok(Sound { samples: resample::to_rate(mono.samples, mono.rate, self.sound.rate)? })
    }

    /// Runs of the model that a sound needs.
    pub fn windows(&self, sound: &Sound) -> u32 {
        u32::try_from(sound.samples.len().div_ceil(self.sound.window as usize)).unwrap_or(u32::MAX)
    }

    /// Runs the model over the whole sound.
    pub fn document(
        &self,
        sound: &Sound,
        run: impl FnMut(&[Feed<'_>], &mut dyn FnMut(&[Answer<'_>])) -> Result<(), HostError>,
    ) -> Result<String, HostError> {
        let probabilities = self.probabilities(sound, run)?;
        self.write(sound, &probabilities).map_err(MediaError::into_host_error)
    }

    fn probabilities(
        &self,
        sound: &Sound,
        mut run: impl FnMut(&[Feed<'_>], &mut dyn FnMut(&[Answer<'_>])) -> Result<(), HostError>,
    ) -> Result<Vec<f32>, HostError> {
        let (context, window) = (self.sound.context as usize, self.sound.window as usize);
        let signal_shape = [1, i64::from(self.sound.context) + i64::from(self.sound.window)];
        let elements = crate::tensor::elements(&self.sound.state_shape).unwrap_or(0);
        let mut state = Aligned::zeros(elements * 4);
        let rate = Aligned::copy_of(&i64::from(self.sound.rate).to_ne_bytes());
        let mut signal = vec![0f32; context + window];
        let mut probabilities = Vec::with_capacity(sound.samples.len().div_ceil(window.max(1)));
        for chunk in sound.samples.chunks(window.max(1)) {
            // The end of the window before is the context of this one; the last window is padded with silence.
            signal.copy_within(window.., 0);
            signal[context..].fill(0.0);
            signal[context..context + chunk.len()].copy_from_slice(chunk);
            let bytes = Aligned::from_f32(&signal);
            let mut feeds = [Feed { datatype: Datatype::Int64, shape: &[], bytes: rate.as_slice() }; 3];
            feeds[self.places.signal] =
                Feed { datatype: Datatype::Fp32, shape: &signal_shape, bytes: bytes.as_slice() };
            feeds[self.places.state] =
                Feed { datatype: Datatype::Fp32, shape: &self.sound.state_shape, bytes: state.as_slice() };
            feeds[self.places.rate] = Feed { datatype: Datatype::Int64, shape: &[], bytes: rate.as_slice() };
            let mut next = None;
            run(&feeds, &mut |answers| next = self.step(answers))?;
            let lost = || MediaError::Output("the model gave no probability or no state".into()).into_host_error();
            let (probability, after) =
                next.filter(|(_, after)| after.as_slice().len() == elements * 4).ok_or_else(lost)?;
            probabilities.push(probability);
            state = after;
        }
        Ok(probabilities)
    }

    fn step(&self, answers: &[Answer<'_>]) -> Option<(f32, Aligned)> {
        let probability = floats(&answers.get(self.places.probability)?.all()).next()?;
        Some((probability, Aligned::copy_of(&answers.get(self.places.next_state)?.all())))
    }

    fn write(&self, sound: &Sound, probabilities: &[f32]) -> Result<String, MediaError> {
        let rate = u64::from(self.sound.rate);
        let ms = |samples: u64| (samples * 1000 + rate / 2) / rate;
        let length = sound.samples.len() as u64;
        let segments = segments(probabilities, length, &self.sound, &self.rules);
        let rows = segments.iter().map(|segment| Row {
            start_ms: ms(segment.start),
            end_ms: ms(segment.end),
            start_sample: segment.start,
            end_sample: segment.end,
        });
        json(&Document {
            segments: rows.collect(),
            speech_ms: ms(segments.iter().map(|segment| segment.end - segment.start).sum()),
            duration_ms: ms(length),
            sample_rate: self.sound.rate,
        })
    }
}

/// Segments of speech in one probability per window.
fn segments(probabilities: &[f32], length: u64, sound: &SoundRecipe, rules: &SpeechRecipe) -> Vec<Segment> {
    let samples = |ms: u32| u64::from(sound.rate) * u64::from(ms) / 1000;
    let (min_speech, min_silence) = (samples(rules.min_speech_ms), samples(rules.min_silence_ms));
    let mut found = Vec::new();
    let mut start: Option<u64> = None;
    let mut silent_since: Option<u64> = None;
    for (at, probability) in (0u64..).map(|n| n * u64::from(sound.window)).zip(probabilities) {
        if *probability >= rules.threshold {
            silent_since = None;
            start = start.or(Some(at));
        } else if let (Some(began), true) = (start, *probability < rules.neg_threshold) {
            let end = *silent_since.get_or_insert(at);
            if at - end >= min_silence {
                if end - began > min_speech {
                    found.push(Segment { start: began, end });
                }
                (start, silent_since) = (None, None);
            }
        }
    }
    if let Some(began) = start.filter(|began| length.saturating_sub(*began) > min_speech) {
        found.push(Segment { start: began, end: length });
    }
    pad(&mut found, samples(rules.pad_ms), length);
    found
}

/// Widens the segments; two that would meet share the gap between them.
fn pad(segments: &mut [Segment], by: u64, length: u64) {
    if let Some(first) = segments.first_mut() {
        first.start = first.start.saturating_sub(by);
    }
    for at in 0..segments.len() {
        let gap = segments.get(at + 1).map(|next| next.start.saturating_sub(segments[at].end));
        match gap {
            Some(gap) if gap < 2 * by => {
                segments[at].end += gap / 2;
                segments[at + 1].start = segments[at + 1].start.saturating_sub(gap / 2);
            }
            Some(_) => {
                segments[at].end = length.min(segments[at].end + by);
                segments[at + 1].start = segments[at + 1].start.saturating_sub(by);
            }
            None => segments[at].end = length.min(segments[at].end + by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> SoundRecipe {
        let name = String::new;
        SoundRecipe {
            rate: 16_000,
            window: 512,
            context: 64,
            signal: name(),
            state: name(),
            state_shape: vec![2, 1, 128],
            rate_tensor: name(),
        }
    }

    fn rules() -> SpeechRecipe {
        let (probability, state) = (String::new(), String::new());
        let (threshold, neg_threshold, min_speech_ms, min_silence_ms, pad_ms) = (0.5, 0.35, 250, 100, 30);
        SpeechRecipe { probability, state, threshold, neg_threshold, min_speech_ms, min_silence_ms, pad_ms }
    }

    /// Windows of speech (`#`), silence (`.`) and doubt (`-`).
    fn found(windows: &str) -> Vec<(u64, u64)> {
        let probabilities: Vec<f32> = windows
            .chars()
            .map(|window| match window {
                '#' => 0.9,
                '-' => 0.4,
                _ => 0.1,
            })
            .collect();
        let length = probabilities.len() as u64 * 512;
        segments(&probabilities, length, &sound(), &rules()).iter().map(|row| (row.start, row.end)).collect()
    }

    #[test]
    fn segments_follow_the_published_rules() {
        // 250 ms are 7.8 windows, 100 ms are 3.1, 30 ms are 480 samples.
        let cases: [(&str, &[(u64, u64)]); 9] = [
            ("", &[]),
            ("......", &[]),
            ("..########.....", &[(2 * 512 - 480, 10 * 512 + 480)]),
            ("..#######......", &[]),
            // A short pause and doubt do not end a segment.
            ("..#####...#####......", &[(2 * 512 - 480, 15 * 512 + 480)]),
            ("..####-----####......", &[(2 * 512 - 480, 15 * 512 + 480)]),
            // Speech to the very end, and from the very beginning.
            ("##########", &[(0, 5120)]),
            ("..#########...", &[(2 * 512 - 480, 14 * 512)]),
            // A longer pause ends it.
            ("########.....########.....", &[(0, 8 * 512 + 480), (13 * 512 - 480, 21 * 512 + 480)]),
        ];
        for (windows, expected) in cases {
            assert_eq!(found(windows), expected, "{windows}");
        }
    }

    #[test]
    fn two_segments_that_would_meet_share_the_gap() {
        let mut near = vec![Segment { start: 1000, end: 2000 }, Segment { start: 2600, end: 4000 }];
        pad(&mut near, 480, 4100);
        assert_eq!(near, [Segment { start: 520, end: 2300 }, Segment { start: 2300, end: 4100 }]);
    }
}
