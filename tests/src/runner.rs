//! Named trials against one running stack, which is stopped when the last of them ended.
//!
//! The ordinary test harness has no end at which a shared stack could be stopped; this one is a `main` around it.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::clock::within;
use crate::stack::{Setup, Stack};

/// A trial may take this long on a machine with two busy cores.
const LIMIT: Duration = Duration::from_secs(120);

/// What a trial's function gives.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;
/// A trial's name and function.
pub type Named = (&'static str, fn(&Stack) -> Running<'_>);

/// Names functions `async fn(&Stack) -> Result<()>` as trials.
#[macro_export]
macro_rules! trials {
    ($($function:path),+ $(,)?) => {
        vec![$((stringify!($function), (|stack| Box::pin($function(stack))) as fn(&$crate::stack::Stack) -> $crate::runner::Running<'_>)),+]
    };
}

/// Starts the stack, runs the trials, stops the stack.
pub fn run(setup: Setup, trials: Vec<Named>) -> ExitCode {
    run_each(vec![("", setup, trials)])
}

/// The same for several stacks, whose trials begin with a word that tells them apart.
pub fn run_each(groups: Vec<(&'static str, Setup, Vec<Named>)>) -> ExitCode {
    let arguments = Arguments::from_args();
    let (mut stacks, mut all) = (Vec::new(), Vec::new());
    for (word, setup, trials) in groups {
        let stack = match if arguments.list { Ok(None) } else { start(setup).map(Some) } {
            Ok(stack) => stack.map(Arc::new),
            Err(fault) => {
                eprintln!("the stack did not start: {fault:?}");
                return ExitCode::FAILURE;
            }
        };
        for (name, body) in trials {
            let stack = stack.clone();
            all.push(Trial::test(format!("{word}{}", name.replace("::", " ")), move || {
                let Some(stack) = stack else { return Ok(()) };
                conduct(name, body, &stack).map_err(|fault| Failed::from(format!("{fault:?}")))
            }));
        }
        stacks.extend(stack);
    }
    let conclusion = libtest_mimic::run(&arguments, all);
    if conclusion.has_failed() {
        stacks.iter().for_each(|stack| eprintln!("{}", stack.logs()));
    }
    conclusion.exit_code()
}

fn start(setup: Setup) -> Result<Stack> {
    block_on(setup.start())?
}

fn conduct(name: &str, body: fn(&Stack) -> Running<'_>, stack: &Stack) -> Result<()> {
    block_on(within(name, LIMIT, body(stack)))??
}

/// Runs a future on this thread; for the tests that start stacks of their own.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    Ok(runtime.block_on(future))
}
