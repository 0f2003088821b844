//! `edged bundle ...`: what `edgectl models new|check|goldens|eval|quantize|pack|sign|keygen` runs. One JSON record on standard output;
//! exit code 0, 1 (a bundle with faults, or something that could not be done), 2 (what was asked for makes no sense).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use edge_engine::bundle::{self, Task};
use edge_wire::bring::Written;
use serde::Serialize;

use super::draft::{Asked, new};
use super::{BringError, check, eval, goldens, prepare, quantize, sign};
use crate::driver::chain;
use crate::store::archive;

/// What is to be done with a bundle.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Draft one from an ONNX file
    New {
        model: PathBuf,
        #[arg(long)]
        task: Option<String>,
        #[arg(long)]
        samples: Option<PathBuf>,
        #[arg(long)]
        labels: Option<PathBuf>,
        #[arg(long)]
        name: Option<String>,
        #[arg(long = "model-version")]
        version: Option<String>,
        #[arg(long)]
        licence: Option<String>,
        #[arg(long)]
        out: Option<PathBuf>,
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Name every fault
    Check {
        path: PathBuf,
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Answer the golden inputs anew, and seal
    Goldens {
        dir: PathBuf,
        #[arg(long)]
        samples: Option<PathBuf>,
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Measure its variants
    Eval {
        path: PathBuf,
        #[arg(long)]
        data: PathBuf,
        #[arg(long, value_delimiter = ',')]
        variants: Vec<String>,
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Write what its recipe makes of samples
    Prepare {
        dir: PathBuf,
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        out: PathBuf,
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Add an INT8 variant
    Quantize {
        dir: PathBuf,
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        out: Option<PathBuf>,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        tolerance: Option<f64>,
        #[arg(long)]
        python: Option<PathBuf>,
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Make one file of it
    Pack {
        dir: PathBuf,
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Sign it
    Sign {
        dir: PathBuf,
        #[arg(long)]
        key: PathBuf,
    },
    /// Make a pair of keys
    Keygen {
        name: PathBuf,
        #[arg(long)]
        no_password: bool,
    },
}

/// Does it, and prints what came of it.
pub async fn run(command: BundleCommand) -> ExitCode {
    match done(command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", chain(&error));
            ExitCode::from(if matches!(error, BringError::Usage(_)) { 2 } else { 1 })
        }
    }
}

async fn done(command: BundleCommand) -> Result<ExitCode, BringError> {
    match command {
        BundleCommand::New { model, task, samples, labels, name, version, licence, out, library } => {
            let task = task.as_deref().map(task_called).transpose()?;
            told(&new(&Asked { model, task, samples, labels, name, version, licence, out, library }).await?)
        }
        BundleCommand::Check { path, library } => {
            let opened = archive::opened(&path)?;
            let mut checked = check::check(opened.dir(), library.as_deref()).await;
            checked.path = path.display().to_string();
            let code = if checked.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            told(&checked).map(|_| code)
        }
        BundleCommand::Goldens { dir, samples, library } => {
            told(&goldens::again(&dir, samples.as_deref(), library.as_deref()).await?)
        }
        BundleCommand::Eval { path, data, variants, library } => {
            let evaluated = eval::eval(&eval::Asked { path, data, variants, library }).await?;
            let failed = evaluated.variants.iter().any(|scored| !scored.error.is_empty());
            told(&evaluated).map(|good| if failed { ExitCode::FAILURE } else { good })
        }
        BundleCommand::Prepare { dir, data, out, library } => {
            told(&prepare::prepare(&dir, &data, &out, library.as_deref()).await?)
        }
        BundleCommand::Quantize { dir, data, out, name, tolerance, python, library } => {
            told(&quantize::quantize(&quantize::Asked { dir, data, out, name, tolerance, python, library }).await?)
        }
        BundleCommand::Pack { dir, out } => told(&pack(&dir, out.as_deref())?),
        BundleCommand::Sign { dir, key } if dir.is_file() => told(&sign::sign_export(&dir, &key)?),
        BundleCommand::Sign { dir, key } => told(&sign::sign(&dir, &key)?),
        BundleCommand::Keygen { name, no_password } => told(&sign::keygen(&name, !no_password)?),
    }
}

/// Makes `NAME-VERSION.edgemodel`, in the working directory unless another place was named.
fn pack(dir: &Path, out: Option<&Path>) -> Result<Written, BringError> {
    let opened = bundle::open(dir)?;
    bundle::verify(&opened)?;
    let out = out.map_or_else(|| PathBuf::from(archive::file_name(opened.manifest())), Path::to_owned);
    let bytes = archive::pack(&opened, &out)?;
    let signature = bundle::read_text(&dir.join(sign::SIGNATURE), 64 << 10).unwrap_or_default();
    let key = sign::signer(&signature);
    let unsigned = "not signed: a box takes it only with allow_unsigned; sign the directory with `edgectl models sign`";
    let remarks = if key.is_empty() { vec![unsigned.into()] } else { Vec::new() };
    Ok(Written { path: out.display().to_string(), bytes, key, remarks, ..Written::default() })
}

fn told(record: &impl Serialize) -> Result<ExitCode, BringError> {
    println!("{}", serde_json::to_string(record)?);
    Ok(ExitCode::SUCCESS)
}

fn task_called(name: &str) -> Result<Task, BringError> {
    Task::from_name(name).ok_or_else(|| {
        BringError::Usage(format!("--task {name}: takes one of {}", Task::ALL.map(Task::as_str).join(", ")))
    })
}
