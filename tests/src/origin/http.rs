//! As much of HTTP/1.1 as a client that fetches files needs.

use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Asked, Body, Fault, Script, Served};

/// Bytes that are sent at a time.
const PIECE: usize = 64 << 10;
/// Largest head of a request.
const MOST_HEAD: usize = 64 << 10;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Serves one connection until its end; how it ends is the client's to say.
pub async fn serve(stream: TcpStream, by_tls: bool, acceptor: TlsAcceptor, script: Arc<Mutex<Script>>) {
    if by_tls {
        if let Ok(mut stream) = acceptor.accept(stream).await {
            while answer(&mut stream, &script).await.unwrap_or(false) {}
        }
        return;
    }
    let mut stream = stream;
    while let Ok(more) = answer(&mut stream, &script).await {
        let tunnel = || Some(last(&script)?.method == "CONNECT");
        if tunnel().unwrap_or(false) {
            // A proxy to itself: what it is asked for through the tunnel it serves.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                while answer(&mut stream, &script).await.unwrap_or(false) {}
            }
            return;
        }
        if !more {
            return;
        }
    }
}

fn last(script: &Mutex<Script>) -> Option<Asked> {
    script.lock().ok()?.asked.last().cloned()
}

/// Answers one request; whether another one may follow.
async fn answer(stream: &mut impl Io, script: &Mutex<Script>) -> Result<bool> {
    let asked = request(stream).await?;
    let (served, fault) = {
        let mut script = script.lock().ok().context("the script")?;
        script.asked.push(asked.clone());
        let path = asked.path.split('?').next().unwrap_or_default();
        match script.served.get_mut(path) {
            Some(served) => {
                let fault = served.faults.pop_front().or_else(|| served.always.clone());
                (Some(served.clone()), fault)
            }
            None => (None, None),
        }
    };
    if asked.method == "CONNECT" {
        return head(stream, 200, &[]).await.map(|()| true);
    }
    let Some(served) = served else { return short(stream, 404, &[]).await };
    match &fault {
        Some(Fault::Status(status, header)) => {
            let headers: Vec<String> =
                Some((*header).to_owned()).filter(|header| !header.is_empty()).into_iter().collect();
            return short(stream, *status, &headers).await;
        }
        Some(Fault::Redirect(to)) => return short(stream, 302, &[format!("Location: {to}")]).await,
        _ => {}
    }
    if let Some((shown, otherwise)) = &served.guard
        && asked.header("authorization") != shown
    {
        return short(stream, 401, &[format!("WWW-Authenticate: {otherwise}")]).await;
    }
    content(stream, script, &asked, &served, fault).await
}

async fn content(
    stream: &mut impl Io,
    script: &Mutex<Script>,
    asked: &Asked,
    served: &Served,
    fault: Option<Fault>,
) -> Result<bool> {
    let total = match &served.body {
        Body::File(path) => std::fs::metadata(path)?.len(),
        Body::Text(text) => text.len() as u64,
    };
    let fits = || matches!(asked.header("if-range"), "") || asked.header("if-range") == served.tag;
    let first = asked.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok());
    let first: Option<u64> = first.filter(|_| served.ranges && fits());
    if first.is_some_and(|first| first >= total) {
        return short(stream, 416, &[format!("Content-Range: bytes */{total}")]).await;
    }
    let from = first.unwrap_or(0);
    let left = total - from;
    let announced = match fault {
        Some(Fault::Longer(more)) => Some(left + more),
        Some(Fault::Shorter(less)) => Some(left.saturating_sub(less)),
        Some(Fault::Unannounced) => None,
        _ => Some(left),
    };
    let mut headers = vec![format!("ETag: {}", served.tag)];
    headers.push(announced.map_or_else(|| "Connection: close".into(), |bytes| format!("Content-Length: {bytes}")));
    if first.is_some() {
        headers.push(format!("Content-Range: bytes {from}-{}/{total}", total - 1));
    }
    head(stream, if first.is_some() { 206 } else { 200 }, &headers).await?;
    let most = match fault {
        Some(Fault::Cut(bytes) | Fault::Stall(bytes)) => bytes.min(left),
        _ => left,
    };
    let file = match &served.body {
        Body::File(path) => Some(std::fs::File::open(path)?),
        Body::Text(text) => {
            stream.write_all(text.as_bytes().get(usize::try_from(from)?..).unwrap_or_default()).await?;
            None
        }
    };
    let (mut sent, mut piece) = (0, vec![0; PIECE]);
    while let Some(file) = file.as_ref().filter(|_| sent < most) {
        let wanted = usize::try_from(most - sent)?.min(PIECE);
        let read = file.read_at(&mut piece[..wanted], from + sent)?;
        stream.write_all(&piece[..read]).await?;
        sent += read as u64;
        script.lock().ok().context("the script")?.sent += read as u64;
    }
    stream.flush().await?;
    if let Some(Fault::Stall(_)) = fault {
        // Until the client has enough of it.
        let mut end = [0];
        while stream.read(&mut end).await? > 0 {}
    }
    Ok(announced == Some(left) && most == left)
}

async fn short(stream: &mut impl Io, status: u16, headers: &[String]) -> Result<bool> {
    let mut headers = headers.to_vec();
    headers.push("Content-Length: 0".into());
    head(stream, status, &headers).await.map(|()| true)
}

async fn head(stream: &mut impl Io, status: u16, headers: &[String]) -> Result<()> {
    let mut text = format!("HTTP/1.1 {status} X\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    Ok(stream.flush().await?)
}

async fn request(stream: &mut impl Io) -> Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MOST_HEAD {
            bail!("a request without an end");
        }
        head.push(stream.read_u8().await?);
        // One who speaks TLS is told so in the words of this side, as servers do.
        if head == [0x16] {
            short(stream, 400, &[]).await?;
            bail!("TLS where there is none");
        }
    }
    let text = String::from_utf8(head)?;
    let mut lines = text.lines();
    let mut first = lines.next().context("a request")?.split(' ');
    let (method, path) = (first.next().context("a method")?, first.next().context("a path")?);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_lowercase(), value.trim().to_owned()))
    };
    Ok(Asked { method: method.into(), path: path.into(), headers: lines.filter_map(header).collect() })
}
