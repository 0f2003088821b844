//! Servers that do what a test tells them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A connection, with TLS or without.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The first line and the headers, names in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().skip(1).find(|line| line.split(':').next() == Some(name))?;
        Some(line.split_once(':')?.1.trim())
    }

    /// Method and path.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
    }
}

/// Where a server listens, and how many connections it has had.
#[derive(Clone, Debug)]
pub struct Server {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Serves every connection with `each`.
pub async fn serve<F, T>(each: F) -> Server
where
    F: Fn(TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { port: listener.local_addr().unwrap().port(), connections: Arc::default() };
    let connections = Arc::clone(&server.connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            stream.set_nodelay(true).unwrap();
            tokio::spawn(each(stream));
        }
    });
    server
}

/// Answers every request by what `answer` makes of it, and keeps the connections.
pub async fn answering<F>(answer: F) -> Server
where
    F: Fn(&Request) -> Vec<u8> + Clone + Send + 'static,
{
    serve(move |stream| keep(stream, answer.clone())).await
}

/// Answers one request after the other.
pub async fn keep(mut stream: impl Io, answer: impl Fn(&Request) -> Vec<u8> + Send) {
    while let Some(request) = read(&mut stream).await {
        if stream.write_all(&answer(&request)).await.is_err() {
            return;
        }
    }
}

/// Answers the first request of every connection with these bytes, and closes.
pub async fn closing(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes: Vec<u8> = bytes.into();
    serve(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            read(&mut stream).await;
            // The other side may have heard enough.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

/// One request; none when the connection has ended.
pub async fn read(stream: &mut impl Io) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(head_len);
    let text = String::from_utf8(bytes).unwrap();
    let head: Vec<String> = text.trim_end().lines().map(lower).collect();
    let mut request = Request { head: head.join("\n"), body: Vec::new() };
    let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    while body.len() < len {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    request.body = body;
    Some(request)
}

fn lower(line: &str) -> String {
    match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    }
}

/// An answer with a body and these headers, each with its line end.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// 200 with JSON.
pub fn json(body: &str) -> Vec<u8> {
    response("200 OK", "Content-Type: application/json\r\n", body.as_bytes())
}
