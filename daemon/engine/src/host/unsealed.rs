//! Reads a descriptor that anybody may still write to: a copy, with a bound on bytes and on time, whatever it is.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::clock;
use super::memory::MemoryError;

/// How long a pipe or socket may take to give all its bytes, milliseconds.
const PATIENCE_MS: u64 = 5_000;
const CHUNK: usize = 64 << 10;

/// All bytes of `fd`, at most `most`: a regular file or memfd from its beginning, a pipe or socket until it ends.
pub fn read(fd: impl AsFd, most: u64) -> Result<Vec<u8>, MemoryError> {
    let fd = fd.as_fd();
    let stat = rustix::fs::fstat(fd).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(fd, u64::try_from(stat.st_size).unwrap_or(0), most),
        FileType::Fifo => pipe(fd, most),
        FileType::Socket => socket(fd, most),
        FileType::Directory => Err(MemoryError::Kind("directory")),
        FileType::CharacterDevice => Err(MemoryError::Kind("character device")),
        FileType::BlockDevice => Err(MemoryError::Kind("block device")),
        _ => Err(MemoryError::Kind("descriptor of an unknown kind")),
    }
}

fn failed(errno: Errno) -> MemoryError {
    MemoryError::Read(errno.into())
}

/// Collects chunks up to a bound.
struct Sink {
    bytes: Vec<u8>,
    most: u64,
}

impl Sink {
    fn take(&mut self, chunk: &[u8]) -> Result<(), MemoryError> {
        if (self.bytes.len() as u64).saturating_add(chunk.len() as u64) > self.most {
            return Err(MemoryError::TooLong(self.most));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

fn file(fd: BorrowedFd<'_>, size: u64, most: u64) -> Result<Vec<u8>, MemoryError> {
    if size > most {
        return Err(MemoryError::TooLarge { len: size, most });
    }
    // One byte more than it says, so that its end shows without growing.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(CHUNK);
        }
        let at = bytes.len() as u64;
        match rustix::io::pread(fd, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() as u64 > most => return Err(MemoryError::TooLong(most)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// The bytes are moved into a pipe of our own first: another reader of the same pipe may take what `poll` announced,
/// and a plain read would then wait for ever. The descriptor cannot be made non-blocking, because its owner shares it.
fn pipe(fd: BorrowedFd<'_>, most: u64) -> Result<Vec<u8>, MemoryError> {
    let (ours, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed)?;
    let mut sink = Sink { bytes: Vec::new(), most };
    let mut chunk = vec![0; CHUNK];
    let start = clock::now_ns();
    loop {
        wait(fd, start)?;
        match splice(fd, None, &into, None, CHUNK, SpliceFlags::NONBLOCK) {
            Ok(0) => return Ok(sink.bytes),
            Ok(mut moved) => {
                while moved > 0 {
                    let read = rustix::io::read(&ours, &mut chunk).map_err(failed)?;
                    sink.take(chunk.get(..read).unwrap_or_default())?;
                    moved = moved.saturating_sub(read.max(1));
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

fn socket(fd: BorrowedFd<'_>, most: u64) -> Result<Vec<u8>, MemoryError> {
    let mut sink = Sink { bytes: Vec::new(), most };
    let mut chunk = vec![0; CHUNK];
    let start = clock::now_ns();
    loop {
        wait(fd, start)?;
        match rustix::net::recv(fd, &mut chunk[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Ok(sink.bytes),
            Ok((read, _)) => sink.take(chunk.get(..read).unwrap_or_default())?,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// Waits until there is something to read, or an end.
fn wait(fd: BorrowedFd<'_>, start: u64) -> Result<(), MemoryError> {
    let left = (PATIENCE_MS * 1_000_000).saturating_sub(clock::since_ns(start));
    let left = i64::try_from(left).unwrap_or(0);
    let limit = Timespec { tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000 };
    match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit)) {
        Ok(0) => Err(MemoryError::Slow(PATIENCE_MS)),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_file_is_read_from_its_beginning_whatever_its_position() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 200_000]).unwrap();
        assert_eq!(read(&file, 200_000).unwrap(), vec![7; 200_000]);
        assert!(matches!(read(&file, 199_999), Err(MemoryError::TooLarge { len: 200_000, most: 199_999 })));
    }

    #[test]
    fn a_pipe_and_a_socket_are_read_to_their_end() {
        let (from, into) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let writer = std::thread::spawn(move || File::from(into).write_all(&[3; 300_000]));
        assert_eq!(read(&from, 300_000).unwrap().len(), 300_000);
        writer.join().unwrap().unwrap();

        let (from, mut into) = UnixStream::pair().unwrap();
        into.write_all(b"hello").unwrap();
        drop(into);
        assert_eq!(read(&from, 5).unwrap(), b"hello");
    }

    #[test]
    fn a_pipe_that_gives_too_much_is_left_at_the_bound() {
        let (from, into) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        File::from(into).write_all(&[3; 1001]).unwrap();
        assert!(matches!(read(&from, 1000), Err(MemoryError::TooLong(1000))));
    }

    #[test]
    fn devices_and_directories_are_refused_by_name() {
        for (path, kind) in [("/dev/zero", "character device"), ("/", "directory")] {
            let error = read(File::open(path).unwrap(), 10).unwrap_err();
            assert!(error.to_string().contains(kind), "{error}");
        }
    }
}
