//! The socket of a private peer connection, watched as [`reactor`](super::reactor) says. It stops reading while the peer does not read what it is sent, so that a
//! slow consumer costs the daemon no memory: its own calls wait in its own socket.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use tokio::sync::watch;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

use super::reactor::Registration;

/// The kernel passes no more descriptors at once (SCM_MAX_FD).
const MAX_FDS: usize = 253;

/// One end of a socketpair, for [`zbus::connection::Builder::socket`].
#[derive(Debug)]
pub struct PeerSocket(Arc<Registration>);

impl PeerSocket {
    /// Takes the stream over and makes it non-blocking.
    pub fn new(stream: std::os::unix::net::UnixStream) -> io::Result<PeerSocket> {
        stream.set_nonblocking(true)?;
        Ok(PeerSocket(Arc::new(Registration::new(OwnedFd::from(stream).into())?)))
    }
}

impl Socket for PeerSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (blocked, unblocked) = watch::channel(false);
        Split::new(Reader { socket: self.0.clone(), blocked: unblocked }, Writer { socket: self.0, blocked })
    }
}

/// Reads calls, unless replies are stuck.
#[derive(Debug)]
pub struct Reader {
    socket: Arc<Registration>,
    blocked: watch::Receiver<bool>,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if *self.blocked.borrow() {
            // An error means that the writer is gone, and with it what could be stuck.
            let _gone = self.blocked.wait_for(|blocked| !blocked).await;
        }
        poll_fn(|context| self.socket.poll_read(context, || receive(&*self.socket, buffer))).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// Writes replies, and says when they are stuck.
#[derive(Debug)]
pub struct Writer {
    socket: Arc<Registration>,
    blocked: watch::Sender<bool>,
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        match send(&*self.socket, buffer, fds) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        self.blocked.send_replace(true);
        let sent = poll_fn(|context| self.socket.poll_write(context, || send(&*self.socket, buffer, fds))).await;
        self.blocked.send_replace(false);
        sent
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both)?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = retry(|| rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds = rights.flatten().collect();
    match received.bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => Ok((bytes, fds)),
    }
}

fn send(socket: impl AsFd, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in one message"));
    }
    retry(|| rustix::net::sendmsg(&socket, &[IoSlice::new(buffer)], &mut control, SendFlags::NOSIGNAL))
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done.map_err(Into::into),
        }
    }
}
