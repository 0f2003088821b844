//! The two streams: the answer on stdout, everything else on stderr. Nothing else in the command prints.

use std::io::{self, IsTerminal, Write};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render;

/// What a verb found: text for stdout, and how the run ends.
#[derive(Debug)]
pub struct Answer {
    /// Complete lines for stdout.
    pub text: String,
    /// Lines for stderr that belong beside the answer.
    pub notes: Vec<String>,
    pub exit: Exit,
}

impl Answer {
    /// An answer of a run that went well.
    pub fn done(text: String) -> Answer {
        Answer { text, notes: Vec::new(), exit: Exit::Done }
    }

    /// The same with another exit.
    pub fn ending(self, exit: Exit) -> Answer {
        Answer { exit, ..self }
    }

    /// The same with a line for stderr.
    pub fn noting(mut self, note: impl Into<String>) -> Answer {
        self.notes.push(note.into());
        self
    }
}

/// Prints an answer or a failure; returns the exit of the run.
pub fn finish(result: Result<Answer, Failure>, json: bool) -> Exit {
    match result {
        Ok(answer) => {
            answer.notes.iter().for_each(|note| complain(note));
            print(&answer.text).unwrap_or(answer.exit)
        }
        Err(failure) => {
            complain(&render::human::failure(&failure));
            document(&failure, json)
        }
    }
}

/// Prints what the parser of the command line told: help and version are answers and go to stdout, everything else is a
/// fault of the command line, with the same document as any other failure.
pub fn told(told: &clap::Error, json: bool) -> Exit {
    let _ = told.print();
    if told.use_stderr() { document(&Failure::usage(fault(told)), json) } else { Exit::Done }
}

/// The fault alone, in one line: no usage, no hints.
fn fault(told: &clap::Error) -> String {
    if told.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing".into();
    }
    let text = told.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

/// The failure's JSON form where it is wanted; returns the exit of the run.
fn document(failure: &Failure, json: bool) -> Exit {
    let printed = if json { print(&render::json::failure(failure)) } else { None };
    printed.unwrap_or_else(|| failure.exit())
}

/// Shows a passing state to somebody who waits at a terminal, and to nobody else.
pub fn progress(text: &str) {
    if io::stderr().is_terminal() {
        complain(text);
    }
}

/// Shows on one line how something goes on, over what stood there before, to somebody who waits at a terminal.
pub fn line(text: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r{text}\x1b[K").and_then(|()| err.flush());
    }
}

/// Clears that line.
pub fn end_line() {
    line("");
}

/// Writes to stderr. When even that is gone there is nobody left to tell.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Writes what is no text to stdout, before an answer that is empty.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| Failure::local(format!("write to standard output: {error}")))
}

/// Writes to stdout. Says how the run ends if that did not work: a reader that left early has all it wanted.
fn print(text: &str) -> Option<Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => None,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(Exit::Done),
        Err(error) => {
            complain(&format!("edgectl: write the answer: {error}"));
            Some(Exit::Refused)
        }
    }
}
