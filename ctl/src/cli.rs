//! The command line: types only. What a verb does is in `cmd`, what it prints in `render`.

mod ask;
mod bring;
mod govern;
mod models;
mod routing;
mod runtime;
mod support;
mod versions;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::ask::{BenchArgs, DataClass, InferArgs, Over, Priority};
pub use self::bring::{CheckArgs, EvalArgs, GoldensArgs, KeygenArgs, NewArgs, PackArgs, QuantizeArgs, SignArgs};
pub use self::govern::{GovernorArgs, HoldArgs, TopArgs};
pub use self::models::{CacheCommand, ExportArgs, ImportArgs, ModelsCommand, PlanArgs, ShowArgs, TuneArgs};
pub use self::routing::{AuditArgs, ExplainArgs, LearnArgs, ReplayArgs, RouteCommand, UsageArgs};
pub use self::runtime::{BackArgs, RuntimeCommand, TakenArgs, WheelArgs};
pub use self::support::SupportArgs;
pub use self::versions::{ActivateArgs, HistoryArgs, HowArgs, InstallArgs, PullArgs, RemoveArgs, RollbackArgs};
use crate::duration;

/// Ask and steer edged, the inference daemon of this box
#[derive(Debug, Parser)]
#[command(
    name = "edgectl",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:\n  edgectl status\n  edgectl infer text-line label.png --deadline 500ms\n  \
                  edgectl --host root@press-7 doctor"
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Print the answer as JSON: keys are stable, new ones may be added
    #[arg(long, global = true)]
    pub json: bool,
    /// Bus on which to find the daemon [default: the environment's EDGED_BUS, else system]
    #[arg(long, global = true, value_name = "BUS")]
    pub bus: Option<Bus>,
    /// Run the same command on this box over ssh; files are files there, `-` is sent along
    #[arg(long, global = true, value_name = "USER@BOX")]
    pub host: Option<String>,
    /// Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route
    /// replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]
    #[arg(long, global = true, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
}

/// A bus on which the daemon may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bus {
    /// The bus of the whole box: where the service runs
    System,
    /// The bus of the user's session: for development
    Session,
}

