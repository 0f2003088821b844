//! Messages between daemon and engine host: a host that a bad model took over may send any packet. What is read can be
//! written again, and is then the same.
#![no_main]

use edge_engine::protocol::{FromHost, MAX_PACKET, ToHost};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|packet: &[u8]| {
    if packet.len() <= MAX_PACKET {
        there_and_back::<FromHost>(packet);
        there_and_back::<ToHost>(packet);
    }
});

fn there_and_back<T: Serialize + DeserializeOwned>(packet: &[u8]) {
    let Ok(message) = postcard::from_bytes::<T>(packet) else { return };
    // Bytes, because a number that is none is not equal to itself.
    let written = postcard::to_stdvec(&message).expect("what was read can be written");
    let again: T = postcard::from_bytes(&written).expect("what was written can be read");
    assert_eq!(postcard::to_stdvec(&again).expect("written twice"), written);
}
