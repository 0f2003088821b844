//! CUDA: what the runtime's own provider is told.

use super::{Told, Wish};
use crate::protocol::Precision;

pub fn told(wish: &Wish<'_>) -> Told {
    let options = wish.options;
    let tf32 = match wish.setup.precision {
        Precision::Exact => "0",
        Precision::Reduced => "1",
    };
    let mut entries = vec![
        ("device_id", options.device.unwrap_or(0).to_string()),
        // Doubling the arena, as is the default, takes up to twice what is needed; on a Jetson that is everybody's memory.
        // The arena stays the runtime's own, on cudaMalloc: the driver's pool (cudaMallocAsync) gives a third of an AGX
        // Orin's memory and then says that there is none.
        ("arena_extend_strategy", "kSameAsRequested".to_owned()),
        // The default tries every algorithm for every new shape, with all the memory that there is, while a request waits.
        ("cudnn_conv_algo_search", "HEURISTIC".to_owned()),
        ("use_tf32", tf32.to_owned()),
    ];
    if let Some(limit) = options.memory_limit_bytes {
        entries.push(("gpu_mem_limit", limit.to_string()));
    }
    Told::provider(entries)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, text};
    use super::*;

    #[test]
    fn device_memory_and_precision_are_told() {
        let cases = [
            (
                Sample::new("cuda"),
                "device_id=0 arena_extend_strategy=kSameAsRequested cudnn_conv_algo_search=HEURISTIC use_tf32=0",
            ),
            (
                Sample::with("cuda", |sample| {
                    sample.setup.precision = Precision::Reduced;
                    sample.options.device = Some(1);
                    sample.options.memory_limit_bytes = Some(2 << 30);
                }),
                "device_id=1 arena_extend_strategy=kSameAsRequested cudnn_conv_algo_search=HEURISTIC use_tf32=1 \
                 gpu_mem_limit=2147483648",
            ),
        ];
        for (sample, expected) in cases {
            let told = told(&sample.wish());
            assert_eq!(text(&told), expected);
            assert!(!format!("{told:?}").contains("mempool"), "the driver's pool is not safe on an AGX Orin");
        }
    }
}