impl Bus {
    /// The word on the command line and in `EDGED_BUS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Bus::System => "system",
            Bus::Session => "session",
        }
    }
}

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the daemon does now: state, engine, broker, models, problems
    #[command(after_help = "Examples:\n  edgectl status\n  edgectl status --check && echo all is well")]
    Status(StatusArgs),
    /// Watch the box live: regime, temperatures, clocks, power, load, requests, models
    ///
    /// One screen, drawn anew as often as --interval says. It goes on while the daemon is started anew, and says so. Where the
    /// output is no terminal, and with --once, the same is printed once as plain text; rates are those of one interval, which it
    /// waits for. Colours are left out where NO_COLOR is set.
    #[command(after_help = "Examples:\n  edgectl top\n  edgectl --host root@press-7 top --interval 5s\n  \
                            edgectl top --once --width 120\n  edgectl top --json | jq .rates.done_per_s")]
    Top(TopArgs),
    /// Show the models of this box
    #[command(subcommand, after_help = "Examples:\n  edgectl models list\n  edgectl models show text-line")]
    Models(ModelsCommand),
    /// Show the long work of the daemon: what runs, and what ended lately
    #[command(after_help = "Examples:\n  edgectl jobs\n  edgectl jobs watch 7 && edgectl models show text-line\n  \
                            edgectl jobs cancel 7")]
    Jobs(JobsArgs),
    /// Run a model on a file: an image, a WAV file, any bytes
    #[command(after_help = "Examples:\n  edgectl infer text-line label.png\n  \
                            edgectl infer speech call.wav --deadline 2s --json\n  \
                            edgectl infer label-reader photo.jpg --annotate read.png\n  \
                            edgectl --host box infer file-type - < unknown.bin")]
    Infer(InferArgs),
    /// Measure how fast this box answers: throughput and delay by number of clients and by batch
    ///
    /// It loads the box: for as long as it runs, other requests compete with its own, which wait behind them (priority low)
    /// unless --priority says otherwise. The clients run on the box too, and take their share of it.
    ///
    /// Each step is one number of clients with one batch, warmed up first. A client asks again as soon as it has its answer,
    /// over a private connection of its own; after a refusal it waits as long as the refusal says.
    #[command(after_help = "Examples:\n  edgectl bench text-line\n  \
                            edgectl bench text-line --file label.png --clients 1,2,4 --deadline 500ms\n  \
                            edgectl bench text-direction --tensors --clients 1,4 --batch 1,2,4,8\n  \
                            edgectl bench text-line --shape x=1,3,48,320 --seconds 10 --json")]
    Bench(BenchArgs),
    /// Check everything that inference needs, and say what is wrong and what to do
    #[command(
        after_help = "Examples:\n  edgectl doctor\n  edgectl doctor --json | jq '.checks[] | select(.level == \"fail\")'"
    )]
    Doctor(ConfigArgs),
    /// Show what the governor does and what it has learnt of the heat of this box
    ///
    /// In which regime the box is and why, what may run and what could run for ever, where each temperature will be in a minute
    /// and in the end, how long until its trip, and the last hour as a chart.
    #[command(after_help = "Examples:\n  edgectl governor\n  edgectl governor show --ascii\n  \
                            edgectl governor --json | jq '.now.zones[] | {name, temp_c, trip_in_s}'")]
    Governor(GovernorArgs),
    /// Show the other places that requests may go to: state, times, errors, what is spent, what was sent there
    #[command(
        after_help = "Examples:\n  edgectl sites\n  edgectl sites --json | jq '.sites[] | {name, state, reason}'"
    )]
    Sites,
    /// Show what each binding did: frames that came, were answered, failed, were skipped or dropped, and how the last one went
    #[command(
        after_help = "Examples:\n  edgectl bindings\n  edgectl bindings --json | jq '.[] | {name, received, done, failed}'"
    )]
    Bindings,
    /// Explain where requests go, try another policy, and learn which texts may stay
    #[command(
        subcommand,
        after_help = "Examples:\n  edgectl route explain label.png --model text-line --deadline 50ms\n  \
                                        edgectl route explain night.toml\n  \
                                        edgectl route replay --policy new.toml --since 7d\n  \
                                        edgectl route learn outcomes.csv --out quality.model"
    )]
    Route(RouteCommand),
    /// List what left the device: when, to whom, under which data class, and what came of it
    ///
    /// One line for each request, the newest first; one that was sent to two sites has two. Its content is kept nowhere: --json has
    /// the SHA-256 of what was sent, which tells whether a payload that you have is the one.
    #[command(
        after_help = "Examples:\n  edgectl audit --since 2h\n  edgectl audit --since 2026-11-28 --class public --limit 1000\n  \
                            edgectl audit --site cloud-a --json | jq '.[] | {at, request_id, digest}'"
    )]
    Audit(AuditArgs),
    /// Show what was served: requests, tokens, times, cost and energy by model, site and verdict
    #[command(after_help = "Examples:\n  edgectl usage --since 1d\n  edgectl usage --since 7d --by day\n  \
                            edgectl usage --since 2026-11-01 --until 2026-12-01 --json | jq 'map(.cost_usd) | add'")]
    Usage(UsageArgs),
    /// Reserve the device for something else: nothing is run on it until this command ends
    ///
    /// Requests wait or are refused meanwhile, as they are when there is no room. Without a command it holds until Ctrl-C. With a
    /// command behind `--` it waits until nothing runs any more, runs the command, lets go when that ends, and exits with its code.
    /// If the daemon is started anew meanwhile, it is held again as soon as it is back.
    #[command(after_help = "Examples:\n  edgectl hold --why \"measuring the power supply\"\n  \
                            edgectl hold --why \"firmware update\" -- ./flash.sh --all")]
    Hold(HoldArgs),
    /// Take no new requests; finish those that were accepted
    #[command(after_help = "Examples:\n  edgectl drain\n  edgectl drain --wait --timeout 2m && systemctl stop edged")]
    Drain(DrainArgs),
    /// Take requests again after a drain
    #[command(after_help = "Example:\n  edgectl resume")]
    Resume,
    /// Read the configuration again, without a restart
    #[command(after_help = "Example:\n  edgectl config check && edgectl reload")]
    Reload,
    /// Show what happened to one request, and when
    #[command(
        after_help = "Examples:\n  edgectl infer text-line label.png --request-id mine-1\n  edgectl trace mine-1"
    )]
    Trace(TraceArgs),
    /// Install ONNX Runtimes that come as wheels, such as those for the graphics processor of a Jetson, and go back
    #[command(
        subcommand,
        after_help = "Examples:\n  edgectl runtime list\n  sudo edgectl runtime install onnxruntime_gpu-1.24.0-cp310-cp310-linux_aarch64.whl\n  \
                      sudo edgectl runtime rollback"
    )]
    Runtime(RuntimeCommand),
    /// Write all that this box tells of edged into one file to be mailed, without secrets
    ///
    /// State, checks, configuration, log of one day, versions and the machine; requests, answers and pictures are not in it, and
    /// passwords, tokens and keys are taken out. It works while edged does not run. Nothing is sent anywhere. As root it has the log
    /// and the lists of files as well; what could not be had is named in it, with the reason.
    #[command(
        name = "support-bundle",
        after_help = "Examples:\n  sudo edgectl support-bundle\n  sudo edgectl support-bundle --hide-names case-17.tar.gz\n  \
                      edgectl --host root@press-7 support-bundle --stdout > press-7.tar.gz"
    )]
    SupportBundle(SupportArgs),
    /// Work with the configuration
    #[command(subcommand, after_help = "Example:\n  edgectl config check")]
    Config(ConfigCommand),
    /// Print the completions for a shell
    #[command(after_help = "Example:\n  edgectl completions bash > ~/.local/share/bash-completion/completions/edgectl")]
    Completions(CompletionsArgs),
    /// Write man pages and completions into a source tree
    #[command(hide = true, after_help = "Example:\n  edgectl gen .")]
    Gen(GenArgs),
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Exit with 6 unless the daemon serves and nothing is wrong
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Args)]
pub struct JobsArgs {
    #[command(subcommand)]
    pub command: Option<JobsCommand>,
}

#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Give a job up: a model that was being compiled is served another way, if there is one
    #[command(after_help = "Example:\n  edgectl jobs cancel 7")]
    Cancel(JobArgs),
    /// Wait until a job ends, and show on a terminal how far it is; exit with 1 unless it is done
    #[command(after_help = "Example:\n  edgectl jobs watch 7 --json | jq -r .state")]
    Watch(JobArgs),
}

#[derive(Debug, Args)]
pub struct JobArgs {
    /// Number of the job, as `edgectl jobs` shows it
    pub id: u64,
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Return only when nothing is left to finish; exit with 1 if that takes longer than --timeout
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The id that the caller gave, or that came in the reply's info
    pub request_id: String,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Let edged check a configuration, and list the files that were read or all that is wrong
    #[command(after_help = "Examples:\n  edgectl config check\n  edgectl config check --config ./edged.toml")]
    Check(ConfigArgs),
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file to check [default: that of the daemon that runs, else what it would read]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to complete in
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct GenArgs {
    /// Root of the source tree
    pub dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains("edgectl"), "{} has no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
