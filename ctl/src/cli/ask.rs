//! The command line of requests: one, and many of them to measure with.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::bench::shape;
use crate::duration;

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
    /// File to send; `-` reads standard input [default: the largest golden input of the bundle that the model takes]
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
    /// How long each step is measured, from 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=3600))]
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
