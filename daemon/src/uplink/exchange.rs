//! One question over HTTP and its answer: what each status means, what an error of the connection means, and how much is read.
//! Knows nothing of tensors or chats.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Body, Method, Response, Url};

use super::connect::METER;
use super::error::{Phase, UplinkError};
use super::meter::{Meter, Pieces};
use super::said::{self, Quoted};
use super::site::Reach;
use crate::driver::clock;
use crate::http::cause::{self, Certificate};
use crate::http::{host, shown};

/// What is read of an answer that is no success, bytes: the sentence in it, not the page around it.
const MOST_SAID: u64 = 16 << 10;
/// An answer that tells its size has its memory at once, up to this much; what is larger grows.
const AT_ONCE: u64 = 8 << 20;

/// What is asked.
pub(super) struct Question {
    pub method: Method,
    pub url: Url,
    pub content_type: Option<&'static str>,
    pub header: Option<(HeaderName, HeaderValue)>,
    pub body: Vec<Bytes>,
}

impl Question {
    /// Asks for what is at `url`.
    pub fn get(url: Url) -> Question {
        Question { method: Method::GET, url, content_type: None, header: None, body: Vec::new() }
    }
}

/// Asks; gives an answer of status 200 whose body is still to be read.
pub(super) async fn ask(reach: &Reach, meter: &Arc<Meter>, question: Question) -> Result<Response, UplinkError> {
    let url = question.url.clone();
    let mut request = reach.client.request(question.method, question.url);
    if let Some(content_type) = question.content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    if let Some((name, value)) = question.header {
        request = request.header(name, value);
    }
    if let Some(shown) = &reach.shown {
        request = request.header(AUTHORIZATION, shown.clone());
    }
    request = request.body(Body::wrap(Pieces::new(question.body, Arc::clone(meter))));
    let answer = METER.scope(Arc::clone(meter), request.send()).await;
    let answer = answer.map_err(|error| of_error(reach, meter, &url, error))?;
    if answer.status().as_u16() != 200 {
        return Err(of_status(reach, meter, &url, answer).await);
    }
    match answer.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(answer),
        Some(other) => {
            let other = Quoted(&String::from_utf8_lossy(other)).to_string();
            Err(reach.garbage(format!("the answer is compressed ({other}), which was not asked for")))
        }
    }
}

/// The next bytes of an answer, or none at its end.
pub(super) async fn more(
    reach: &Reach,
    meter: &Arc<Meter>,
    answer: &mut Response,
) -> Result<Option<Bytes>, UplinkError> {
    let piece = answer.chunk().await.map_err(|error| of_body(reach, meter, &error))?;
    if let Some(piece) = &piece {
        meter.received(piece.len());
    }
    Ok(piece)
}

/// The whole body of an answer.
pub(super) async fn whole(
    reach: &Reach,
    meter: &Arc<Meter>,
    mut answer: Response,
    most: u64,
) -> Result<Bytes, UplinkError> {
    let too_large = |bytes| UplinkError::TooLarge { site: Arc::clone(&reach.name), bytes, most };
    let told = answer.content_length();
    if told.is_some_and(|told| told > most) {
        return Err(too_large(told));
    }
    let Some(first) = more(reach, meter, &mut answer).await? else { return Ok(Bytes::new()) };
    meter.begun();
    if told == Some(first.len() as u64) {
        return Ok(first);
    }
    let room = usize::try_from(told.unwrap_or_default().min(AT_ONCE)).unwrap_or_default();
    let mut all = BytesMut::with_capacity(room.max(first.len()));
    let mut next = Some(first);
    while let Some(piece) = next {
        if all.len() as u64 + piece.len() as u64 > most {
            return Err(too_large(None));
        }
        all.extend_from_slice(&piece);
        next = more(reach, meter, &mut answer).await?;
    }
    Ok(all.freeze())
}

