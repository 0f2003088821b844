//! Frames that messages name: read from the disk or fetched, within a bound of bytes and time, on a task of its own so that
//! no other message waits for it.

use std::sync::Arc;
use std::time::Duration;

use edge_wire::error::ErrorCode;
use tokio::sync::OnceCell;

use super::fetch::{FetchError, Fetched, Fetcher};
use crate::binding::reference::file::{self, FileError};
use crate::binding::reference::{Allow, Allowed, Reference, ReferenceFault};
use crate::driver::clock::Clock;

/// Within that a file must be read: a disk may be one of the network.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    #[error("read the reference")]
    Reference(#[source] ReferenceFault),
    #[error("read the frame")]
    File(#[source] FileError),
    #[error("fetch the frame")]
    Fetch(#[source] FetchError),
    #[error("the disk has not given the frame within {} s", LIMIT.as_secs())]
    Late,
    #[error("read the frame: its thread failed")]
    Thread(#[source] tokio::task::JoinError),
}

impl NamedError {
    /// How the sender is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            NamedError::Reference(ReferenceFault::NotAllowed(_)) => ErrorCode::NotAuthorized,
            NamedError::Reference(ReferenceFault::NotOne | ReferenceFault::Path(_) | ReferenceFault::Url(_))
            | NamedError::File(FileError::Kind(_)) => ErrorCode::InvalidInput,
            NamedError::File(FileError::Large { .. }) | NamedError::Fetch(FetchError::Large { .. }) => {
                ErrorCode::TooLarge
            }
            NamedError::File(FileError::Open { .. } | FileError::Read { .. })
            | NamedError::Fetch(
                FetchError::Setup(_)
                | FetchError::Send { .. }
                | FetchError::Read { .. }
                | FetchError::Status { .. }
                | FetchError::Late { .. }
                | FetchError::Empty { .. },
            )
            | NamedError::Late
            | NamedError::Thread(_) => ErrorCode::Unavailable,
        }
    }
}

/// Reads what messages of one binding name. Copies share their connections.
#[derive(Clone, Debug)]
pub struct Reader {
    allow: Arc<Allow>,
    /// Made when it is needed first: the authorities of the box are a quarter of a megabyte.
    fetcher: Arc<OnceCell<Fetcher>>,
    clock: Clock,
    most: u64,
}

impl Reader {
    /// Frames of at most so many bytes that this list has.
    pub fn new(allow: Allow, clock: Clock, most: u64) -> Reader {
        Reader { allow: Arc::new(allow), fetcher: Arc::default(), clock, most }
    }

    /// The frame that a message names.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn read(&self, message: &[u8]) -> Result<Fetched, NamedError> {
        let reference = Reference::parse(message).map_err(NamedError::Reference)?;
        match self.allow.hold(reference).map_err(NamedError::Reference)? {
            Allowed::File { root, below } => {
                let most = self.most;
                let read = tokio::task::spawn_blocking(move || file::read(&root, &below, most));
                let read = tokio::time::timeout(LIMIT, read).await.map_err(|_| NamedError::Late)?;
                let bytes = read.map_err(NamedError::Thread)?.map_err(NamedError::File)?;
                Ok(Fetched { bytes, content_type: None })
            }
            Allowed::Url(url) => {
                let make = || async { Fetcher::new(None, None, self.clock, self.most) };
                let fetcher = self.fetcher.get_or_try_init(make).await.map_err(NamedError::Fetch)?;
                fetcher.clone().get(&url).await.map_err(NamedError::Fetch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_frame_is_read_by_its_path_or_address_and_every_no_has_its_code() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("1.jpg"), "file").unwrap();
        std::fs::write(dir.path().join("2.jpg"), "larger than ten").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let is_gone = head.starts_with(b"GET /live/gone");
                let status = if is_gone { "404 Not Found" } else { "200 OK" };
                let reply = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: image/jpeg\r\nContent-Length: 6\r\n\r\nserver"
                );
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        let mut allow = Allow::default();
        allow.add(dir.path().to_str().unwrap()).unwrap();
        allow.add(&format!("{url}/live")).unwrap();
        let reader = Reader::new(allow, Clock::start(), 10);
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let file = reader.read(path("1.jpg").as_bytes()).await.unwrap();
        assert_eq!((file.bytes.as_ref(), file.content_type), (b"file".as_ref(), None));
        let fetched = reader.read(format!("{{\"url\": \"{url}/live/1.jpg\"}}").as_bytes()).await.unwrap();
        assert_eq!((fetched.bytes.as_ref(), fetched.content_type.as_deref()), (b"server".as_ref(), Some("image/jpeg")));
        for (message, code) in [
            (path("2.jpg"), ErrorCode::TooLarge),
            (path("gone.jpg"), ErrorCode::Unavailable),
            ("/etc/passwd".into(), ErrorCode::NotAuthorized),
            (format!("{url}/other"), ErrorCode::NotAuthorized),
            (format!("{url}/live/gone"), ErrorCode::Unavailable),
            ("1.jpg".into(), ErrorCode::InvalidInput),
        ] {
            assert_eq!(reader.read(message.as_bytes()).await.unwrap_err().code(), code, "{message}");
        }
    }
}
