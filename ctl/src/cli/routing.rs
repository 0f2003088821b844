//! The command line of other sites: what they do, what left the device, what was served, where a request would go, and which texts
//! may stay.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{DataClass, Priority};
use crate::since::{self, When};
use crate::{calendar, duration, profile};

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only what left since then: how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z) or a day
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    pub since: Option<When>,
    /// Only what was sent to this site
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// Only what was asked of this model
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Only what had this data class
    #[arg(long, value_name = "CLASS", visible_alias = "data-class")]
    pub class: Option<DataClass>,
    /// The newest so many, from 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Only from then on: how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z) or a day
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    pub since: Option<When>,
    /// Only until then
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    pub until: Option<When>,
    /// How long each row is
    #[arg(long, value_name = "STEP", default_value = "all")]
    pub by: Step,
}

/// The length of a row of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// Each minute by itself
    Minute,
    /// Each hour
    Hour,
    /// Each day (UTC)
    Day,
    /// All of the time together
    All,
}

impl Step {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Minute => "minute",
            Step::Hour => "hour",
            Step::Day => "day",
            Step::All => "all",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Show where such a request would go now, every rule that was asked, and what would have had to differ
    ///
    /// Nothing is sent and nothing is run. A FILE is a payload as `edgectl infer` would send it: its size, its type and, if it is text
    /// or an OpenAI chat body (.json), its text are told to the daemon of this box, which looks into the text as it would into the
    /// payload; nobody else gets it. A file whose name ends with .toml is a PROFILE: what the request is like, without a payload.
    ///
    /// Keys of a profile, and of --set: model, version, deadline_ms, data_class, priority, deferrable, bytes, content_type,
    /// input_tokens, output_tokens, text, source. Without a content_type and a text the request is one of tensors.
    #[command(after_help = "Examples:\n  edgectl route explain label.png --model text-line --deadline 50ms\n  \
                            edgectl route explain question.json --class internal --source mqtt:edge/press-7/infer/chat\n  \
                            edgectl route explain night.toml --set deferrable=false\n  \
                            edgectl route explain --set model=chat --set bytes=110000 --json | jq -r .verdict")]
    Explain(Box<ExplainArgs>),
    /// Show what another policy would have made of the recorded decisions of this box
    ///
    /// Share of each site, cost, how many in time, and what would have left the device. Nothing is changed. The file holds what
    /// decides where requests go: [policy], [routing], [detect], [[site]] and [[rule]]; other keys of the configuration may stand in it.
    /// What it does not say has its default, not what holds now. If it is not valid, every fault is printed.
    #[command(after_help = "Examples:\n  edgectl route replay --policy new.toml --since 7d\n  \
                            edgectl route replay --policy new.toml --json | jq '.shares[] | {site, was, would_be}'")]
    Replay(ReplayArgs),
    /// Learn from a table of outcomes which texts a stronger site answers better, and which may stay on the box
    ///
    /// The TABLE is a CSV file with a row for each text and the columns prompt (the text), weak and strong (how good the answers of
    /// the box and of the site were: true, false, or 0 to 1) and, if it is there, task. Seven rows in ten teach; the others are
    /// held out, and say up to which expected gain a text may stay so that no more is lost than --target-loss. If that cannot be
    /// promised, no file is written, and it ends with 1.
    ///
    /// The file is set as `routing.difficulty_model`; rules with `difficulty = true` ask it. It has no text of the table in it. No
    /// daemon is asked.
    #[command(after_help = "Examples:\n  edgectl route learn outcomes.csv --out quality.model\n  \
                            edgectl route learn outcomes.csv --out quality.model --target-loss 0.02 --plot curve.svg\n  \
                            edgectl route learn outcomes.csv --out quality.model --json | jq .guarantee")]
    Learn(LearnArgs),
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A payload, or a profile that ends with .toml; `-` reads a payload from standard input
    #[arg(value_name = "FILE|PROFILE")]
    pub file: Option<PathBuf>,
    /// Model, or model:version [default: that of the profile or of the chat body]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// What the payload is [default: told from its first bytes and its name]
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// After this time the reply would have no value
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub deadline: Option<Duration>,
    /// How far the data may go [default: the operator's policy]
    #[arg(long, value_name = "CLASS", visible_alias = "data-class")]
    pub class: Option<DataClass>,
    /// Place among waiting requests [default: normal]
    #[arg(long, value_name = "PRIORITY")]
    pub priority: Option<Priority>,
    /// It may wait on the disk until something can serve it
    #[arg(long)]
    pub deferrable: bool,
    /// Who would ask: bus, bus:UID, mqtt or mqtt:TOPIC [default: bus]
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Set a key of the profile, over what the file and the other options say
    #[arg(long, value_name = "KEY=VALUE", value_parser = profile::setting)]
    pub set: Vec<profile::Setting>,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The policy to try; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Only decisions since then: how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z) or a day
    #[arg(long, visible_alias = "from", value_name = "WHEN", value_parser = since::parse)]
    pub since: Option<When>,
}

#[derive(Debug, Args)]
pub struct LearnArgs {
    /// The outcomes
    pub table: PathBuf,
    /// The file to write; one that is there already is left alone
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// By how much answers may be worse on average over all requests, above 0 and below 1
    #[arg(long, value_name = "LOSS", default_value = "0.05", value_parser = share)]
    pub target_loss: String,
    /// How sure that has to be, above 0 and below 1
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = share)]
    pub confidence: String,
    /// Which rows are held out. To try several and keep the best one spoils the promise
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// The day that the file has on it [default: today, UTC]
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub date: Option<String>,
    /// Draw the quality over the share that is sent into this SVG file; one that is there already is left alone
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// As it was written: the daemon's binary reads it again.
fn share(text: &str) -> Result<String, String> {
    let good = text.parse().is_ok_and(|share: f64| share > 0.0 && share < 1.0);
    if good { Ok(text.to_owned()) } else { Err("takes a number above 0 and below 1".into()) }
}

fn day(text: &str) -> Result<String, String> {
    calendar::day(text).map(|_| text.to_owned()).ok_or_else(|| "takes a day (2026-11-28)".into())
}