/// What an answer means that is no success.
async fn of_status(reach: &Reach, meter: &Arc<Meter>, url: &Url, mut answer: Response) -> UplinkError {
    let site = Arc::clone(&reach.name);
    let status = answer.status().as_u16();
    if (300..400).contains(&status) && status != 304 {
        let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| url.join(to).ok());
        let to = to.map_or_else(|| "no address".to_owned(), |to| Quoted(&shown(&to)).to_string());
        return UplinkError::Redirected { site, status, to };
    }
    let header = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(|text| said::retry_after(text, header(DATE), clock::wall()));
    let message = said::message(&words(reach, meter, &mut answer).await);
    match status {
        401 if reach.shown.is_none() => {
            UplinkError::Credential { site, cause: "it asks who this box is (401): set the site's `credential`".into() }
        }
        401 => {
            UplinkError::Credential { site, cause: said::with("it does not take the token (401): renew it", &message) }
        }
        403 => UplinkError::Credential { site, cause: said::with("it does not let this box do that (403)", &message) },
        407 => UplinkError::Credential { site, cause: said::PROXY_ASKS.into() },
        429 => UplinkError::Busy { site, status, message, retry_after },
        503 if retry_after.is_some() => UplinkError::Busy { site, status, message, retry_after },
        // A server that ran out of time may have more of it later.
        408 | 425 | 500.. => UplinkError::Server { site, status, message },
        400..500 => UplinkError::Rejected { site, status, message },
        _ => UplinkError::Garbage { site, why: format!("status {status}, which nobody expected") },
    }
}

/// The beginning of what is said with a failure; as far as it comes.
async fn words(reach: &Reach, meter: &Arc<Meter>, answer: &mut Response) -> Vec<u8> {
    let mut said = Vec::new();
    while (said.len() as u64) < MOST_SAID {
        match more(reach, meter, answer).await {
            Ok(Some(piece)) => said.extend_from_slice(&piece),
            // The status is what counts: what broke behind it would only hide it.
            Ok(None) | Err(_) => break,
        }
    }
    said.truncate(usize::try_from(MOST_SAID).unwrap_or(usize::MAX));
    said
}

/// What an error before the answer means.
fn of_error(reach: &Reach, meter: &Arc<Meter>, url: &Url, error: reqwest::Error) -> UplinkError {
    // An address may hold a secret in its query.
    let error = error.without_url();
    let (site, at) = (Arc::clone(&reach.name), host(url));
    if let Some(tls) = cause::tls_error(&error) {
        return UplinkError::Tls { site, at, cause: of_tls(tls) };
    }
    if error.is_connect() {
        let last = cause::last(&error);
        if last.contains("proxy authorization required") {
            return UplinkError::Credential { site, cause: said::PROXY_ASKS.into() };
        }
        return UplinkError::Connect { site, at, cause: if error.is_timeout() { late(reach.connect) } else { last } };
    }
    match parse_fault(&error) {
        Some(why) => reach.garbage(why),
        None => UplinkError::Reset { site, phase: meter.phase(), cause: cause::last(&error) },
    }
}

/// What an error within the body of an answer means.
fn of_body(reach: &Reach, meter: &Arc<Meter>, error: &reqwest::Error) -> UplinkError {
    let site = Arc::clone(&reach.name);
    if let Some(tls) = cause::tls_error(error) {
        return UplinkError::Tls { site, at: host(&reach.url), cause: of_tls(tls) };
    }
    meter.enter(Phase::Reading);
    match parse_fault(error) {
        Some(why) => reach.garbage(why),
        None if ended(error) => reach.garbage("half a body: the connection was closed before its end"),
        None => UplinkError::Reset { site, phase: Phase::Reading, cause: cause::last(error) },
    }
}

/// Whether the other side closed before all was there.
fn ended(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|error| {
        error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    })
}

/// What is not HTTP, if that is it.
fn parse_fault(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    chain(error).find_map(|error| {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            return Some(format!("no HTTP: {}", cause::last(error)));
        }
        let io = error.downcast_ref::<std::io::Error>()?;
        let bad = matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput);
        bad.then(|| format!("no HTTP: {io}"))
    })
}

fn chain<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn late(span: Duration) -> String {
    format!("none within {} ms: is the network up, and the address right?", span.as_millis())
}

fn of_tls(error: &rustls::Error) -> String {
    let now = || humantime::format_rfc3339_seconds(clock::wall());
    match cause::certificate(error) {
        Some(Certificate::NotYet) => format!(
            "its certificate is not valid yet by the clock of this box, which says {}: set the clock (`timedatectl`)",
            now()
        ),
        Some(Certificate::Expired) => format!(
            "its certificate has expired by the clock of this box, which says {}: set the clock (`timedatectl`), or have \
             the certificate renewed",
            now()
        ),
        Some(Certificate::UnknownIssuer) => {
            "its certificate is signed by no authority that is trusted here: set the site's `ca`".to_owned()
        }
        Some(Certificate::OtherName) => format!("its certificate is for another name: {error}"),
        Some(Certificate::Other) | None => error.to_string(),
    }
}
