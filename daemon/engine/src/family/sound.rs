//! Models that tell where somebody speaks: windows of sound, with a state that goes from one to the next.

use super::{Family, Seen, assumed, fixed, found, text};
use crate::bundle::Task;
use crate::graph::{Graph, Port};
use crate::protocol::Datatype;

/// A signal, a state and the rate to a probability and the next state.
pub fn speech(seen: &Seen<'_>) -> Result<Family, String> {
    let Some((signal, state, rate)) = inputs(seen.graph) else {
        return Err("its inputs are not a signal, a state and a rate".into());
    };
    let [probability, next] = seen.graph.outputs.as_slice() else {
        return Err("its outputs are not a probability and the next state".into());
    };
    let of = "as Silero's detector of speech has it, at 16 kHz";
    let shape: Vec<i64> =
        state.sizes.iter().map(|size| fixed(size).and_then(|size| i64::try_from(size).ok()).unwrap_or(1)).collect();
    Ok(Family {
        task: Task::SpeechSegments,
        input: vec![
            found("kind", text("sound"), "a signal with a state"),
            assumed("rate", "16000".into(), of),
            assumed("window", "512".into(), of),
            assumed("context", "64".into(), of),
            found("signal", text(&signal.name), "the input of two dimensions"),
            found("state", text(&state.name), "the input of three dimensions"),
            found("state_shape", format!("{shape:?}"), "of the graph's input"),
            found("rate_tensor", text(&rate.name), "the input of whole numbers"),
        ],
        output: vec![
            found("kind", text("speech"), "a probability and the next state"),
            found("probability", text(&probability.name), "the first output"),
            found("state", text(&next.name), "the second output"),
            assumed("threshold", "0.5".into(), of),
            assumed("neg_threshold", "0.35".into(), of),
            assumed("min_speech_ms", "250".into(), of),
            assumed("min_silence_ms", "100".into(), of),
            assumed("pad_ms", "30".into(), of),
        ],
        ..Family::named("a model that tells where somebody speaks".into())
    })
}

fn inputs(graph: &Graph) -> Option<(&Port, &Port, &Port)> {
    let of = |datatype: Datatype, dimensions: &[usize]| {
        let fits = |port: &&Port| port.datatype == Some(datatype) && dimensions.contains(&port.sizes.len());
        graph.inputs.iter().find(fits)
    };
    let three = graph.inputs.len() == 3;
    three.then_some(())?;
    Some((of(Datatype::Fp32, &[2])?, of(Datatype::Fp32, &[3])?, of(Datatype::Int64, &[0, 1])?))
}
