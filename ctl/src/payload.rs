//! The file that is sent: what it is, and a descriptor that the daemon can take.
//!
//! Regular files and standard input are copied into a sealed memfd, which the daemon maps without a copy of its own and
//! which nobody can change under it. How large a payload may be is the daemon's policy, so a large regular file is handed
//! over as it is and refused there, by its own limit.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::failure::Failure;

/// Regular files up to this size are copied; larger ones are handed over as they are.
const COPY_LIMIT: u64 = 64 << 20;
/// The most that is taken from a pipe or device, which has to be held in memory: four times what a daemon takes by
/// default (`limits.max_payload_mib`). On a box that allows more, more goes as a regular file.
pub const STREAM_LIMIT: u64 = 256 << 20;
/// Enough to recognise every format below.
const HEAD: usize = 16;

const IMAGE_JPEG: &str = "image/jpeg";
const IMAGE_PNG: &str = "image/png";
const AUDIO_WAV: &str = "audio/wav";
const TEXT_PLAIN: &str = "text/plain";
/// What the body of a chat is, in the form of OpenAI.
pub const JSON: &str = "application/json";
const OCTET_STREAM: &str = "application/octet-stream";

/// What is sent.
#[derive(Debug)]
pub struct Payload {
    pub fd: OwnedFd,
    /// What it seems to be.
    pub content_type: &'static str,
}

/// Opens `path`, or standard input for `-`.
pub fn open(path: &Path) -> Result<Payload, Failure> {
    if path == Path::new("-") {
        return sealed(io::stdin().lock(), path, STREAM_LIMIT);
    }
    let (file, meta) = opened(path)?;
    if meta.is_file() && meta.len() > COPY_LIMIT {
        let content_type = content_type(&first_bytes(&file, path)?, path);
        return Ok(Payload { fd: file.into(), content_type });
    }
    sealed(file, path, STREAM_LIMIT)
}

/// Opens `path`, or standard input for `-`, always as a memfd: what is sent many times at once must not share a place in a
/// file up to which it was read.
pub fn copied(path: &Path) -> Result<Payload, Failure> {
    if path == Path::new("-") {
        return open(path);
    }
    let (file, meta) = opened(path)?;
    if meta.is_file() && meta.len() > STREAM_LIMIT {
        let text =
            format!("read {}: more than {} MiB, the most that is kept in memory", name(path), STREAM_LIMIT >> 20);
        return Err(Failure::usage(text));
    }
    sealed(file, path, STREAM_LIMIT)
}

