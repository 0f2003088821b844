//! The socketpair between daemon and host: one packet is one message, with descriptors beside it (SOCK_SEQPACKET keeps
//! the borders and the order, and gives end-of-file when the other side dies).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{MAX_FDS, MAX_PACKET};

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("the other side of the engine host channel is gone")]
    Closed,
    #[error("the engine host channel is full")]
    Full,
    #[error("engine host channel")]
    Io(#[source] std::io::Error),
    #[error("engine host message")]
    Codec(#[source] postcard::Error),
    #[error("engine host message of {0} bytes, at most {MAX_PACKET}")]
    TooLarge(usize),
    #[error("{0} descriptors in one engine host message, at most {MAX_FDS}")]
    TooManyFds(usize),
}

impl From<Errno> for ChannelError {
    fn from(errno: Errno) -> ChannelError {
        match errno {
            Errno::AGAIN => ChannelError::Full,
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => ChannelError::Closed,
            other => ChannelError::Io(other.into()),
        }
    }
}

/// Both ends, close-on-exec; the daemon's end does not block.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (daemon, host) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&daemon, &host] {
        rustix::net::sockopt::set_socket_send_buffer_size(end, 1 << 20)?;
    }
    rustix::io::ioctl_fionbio(&daemon, true)?;
    Ok((daemon, host))
}

/// Sends one message. On a socket that does not block, [`ChannelError::Full`] means: nothing was sent, try again when
/// it is writable.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
    let packet = postcard::to_stdvec(message).map_err(ChannelError::Codec)?;
    send_packet(socket, &packet, fds)
}

/// Whether an encoded message with so many descriptors can be sent at all.
pub fn check(packet: &[u8], fds: usize) -> Result<(), ChannelError> {
    if packet.len() > MAX_PACKET {
        return Err(ChannelError::TooLarge(packet.len()));
    }
    if fds > MAX_FDS {
        return Err(ChannelError::TooManyFds(fds));
    }
    Ok(())
}

/// Sends one encoded message.
pub fn send_packet(socket: impl AsFd, packet: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
    check(packet, fds.len())?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(ChannelError::TooManyFds(fds.len()));
    }
    loop {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives messages into a buffer that is kept.
#[derive(Debug)]
pub struct Receiver {
    buffer: Vec<u8>,
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver { buffer: vec![0; MAX_PACKET] }
    }
}

impl Receiver {
    /// One message and its descriptors, all close-on-exec. On a socket that does not block, [`ChannelError::Full`]
    /// means: nothing is there.
    pub fn receive<T: DeserializeOwned>(&mut self, socket: impl AsFd) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            match rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let fds = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        if received.bytes == 0 {
            return Err(ChannelError::Closed);
        }
        let packet = self.buffer.get(..received.bytes).unwrap_or_default();
        Ok((postcard::from_bytes(packet).map_err(ChannelError::Codec)?, fds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (daemon, host) = pair().unwrap();
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        send(&daemon, &("hello", vec![7u8; 100_000]), &[file.as_fd(), file.as_fd()]).unwrap();
        let ((word, bytes), fds) = Receiver::default().receive::<(String, Vec<u8>)>(&host).unwrap();
        assert_eq!((word.as_str(), bytes.len(), fds.len()), ("hello", 100_000, 2));
    }

    #[test]
    fn the_death_of_one_side_is_seen_by_the_other() {
        let (daemon, host) = pair().unwrap();
        drop(host);
        assert!(matches!(Receiver::default().receive::<u8>(&daemon), Err(ChannelError::Closed)));
        assert!(matches!(send(&daemon, &1u8, &[]), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_full_channel_says_so_and_an_oversized_message_is_refused() {
        let (daemon, _host) = pair().unwrap();
        let message = vec![0u8; 100_000];
        let full = (0..100).find_map(|_| send(&daemon, &message, &[]).err());
        assert!(matches!(full, Some(ChannelError::Full)));
        assert!(matches!(send(&daemon, &vec![0u8; 200_000], &[]), Err(ChannelError::TooLarge(_))));
    }
}
