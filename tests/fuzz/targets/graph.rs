//! An ONNX file: whatever it says of itself is read or refused, and so is what kind of model it is taken for.
#![no_main]

use std::path::Path;

use edge_engine::bundle::Task;
use edge_engine::family::{Wish, recognise};
use edge_engine::graph::Graph;
use libfuzzer_sys::fuzz_target;

/// A node in the file takes two bytes at least, so that there are no more of anything than that.
const LEAST: usize = 2;

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes, Path::new("model.onnx")) else { return };
    let operators: u64 = graph.operators.values().map(|count| u64::from(*count)).sum();
    assert!(operators <= (bytes.len() / LEAST) as u64);
    assert!(!graph.outputs.is_empty() && graph.inputs.len() <= bytes.len() / LEAST);
    graph.inputs.iter().chain(&graph.outputs).for_each(|port| assert!(port.shape().iter().all(|size| *size != 0)));
    for task in [None, Some(Task::ObjectDetection), Some(Task::Classification), Some(Task::TextRecognition)] {
        if let Err(why) = recognise(&graph, &Wish { task, labels: None }) {
            assert!(!why.is_empty());
        }
    }
});
