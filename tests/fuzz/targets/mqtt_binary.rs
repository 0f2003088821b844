//! A body with binary tensors from the broker; the first two bytes are the length of its header, as the sender claims it.
//! The parts that are read lie behind the header, one after the other, and fill the packet.
#![no_main]

use edge_wire::mqtt::body::{self, Data, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, payload)) = bytes.split_first_chunk::<2>() else { return };
    let header = usize::from(u16::from_le_bytes(*length));
    match body::parse_binary(payload, header) {
        Ok(body) => {
            let Input::Tensors(tensors) = &body.input else { return };
            let mut at = header;
            for tensor in tensors {
                let Data::Range(range) = &tensor.data else { continue };
                assert_eq!(range.start, at);
                assert!(payload.get(range.clone()).is_some(), "{range:?} of {}", payload.len());
                at = range.end;
            }
            assert_eq!(at, payload.len());
        }
        Err(fault) => assert!(fault.to_string().len() < 1000, "{fault}"),
    }
});
