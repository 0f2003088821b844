use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::transport::mqtt::packet::{Manner, Outbound, Qos, Will};

const VERSIONS: [MqttProtocol; 2] = [MqttProtocol::V5, MqttProtocol::V311];

fn message(qos: Qos, payload: usize) -> Outbound {
    Outbound {
        topic: "edge/box/infer/m".into(),
        payload: Bytes::from(vec![7; payload]),
        qos,
        retain: false,
        correlation: Some(Bytes::from_static(b"c7")),
        content_type: "application/json".into(),
        ..Outbound::default()
    }
}

/// A PUBLISH as a broker would send it: the same bytes in both directions.
fn publish(version: MqttProtocol, qos: Qos, payload: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    let packet_id = if qos == Qos::AtMostOnce { 0 } else { 9 };
    let packet = ToBroker::Publish { packet_id, again: true, message: message(qos, payload) };
    Codec::new(version, 1 << 20).encode(&packet, &mut bytes).unwrap();
    bytes
}

/// Feeds `bytes` in pieces of `step`.
fn feed(codec: &mut Codec, bytes: &[u8], step: usize) -> Vec<FromBroker> {
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        while let Some(packet) = codec.decode(&mut buffer).unwrap() {
            packets.push(packet);
        }
        assert!(buffer.len() <= codec.max_packet + step, "{} bytes are held", buffer.len());
    }
    packets
}

fn inbound(packet: &FromBroker) -> &Inbound {
    let FromBroker::Publish(message) = packet else { panic!("{packet:?}") };
    message
}

#[test]
fn a_message_is_read_in_pieces_of_any_size() {
    for version in VERSIONS {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut bytes = publish(version, qos, 300);
            bytes.extend_from_slice(&publish(version, qos, 0));
            for step in [1, 2, 7, 1000] {
                let packets = feed(&mut Codec::new(version, 1000), &bytes, step);
                assert_eq!(packets.len(), 2);
                let first = inbound(&packets[0]);
                assert_eq!((first.payload.len(), first.qos, first.oversized), (300, qos, None));
                assert_eq!((first.topic.as_str(), first.redelivered), ("edge/box/infer/m", true));
                let expected = (version == MqttProtocol::V5).then(|| b"c7".to_vec());
                assert_eq!(first.properties.correlation, expected);
            }
        }
    }
}

#[test]
fn an_oversized_message_is_reported_without_its_payload_and_the_next_one_is_read() {
    for version in VERSIONS {
        for qos in [Qos::AtMostOnce, Qos::ExactlyOnce] {
            let mut bytes = publish(version, qos, 100_000);
            let size = bytes.len();
            bytes.extend_from_slice(&publish(version, qos, 5));
            for step in [3, 4096, 1 << 20] {
                let mut codec = Codec::new(version, 200);
                if step > 10_000 {
                    codec.max_packet = 90_000;
                }
                let packets = feed(&mut codec, &bytes, step);
                assert_eq!(packets.len(), 2, "{version:?} {step}");
                let large = inbound(&packets[0]);
                assert_eq!((large.payload.len(), large.oversized), (0, Some(size)));
                assert_eq!(
                    (large.topic.as_str(), large.packet_id),
                    ("edge/box/infer/m", inbound(&packets[1]).packet_id)
                );
                assert_eq!(inbound(&packets[1]).payload.len(), 5);
            }
        }
    }
}

#[test]
fn properties_too_large_to_read_are_left_out_of_an_oversized_message() {
    let mut body = BytesMut::new();
    body.extend_from_slice(b"\x00\x01t");
    body.extend_from_slice(&[0x00, 0x05]);
    let user = MAX_HEAD + 10;
    put_fixed(&mut body, 0, user);
    let body = [&body[..5], &body[6..], &vec![0; user]].concat();
    let mut bytes = BytesMut::new();
    put_fixed(&mut bytes, 0x32, body.len());
    bytes.extend_from_slice(&body);
    let packets = feed(&mut Codec::new(MqttProtocol::V5, 1000), &bytes, 999);
    let message = inbound(&packets[0]);
    assert_eq!((message.topic.as_str(), message.packet_id, message.oversized), ("t", 5, Some(bytes.len())));
}

