//! Payloads in pipes, sockets and files: copied to their end before the request is handed in, into a sealed memfd.
//!
//! A pipe gives its bytes when whoever holds the other end likes, and gives them once; a file may change at any time, and its disk may
//! be slow. So nothing that serves others waits for them: not a decoder of the engine host, nor a place in the queue. From here on the
//! request is like any other: its size is known, what is looked into is what runs or leaves, and after a crash of the host its payload
//! is still there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use edge_engine::memfile;
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use rustix::fs::{FileType, MemfdFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::client::Client;
use super::error::{internal, overloaded};
use super::service::Service;
use crate::driver::clock::{Clock, rfc3339, wall};
use crate::request::{Blob, Failure, Payload, Reply, Request};

/// How long a pipe or socket may take to give all its bytes, if the deadline is not sooner.
const PATIENCE: Duration = Duration::from_secs(5);
/// Read at once by all callers together; of one caller see [`Client::open_stream`].
const MOST: usize = 64;
/// As many payloads of the largest size may lie half read.
const MOST_LARGE: u64 = 4;
const CHUNK: usize = 64 << 10;
/// Files that are copied at once for all callers together; those of others wait. Of one caller see [`Client::open_file`].
const MOST_FILES: usize = 16;

/// What may be read at once.
#[derive(Debug)]
pub struct Streams {
    places: Arc<Semaphore>,
    /// Chunks that lie half read.
    chunks: Arc<Semaphore>,
    files: Arc<Semaphore>,
}

impl Streams {
    /// Room for payloads of at most `largest` bytes.
    pub fn new(largest: u64) -> Streams {
        let chunks = usize::try_from(largest.saturating_mul(MOST_LARGE)).unwrap_or(usize::MAX).div_ceil(CHUNK);
        let chunks = chunks.min(Semaphore::MAX_PERMITS);
        Streams {
            places: Arc::new(Semaphore::new(MOST)),
            chunks: Arc::new(Semaphore::new(chunks)),
            files: Arc::new(Semaphore::new(MOST_FILES)),
        }
    }
}

/// What a payload is copied from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream,
    File,
}

/// Hands a request in, once its payload has been copied if that may change or is yet to come.
pub fn submit(
    service: &Arc<Service>,
    client: &Arc<Client>,
    request: Request,
) -> Result<oneshot::Receiver<Reply>, Failure> {
    let Some((source, fd, most)) = source_of(&request) else { return service.handle.submit(request) };
    let places = match source {
        // Pipes may give nothing for seconds: nobody waits for those of others.
        Source::Stream => {
            let of_one = client.open_stream()?;
            let place = service.streams.places.clone().try_acquire_owned();
            let full = |_| overloaded("too many payloads are being read from pipes and sockets");
            Some((of_one, place.map_err(full)?))
        }
        Source::File => None,
    };
    let (reply, receiver) = oneshot::channel();
    let (service, client) = (service.clone(), client.clone());
    tokio::spawn(async move {
        let info = Info {
            request_id: request.options.request_id.clone().unwrap_or_default(),
            received_at: rfc3339(wall()),
            ..Info::default()
        };
        let copied = async {
            match source {
                Source::Stream => read(fd, most, &service.streams).await,
                Source::File => file(fd, most, &service.streams, &client).await.map(|copy| (copy, None)),
            }
        };
        let read = tokio::select! {
            read = in_time(request, copied) => read,
            // Nobody wants it any more.
            () = client.left() => return,
        };
        drop(places);
        let result = match read.and_then(|request| service.handle.submit(request)) {
            Ok(answer) => answer.await.unwrap_or_else(|_| Reply { result: Err(internal("no reply")), info }),
            Err(failure) => Reply { result: Err(failure), info },
        };
        // A caller that is gone does not want its reply.
        drop(reply.send(result));
    });
    Ok(receiver)
}

/// What a request's payload is to be copied from, if it is, and how much it may give.
fn source_of(request: &Request) -> Option<(Source, Arc<OwnedFd>, u64)> {
    let Payload::Encoded { data: Blob::Unsealed { fd, max_len }, .. } = &request.payload else { return None };
    let source = match FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode) {
        FileType::Fifo | FileType::Socket => Source::Stream,
        FileType::RegularFile => Source::File,
        _ => return None,
    };
    Some((source, fd.clone(), *max_len))
}

