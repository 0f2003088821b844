//! How connections to the bus wait for their sockets: on tokio, with one difference to zbus's own way.
//!
//! A unix socket becomes writable again each time its peer has read a message, and a task that watches for that is woken
//! once for every reply it wrote, for nothing: the wake-up costs more than writing the reply did. So a socket is watched
//! for reading only, written to at once, and watched for writing only while it is full.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest as TokioInterest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use zbus::runtime::traits::{PollIo, Runtime, TaskHandle};
use zbus::runtime::{Interest, IoSource};

use crate::watched::watched;

/// Pause before a bus is asked again whose backlog is full.
const BACKLOG: Duration = Duration::from_millis(10);

/// The tokio runtime that is current, as zbus uses it.
#[derive(Clone, Copy, Debug)]
pub struct Reactor;

impl Runtime for Reactor {
    type RegisteredIoSource = Registration;
    type Sleep = tokio::time::Sleep;
    type Task<T>
        = Task<T>
    where
        T: Send + 'static;

    fn register_io_source(&self, source: IoSource) -> io::Result<Registration> {
        Registration::new(source)
    }

    fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration)
    }

    fn spawn<T>(&self, _: &str, future: impl Future<Output = T> + Send + 'static) -> Task<T>
    where
        T: Send + 'static,
    {
        Task { handle: tokio::spawn(future), detached: false }
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<IoSource> {
        Ok(IoSource::from(OwnedFd::from(TcpStream::connect(address).await?.into_std()?)))
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<IoSource> {
        loop {
            // An abstract name (a leading NUL) is taken as well.
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(BACKLOG).await,
                connected => return Ok(IoSource::from(OwnedFd::from(connected?.into_std()?))),
            }
        }
    }

    fn spawn_process(
        &self,
        _: Command,
        _: Stdio,
        _: Stdio,
        _: Stdio,
    ) -> io::Result<Pin<Box<dyn Future<Output = io::Result<ExitStatus>> + Send + 'static>>> {
        // Only addresses of the kind `unixexec:` start programs, and a daemon is not to.
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A socket that is watched.
#[derive(Debug)]
pub struct Registration {
    reading: AsyncFd<IoSource>,
    /// There while the socket is full: a duplicate, because one descriptor can be registered once only.
    writing: Mutex<Option<AsyncFd<OwnedFd>>>,
}

impl Registration {
    /// Watches a non-blocking socket for reading.
    pub fn new(source: IoSource) -> io::Result<Registration> {
        // SAFETY: an `IoSource` is an owner of its descriptor, which stays open, and the same, until its last owner is
        // dropped; the `AsyncFd` keeps this one.
        let reading = unsafe { AsyncFd::register_with_interest(source, TokioInterest::READABLE) };
        Ok(Registration { reading: reading.map_err(io::Error::from)?, writing: Mutex::new(None) })
    }

    /// Reads, or waits until there is something to read.
    pub fn poll_read<T>(
        &self,
        context: &mut Context<'_>,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let mut guard = ready!(self.reading.poll_read_ready(context))?;
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                done => return Poll::Ready(done),
            }
        }
    }

    /// Writes, or waits until there is room.
    pub fn poll_write<T>(
        &self,
        context: &mut Context<'_>,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.is_none() {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
        let done = loop {
            let full = match &mut *writing {
                Some(full) => full,
                none => {
                    let duplicate = self.reading.get_ref().as_fd().try_clone_to_owned()?;
                    none.insert(watched(duplicate, TokioInterest::WRITABLE)?)
                }
            };
            let mut guard = ready!(full.poll_write_ready(context))?;
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                done => break done,
            }
        };
        *writing = None;
        Poll::Ready(done)
    }
}

impl AsFd for Registration {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.get_ref().as_fd()
    }
}

impl PollIo for Registration {
    fn poll_io<T>(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
        operation: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match interest {
            Interest::Readable => self.poll_read(context, operation),
            Interest::Writable => self.poll_write(context, operation),
            // There is no third kind that this zbus knows.
            _ => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}

/// A task that ends with its handle, unless it is let go.
#[derive(Debug)]
pub struct Task<T> {
    handle: JoinHandle<T>,
    detached: bool,
}

impl<T: Send + 'static> Future for Task<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        Pin::new(&mut self.handle).poll(context).map_err(io::Error::other)
    }
}

impl<T: Send + 'static> TaskHandle<T> for Task<T> {
    fn detach(mut self) {
        self.detached = true;
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.detached {
            self.handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Registration, UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let registered = Reactor.register_io_source(OwnedFd::from(ours.try_clone().unwrap()).into()).unwrap();
        (registered, ours, theirs)
    }

    #[tokio::test]
    async fn what_fits_is_written_at_once_and_nothing_is_watched_for() {
        let (registered, mut ours, _theirs) = pair();
        let wrote = poll_fn(|context| registered.poll_io(context, Interest::Writable, || ours.write(b"reply"))).await;
        assert_eq!(wrote.unwrap(), 5);
        assert!(registered.writing.lock().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_full_socket_is_written_to_once_its_peer_has_read() {
        let (registered, mut ours, mut theirs) = pair();
        let block = vec![7; 1 << 16];
        let mut filled = 0;
        while let Ok(count) = ours.write(&block) {
            filled += count;
        }
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; filled + 5];
            theirs.read_exact(&mut all).map(|()| all)
        });
        let wrote = poll_fn(|context| registered.poll_io(context, Interest::Writable, || ours.write(b"reply"))).await;
        assert_eq!(wrote.unwrap(), 5);
        assert!(reader.join().unwrap().unwrap().ends_with(b"reply"));
        assert!(registered.writing.lock().unwrap().is_none(), "it is watched although it is not full");
    }

    #[tokio::test]
    async fn a_task_ends_with_its_handle_unless_it_is_let_go() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        drop(Reactor.spawn("kept", async move {
            std::future::pending::<()>().await;
            drop(sender);
        }));
        assert!(receiver.await.is_err(), "it was ended");
        let (sender, receiver) = tokio::sync::oneshot::channel();
        Reactor.spawn("let go", async move { sender.send(5) }).detach();
        assert_eq!(receiver.await, Ok(5));
    }
}