/// A memfd with all that the stream holds, which nobody can change.
pub fn memfd(mut stream: impl Read) -> io::Result<File> {
    let mut file = File::from(memfd_create("edgectl-payload", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    io::copy(&mut stream, &mut file)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file)
}

/// The content type to say: the caller's word; else what the file seems to be, if the model takes it; else plain bytes,
/// if the model takes those.
pub fn choose<'a>(asked: Option<&'a str>, seems: &'a str, taken: &[String]) -> &'a str {
    let takes = |wanted: &str| taken.iter().any(|one| one == wanted);
    match asked {
        Some(asked) => asked,
        None if !takes(seems) && takes(OCTET_STREAM) => OCTET_STREAM,
        None => seems,
    }
}

fn opened(path: &Path) -> Result<(File, Metadata), Failure> {
    let file = File::open(path).map_err(|error| cannot(path, &error))?;
    let meta = file.metadata().map_err(|error| cannot(path, &error))?;
    if meta.is_dir() {
        return Err(Failure::usage(format!("read {}: it is a directory", path.display())));
    }
    Ok((file, meta))
}

/// The memfd of a stream that holds at most `limit` bytes.
fn sealed(stream: impl Read, path: &Path, limit: u64) -> Result<Payload, Failure> {
    let file = memfd(stream.take(limit + 1)).map_err(|error| cannot(path, &error))?;
    if file.metadata().map_err(|error| cannot(path, &error))?.len() > limit {
        let text = format!("read {}: more than {} MiB, which only a regular file may hold", name(path), limit >> 20);
        return Err(Failure::usage(text));
    }
    let content_type = content_type(&first_bytes(&file, path)?, path);
    Ok(Payload { fd: file.into(), content_type })
}

/// All of what is sent, for those who look at it themselves after the daemon has it. As much as is ever copied at once.
pub fn content(fd: &OwnedFd) -> io::Result<Vec<u8>> {
    beginning(fd, STREAM_LIMIT)
}

/// How many bytes are sent.
pub fn size(fd: &OwnedFd) -> io::Result<u64> {
    Ok(File::from(fd.try_clone()?).metadata()?.len())
}

/// The first `limit` bytes of what is sent, or all of it.
pub fn beginning(fd: &OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = File::from(fd.try_clone()?);
    let size = file.metadata()?.len();
    let size = usize::try_from(size.min(limit)).unwrap_or_default();
    let mut content = vec![0; size];
    // The offset is shared with the daemon, so it stays where it is.
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// Reads the start without moving the descriptor's offset.
fn first_bytes(file: &File, path: &Path) -> Result<Vec<u8>, Failure> {
    use std::os::unix::fs::FileExt;
    let mut head = vec![0; HEAD];
    let read = file.read_at(&mut head, 0).map_err(|error| cannot(path, &error))?;
    head.truncate(read);
    Ok(head)
}

/// The format by its first bytes; for text and JSON, which have none, by the file's name.
fn content_type(head: &[u8], path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match head {
        [0xff, 0xd8, 0xff, ..] => IMAGE_JPEG,
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => IMAGE_PNG,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => AUDIO_WAV,
        _ if extension.eq_ignore_ascii_case("txt") => TEXT_PLAIN,
        _ if extension.eq_ignore_ascii_case("json") => JSON,
        _ => OCTET_STREAM,
    }
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("read {}: {error}", name(path)))
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::fcntl_get_seals;

    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format_whatever_the_name_says() {
        let cases: [(&[u8], &str, &str); 9] = [
            (b"\xff\xd8\xff\xe0rest", "x.png", IMAGE_JPEG),
            (b"\x89PNG\r\n\x1a\nrest", "x", IMAGE_PNG),
            (b"RIFF\0\0\0\0WAVEfmt ", "x.bin", AUDIO_WAV),
            (b"RIFF\0\0\0\0AVI fmt ", "x.bin", OCTET_STREAM),
            (b"hello", "note.TXT", TEXT_PLAIN),
            (b"{\"messages\": []}", "chat.json", JSON),
            (b"\xff\xd8\xff\xe0rest", "photo.json", IMAGE_JPEG),
            (b"hello", "-", OCTET_STREAM),
            (b"", "empty", OCTET_STREAM),
        ];
        for (head, name, expected) in cases {
            assert_eq!(content_type(head, Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_file_becomes_a_memfd_that_nobody_can_change() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"\xff\xd8\xff\xe0 photo").unwrap();
        let payload = open(file.path()).unwrap();
        assert_eq!(payload.content_type, IMAGE_JPEG);
        let seals = fcntl_get_seals(&payload.fd).unwrap();
        assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE), "{seals:?}");
        assert_eq!(content(&payload.fd).unwrap(), b"\xff\xd8\xff\xe0 photo");
        assert_eq!(File::from(payload.fd).metadata().unwrap().len(), 10);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let missing = open(Path::new("/does/not/exist.png")).unwrap_err();
        assert!(missing.to_string().starts_with("read /does/not/exist.png: "), "{missing}");
        assert_eq!(open(Path::new("/")).unwrap_err().to_string(), "read /: it is a directory");
    }

    #[test]
    fn an_endless_device_is_refused_by_name() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                Ok(buffer.len())
            }
        }
        let error = sealed(Endless, Path::new("/dev/zero"), 2 << 20).unwrap_err();
        assert_eq!(error.to_string(), "read /dev/zero: more than 2 MiB, which only a regular file may hold");
    }

    #[test]
    fn a_model_that_takes_only_bytes_gets_bytes() {
        let bytes = [OCTET_STREAM.to_owned()];
        let images = [IMAGE_JPEG.to_owned(), IMAGE_PNG.to_owned()];
        assert_eq!(choose(None, IMAGE_JPEG, &bytes), OCTET_STREAM);
        assert_eq!(choose(None, IMAGE_JPEG, &images), IMAGE_JPEG);
        assert_eq!(choose(None, AUDIO_WAV, &images), AUDIO_WAV);
        assert_eq!(choose(None, IMAGE_PNG, &[]), IMAGE_PNG);
        assert_eq!(choose(Some("text/plain"), IMAGE_JPEG, &bytes), "text/plain");
    }
}
