//! `edgectl`: the command of `edged`. Reading order: [`cli`] (the words), [`cmd`] (what each verb does), [`client`] (the
//! bus), [`render`] (what is shown), [`top`] and [`screen`] (what is shown live, and where), [`exit`] and [`failure`] (how a run ends).
#![forbid(unsafe_code)]

mod annotate;
mod bench;
mod calendar;
mod check;
mod cli;
mod client;
mod clock;
mod cmd;
mod diagnose;
mod duration;
mod edged;
mod exit;
mod failure;
mod font;
mod out;
mod payload;
mod profile;
mod reference;
mod remote;
mod render;
mod screen;
mod since;
mod support;
mod top;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::failure::Failure;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(&cli).into(),
        Err(told) => out::told(&told, wants_json()).into(),
    }
}

/// Whether JSON is wanted, on a command line that is not understood otherwise.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

/// What this command line needs of ssh.
fn remote_needs(cli: &Cli) -> remote::Needs {
    use std::io::{IsTerminal, stdin, stdout};
    let at_terminal = stdin().is_terminal() && stdout().is_terminal();
    match &cli.command {
        Command::Top(args) => {
            remote::Needs { terminal: at_terminal && !args.is_once(&cli.common), ..Default::default() }
        }
        // Ctrl-C has to reach the command there.
        Command::Hold(args) => remote::Needs { terminal: at_terminal, any_exit: !args.command.is_empty() },
        _ => remote::Needs::default(),
    }
}

fn run(cli: &Cli) -> Exit {
    if let Some(host) = &cli.common.host {
        return remote::run(host, &remote_needs(cli))
            .unwrap_or_else(|failure| out::finish(Err(failure), cli.common.json));
    }
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cmd::run(cli)),
        Err(error) => Err(Failure::unreachable(format!("start the command's event loop: {error}"), "`ulimit -n`")),
    };
    out::finish(result, cli.common.json)
}
