//! The graphs of the test bundles and of real models, and files that are none.

use super::*;

fn test_model(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../onnx-models/test")).join(name).join("model.onnx")
}

#[test]
fn a_graph_tells_what_it_takes_gives_and_is_made_of() {
    let add = Graph::read(&test_model("add")).unwrap();
    let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&add.inputs), names(&add.outputs)), (vec!["a".into(), "b".into()], vec!["c".to_owned()]));
    assert_eq!(add.inputs[0].sizes, [Size::Open("n".into()), Size::Fixed(4)]);
    assert_eq!((add.inputs[0].shape(), add.inputs[0].datatype), (vec![-1, 4], Some(Datatype::Fp32)));
    assert_eq!((add.opset(), add.producer.as_str(), add.ir_version), (17, "edged", 8));
    assert!(add.uses("Add") && !add.uses("Sub") && add.external.is_empty());
    assert_eq!(add.bytes, std::fs::metadata(test_model("add")).unwrap().len());

    let things = Graph::read(&test_model("things")).unwrap();
    assert_eq!(names(&things.inputs), ["images"], "constants are no inputs");
    assert_eq!(things.outputs[0].shape(), [1, 6, 64]);
    assert_eq!(things.operators.get(&(String::new(), "AveragePool".into())), Some(&1));

    // What a loop does counts as well.
    assert!(Graph::read(&test_model("spin")).unwrap().uses("MatMul"));

    let types = Graph::read(&test_model("echo-types")).unwrap();
    let found: BTreeSet<&str> = types.inputs.iter().filter_map(|port| Some(port.datatype?.as_str())).collect();
    assert_eq!(found.len(), 13);
}

#[test]
fn what_is_no_graph_is_refused() {
    let said = |bytes: &[u8]| crate::fault::chain(&Graph::parse(bytes, Path::new("best.onnx")).unwrap_err());
    assert!(said(b"").contains("best.onnx is no ONNX file: it has no graph"));
    assert!(said(b"\x89PNG\r\n\x1a\n").contains("best.onnx is no ONNX file"));
    assert!(said(&std::fs::read(test_model("corrupt")).unwrap()).contains("best.onnx is no ONNX file"));
    let whole = std::fs::read(test_model("add")).unwrap();
    for end in 0..whole.len() {
        // Cut anywhere, it is an error or a smaller graph, never a crash.
        let _ = Graph::parse(&whole[..end], Path::new("best.onnx"));
    }
    assert!(crate::fault::chain(&Graph::read(Path::new("/nowhere/best.onnx")).unwrap_err()).contains("/nowhere"));
}
