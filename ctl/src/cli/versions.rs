//! The command line of the versions of a model on a box.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// A bundle's directory, or a .edgemodel
    pub path: PathBuf,
    /// Only put it there: requests that name its version may use it, all others go on as before
    #[arg(long)]
    pub no_activate: bool,
    #[command(flatten)]
    pub how: HowArgs,
    /// Return at once; `edgectl jobs` shows how far it is
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// https://HOST/PATH/NAME-VERSION.edgemodel, or oci://REGISTRY/REPOSITORY:TAG
    pub url: String,
    /// Only put it there: requests that name its version may use it, all others go on as before
    #[arg(long)]
    pub no_activate: bool,
    #[command(flatten)]
    pub how: HowArgs,
    /// Return at once; `edgectl jobs` shows how far it is
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct ActivateArgs {
    /// name:version
    pub name: String,
    #[command(flatten)]
    pub how: HowArgs,
    /// Return at once; `edgectl jobs` shows how far it is
    #[arg(long)]
    pub no_wait: bool,
}

/// How a version takes over.
#[derive(Debug, Args)]
pub struct HowArgs {
    /// Where there is no room for both: let the version that serves go first. Requests wait until the new one is loaded
    #[arg(long)]
    pub pause: bool,
    /// Also a version that was taken back on this box before
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Name of the model
    pub name: String,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// name:version
    pub name: String,
    /// Also the active version, if there is no other one: nothing answers for the model then
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only of this model [default: all]
    pub name: Option<String>,
}
