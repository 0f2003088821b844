//! What is answered: pure, from what is known to a status, its headers and a body.

use bytes::Bytes;
use edge_wire::dto::Status;
use edge_wire::error::ErrorCode;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::route::{self, Missed};

/// A whole answer.
pub type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/json";
/// What one more connection than may be is told, whatever it asks for.
pub const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 104\r\n\r\n\
{\"error\":{\"code\":\"overloaded\",\"message\":\"http.max_connections: as many connections are open as may be\"}}";

/// A body of this type.
pub fn body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What was true a moment ago is not what is asked for.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn error(code: ErrorCode, message: &str) -> Value {
    json!({ "error": { "code": code.as_str(), "message": message } })
}

/// A "no".
pub fn refusal(status: StatusCode, code: ErrorCode, message: &str) -> Answer {
    body(status, JSON, error(code, message).to_string())
}

/// Nothing is meant by the path or the method.
pub fn missed(missed: Missed) -> Answer {
    match missed {
        Missed::Path => {
            let message = format!("path: there is nothing here: takes {}", route::paths());
            refusal(StatusCode::NOT_FOUND, ErrorCode::InvalidInput, &message)
        }
        Missed::Method(methods) => {
            let message = format!("method: takes {methods}");
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::InvalidInput, &message);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            answer
        }
    }
}

/// Came by the port under a name that is not this box's.
pub fn misdirected() -> Answer {
    let message = "host: this port is for programs of this box: takes localhost, 127.0.0.1 or [::1]";
    refusal(StatusCode::MISDIRECTED_REQUEST, ErrorCode::NotAuthorized, message)
}

/// The loop does not answer.
pub fn silent() -> Answer {
    let message = "the loop of the daemon does not answer; if that lasts, the init system starts it again";
    refusal(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
}

/// The daemon lives.
pub fn live() -> Answer {
    body(StatusCode::OK, JSON, json!({ "live": true }).to_string())
}

/// Whether it runs requests now, and why not.
pub fn ready(status: &Status) -> Answer {
    if status.routing.serving {
        return body(StatusCode::OK, JSON, json!({ "ready": true }).to_string());
    }
    let mut told = error(ErrorCode::Unavailable, &not_ready(status));
    if let Some(told) = told.as_object_mut() {
        told.insert("ready".into(), false.into());
    }
    body(StatusCode::SERVICE_UNAVAILABLE, JSON, told.to_string())
}

/// A daemon that serves in principle runs nothing when it is too hot or held, and the governor says which.
fn not_ready(status: &Status) -> String {
    match status.state.as_str() {
        "serving" | "degraded" => match status.governor.capacity.held.as_str() {
            "" => format!("{}: {}", status.governor.regime, status.governor.reason),
            held => format!("the device is held: {held}"),
        },
        state => format!("{state}: {}", status.reason),
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::governor::{CapacityInfo, GovernorStatus};
    use edge_wire::sites::RoutingStatus;

    use super::*;

    #[test]
    fn the_answer_to_one_connection_too_many_is_whole() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["error"]["code"], "overloaded");
    }

    #[test]
    fn a_box_is_ready_when_it_runs_requests_and_says_why_when_not() {
        let status = |state: &str, regime: &str, held: &str| Status {
            state: state.into(),
            reason: "models are being loaded".into(),
            governor: GovernorStatus {
                regime: regime.into(),
                reason: "tj at 104 C".into(),
                capacity: CapacityInfo { held: held.into(), ..CapacityInfo::default() },
                ..GovernorStatus::default()
            },
            ..Status::default()
        };
        for (status, why) in [
            (status("starting", "nominal", ""), "starting: models are being loaded"),
            (status("drained", "critical", ""), "drained: models are being loaded"),
            (status("serving", "critical", ""), "critical: tj at 104 C"),
            (status("degraded", "nominal", "a measurement"), "the device is held: a measurement"),
        ] {
            assert_eq!(not_ready(&status), why);
            assert_eq!(ready(&status).status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        let routing = RoutingStatus { serving: true, ..RoutingStatus::default() };
        let serving = Status { routing, ..status("degraded", "nominal", "") };
        assert_eq!(ready(&serving).status(), StatusCode::OK);
    }
}
