//! The command line of the models of a box, and of bundles.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    ActivateArgs, CheckArgs, EvalArgs, GoldensArgs, HistoryArgs, InstallArgs, KeygenArgs, NewArgs, PackArgs, PullArgs,
    QuantizeArgs, RemoveArgs, RollbackArgs, SignArgs,
};

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
pub struct ShowArgs {
    /// Name, or name:version
    pub name: String,
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
