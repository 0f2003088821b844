//! The baseline of every measured ratio: ONNX Runtime in one process, one thread a session, no spinning.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(library) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: edge-baseline LIBRARY");
        return ExitCode::from(2);
    };
    match edge_tests::measure::baseline::serve(&library) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("edge-baseline: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
