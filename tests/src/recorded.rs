//! A server that says what real ones said (`tests/peers/recorded`), or anything else byte for byte: at once, slowly, in part,
//! without end. What it was asked it keeps, bodies included.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::places;
use crate::secrets::Pair;

/// Largest head, and largest body, of a request.
const MOST_HEAD: usize = 64 << 10;
const MOST_BODY: usize = 64 << 20;
/// Requests that are kept.
const MOST_ASKED: usize = 10_000;
/// Bytes of filling that are sent at a time.
const PIECE: usize = 64 << 10;

/// One recorded exchange, as it went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub request: Vec<u8>,
    pub response: Vec<u8>,
}

/// What `server` (`mlserver`, `kserve`, `openai`, `openai-guarded`) said in the exchange `name`.
pub fn exchange(server: &str, name: &str) -> Result<Exchange> {
    let place = places::repository().join("tests/peers/recorded").join(server);
    let read = |kind: &str| {
        let path = place.join(format!("{name}.{kind}"));
        std::fs::read(&path).with_context(|| format!("no recorded exchange {}", path.display()))
    };
    Ok(Exchange { request: read("request")?, response: read("response")? })
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All of it, then the end.
    AtOnce,
    /// One byte at a time, with this pause after each.
    Bytewise(Duration),
    /// So many bytes, and then the end.
    Cut(usize),
    /// So many bytes, and then nothing more until the client goes.
    Stall(usize),
    /// So many bytes, and then a reset.
    Reset(usize),
    /// All of it, and then so many more bytes of filling.
    Filled(u64),
}

/// An answer: bytes with head and body, and how they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub bytes: Vec<u8>,
    pub pace: Pace,
}

impl Answer {
    /// These bytes, at once.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer { bytes: bytes.into(), pace: Pace::AtOnce }
    }

    /// What a real server said.
    pub fn recorded(server: &str, name: &str) -> Result<Answer> {
        Ok(Answer::raw(exchange(server, name)?.response))
    }

    /// A status with headers (`Name: value`) and a body; length and end of the connection are added.
    pub fn status(status: u16, headers: &[&str], body: &[u8]) -> Answer {
        let mut bytes = format!("HTTP/1.1 {status} X\r\n").into_bytes();
        for header in headers {
            bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        Answer::raw(bytes)
    }

    /// The same at another pace.
    pub fn paced(mut self, pace: Pace) -> Answer {
        self.pace = pace;
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Script {
    /// By method and path; the last answer stays.
    answers: BTreeMap<String, VecDeque<Answer>>,
    asked: Vec<Asked>,
}

/// A running one; it ends with this process.
#[derive(Clone, Debug)]
pub struct Recorded {
    port: u16,
    by_tls: bool,
    script: Arc<Mutex<Script>>,
}

impl Recorded {
    /// Starts one without TLS. Whatever has no answer is 404.
    pub fn start() -> Result<Recorded> {
        Recorded::begin(None)
    }

    /// Starts one that speaks TLS with this certificate.
    pub fn start_tls(pair: &Pair) -> Result<Recorded> {
        let config = crate::origin::tls(pair)?;
        Recorded::begin(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn begin(acceptor: Option<TlsAcceptor>) -> Result<Recorded> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let script = Arc::new(Mutex::new(Script::default()));
        let recorded = Recorded { port, by_tls: acceptor.is_some(), script: Arc::clone(&script) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("recorded".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&script)));
                }
            });
        })?;
        Ok(recorded)
    }

    /// What a site's `url` would be. With TLS the host is the name in the certificates of these tests.
    pub fn url(&self) -> String {
        if self.by_tls { format!("https://localhost:{}", self.port) } else { format!("http://127.0.0.1:{}", self.port) }
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers this to the next such requests, one each; the last one to all that follow. What was there before is forgotten.
    pub fn answer(&self, method: &str, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.lock().answers.insert(format!("{method} {path}"), answers.into_iter().collect());
    }

    /// Answers as a real server did, to the request that was recorded with it.
    pub fn replay(&self, server: &str, names: &[&str]) -> Result<()> {
        for name in names {
            let exchange = exchange(server, name)?;
            let line = exchange.request.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            let mut words = line.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().context("a path")?);
            self.answer(method, path, [Answer::raw(exchange.response)]);
        }
        Ok(())
    }

    /// What it was asked since the last time.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        // A test that failed while it held this has said so itself.
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, script: Arc<Mutex<Script>>) {
    // How a connection ends is the client's to say.
    let _ended: Result<()> = match acceptor {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(mut stream) => converse(&mut stream, &script).await.map(drop),
            Err(fault) => Err(fault.into()),
        },
        None => {
            let mut stream = stream;
            let reset = converse(&mut stream, &script).await;
            if matches!(reset, Ok(true)) {
                stream.set_zero_linger().ok();
            }
            reset.map(drop)
        }
    };
}

