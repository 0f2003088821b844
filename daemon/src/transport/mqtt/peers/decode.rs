//! What another box answered, as answers of sites are told: pure. Decides which kind of trouble a "no" of it is; what follows from
//! that is the core's.

use std::sync::Arc;
use std::time::Duration;

use edge_engine::protocol::TensorSpec;
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::reply::{self, Said};

use crate::transport::mqtt::packet::Inbound;
use crate::uplink::{Answer, Phase, UplinkError, oip};

/// How much of another box's words is repeated.
const MOST_CHARS: usize = 200;

/// What is known of the request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub site: &'a Arc<str>,
    /// The id by which the other box knows it.
    pub request_id: &'a str,
    /// Tensors that the model is known to give; none takes all that come.
    pub outputs: &'a [TensorSpec],
    pub budget: Duration,
    /// Largest packet that is taken.
    pub max_bytes: u64,
}

/// Reads an answer.
pub fn decode(message: &Inbound, asked: &Asked<'_>) -> Result<Answer, UplinkError> {
    let site = || Arc::clone(asked.site);
    let garbage = |why: String| UplinkError::Garbage { site: site(), why };
    if let Some(bytes) = message.oversized {
        return Err(UplinkError::TooLarge { site: site(), bytes: Some(bytes as u64), most: asked.max_bytes });
    }
    let decoded = reply::decode(&message.payload).map_err(|why| garbage(shown(&why)))?;
    match decoded.id.as_deref() {
        Some(id) if id == asked.request_id => {}
        id => return Err(garbage(format!("the answer is for {}", shown(id.unwrap_or("a request without an id"))))),
    }
    match decoded.said {
        Said::Outputs => oip::read(&message.payload, None, asked.outputs).map(Answer::Tensors).map_err(garbage),
        Said::Document(text) => Ok(Answer::Document(text.to_owned())),
        Said::Failure { code, message, retry_after_ms } => {
            Err(refusal(asked, code, shown(&message), retry_after_ms.map(Duration::from_millis)))
        }
    }
}

/// The kind of trouble that a "no" is. The numbers are those that HTTP has for the same.
fn refusal(asked: &Asked<'_>, code: Option<ErrorCode>, said: String, retry_after: Option<Duration>) -> UplinkError {
    let site = Arc::clone(asked.site);
    let message = match code {
        Some(code) => format!("{code}: {said}"),
        None => said,
    };
    let rejected = |status| UplinkError::Rejected { site: Arc::clone(asked.site), status, message: message.clone() };
    match code {
        Some(ErrorCode::Overloaded) => UplinkError::Busy { site, status: 429, message, retry_after },
        Some(ErrorCode::DeadlineExceeded) => UplinkError::Timeout { site, budget: asked.budget, phase: Phase::Answer },
        Some(ErrorCode::InvalidInput) => rejected(400),
        Some(ErrorCode::NotAuthorized | ErrorCode::Confined) => rejected(403),
        Some(ErrorCode::UnknownModel) => rejected(404),
        Some(ErrorCode::TooLarge) => rejected(413),
        // Nobody here cancelled it, or nobody would read this.
        Some(ErrorCode::Unavailable | ErrorCode::Cancelled) => UplinkError::Server { site, status: 503, message },
        Some(ErrorCode::Internal) | None => UplinkError::Server { site, status: 500, message },
    }
}

/// The beginning of what somebody else says, on one line.
fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(MOST_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        start.push('…');
    }
    start
}
