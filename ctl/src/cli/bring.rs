//! The command line of bundles that are not served yet.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The ONNX file
    pub model: PathBuf,
    /// What it does: classification, object-detection, tensors, ... [default: told from the graph]
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Pictures, sounds or files to try it on: one file, or a directory of them. The firmest answers become golden inputs
    #[arg(long, value_name = "DIR")]
    pub samples: Option<PathBuf>,
    /// Names of its labels, one a line, in the order of its classes [default: those in the model's metadata]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Name of the model [default: that of the file]
    #[arg(long)]
    pub name: Option<String>,
    /// Semantic version of the bundle [default: 1.0.0]
    #[arg(long, value_name = "VERSION")]
    pub model_version: Option<String>,
    /// Licence of the model, an SPDX expression [default: that in the model's metadata]
    #[arg(long, value_name = "SPDX")]
    pub licence: Option<String>,
    /// Where to put the bundle [default: a directory of the model's name here]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Draw what was found on the samples, and put the pictures into this directory
    #[arg(long, value_name = "DIR", requires = "samples")]
    pub annotate: Option<PathBuf>,
    /// ONNX Runtime to run it with [default: found as edged finds it]
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A bundle's directory, or a .edgemodel
    pub path: PathBuf,
    /// ONNX Runtime to run it with [default: found as edged finds it]
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GoldensArgs {
    /// The bundle's directory
    pub dir: PathBuf,
    /// Take other samples: one file, or a directory of them [default: the golden inputs that there are]
    #[arg(long, value_name = "DIR")]
    pub samples: Option<PathBuf>,
    /// Draw what was found on the samples, and put the pictures into this directory
    #[arg(long, value_name = "DIR", requires = "samples")]
    pub annotate: Option<PathBuf>,
    /// ONNX Runtime to run it with [default: found as edged finds it]
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A bundle's directory, or a .edgemodel
    pub bundle: PathBuf,
    /// The samples, with or without labels; for a detector also the JSON file of COCO's form
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Only these, by name, divided by commas; the first one of the bundle always, as the others are held against it
    /// [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub variants: Vec<String>,
    /// Draw speed against quality into this SVG file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// ONNX Runtime to run it with [default: found as edged finds it]
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The bundle's directory
    pub dir: PathBuf,
    /// Samples like those that it will see, with or without labels, in the form of `edgectl models eval`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Leave the bundle as it is, and put the new one into this directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Name of the variant [default: int8]
    #[arg(long)]
    pub name: Option<String>,
    /// Let the golden answers of all variants differ by this at least, 0 to 1 [default: as they are]
    #[arg(long, value_name = "SHARE")]
    pub tolerance: Option<String>,
    /// The Python that has ONNX Runtime and ONNX [default: python3]
    #[arg(long, value_name = "FILE")]
    pub python: Option<PathBuf>,
    /// ONNX Runtime to run it with [default: found as edged finds it]
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PackArgs {
    /// The bundle's directory
    pub dir: PathBuf,
    /// The file to write [default: NAME-VERSION.edgemodel here]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The bundle's directory, or a list of what boxes are to have (LIST.toml)
    pub dir: PathBuf,
    /// The secret key, as `edgectl models keygen` or `minisign -G` makes it
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the two files are called: NAME.key, which signs and is kept, and NAME.pub, which goes to the boxes
    pub name: PathBuf,
    /// Ask for no password: whoever reads NAME.key can sign
    #[arg(long)]
    pub no_password: bool,
}
