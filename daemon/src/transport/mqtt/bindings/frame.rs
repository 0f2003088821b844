//! A frame, and the request that it becomes. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use edge_core::{DataClass, Mono, Zone};
use edge_engine::protocol::Want;
use edge_wire::error::ErrorCode;

use crate::binding::gate::Take;
use crate::binding::look;
use crate::config::bindings::BindingConfig;
use crate::request::{Blob, Caller, Failure, Options, Payload, Request};
use crate::transport::mqtt::ingress;
use crate::transport::mqtt::packet::Inbound;
use crate::transport::mqtt::session::JobId;

/// User property in which a sender names the data class.
const CLASS: &str = "data_class";

/// What a binding is given.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Whose message it is, if somebody waits until its results are safe.
    pub job: Option<JobId>,
    /// Empty for what came by no topic.
    pub topic: Arc<str>,
    pub(super) captures: Vec<String>,
    pub payload: Bytes,
    /// Its content type, as its sender says.
    pub said: Option<String>,
    /// The data class that its sender asks for.
    pub class: Option<DataClass>,
    /// Why it cannot be asked for.
    pub fault: Option<Failure>,
    /// When it came, by the wall clock and by that of the daemon.
    pub at: SystemTime,
    pub received: Mono,
    /// The bindings that it has come through, this one included.
    pub path: Arc<str>,
    /// Daemons that died while it was open.
    pub deaths: u8,
}

impl Frame {
    /// What the wildcards stood for.
    pub fn captures(&self) -> Vec<&str> {
        self.captures.iter().map(String::as_str).collect()
    }
}

/// A frame for one binding.
#[derive(Clone, Debug)]
pub struct Part {
    pub binding: usize,
    pub source: String,
    pub take: Take,
    pub frame: Frame,
}

/// The frame that a message is.
pub fn of_message(
    now: Mono,
    at: SystemTime,
    message: &Inbound,
    captures: &[&str],
    path: String,
    most_bytes: u64,
) -> Frame {
    let bytes = message.oversized.unwrap_or(message.payload.len());
    let too_large = message.oversized.is_some() || bytes as u64 > most_bytes;
    let fault = too_large.then(|| ingress::too_large(bytes, most_bytes));
    let said = message.properties.content_type.clone();
    let class = message.properties.user.iter().find(|(name, _)| name == CLASS);
    // An unknown word is the strictest class, as everywhere.
    let class = class.map(|(_, word)| DataClass::from_word(word).unwrap_or(DataClass::Regulated));
    let topic = message.topic.as_str().into();
    Frame { topic, fault, class, ..of_source(now, at, captures, message.payload.clone(), said, path) }
}

/// The frame of a source that is no topic.
pub fn of_source(
    now: Mono,
    at: SystemTime,
    captures: &[&str],
    payload: Bytes,
    said: Option<String>,
    path: String,
) -> Frame {
    Frame {
        job: None,
        topic: "".into(),
        captures: captures.iter().map(|capture| (*capture).to_owned()).collect(),
        payload,
        said,
        class: None,
        fault: None,
        at,
        received: now,
        path: path.into(),
        deaths: 0,
    }
}

/// Milliseconds since 1970.
pub fn ms(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What is asked of the driver.
///
/// # Errors
/// The frame is no input, or came too long ago.
pub fn request(
    now: Mono,
    config: &BindingConfig,
    frame: &Frame,
    id: &str,
    reply_topic: String,
    reached: Zone,
) -> Result<Request, Failure> {
    let content_type = look::content_type(&config.payload, frame.said.as_deref(), &frame.payload);
    let payload = match content_type.as_str() {
        "application/json" => ingress::json_payload(&frame.payload)?,
        _ => Payload::Encoded { content_type, data: Blob::Inline(frame.payload.clone()) },
    };
    let options = Options {
        version: config.version.clone(),
        deadline_ms: left(now, config.deadline, frame.received)?,
        data_class: class(config.data_class, frame.class).map(|class| class.as_str().to_owned()),
        priority: config.priority,
        client: Some(format!("binding {}", config.name)),
        made_up_id: Some(id.to_owned()),
        ..Options::default()
    };
    Ok(Request {
        caller: Caller::Broker { reply_topic: reply_topic.into() },
        topic: Arc::clone(&frame.topic),
        model: config.model.clone(),
        options,
        payload,
        want: Want::Inline,
        deaths: frame.deaths,
        reached,
        stream: None,
    })
}

/// The stricter of the operator's class and the one that the sender asks for.
fn class(configured: Option<DataClass>, asked: Option<DataClass>) -> Option<DataClass> {
    match (configured, asked) {
        (Some(configured), Some(asked)) => Some(configured.min(asked)),
        (configured, asked) => configured.or(asked),
    }
}

/// What is left of a deadline that counts from receipt, milliseconds.
fn left(now: Mono, deadline: Option<Duration>, received: Mono) -> Result<Option<u64>, Failure> {
    let Some(deadline) = deadline else { return Ok(None) };
    let left = deadline.saturating_sub(now.since(received));
    match u64::try_from(left.as_millis()) {
        Ok(0) | Err(_) => {
            Err(Failure::new(ErrorCode::DeadlineExceeded, "the frame waited for its turn until its deadline"))
        }
        Ok(ms) => Ok(Some(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_may_ask_for_a_stricter_class_and_for_no_freer_one() {
        use DataClass::{Internal, Public, Regulated};
        for (configured, asked, expected) in [
            (Some(Internal), Some(Public), Some(Internal)),
            (Some(Internal), Some(Regulated), Some(Regulated)),
            (Some(Internal), None, Some(Internal)),
            (None, Some(Internal), Some(Internal)),
            (None, None, None),
        ] {
            assert_eq!(class(configured, asked), expected, "{configured:?} {asked:?}");
        }
    }

    #[test]
    fn a_deadline_counts_from_receipt_and_one_that_passed_is_said() {
        let at = |ms: u64| Mono::from_nanos(ms * 1_000_000);
        assert_eq!(left(at(30), Some(Duration::from_millis(100)), at(10)), Ok(Some(80)));
        assert_eq!(left(at(30), None, at(10)), Ok(None));
        let late = left(at(200), Some(Duration::from_millis(100)), at(10)).unwrap_err();
        assert_eq!(late.code, ErrorCode::DeadlineExceeded);
    }
}
