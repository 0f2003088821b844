//! The child: `edged probe-hailo`. For each line `read` on its standard input it answers with one line of JSON (`Answer`),
//! and it ends when that closes. It gives up the network before the library is loaded, as an engine host does, and reads
//! nothing but its input and `/sys`.
//!
//! `reader` says when a device is opened, `values` what it tells then, `search` where the library is.

mod reader;
mod search;
mod values;

use std::fs::File;
use std::io::{BufRead, Read as _, Write as _};
use std::path::PathBuf;

use self::reader::Reader;
use super::Answer;

/// What is asked.
const READ: &str = "read";
/// The longest line that is read.
const LONGEST: u64 = 256;

/// Why the child ends other than by its input's end.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("confine the process")]
    Confine(#[source] edge_engine::host::confine::ConfineError),
    #[error("keep the standard output to itself")]
    Output(#[source] std::io::Error),
    #[error("read a line of the standard input")]
    Read(#[source] std::io::Error),
    #[error("a line of the standard input is longer than {LONGEST} bytes")]
    Long,
    #[error("write an answer")]
    Write(#[source] std::io::Error),
    #[error("encode an answer")]
    Encode(#[source] serde_json::Error),
}

/// How to read.
#[derive(Debug)]
pub struct Options {
    /// The machine whose `/sys` and libraries are below it.
    pub root: PathBuf,
    /// The library, if it shall not be searched for.
    pub library: Option<PathBuf>,
    /// Leave the library's C++ method alone.
    pub c_only: bool,
}

/// Answers until the standard input closes.
pub fn main(options: Options) -> Result<(), ProbeError> {
    edge_engine::host::confine::confine().map_err(ProbeError::Confine)?;
    edge_engine::host::confine::narrow().map_err(ProbeError::Confine)?;
    let mut output = own_output().map_err(ProbeError::Output)?;
    let mut input = std::io::stdin().lock();
    let mut reader = Reader::new(options);
    while let Some(line) = next_line(&mut input)? {
        let answer = match line.as_str() {
            READ => reader.read(),
            other => Answer::failed(&format!("asked for {other:?}, and only {READ:?} is known")),
        };
        let mut line = serde_json::to_vec(&answer).map_err(ProbeError::Encode)?;
        line.push(b'\n');
        output.write_all(&line).map_err(ProbeError::Write)?;
    }
    Ok(())
}

/// The standard output, for answers alone: what the library prints goes where errors go.
fn own_output() -> std::io::Result<File> {
    let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(own.into())
}

fn next_line(input: &mut impl BufRead) -> Result<Option<String>, ProbeError> {
    let mut line = String::new();
    let length = input.take(LONGEST).read_line(&mut line).map_err(ProbeError::Read)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(Some(line.to_owned())),
        None if length == 0 => Ok(None),
        // An end without a line's end is an end, too, unless the line was cut here.
        None if u64::try_from(length).is_ok_and(|length| length < LONGEST) => Ok(None),
        None => Err(ProbeError::Long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_bound_and_an_end() {
        let mut two = b"read\nread".as_slice();
        assert_eq!(next_line(&mut two).unwrap().as_deref(), Some("read"));
        assert_eq!(next_line(&mut two).unwrap(), None, "cut off, and the input closed");
        assert!(matches!(next_line(&mut [b'x'; 300].as_slice()), Err(ProbeError::Long)));
        assert!(matches!(next_line(&mut b"\xff\n".as_slice()), Err(ProbeError::Read(_))));
    }
}
