//! `edgectl completions SHELL`.

use crate::cli::{Common, CompletionsArgs};
use crate::failure::Failure;
use crate::out::Answer;
use crate::reference;
use crate::render::json;

pub fn run(common: &Common, args: &CompletionsArgs) -> Result<Answer, Failure> {
    let script = reference::completions(args.shell);
    Ok(Answer::done(if common.json { json::script(&args.shell.to_string(), &script) } else { script }))
}