/// The same request with its payload at hand and its deadline nearer.
async fn in_time(
    mut request: Request,
    copied: impl Future<Output = Result<(Blob, Option<OwnedSemaphorePermit>), Failure>>,
) -> Result<Request, Failure> {
    let clock = Clock::start();
    let start = clock.now();
    let deadline = request.options.deadline_ms.map(Duration::from_millis);
    let patience = deadline.unwrap_or(PATIENCE).min(PATIENCE);
    let (read, _held) = match tokio::time::timeout(patience, copied).await {
        Ok(read) => read?,
        Err(_) if patience < PATIENCE => {
            let text = "deadline_ms: passed before the payload's descriptor gave its end";
            return Err(Failure::new(ErrorCode::DeadlineExceeded, text));
        }
        Err(_) => {
            let text = format!("payload: its descriptor gave no end within {} ms", PATIENCE.as_millis());
            return Err(Failure::invalid(text));
        }
    };
    let took = u64::try_from(clock.now().since(start).as_millis()).unwrap_or(u64::MAX);
    request.options.deadline_ms = request.options.deadline_ms.map(|ms| ms.saturating_sub(took));
    if let Payload::Encoded { data, .. } = &mut request.payload {
        *data = read;
    }
    Ok(request)
}

/// All bytes of a pipe or socket in a sealed memfd.
///
/// The descriptor cannot be made non-blocking, because its owner shares it; and another reader of the same pipe may
/// take what was announced. So every single read is told not to wait.
async fn read(fd: Arc<OwnedFd>, most: u64, streams: &Streams) -> Result<(Blob, Option<OwnedSemaphorePermit>), Failure> {
    let file = fresh()?;
    // SAFETY: the `Arc` in it keeps the descriptor open, and the same, until the `AsyncFd` is dropped.
    let source = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|error| failed("watch a descriptor", &std::io::Error::from(error)))?;
    let mut chunk = Vec::new();
    let (mut len, mut room, mut held) = (0u64, 0, None::<OwnedSemaphorePermit>);
    loop {
        let mut ready = source.readable().await.map_err(|error| failed("watch a descriptor", &error))?;
        if room == 0 {
            let more = streams.chunks.clone().try_acquire_owned();
            let more = more.map_err(|_| overloaded("too much lies half read from pipes and sockets"))?;
            room = CHUNK;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
        }
        match pull(source.get_ref(), &file, room, &mut chunk) {
            Ok(0) => break,
            Ok(taken) => {
                len += taken as u64;
                room = room.saturating_sub(taken);
            }
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::invalid(format!("payload: read its descriptor: {error}"))),
        }
        if len > most {
            return Err(too_large(most));
        }
    }
    Ok((finished(file, len, most)?, held))
}

/// All bytes of a file in a sealed memfd, once others have been copied. A disk that hangs keeps its thread, and its places with it.
async fn file(fd: Arc<OwnedFd>, most: u64, streams: &Streams, client: &Client) -> Result<Blob, Failure> {
    let of_one = client.open_file().await?;
    let place = streams.files.clone().acquire_owned().await;
    let place = place.map_err(|error| failed("wait for others", &error))?;
    let copied = tokio::task::spawn_blocking(move || {
        let copied = copy(&fd, most);
        drop((of_one, place));
        copied
    });
    copied.await.map_err(|error| failed("copy a file", &error))?
}

/// Where its owner reads next does not matter: a file is copied from its beginning.
fn copy(fd: &OwnedFd, most: u64) -> Result<Blob, Failure> {
    let file = fresh()?;
    let (mut chunk, mut len) = (vec![0; CHUNK], 0_u64);
    loop {
        let read = match rustix::io::pread(fd, &mut chunk[..], len) {
            Ok(0) => return finished(file, len, most),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(Failure::invalid(format!("payload: read its descriptor: {error}"))),
        };
        len += read as u64;
        if len > most {
            return Err(too_large(most));
        }
        write_all(&file, chunk.get(..read).unwrap_or_default()).map_err(|error| failed("fill a memfd", &error))?;
    }
}

fn fresh() -> Result<OwnedFd, Failure> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    rustix::fs::memfd_create("edged-payload", flags).map_err(|error| failed("make a memfd", &error))
}

fn finished(file: OwnedFd, len: u64, most: u64) -> Result<Blob, Failure> {
    if len == 0 {
        return Err(Failure::invalid(format!("the payload is empty; it takes 1 to {most} bytes")));
    }
    memfile::seal(&file).map_err(|error| failed("seal a memfd", &error))?;
    Ok(Blob::Sealed { fd: Arc::new(file), offset: 0, len })
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    internal(format!("{what} for a payload: {error}"))
}

fn too_large(most: u64) -> Failure {
    Failure::new(ErrorCode::TooLarge, format!("payload: more than the {most} bytes that it takes"))
}

/// Moves what is there, `most` bytes of it, to the end of `file`; 0 at the end.
fn pull(source: impl AsFd, file: &OwnedFd, most: usize, chunk: &mut Vec<u8>) -> Result<usize, Errno> {
    match splice(&source, None, file, None, most, SpliceFlags::NONBLOCK) {
        // Sockets that cannot splice, and those that are no streams.
        Err(Errno::INVAL) => {}
        moved => return moved,
    }
    chunk.resize(most, 0);
    let (read, _) = rustix::net::recv(&source, &mut chunk[..], RecvFlags::DONTWAIT)?;
    write_all(file, chunk.get(..read).unwrap_or_default())?;
    Ok(read)
}

