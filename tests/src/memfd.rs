//! Descriptors that clients hand over: sealed memfds, and all that is not one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// The seals that the contract asks for.
pub fn required_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
}

/// A memfd with this content and the required seals.
pub fn sealed(content: &[u8]) -> Result<OwnedFd> {
    let fd = unsealed(content)?;
    fcntl_add_seals(&fd, required_seals()).context("seal a memfd")?;
    Ok(fd)
}

/// A memfd with this content that anybody may still change.
pub fn unsealed(content: &[u8]) -> Result<OwnedFd> {
    let fd = memfd_create("payload", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).context("create a memfd")?;
    let mut file = File::from(fd);
    file.write_all(content).context("fill a memfd")?;
    file.rewind().context("rewind a memfd")?;
    Ok(file.into())
}

/// A part of what is in a memfd.
pub fn read_part(fd: impl AsFd, offset: u64, len: u64) -> Result<Vec<u8>> {
    let mut file = File::from(fd.as_fd().try_clone_to_owned()?);
    file.seek(SeekFrom::Start(offset))?;
    let mut content = Vec::new();
    file.take(len).read_to_end(&mut content)?;
    Ok(content)
}

/// The reading end of a pipe that somebody keeps open at the other end without writing.
pub fn silent_pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe().context("make a pipe")
}

/// Any file, for reading.
pub fn open(path: &str) -> Result<OwnedFd> {
    Ok(File::open(path).with_context(|| format!("open {path}"))?.into())
}
