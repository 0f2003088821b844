//! The command line of the support bundle.

use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;

#[derive(Debug, Args)]
pub struct SupportArgs {
    /// The file to write [default: edged-support-NODE-TIME.tar.gz here]
    pub file: Option<PathBuf>,
    /// Write the file to standard output; what is in it is told on standard error
    #[arg(long, conflicts_with_all = ["file", "force"])]
    pub stdout: bool,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Replace names of boxes, hosts, topics and users, and addresses, by words that are the same everywhere in it
    #[arg(long)]
    pub hide_names: bool,
    /// Largest file, MiB: of what is longest the beginning is left out
    #[arg(long, value_name = "MIB", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub max_mib: u64,
    #[command(flatten)]
    pub config: ConfigArgs,
}
