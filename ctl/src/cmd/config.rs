//! `edgectl config check`: the verdict is the daemon binary's, never a second opinion.

use crate::cli::{Common, ConfigCommand};
use crate::diagnose::ConfigVerdict;
use crate::edged;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::json;

pub fn run(common: &Common, command: &ConfigCommand) -> Result<Answer, Failure> {
    let ConfigCommand::Check(args) = command;
    let (valid, said) = match edged::check_config(args.config.as_deref()) {
        ConfigVerdict::Valid(said) => (true, said),
        ConfigVerdict::Invalid(said) => (false, said),
        ConfigVerdict::Unknown(why) => {
            return Err(Failure::unreachable(why, "install edged, or run `edged --check-config` where it is"));
        }
    };
    let text = if common.json { json::verdict(valid, &said) } else { format!("{said}\n") };
    Ok(Answer::done(text).ending(if valid { Exit::Done } else { Exit::Refused }))
}