/// One request and its answer; whether the connection is to be reset.
async fn converse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), script: &Mutex<Script>) -> Result<bool> {
    let asked = request(stream).await?;
    let answer = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{} {}", asked.method, asked.path);
        if script.asked.len() < MOST_ASKED {
            script.asked.push(asked);
        }
        let answers = script.answers.get_mut(&key);
        answers.and_then(|answers| if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() })
    };
    let answer = answer.unwrap_or_else(|| Answer::status(404, &[], b""));
    play(stream, &answer).await?;
    let reset = matches!(answer.pace, Pace::Reset(_));
    if !reset {
        stream.shutdown().await?;
    }
    Ok(reset)
}

async fn play(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &Answer) -> Result<()> {
    let some = |most: usize| answer.bytes.get(..most).unwrap_or(&answer.bytes);
    match answer.pace {
        Pace::AtOnce => stream.write_all(&answer.bytes).await?,
        Pace::Cut(most) | Pace::Reset(most) | Pace::Stall(most) => stream.write_all(some(most)).await?,
        Pace::Bytewise(pause) => {
            for byte in &answer.bytes {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
        Pace::Filled(more) => {
            stream.write_all(&answer.bytes).await?;
            let filling = vec![b' '; PIECE];
            let mut left = more;
            while left > 0 {
                let piece = usize::try_from(left.min(PIECE as u64))?;
                stream.write_all(&filling[..piece]).await?;
                left -= piece as u64;
            }
        }
    }
    stream.flush().await?;
    if let Pace::Stall(_) = answer.pace {
        let mut end = [0];
        while stream.read(&mut end).await? > 0 {}
    }
    Ok(())
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < MOST_HEAD, "a request without an end");
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8(head)?;
    let mut lines = text.lines();
    let mut first = lines.next().context("a request")?.split(' ');
    let (method, path) = (first.next().context("a method")?, first.next().context("a path")?);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
    let body = match headers.get("content-length") {
        Some(length) => {
            let length: usize = length.parse().with_context(|| format!("content-length {length}"))?;
            ensure!(length <= MOST_BODY, "a body of {length} bytes");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            body
        }
        None if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") => chunks(stream).await?,
        None => Vec::new(),
    };
    Ok(Asked { method: method.into(), path: path.into(), headers, body })
}

async fn chunks(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            ensure!(line.len() < 64, "a chunk without a size");
            line.push(stream.read_u8().await?);
        }
        let size = usize::from_str_radix(String::from_utf8(line)?.trim(), 16)?;
        ensure!(body.len() + size <= MOST_BODY, "a body beyond {MOST_BODY} bytes");
        let (from, mut end) = (body.len(), [0; 2]);
        body.resize(from + size, 0);
        stream.read_exact(&mut body[from..]).await?;
        stream.read_exact(&mut end).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn ask(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(request)?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).map(|_| said)
    }

    #[test]
    fn what_real_servers_said_is_said_again_byte_for_byte() {
        let server = Recorded::start().unwrap();
        for (kind, name) in [("kserve", "infer-binary"), ("mlserver", "infer-json"), ("openai", "chat-stream-usage")] {
            server.replay(kind, &[name]).unwrap();
            let exchange = exchange(kind, name).unwrap();
            assert_eq!(ask(server.port(), &exchange.request).unwrap(), exchange.response);
            let asked = server.take();
            assert!(exchange.request.ends_with(&asked[0].body) && !asked[0].body.is_empty());
        }
        assert!(ask(server.port(), b"GET /other HTTP/1.1\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 404"));
    }

    #[test]
    fn answers_come_one_by_one_and_the_last_one_stays() {
        let server = Recorded::start().unwrap();
        server.answer("GET", "/x", [503, 200].map(|status| Answer::status(status, &[], b"")));
        let statuses = [0; 3].map(|_| ask(server.port(), b"GET /x HTTP/1.1\r\n\r\n").unwrap()[9..12].to_vec());
        assert_eq!(statuses, [*b"503", *b"200", *b"200"]);
    }

    #[test]
    fn an_answer_is_cut_reset_and_filled_as_told() {
        let server = Recorded::start().unwrap();
        let asked = b"GET /x HTTP/1.1\r\n\r\n";
        let with = |pace| server.answer("GET", "/x", [Answer::raw("0123456789").paced(pace)]);
        with(Pace::Cut(4));
        assert_eq!(ask(server.port(), asked).unwrap(), b"0123");
        with(Pace::Bytewise(Duration::ZERO));
        assert_eq!(ask(server.port(), asked).unwrap(), b"0123456789");
        with(Pace::Filled(1 << 20));
        assert_eq!(ask(server.port(), asked).unwrap().len(), 10 + (1 << 20));
        with(Pace::Reset(4));
        let fault = ask(server.port(), asked).unwrap_err();
        assert_eq!(fault.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