#[test]
fn a_disconnect_is_understood_in_every_form() {
    let cases: [(&[u8], bool, &str); 5] = [
        (&[0xE0, 0], false, "ended the connection"),
        (&[0xE0, 1, 0x8E], true, "took over"),
        (&[0xE0, 2, 0x8E, 0], true, "took over"),
        (&[0xE0, 2, 0x8B, 0], false, "shutting down"),
        (&[0xE0, 1, 0xF1], false, "0xf1"),
    ];
    for (bytes, expected, words) in cases {
        let mut codec = Codec::new(MqttProtocol::V5, 100);
        let packet = codec.decode(&mut BytesMut::from(bytes)).unwrap().unwrap();
        let FromBroker::Disconnect { taken_over, reason } = packet else { panic!("{packet:?}") };
        assert_eq!(taken_over, expected);
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn broken_headers_end_the_connection() {
    for version in VERSIONS {
        for bytes in
            [&[0x30, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0x40, 0x80, 0x80, 0x01], &[0xF0, 0x00], &[0x32, 4, 0, 1, b't', 0]]
        {
            assert!(Codec::new(version, 1000).decode(&mut BytesMut::from(bytes)).is_err(), "{version:?} {bytes:?}");
        }
        let lying_topic = [&[0x30, 0xC8, 0x01, 0xFF, 0xFF][..], &[0; 198]].concat();
        assert!(Codec::new(version, 100).decode(&mut BytesMut::from(&lying_topic[..])).is_err());
    }
}

fn hello(clean: bool, qos: Qos, retain: bool) -> Hello {
    let will = Will { topic: "w".into(), payload: Bytes::from_static(&[0xFF, 0]), qos, retain };
    Hello {
        client_id: "box".into(),
        keep_alive_s: 30,
        username: None,
        password: None,
        manner: Manner { will, clean },
        receive_max: 8,
        max_packet: 1000,
    }
}

#[test]
fn a_connection_says_whether_the_broker_keeps_its_session_and_what_its_will_is() {
    for (clean, qos, retain) in [(true, Qos::AtLeastOnce, false), (false, Qos::AtLeastOnce, true)] {
        for version in VERSIONS {
            let mut bytes = BytesMut::new();
            Codec::new(version, 1000).encode_hello(&hello(clean, qos, retain), &mut bytes).unwrap();
            // Behind the fixed header, the name of the protocol and its version.
            let flags = bytes[9];
            assert_eq!(flags & 0b0000_0010 != 0, clean, "{version:?}");
            assert_eq!((flags & 0b0001_1000) >> 3, 1, "{version:?}");
            assert_eq!(flags & 0b0010_0000 != 0, retain, "{version:?}");
            assert!(bytes.ends_with(&[0, 1, b'w', 0, 2, 0xFF, 0]), "{version:?}");
        }
    }
    let expiry = |clean| {
        let mut bytes = BytesMut::new();
        Codec::new(MqttProtocol::V5, 1000).encode_hello(&hello(clean, Qos::AtLeastOnce, false), &mut bytes).unwrap();
        let place = bytes.windows(1).position(|byte| byte == [0x11]).unwrap();
        u32::from_be_bytes(bytes[place + 1..place + 5].try_into().unwrap())
    };
    assert_eq!((expiry(true), expiry(false)), (0, 7 * 24 * 3600));
}

#[test]
fn a_disconnect_with_the_will_says_so_where_the_protocol_has_a_word_for_it() {
    let written = |version, packet: ToBroker| {
        let mut bytes = BytesMut::new();
        Codec::new(version, 1000).encode(&packet, &mut bytes).unwrap();
        assert!(packet.is_last());
        bytes.to_vec()
    };
    assert_eq!(written(MqttProtocol::V5, ToBroker::DisconnectWithWill)[2], 0x04);
    assert_eq!(written(MqttProtocol::V5, ToBroker::Disconnect).get(2).copied().unwrap_or(0), 0);
    assert_eq!(written(MqttProtocol::V311, ToBroker::DisconnectWithWill), [0xE0, 0]);
}

#[test]
fn the_room_that_a_packet_wants_is_known_from_its_header() {
    let bytes = publish(MqttProtocol::V5, Qos::AtMostOnce, 5000);
    let codec = Codec::new(MqttProtocol::V5, 10_000);
    assert_eq!(codec.wants(&BytesMut::from(&bytes[..10])), bytes.len() - 10);
    assert_eq!(codec.wants(&BytesMut::from(&bytes[..1])), 0);
    assert_eq!(Codec::new(MqttProtocol::V5, 1000).wants(&BytesMut::from(&bytes[..10])), 0);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 2_usize..100) {
        for version in VERSIONS {
            let mut codec = Codec::new(version, limit);
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = codec.decode(&mut buffer) {}
        }
    }

    #[test]
    fn a_damaged_message_never_panics(at in 0_usize..60, byte in any::<u8>()) {
        for version in VERSIONS {
            let mut bytes = publish(version, Qos::AtLeastOnce, 20);
            let place = at % bytes.len();
            bytes[place] = byte;
            let mut codec = Codec::new(version, 1000);
            while let Ok(Some(_)) = codec.decode(&mut bytes) {}
        }
    }
}

#[test]
fn each_side_says_how_many_messages_it_takes_unacknowledged() {
    let hello = Hello { receive_max: 0x0102, ..hello(false, Qos::AtLeastOnce, true) };
    let (codec, mut bytes) = (Codec::new(MqttProtocol::V5, 1 << 20), BytesMut::new());
    codec.encode_hello(&hello, &mut bytes).unwrap();
    // The property "receive maximum".
    assert!(bytes.windows(3).any(|part| part == [0x21, 1, 2]), "{bytes:?}");
    let ack = [0x20, 6, 1, 0, 3, 0x21, 0, 7];
    let packets = feed(&mut Codec::new(MqttProtocol::V5, 1 << 20), &ack, 3);
    let [FromBroker::Connected(Ok(granted))] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!((granted.session_present, granted.receive_max), (true, 7));
}
