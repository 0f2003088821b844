//! Reads a file that anybody may still write to: a bounded copy. What gives its bytes when somebody else likes (pipes and
//! sockets) is read by the daemon, so that no decoder ever waits for it.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::memory::MemoryError;

const CHUNK: usize = 64 << 10;

/// All bytes of `fd`, a regular file or memfd, from its beginning; at most `most`.
pub fn read(fd: impl AsFd, most: u64) -> Result<Vec<u8>, MemoryError> {
    let fd = fd.as_fd();
    let stat = rustix::fs::fstat(fd).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(fd, u64::try_from(stat.st_size).unwrap_or(0), most),
        FileType::Fifo | FileType::Socket => Err(MemoryError::Stream),
        FileType::Directory => Err(MemoryError::Kind("directory")),
        FileType::CharacterDevice => Err(MemoryError::Kind("character device")),
        FileType::BlockDevice => Err(MemoryError::Kind("block device")),
        _ => Err(MemoryError::Kind("descriptor of an unknown kind")),
    }
}

fn failed(errno: Errno) -> MemoryError {
    MemoryError::Read(errno.into())
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_from_its_beginning_whatever_its_position() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 200_000]).unwrap();
        assert_eq!(read(&file, 200_000).unwrap(), vec![7; 200_000]);
        assert!(matches!(read(&file, 199_999), Err(MemoryError::TooLarge { len: 200_000, most: 199_999 })));
    }

    #[test]
    fn nothing_is_waited_for() {
        let (from, _into) = rustix::pipe::pipe().unwrap();
        assert!(matches!(read(from, 10), Err(MemoryError::Stream)));
        let (from, _into) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(read(from, 10), Err(MemoryError::Stream)));
    }

    #[test]
    fn devices_and_directories_are_refused_by_name() {
        for (path, kind) in [("/dev/zero", "character device"), ("/", "directory")] {
            let error = read(File::open(path).unwrap(), 10).unwrap_err();
            assert!(error.to_string().contains(kind), "{error}");
        }
    }
}
