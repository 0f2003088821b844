//! CUDA: what the runtime's own provider is told.

use super::{Told, Wish};
use crate::protocol::Precision;

pub fn told(wish: &Wish<'_>) -> Told {
    let options = wish.options;
    // Measured on an H200 with ONNX Runtime 1.31: for exact FP32 the heuristic names algorithms that take gigabytes and twenty
    // times as long (a line of text 640 wide: 76 ms and 25 GiB after twelve widths, against 2.7 ms and 0.8 GiB), so there the
    // algorithms are tried, at each new shape once. With TF32 it names good ones, and trying costs more than it brings.
    let (tf32, search) = match wish.setup.precision {
        Precision::Exact => ("0", "EXHAUSTIVE"),
        Precision::Reduced => ("1", "HEURISTIC"),
    };
    let mut entries = vec![
        ("device_id", options.device.unwrap_or(0).to_string()),
        // Doubling the arena, as is the default, takes up to twice what is needed; on a Jetson that is everybody's memory.
        // The arena stays the runtime's own, on cudaMalloc: the driver's pool (cudaMallocAsync) gives a third of an AGX
        // Orin's memory and then says that there is none.
        ("arena_extend_strategy", "kSameAsRequested".to_owned()),
        ("cudnn_conv_algo_search", search.to_owned()),
        // The default lets an algorithm have all the memory that there is.
        ("cudnn_conv_use_max_workspace", "0".to_owned()),
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
                "device_id=0 arena_extend_strategy=kSameAsRequested cudnn_conv_algo_search=EXHAUSTIVE \
                 cudnn_conv_use_max_workspace=0 use_tf32=0",
            ),
            (
                Sample::with("cuda", |sample| {
                    sample.setup.precision = Precision::Reduced;
                    sample.options.device = Some(1);
                    sample.options.memory_limit_bytes = Some(2 << 30);
                }),
                "device_id=1 arena_extend_strategy=kSameAsRequested cudnn_conv_algo_search=HEURISTIC \
                 cudnn_conv_use_max_workspace=0 use_tf32=1 gpu_mem_limit=2147483648",
            ),
        ];
        for (sample, expected) in cases {
            let told = told(&sample.wish());
            assert_eq!(text(&told), expected);
            assert!(!format!("{told:?}").contains("mempool"), "the driver's pool is not safe on an AGX Orin");
        }
    }
}
