//! What a library needs of other libraries, and where it looks for them besides the usual places: read from its file, before
//! the system's loader is let at it, which names only the first that is missing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Largest table of headers or entries that is read, bytes; those of real libraries are below a few kilobytes.
const TABLE: usize = 64 << 10;
/// Longest name that is read, bytes.
const NAME: usize = 4096;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// What a library says of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Their names, in the order in which the loader looks for them.
    pub names: Vec<String>,
    /// Directories in which it has them looked for first.
    pub places: Vec<PathBuf>,
}

/// Reads that of the library at `path`, which is one for this machine.
pub fn of(path: &Path) -> io::Result<Needed> {
    let file = File::open(path)?;
    let head = read(&file, 0, 64)?;
    let (table, size, count) = (word(&head, 32, 8), word(&head, 54, 2), word(&head, 56, 2));
    if size < 56 {
        return Err(broken("its program headers"));
    }
    let headers = read(&file, table, size * count)?;
    let headers: Vec<&[u8]> =
        usize::try_from(size).map(|size| headers.chunks_exact(size).collect()).unwrap_or_default();
    let of_kind = |kind| headers.iter().filter(move |header| word(header, 0, 4) == kind);
    let Some(dynamic) = of_kind(PT_DYNAMIC).next() else { return Ok(Needed::default()) };
    let (at, length) = (word(dynamic, 8, 8), word(dynamic, 32, 8));
    let entries = read(&file, at, length)?;
    let entries: Vec<(u64, u64)> = entries
        .chunks_exact(16)
        .map(|entry| (word(entry, 0, 8), word(entry, 8, 8)))
        .take_while(|row| row.0 != 0)
        .collect();
    let values = |tag| entries.iter().filter(move |row| row.0 == tag).map(|row| row.1);
    let Some(strings) = values(DT_STRTAB).next() else { return Ok(Needed::default()) };
    // Where the table is in memory, and with it in the file.
    let offset = of_kind(PT_LOAD).find_map(|load| {
        let (in_file, in_memory, length) = (word(load, 8, 8), word(load, 16, 8), word(load, 32, 8));
        let within = strings.checked_sub(in_memory).filter(|within| *within < length)?;
        in_file.checked_add(within)
    });
    let offset = offset.ok_or_else(|| broken("its names"))?;
    let text = |at: u64| name(&file, offset.saturating_add(at));
    let names = values(DT_NEEDED).map(text).collect::<io::Result<_>>()?;
    let lists = values(DT_RUNPATH).chain(values(DT_RPATH)).map(text).collect::<io::Result<Vec<_>>>()?;
    let origin = path.parent().unwrap_or(Path::new(".")).to_string_lossy();
    let place = |place: &str| PathBuf::from(place.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
    let places = lists.iter().flat_map(|list| list.split(':')).filter(|place| !place.is_empty()).map(place).collect();
    Ok(Needed { names, places })
}

/// So many bytes from `at` on.
fn read(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= TABLE);
    let mut bytes = vec![0; length.ok_or_else(|| broken("a table of its headers"))?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: it is no whole library"))
}

/// The text at `at` up to its NUL.
fn name(file: &File, at: u64) -> io::Result<String> {
    let mut bytes = vec![0; NAME];
    let got = file.read_at(&mut bytes, at)?;
    let text = bytes.get(..got).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A number in the order of this machine, for which the library is; 0 beyond the end.
fn word(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    let mut all = [0; 8];
    let start = if cfg!(target_endian = "little") { 0 } else { all.len() - bytes.len() };
    for (place, byte) in all.iter_mut().skip(start).zip(bytes) {
        *place = *byte;
    }
    u64::from_ne_bytes(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_the_loader_would_look_for_are_read() {
        let this = std::env::current_exe().unwrap();
        let needed = of(&this).unwrap();
        assert!(needed.names.iter().any(|name| name.starts_with("libc.so.")), "{needed:?}");
    }

    #[test]
    fn what_is_no_library_is_an_error_and_not_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("note.so");
        for content in [&b""[..], b"short", &[0xff; 64], &[0xff; 4096]] {
            std::fs::write(&file, content).unwrap();
            assert!(of(&file).is_err(), "{} bytes", content.len());
        }
        let mut cut = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        cut.truncate(2000);
        std::fs::write(&file, cut).unwrap();
        assert!(of(&file).is_err());
    }
}
