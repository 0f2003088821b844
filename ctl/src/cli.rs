//! The command line: types only. What a verb does is in `cmd`, what it prints in `render`.

mod bring;
mod govern;
mod routing;
mod versions;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::bring::{CheckArgs, EvalArgs, GoldensArgs, KeygenArgs, NewArgs, PackArgs, QuantizeArgs, SignArgs};
pub use self::govern::{GovernorArgs, HoldArgs, TopArgs};
pub use self::routing::{AuditArgs, ExplainArgs, ReplayArgs, RouteCommand, UsageArgs};
pub use self::versions::{ActivateArgs, HistoryArgs, HowArgs, InstallArgs, PullArgs, RemoveArgs, RollbackArgs};
use crate::bench::shape;
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
    /// Explain where requests go, and try another policy on those that were
    #[command(
        subcommand,
        after_help = "Examples:\n  edgectl route explain label.png --model text-line --deadline 50ms\n  \
                                        edgectl route explain night.toml\n  \
                                        edgectl route replay --policy new.toml --since 7d"
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

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List every model that was found
    #[command(after_help = "Example:\n  edgectl models list --json | jq -r '.[].name'")]
    List,
    /// Show one model: inputs, outputs, providers, why it is not served
    #[command(after_help = "Examples:\n  edgectl models show text-line\n  edgectl models show text-line:1.0.0")]
    Show(ShowArgs),
    /// Show what was measured of a model on this box, and which way to run it was chosen; without a name, of all
    #[command(after_help = "Examples:\n  edgectl models plan\n  edgectl models plan text-line\n  \
                            edgectl models plan text-line --json | jq '.choices'")]
    Plan(PlanArgs),
    /// Measure a model on this box, and serve it by the fastest way that answers right
    ///
    /// Every way to run it is tried: execution provider, precision, threads, sessions, batch. Each must give the bundle's
    /// golden answers, and for tensor requests what the reference provider gives. It begins when nobody has asked for
    /// anything for ten seconds, and waits again when somebody does.
    #[command(after_help = "Examples:\n  edgectl models tune text-line\n  \
                            edgectl models tune text-line --no-wait && edgectl jobs")]
    Tune(TuneArgs),
    /// Load a model that was unloaded, or try at once one that failed; wait until it serves, and show it
    ///
    /// Ends with 1 if it does not serve; the page says why.
    #[command(after_help = "Example:\n  edgectl models load text-line")]
    Load(ShowArgs),
    /// Unload a model, and keep it so until it is loaded by `edgectl models load` or edged starts anew
    ///
    /// Requests that wait for it, and new ones, are answered `unavailable`.
    #[command(after_help = "Example:\n  edgectl models unload text-boxes")]
    Unload(ShowArgs),
    /// Make a bundle of an ONNX file: recognise it, write its manifest, try it on samples
    ///
    /// The graph is read, and the kind of model told from its inputs, outputs and metadata. What the graph does not say is
    /// assumed, listed, and marked in model.toml: look at the drawn pictures, correct what is wrong there, and let
    /// `edgectl models goldens` answer the samples anew. It runs on the processor here; the daemon is not asked.
    #[command(after_help = "Examples:\n  edgectl models new best.onnx --samples pictures --annotate drawn\n  \
                            edgectl models new best.onnx --labels labels.txt --name screws --model-version 2.0.0")]
    New(NewArgs),
    /// Name everything for which a box would refuse a bundle, and run its golden inputs here
    #[command(after_help = "Examples:\n  edgectl models check screws\n  edgectl models check screws-1.0.0.edgemodel")]
    Check(CheckArgs),
    /// Answer a bundle's golden inputs anew and seal it, after its manifest or a file was changed by hand
    ///
    /// Its signature holds no more, and is removed.
    #[command(after_help = "Examples:\n  edgectl models goldens screws\n  \
                            edgectl models goldens screws --samples pictures --annotate drawn")]
    Goldens(GoldensArgs),
    /// Measure what the variants of a bundle are worth: quality and speed of each, on data of your own
    ///
    /// Quality is the measure of the task: accuracy by folders (DIR/LABEL/picture.jpg), mean average precision of COCO
    /// (labels/NAME.txt as YOLO writes them, or COCO's JSON), mean intersection over union (masks/NAME.png, or outlines in
    /// labels/NAME.txt), exact texts (labels.csv: file,text), area under the curve (folder good, and others). Without labels the
    /// answers are held against those of the first variant. It runs on the processor here; the daemon is not asked.
    #[command(after_help = "Examples:\n  edgectl models eval screws --data pictures\n  \
                            edgectl models eval screws --data pictures --variants int8 --plot screws.svg")]
    Eval(EvalArgs),
    /// Add an INT8 variant to a bundle, made of samples, and state in its manifest what it loses
    ///
    /// ONNX Runtime's own tool makes it, in Python (`pip install onnxruntime onnx`), of the tensors that the bundle's recipe
    /// makes of the samples. Every fifth sample is kept back to measure on. Its golden answers must hold, or the
    /// bundle stays as it is. Its signature holds no more, and is removed.
    #[command(after_help = "Examples:\n  edgectl models quantize screws --data pictures\n  \
                            edgectl models quantize screws --data pictures --out screws-int8 --tolerance 0.1")]
    Quantize(QuantizeArgs),
    /// Sign a bundle, or a list of what boxes are to have, in the form of minisign
    #[command(after_help = "Examples:\n  edgectl models sign screws --key site.key\n  \
                            edgectl models sign models.toml --key site.key")]
    Sign(SignArgs),
    /// Make a pair of keys to sign with, in the form of minisign
    #[command(
        after_help = "Example:\n  edgectl models keygen site && sudo install -Dm644 site.pub -t /etc/edged/keys.d"
    )]
    Keygen(KeygenArgs),
    /// Make one file of a bundle
    #[command(after_help = "Example:\n  edgectl models pack screws")]
    Pack(PackArgs),
    /// Put a bundle onto this box, and make it the active version of its model
    ///
    /// It is checked first: who signed it, its digests, its size against the quota and the disk. Then it is loaded beside the
    /// version that serves, has to give its golden answers here, and takes over between two requests. For a while it is on
    /// probation: if it fails, is slow or stops giving its golden answers, the version before it is taken back by itself.
    #[command(after_help = "Examples:\n  edgectl models install screws\n  \
                            edgectl models install screws-2.0.0.edgemodel --no-activate")]
    Install(InstallArgs),
    /// Fetch a bundle from a web server or a registry, and install it
    ///
    /// The box fetches it itself, by its section [pull] of the configuration: windows of the day, bandwidth, proxy, mirrors,
    /// credentials. Over broken links and restarts it goes on where it was. Who signed it is looked at as soon as its begin has
    /// come; then it is installed and activated like by `install`. Leaving this command does not end it: `edgectl jobs cancel`
    /// does.
    #[command(after_help = "Examples:\n  edgectl models pull https://models.example.com/screws-2.0.0.edgemodel\n  \
                            edgectl models pull oci://registry.plant:5000/vision/screws:2.0.0 --no-activate")]
    Pull(PullArgs),
    /// Make another version of a model the active one
    #[command(after_help = "Example:\n  edgectl models activate screws:2.0.0")]
    Activate(ActivateArgs),
    /// Take the version back that was active before the one that is
    #[command(after_help = "Example:\n  edgectl models rollback screws")]
    Rollback(RollbackArgs),
    /// Remove a version of a model from this box; the active one is refused
    #[command(
        after_help = "Examples:\n  edgectl models remove screws:1.0.0\n  edgectl models remove screws:1.1.0 --force"
    )]
    Remove(RemoveArgs),
    /// Show what this box is to have by lists for many boxes, and what it does about it
    ///
    /// The lists are the files of `fleet.dir` (/etc/edged/models.d/*.toml) and the signed one at `fleet.url`. They name the version of
    /// each model; the box fetches, installs and activates it when its wave has come.
    #[command(after_help = "Examples:\n  edgectl models fleet\n  edgectl models fleet --json")]
    Fleet,
    /// Have the lists of what this box is to have read anew, and begin what they say
    #[command(after_help = "Example:\n  edgectl models sync")]
    Sync,
    /// Show who installed, activated, took back and removed models here, and when
    #[command(after_help = "Examples:\n  edgectl models history\n  edgectl models history screws --json")]
    History(HistoryArgs),
    /// List what execution providers compiled and is kept, clear it, or take it along to boxes like this one
    #[command(after_help = "Examples:\n  edgectl models cache\n  edgectl models cache clear text-line\n  \
                            edgectl models cache export --out press-line.edgecache\n  \
                            edgectl models cache import press-line.edgecache")]
    Cache(CacheArgs),
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Name, or name:version
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Name, or name:version
    pub name: String,
    /// Return at once; `edgectl jobs` shows how far it is
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub command: Option<CacheCommand>,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Remove what is kept and not in use, so that it is compiled again when it is needed
    #[command(after_help = "Examples:\n  edgectl models cache clear\n  edgectl models cache clear text-line")]
    Clear(ClearArgs),
    /// Write measured plans and compiled engines into a file, for boxes of the same kind
    ///
    /// Sign the file with `edgectl models sign FILE --key KEY`: a box takes it only under a key that it trusts, like a bundle.
    #[command(after_help = "Examples:\n  edgectl models cache export --out press-line.edgecache\n  \
                            edgectl models cache export text-line speech:1.0.0 --out two.edgecache")]
    Export(ExportArgs),
    /// Take over what another box of the same kind exported, so that nothing is measured and compiled again
    ///
    /// What is of another processor, graphics driver, board software, runtime or provider is refused, and what differs is named;
    /// the rest is taken. Plans serve at once, engines at the next load. A version of a model that is not installed yet finds
    /// its plan and engines when it is.
    #[command(after_help = "Example:\n  edgectl models cache import press-line.edgecache")]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only what is kept of these models, name or name:version [default: all]
    pub models: Vec<String>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file that `edgectl models cache export` wrote
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ClearArgs {
    /// Only what was compiled for this model [default: all]
    pub model: Option<String>,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Name, or name:version
    pub name: String,
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
pub struct InferArgs {
    /// Model, or model:version
    pub model: String,
    /// File to send; `-` reads standard input
    pub file: PathBuf,
    /// What the file is [default: told from its first bytes and its name]
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// After this time the reply has no value and work on it stops
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub deadline: Option<Duration>,
    /// How far the data may go [default: the operator's policy]
    #[arg(long, value_name = "CLASS")]
    pub data_class: Option<DataClass>,
    /// Place among waiting requests [default: normal]
    #[arg(long, value_name = "PRIORITY")]
    pub priority: Option<Priority>,
    /// Your own id, by which `edgectl trace` finds the request [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Draw the boxes of the answer, with what was read there, on the picture and write that to this PNG file
    #[arg(long, value_name = "OUT.png", value_parser = png)]
    pub annotate: Option<PathBuf>,
    /// Also print who served, why, and how long it took
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model, or model:version
    pub model: String,
    /// File to send; `-` reads standard input [default: the first golden input of the bundle that the model takes]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tensors", "shape", "batch"])]
    pub file: Option<PathBuf>,
    /// What the file is [default: told from its first bytes and its name]
    #[arg(long, value_name = "TYPE", requires = "file")]
    pub content_type: Option<String>,
    /// Send a picture, a sound or a file, which the box decodes [default where the model takes one]
    #[arg(long, conflicts_with_all = ["tensors", "shape", "batch"])]
    pub encoded: bool,
    /// Send tensors of the model's shapes, filled with a fixed pseudo-random pattern (seed 1)
    #[arg(long)]
    pub tensors: bool,
    /// Shape of one input whose sizes the model leaves open; implies --tensors [default: the smallest sensible]
    #[arg(long, value_name = "NAME=SIZES", value_parser = shape::parse)]
    pub shape: Vec<shape::Asked>,
    /// Numbers of clients, each from 1 to 64
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2,4,8",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clients: Vec<u16>,
    /// Rows of each request, from 1 to 1024, for models with a batch dimension; implies --tensors
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch: Vec<u16>,
    /// How long each step is measured, from 1 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub seconds: u16,
    /// After this time a reply has no value and work on it stops
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub deadline: Option<Duration>,
    /// How far the data may go [default: the operator's policy]
    #[arg(long, value_name = "CLASS")]
    pub data_class: Option<DataClass>,
    /// Place among waiting requests
    #[arg(long, value_name = "PRIORITY", default_value = "low")]
    pub priority: Priority,
    /// How the clients reach the daemon [default: private, or bus where the daemon does not offer that]
    #[arg(long, value_name = "WAY")]
    pub over: Option<Over>,
}

/// How a client reaches the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// A private connection, without the bus in between
    Private,
    /// The bus
    Bus,
}

impl Over {
    /// The word on the command line and in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Over::Private => "private",
            Over::Bus => "bus",
        }
    }
}

/// The name of a PNG file: under another ending it would be taken for something that it is not.
fn png(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ending.eq_ignore_ascii_case("png") { Ok(path) } else { Err("takes a file name that ends with .png".into()) }
}

/// How far data may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DataClass {
    /// Stays on the device
    Regulated,
    /// May reach the premises
    Internal,
    /// May reach the cloud
    Public,
}

impl DataClass {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            DataClass::Regulated => "regulated",
            DataClass::Internal => "internal",
            DataClass::Public => "public",
        }
    }
}

/// Place among waiting requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Priority {
    /// Before all others
    High,
    /// The ordinary case
    Normal,
    /// After all others
    Low,
}

impl Priority {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }
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
