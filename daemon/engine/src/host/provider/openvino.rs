//! OpenVINO on the processor: what its plugin is told, which is one JSON text with OpenVINO's own properties.

use serde_json::{Map, Value};

use super::{Told, Wish};
use crate::protocol::Precision;

/// The plugin's option that takes the JSON. Its others for threads and cache are passed over with a warning.
const CONFIG: &str = "load_config";

pub fn told(wish: &Wish<'_>) -> Result<Told, &'static str> {
    let mut properties = vec![
        ("INFERENCE_NUM_THREADS", wish.setup.threads.max(1).to_string()),
        // One request at a time: a lane has one session, and more streams would be more threads.
        ("NUM_STREAMS", "1".to_owned()),
        ("PERFORMANCE_HINT", "LATENCY".to_owned()),
        // Sessions of several models share the cores; a thread that is bound to one waits there for its neighbour.
        ("ENABLE_CPU_PINNING", "NO".to_owned()),
    ];
    if wish.setup.precision == Precision::Exact {
        // Otherwise BF16 where the processor has it, and activations in INT8 beside weights in INT8.
        properties.push(("INFERENCE_PRECISION_HINT", "f32".to_owned()));
        properties.push(("DYNAMIC_QUANTIZATION_GROUP_SIZE", "0".to_owned()));
    }
    if let Some(dir) = wish.cache_dir {
        let dir = dir.to_str().ok_or("the cache directory's name is not UTF-8")?;
        properties.push(("CACHE_DIR", dir.to_owned()));
    }
    let properties: Map<String, Value> =
        properties.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))).collect();
    let config = Value::Object(Map::from_iter([("CPU".to_owned(), Value::Object(properties))]));
    Ok(Told::provider([(CONFIG, config.to_string())]))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, text};
    use super::*;

    #[test]
    fn threads_precision_and_cache_are_told_as_properties() {
        let common = "load_config={\"CPU\":{";
        let cases = [
            (
                Sample::new("openvino"),
                "\"DYNAMIC_QUANTIZATION_GROUP_SIZE\":\"0\",\"ENABLE_CPU_PINNING\":\"NO\",\
                 \"INFERENCE_NUM_THREADS\":\"2\",\"INFERENCE_PRECISION_HINT\":\"f32\",\"NUM_STREAMS\":\"1\",\
                 \"PERFORMANCE_HINT\":\"LATENCY\"}}",
            ),
            (
                Sample::with("openvino", |sample| {
                    sample.setup.precision = Precision::Reduced;
                    sample.setup.threads = 1;
                    sample.cache_dir = Some("/var/cache/edged/openvino".into());
                }),
                "\"CACHE_DIR\":\"/var/cache/edged/openvino\",\"ENABLE_CPU_PINNING\":\"NO\",\
                 \"INFERENCE_NUM_THREADS\":\"1\",\"NUM_STREAMS\":\"1\",\"PERFORMANCE_HINT\":\"LATENCY\"}}",
            ),
        ];
        for (sample, expected) in cases {
            assert_eq!(text(&told(&sample.wish()).unwrap()), format!("{common}{expected}"));
        }
    }
}
