//! Descriptors that tokio watches. The one place that promises tokio what it asks for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor that does not block.
pub fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open, and the same, until it is dropped; the `AsyncFd` owns it and never gives it out.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}