fn write_all(file: &OwnedFd, mut rest: &[u8]) -> Result<(), Errno> {
    while !rest.is_empty() {
        let written = rustix::io::write(file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::transport::dbus::descriptor;

    async fn bytes_of(fd: OwnedFd, most: u64) -> Result<bytes::Bytes, Failure> {
        let streams = Streams::new(most);
        let (blob, held) = read(Arc::new(fd), most, &streams).await?;
        assert!(matches!(&blob, Blob::Sealed { fd, len, .. } if memfile::check(fd).unwrap() == *len));
        drop(held);
        assert_eq!(streams.chunks.available_permits(), Streams::new(most).chunks.available_permits());
        descriptor::read("payload", &blob)
    }

    #[tokio::test]
    async fn a_pipe_and_a_socket_are_read_to_their_end() {
        let (from, into) = rustix::pipe::pipe().unwrap();
        let writer = std::thread::spawn(move || File::from(into).write_all(&[3; 300_000]));
        assert_eq!(bytes_of(from, 300_000).await.unwrap(), vec![3; 300_000]);
        writer.join().unwrap().unwrap();

        let (from, mut into) = UnixStream::pair().unwrap();
        into.write_all(b"hello").unwrap();
        drop(into);
        assert_eq!(bytes_of(from.into(), 5).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn too_much_and_nothing_are_refused_by_name() {
        for (content, code, said) in
            [(&[1; 11][..], ErrorCode::TooLarge, "10 bytes"), (&[], ErrorCode::InvalidInput, "empty")]
        {
            let (from, into) = rustix::pipe::pipe().unwrap();
            File::from(into).write_all(content).unwrap();
            let no = bytes_of(from, 10).await.unwrap_err();
            assert!(no.code == code && no.message.contains(said), "{}", no.message);
        }
    }

    #[test]
    fn a_file_is_copied_once_from_its_beginning_and_changes_no_more() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[3; 300_000]).unwrap();
        let fd = OwnedFd::from(file.try_clone().unwrap());
        let copied = copy(&fd, 300_000).unwrap();
        assert!(matches!(&copied, Blob::Sealed { fd, len: 300_000, .. } if memfile::check(fd).unwrap() == 300_000));
        file.set_len(0).unwrap();
        assert_eq!(descriptor::read("payload", &copied).unwrap(), vec![3; 300_000]);
        for (most, code) in [(10, ErrorCode::InvalidInput), (2, ErrorCode::TooLarge)] {
            let no = copy(&fd, most).unwrap_err();
            assert!(no.code == code && no.message.contains(&most.to_string()), "{}", no.message);
            // Behind the place where it is read next, it has three bytes now.
            file.set_len(3).unwrap();
        }
    }

    #[tokio::test]
    async fn what_lies_half_read_is_bounded_for_all_together() {
        let streams = Streams::new(10);
        let _others: Vec<_> = std::iter::from_fn(|| streams.chunks.clone().try_acquire_owned().ok()).collect();
        let (from, into) = rustix::pipe::pipe().unwrap();
        File::from(into).write_all(b"x").unwrap();
        let no = read(Arc::new(from), 10, &streams).await.err().unwrap();
        assert_eq!((no.code, no.retry_after_ms), (ErrorCode::Overloaded, Some(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_says_nothing_is_given_up_in_time_and_its_time_counts() {
        let request = |fd: OwnedFd, deadline_ms| Request {
            caller: crate::request::Caller::Bus { name: ":1.1".into(), uid: 0 },
            topic: "".into(),
            model: "m".into(),
            options: crate::request::Options { deadline_ms, ..Default::default() },
            payload: Payload::Encoded {
                content_type: "image/png".into(),
                data: Blob::Unsealed { fd: Arc::new(fd), max_len: 10 },
            },
            want: edge_engine::protocol::Want::Inline,
            deaths: 0,
            reached: edge_core::Zone::Device,
            stream: None,
        };
        let streams = Streams::new(10);
        for (deadline, code) in [(Some(100), ErrorCode::DeadlineExceeded), (None, ErrorCode::InvalidInput)] {
            let (from, _into) = rustix::pipe::pipe().unwrap();
            let request = request(from, deadline);
            let (source, fd, most) = source_of(&request).unwrap();
            assert_eq!(source, Source::Stream);
            let no = in_time(request, read(fd, most, &streams)).await.unwrap_err();
            assert_eq!(no.code, code, "{}", no.message);
        }
    }
}
