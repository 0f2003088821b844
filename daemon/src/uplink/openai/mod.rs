//! Chats and completions as OpenAI's protocol has them, streamed or whole. The chunks of a stream are passed on as they came, but for their
//! name and for what only this box says; while nobody takes them, nothing is read. Decides nothing: what a text means is not looked at.
//!
//! [`body`] makes the request's body, [`reader`] reads answers.

mod body;
pub mod reader;

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};

use self::reader::{Broken, Reader};
use super::error::UplinkError;
use super::exchange::{self, Question};
use super::meter::Meter;
use super::said::Quoted;
use super::site::{Protocol, Reach};
use super::{Answer, Chat, Chunk, Content, Order, Pieces, blob};

/// The content type of a stream.
const STREAM: &str = "text/event-stream";

/// Sends a chat or a completion; gives its end, or the whole of it.
pub(super) async fn complete(reach: &Reach, meter: &Arc<Meter>, order: Order) -> Result<Answer, UplinkError> {
    if reach.protocol != Protocol::OpenAi {
        return Err(reach.unfit("it speaks oip, which has no chats"));
    }
    let (path, body, object) = match order.content {
        Content::Chat { body } => {
            let body = blob::bytes(body).map_err(|why| reach.unfit(format!("request: {why}")))?;
            (&["chat", "completions"][..], body, reader::OF_CHAT)
        }
        Content::Completion { body } => (&["completions"][..], body, reader::OF_COMPLETION),
        Content::Tensors { .. } | Content::Encoded { .. } => {
            return Err(reach.unfit("it speaks openai, which has no tensors"));
        }
    };
    let body = body::for_site(&body, &order.model, order.stream.is_some()).map_err(|why| reach.unfit(why))?;
    let accept = if order.stream.is_some() { STREAM } else { "application/json" };
    let question = Question {
        method: Method::POST,
        url: address(reach, path)?,
        content_type: Some("application/json"),
        header: Some((ACCEPT, HeaderValue::from_static(accept))),
        body: vec![body.into()],
    };
    let answer = exchange::ask(reach, meter, question).await?;
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let streams = content_type.trim_start().to_ascii_lowercase().starts_with(STREAM);
    let most = order.max_answer_bytes;
    let chat = match order.stream {
        Some(out) if streams => stream(reach, meter, answer, (object, most), order.ticket, &out).await?,
        // Some servers cannot stream, and answer whole.
        _ => {
            let body = exchange::whole(reach, meter, answer, most).await?;
            reader::whole(&body).map_err(|broken| of(reach, broken))?
        }
    };
    Ok(Answer::Chat(chat))
}

/// The address of a path of the protocol: `/v1` comes in front unless the site's address has a path of its own.
pub(super) fn address(reach: &Reach, path: &[&str]) -> Result<Url, UplinkError> {
    let bare = matches!(reach.url.path(), "" | "/");
    let segments: Vec<&str> = bare.then_some("v1").into_iter().chain(path.iter().copied()).collect();
    reach.below(&segments)
}

async fn stream(
    reach: &Reach,
    meter: &Arc<Meter>,
    mut answer: Response,
    (object, most): (&'static str, u64),
    ticket: u64,
    out: &Pieces,
) -> Result<Chat, UplinkError> {
    let (mut reader, mut ready, mut bytes) = (Reader::new(object), Vec::new(), 0_u64);
    while !reader.is_done() {
        let piece = match exchange::more(reach, meter, &mut answer).await {
            Ok(piece) => piece,
            // What breaks behind the last word takes nothing away.
            Err(_) if reader.has_last_word() => break,
            Err(error) => return Err(error),
        };
        let read = match &piece {
            Some(piece) => {
                bytes += piece.len() as u64;
                reader.push(piece, &mut ready)
            }
            None => reader.end(),
        };
        // What was whole before the fault goes out before it is told.
        for json in ready.drain(..) {
            meter.begun();
            pass_on(reach, out, Chunk { ticket, json }).await?;
        }
        read.map_err(|broken| of(reach, broken))?;
        if bytes > most {
            return Err(UplinkError::TooLarge { site: Arc::clone(&reach.name), bytes: None, most });
        }
        if piece.is_none() {
            break;
        }
    }
    Ok(reader.told())
}

async fn pass_on(reach: &Reach, out: &Pieces, chunk: Chunk) -> Result<(), UplinkError> {
    // Who does not listen any more has given it up, and who listens to another site wants nothing of this one.
    if out.send(chunk).await { Ok(()) } else { Err(UplinkError::Cancelled { site: Arc::clone(&reach.name) }) }
}

fn of(reach: &Reach, broken: Broken) -> UplinkError {
    match broken {
        Broken::Garbage(why) => reach.garbage(Quoted(&why).to_string()),
        Broken::Failed(message) => UplinkError::Server { site: Arc::clone(&reach.name), status: 200, message },
    }
}

/// One JSON document on one line: outside of texts, which have none, line ends are blanks.
fn on_one_line(data: Vec<u8>) -> Bytes {
    let mut data = data;
    for byte in &mut data {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    data.into()
}
