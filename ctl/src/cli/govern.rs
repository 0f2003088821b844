//! The command line of what watches the machine and reserves it.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Common;
use crate::duration;

/// The longest reason: it is shown on one line.
const WHY_LIMIT: usize = 200;

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Time between two looks, from 200ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::interval)]
    pub interval: Duration,
    /// Print the screen once as plain text
    #[arg(long)]
    pub once: bool,
    /// Columns of the printed text, from 40 to 400; implies --once [default: 80]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=400))]
    pub width: Option<u16>,
    /// Draw bars and lines in ASCII, as is done where the locale is not UTF-8
    #[arg(long)]
    pub ascii: bool,
}

impl TopArgs {
    /// One look is asked for, whatever the output is.
    pub fn is_once(&self, common: &Common) -> bool {
        self.once || self.width.is_some() || common.json
    }
}

#[derive(Debug, Args)]
pub struct GovernorArgs {
    #[command(subcommand)]
    pub command: Option<GovernorCommand>,
    /// Draw the chart in ASCII, as is done where the locale is not UTF-8
    #[arg(long, global = true)]
    pub ascii: bool,
}

#[derive(Debug, Subcommand)]
pub enum GovernorCommand {
    /// The same as without a word
    #[command(after_help = "Example:\n  edgectl governor show --ascii")]
    Show,
}

#[derive(Debug, Args)]
pub struct HoldArgs {
    /// What for, in 1 to 200 characters: shown to whoever wonders why nothing runs
    #[arg(long, value_name = "TEXT", value_parser = why)]
    pub why: String,
    /// Command to run while the device is held
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

fn why(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > WHY_LIMIT {
        return Err(format!("takes a text of 1 to {WHY_LIMIT} characters"));
    }
    Ok(text.to_owned())
}
