//! The command line of ONNX Runtimes that come as wheels.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConfigArgs;

#[derive(Debug, Subcommand)]
pub enum RuntimeCommand {
    /// List the runtimes that were installed, which one is current, and which providers of it work here
    #[command(after_help = "Examples:\n  edgectl runtime list\n  edgectl runtime list --json | jq '.installed[].id'")]
    List(ConfigArgs),
    /// Check a wheel of ONNX Runtime, install the libraries in it and let the daemon use them
    ///
    /// Nothing is changed before all of this holds: it is a wheel of ONNX Runtime, for this kind of processor, built for a system
    /// that is not newer than this one, in a version that edged can talk to; and a provider in it besides the CPU's, if there is
    /// one, registers here.
    ///
    /// Then the daemon takes it over without a restart. The models are loaded again and have to give their golden answers; if one
    /// that was served is not any more, the runtime before is taken back. The current runtime and the one before are kept, older
    /// ones are removed.
    #[command(
        after_help = "Examples:\n  sudo edgectl runtime install onnxruntime_gpu-1.24.0-cp310-cp310-linux_aarch64.whl\n  \
                            sudo edgectl runtime install --no-switch onnxruntime_gpu-1.24.0-cp310-cp310-linux_aarch64.whl"
    )]
    Install(WheelArgs),
    /// Go back to the runtime before: another one that was installed, or the package's
    ///
    /// The one that was current can be gone back to in the same way.
    #[command(after_help = "Examples:\n  sudo edgectl runtime rollback\n  sudo edgectl runtime rollback --package")]
    Rollback(BackArgs),
    /// Remove a runtime that is not the current one
    #[command(after_help = "Example:\n  sudo edgectl runtime remove 1.24.0-0123abcd")]
    Remove(TakenArgs),
}

#[derive(Debug, Args)]
pub struct WheelArgs {
    /// The wheel: onnxruntime_gpu-VERSION-...-ARCHITECTURE.whl
    pub wheel: PathBuf,
    /// Only check whether it would work here: nothing is installed or changed
    #[arg(long)]
    pub no_switch: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct BackArgs {
    /// To the package's, whichever was before
    #[arg(long)]
    pub package: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct TakenArgs {
    /// Which one, as `edgectl runtime list` names it
    pub id: String,
    #[command(flatten)]
    pub config: ConfigArgs,
}
