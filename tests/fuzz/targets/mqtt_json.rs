//! A JSON body from the broker: whatever the bytes, it is read or refused in a short message; what is read fits in what
//! came, and a refusal still finds the id that stood before the fault.
#![no_main]

use edge_wire::mqtt::body::{self, Body, Data, Input, Value};
use libfuzzer_sys::fuzz_target;

/// A number of one digit and its comma may become eight bytes, and no text becomes more.
const WIDEST: usize = 4;

fuzz_target!(|payload: &[u8]| {
    let envelope = body::envelope(payload);
    match body::parse(payload) {
        Ok(body) => {
            assert_eq!(envelope.reply_to, body.reply_to);
            assert_eq!(envelope.id, id_of(&body));
            check(&body, payload.len());
        }
        Err(fault) => assert!(fault.to_string().len() < 1000, "{fault}"),
    }
});

fn id_of(body: &Body<'_>) -> Option<String> {
    body.options.iter().find_map(|(name, value)| match value {
        Value::Text(text) if name == "request_id" => Some(text.to_string()),
        _ => None,
    })
}

fn check(body: &Body<'_>, len: usize) {
    match &body.input {
        Input::Tensors(tensors) => {
            for tensor in tensors {
                let Data::Owned(data) = &tensor.data else { panic!("a range without a binary part") };
                assert!(data.len() <= len * WIDEST, "{} bytes out of {len}", data.len());
            }
        }
        Input::Encoded { data, .. } => assert!(data.len() <= len),
        Input::Text(text) => assert!(text.len() <= len),
        Input::Messages(text) => assert!(text.len() <= len && text.starts_with('[')),
    }
}
