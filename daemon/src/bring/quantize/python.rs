//! Runs the tool: a Python that has ONNX Runtime and ONNX, with a small program of this binary.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::super::goldens::write;
use super::super::{BringError, file};

/// The program: it calls the tool and does nothing else.
const PROGRAM: &str = include_str!("quantize.py");
/// The Python that is looked for on the path.
const PYTHON: &str = "python3";
/// What the program ends with when a package is missing.
const MISSING: i32 = 3;
/// How long the tool may take: some minutes for large models and many samples.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Lines of a fault that are told.
const LINES: usize = 4;

#[derive(Deserialize)]
struct Done {
    /// Values that are quantised.
    quantized: u32,
}

/// Quantises `model` by the tensors in `tensors`; how many values of its graph are quantised.
pub async fn run(python: Option<&Path>, model: &Path, tensors: &Path, out: &Path) -> Result<u32, BringError> {
    let python = python.unwrap_or(Path::new(PYTHON));
    let program = tensors.join("quantize.py");
    write(&program, PROGRAM.as_bytes())?;
    let mut command = Command::new(python);
    command.arg(&program).args([model, tensors, out]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(python, "it was not found"),
        _ => file("run", python)(error),
    })?;
    let late = |_| BringError::Usage(format!("{} has not ended within {} s", python.display(), PATIENCE.as_secs()));
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.map_err(late)?;
    let output = output.map_err(file("wait for", python))?;
    let said = last_lines(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => {}
        Some(MISSING) => return Err(missing(python, &said)),
        _ => {
            return Err(BringError::Tool {
                what: format!("{} could not quantise the model ({})", python.display(), output.status),
                said,
            });
        }
    }
    // Others may print before it.
    let text = String::from_utf8_lossy(&output.stdout);
    let done: Done = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    match done.quantized {
        0 => Err(BringError::Usage(
            "there is nothing to quantise: the graph has no Conv, MatMul or Gemm with weights".into(),
        )),
        count => Ok(count),
    }
}

fn missing(python: &Path, why: &str) -> BringError {
    let name = python.display();
    BringError::Usage(format!(
        "quantising takes a Python with ONNX Runtime and ONNX, and {name} is none: {why}; `{name} -m pip install onnxruntime onnx` \
         brings them, --python names another Python"
    ))
}

/// What went wrong stands last.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_fault_the_last_lines_are_told() {
        assert_eq!(last_lines("a\n\nb\n c \nd\ne\n"), "b; c; d; e");
        assert_eq!((last_lines(""), last_lines("a")), (String::new(), "a".to_owned()));
    }

    #[tokio::test]
    async fn where_there_is_no_python_it_is_said_how_to_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("nothing");
        let said = run(Some(&python), Path::new("a"), dir.path(), Path::new("b")).await.unwrap_err().to_string();
        assert!(said.contains("it was not found") && said.contains("-m pip install onnxruntime onnx"), "{said}");
    }
}
