//! Bytes to packets and back, for both protocol versions, over rumqttc's codecs.
//!
//! Framing is done here because a packet above the limit must not end the connection: under MQTT 3.1.1 nothing can tell
//! the broker our limit, so it would deliver the same packet after every reconnect, for ever. Such a packet's header is
//! read, its payload is thrown away as it arrives, and it is reported like any other message.
//!
//! Topic aliases of MQTT 5 are neither offered nor used: they end with the connection, so that a message that is sent again after a
//! reconnect would name a topic that the broker does not know.

mod v311;
mod v5;

use bytes::{Buf, BytesMut};

use super::packet::{FromBroker, Hello, Inbound, ToBroker};
use crate::config::MqttProtocol;

/// First four bits of a PUBLISH.
const PUBLISH: u8 = 3;
/// First four bits of a DISCONNECT.
const DISCONNECT: u8 = 14;
/// Topic and properties of an oversized packet that are still read; with more than that only the topic is.
const MAX_HEAD: usize = 256 << 10;

/// Why the bytes of a connection cannot be read or written any further.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("read an MQTT 3.1.1 packet")]
    Read311(#[source] rumqttc::mqttbytes::Error),
    #[error("read an MQTT 5 packet")]
    Read5(#[source] rumqttc::v5::mqttbytes::Error),
    #[error("write an MQTT 3.1.1 packet")]
    Write311(#[source] rumqttc::mqttbytes::Error),
    #[error("write an MQTT 5 packet")]
    Write5(#[source] rumqttc::v5::mqttbytes::Error),
    #[error("read a packet: malformed length")]
    Length,
    #[error("read a packet: the topic reaches beyond its end")]
    Head,
    #[error("read a packet: kind {kind} of {bytes} bytes, which no broker sends")]
    Kind { kind: u8, bytes: usize },
}

/// Reads and writes one connection.
#[derive(Debug)]
pub struct Codec {
    version: MqttProtocol,
    max_packet: usize,
    skipping: Option<Skipping>,
}

/// An oversized packet whose payload is still arriving.
#[derive(Debug)]
struct Skipping {
    left: usize,
    message: Box<Inbound>,
}

/// The fixed header of a packet.
#[derive(Clone, Copy)]
struct Fixed {
    first: u8,
    /// Bytes of the header.
    len: usize,
    /// Bytes behind it.
    rest: usize,
}

impl Codec {
    /// A codec for packets of up to `max_packet` bytes.
    pub fn new(version: MqttProtocol, max_packet: usize) -> Codec {
        Codec { version, max_packet, skipping: None }
    }

    /// Takes the next packet off the front of `buffer`; `None` until more bytes have come.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<FromBroker>, CodecError> {
        if let Some(packet) = self.skip(buffer) {
            return Ok(Some(packet));
        }
        if self.skipping.is_some() {
            return Ok(None);
        }
        let Some(fixed) = fixed_header(buffer)? else { return Ok(None) };
        let whole = fixed.len + fixed.rest;
        if whole > self.max_packet {
            return self.start_skipping(buffer, fixed);
        }
        if buffer.len() < whole {
            return Ok(None);
        }
        self.read(buffer, fixed).map(Some)
    }

    /// Bytes that `buffer` should have room for, besides what it holds, for the packet that is arriving.
    pub fn wants(&self, buffer: &BytesMut) -> usize {
        match fixed_header(buffer) {
            Ok(Some(fixed)) if self.skipping.is_none() && fixed.len + fixed.rest <= self.max_packet => {
                (fixed.len + fixed.rest).saturating_sub(buffer.len())
            }
            _ => 0,
        }
    }

    /// Appends `packet` to `out`.
    pub fn encode(&self, packet: &ToBroker, out: &mut BytesMut) -> Result<(), CodecError> {
        match self.version {
            MqttProtocol::V5 => v5::write(packet, out),
            MqttProtocol::V311 => v311::write(packet, out),
        }
    }

    /// Appends CONNECT to `out`.
    pub fn encode_hello(&self, hello: &Hello, out: &mut BytesMut) -> Result<(), CodecError> {
        match self.version {
            MqttProtocol::V5 => v5::write_hello(hello, out),
            MqttProtocol::V311 => v311::write_hello(hello, out),
        }
    }

    fn read(&self, buffer: &mut BytesMut, fixed: Fixed) -> Result<FromBroker, CodecError> {
        if fixed.first >> 4 == DISCONNECT {
            return Ok(disconnect(&buffer.split_to(fixed.len + fixed.rest)[fixed.len..]));
        }
        match self.version {
            MqttProtocol::V5 => v5::read(buffer),
            MqttProtocol::V311 => v311::read(buffer),
        }
    }

    fn start_skipping(&mut self, buffer: &mut BytesMut, fixed: Fixed) -> Result<Option<FromBroker>, CodecError> {
        let kind = fixed.first >> 4;
        if kind != PUBLISH {
            return Err(CodecError::Kind { kind, bytes: fixed.rest });
        }
        let Some((head, keep_properties)) = self.head(buffer, fixed)? else { return Ok(None) };
        // A packet of its own, with the header of the large one and no payload.
        let mut small = BytesMut::with_capacity(head + 8);
        let payload_free = if keep_properties { head } else { head + 1 };
        put_fixed(&mut small, fixed.first, payload_free);
        small.extend_from_slice(&buffer[fixed.len..fixed.len + head]);
        if !keep_properties {
            small.extend_from_slice(&[0]);
        }
        let small_fixed = Fixed { first: fixed.first, len: small.len() - payload_free, rest: payload_free };
        let FromBroker::Publish(mut message) = self.read(&mut small, small_fixed)? else {
            return Err(CodecError::Head);
        };
        message.oversized = Some(fixed.len + fixed.rest);
        buffer.advance(fixed.len + head);
        self.skipping = Some(Skipping { left: fixed.rest - head, message });
        Ok(self.skip(buffer))
    }

    /// Length of topic, packet id and properties once they have arrived, and whether the properties are in it.
    fn head(&self, buffer: &BytesMut, fixed: Fixed) -> Result<Option<(usize, bool)>, CodecError> {
        let body = &buffer[fixed.len..];
        let Some((topic, _)) = body.split_first_chunk::<2>() else { return Ok(None) };
        let id = if fixed.first & 0b0110 == 0 { 0 } else { 2 };
        let mut head = 2 + usize::from(u16::from_be_bytes(*topic)) + id;
        if head > fixed.rest {
            return Err(CodecError::Head);
        }
        let mut keep_properties = true;
        if self.version == MqttProtocol::V5 {
            let Some(properties) = body.get(head..) else { return Ok(None) };
            let Some((len, value)) = varint(properties)? else { return Ok(None) };
            keep_properties = value <= MAX_HEAD;
            if keep_properties {
                head += len + value;
            }
        }
        if head > fixed.rest {
            return Err(CodecError::Head);
        }
        Ok((body.len() >= head).then_some((head, keep_properties)))
    }

    /// Throws away what has arrived of an oversized packet; gives its message once all of it has.
    fn skip(&mut self, buffer: &mut BytesMut) -> Option<FromBroker> {
        let skipping = self.skipping.as_mut()?;
        let now = skipping.left.min(buffer.len());
        buffer.advance(now);
        skipping.left -= now;
        if skipping.left > 0 {
            return None;
        }
        self.skipping.take().map(|skipping| FromBroker::Publish(skipping.message))
    }
}

fn fixed_header(buffer: &BytesMut) -> Result<Option<Fixed>, CodecError> {
    let Some((first, rest)) = buffer.split_first() else { return Ok(None) };
    let length = varint(rest)?;
    Ok(length.map(|(len, value)| Fixed { first: *first, len: 1 + len, rest: value }))
}

/// A number of up to four bytes, seven bits each: its size and its value.
fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, CodecError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 1, value)));
        }
    }
    if bytes.len() >= 4 { Err(CodecError::Length) } else { Ok(None) }
}

fn put_fixed(out: &mut BytesMut, first: u8, mut rest: usize) {
    out.extend_from_slice(&[first]);
    loop {
        let seven = u8::try_from(rest & 0x7F).unwrap_or(0);
        rest >>= 7;
        out.extend_from_slice(&[if rest > 0 { seven | 0x80 } else { seven }]);
        if rest == 0 {
            return;
        }
    }
}

/// Read here: rumqttc refuses the short form, and reason codes that it does not know.
fn disconnect(body: &[u8]) -> FromBroker {
    const TAKEN_OVER: u8 = 0x8E;
    let code = body.first().copied().unwrap_or(0);
    let reason = match code {
        0x00 => "the broker ended the connection".to_owned(),
        0x81 => "the broker found a malformed packet".into(),
        0x82 => "the broker found a protocol error".into(),
        0x87 => "not authorized".into(),
        0x89 => "the broker is busy".into(),
        0x8B => "the broker is shutting down".into(),
        0x8D => "the broker heard nothing for too long".into(),
        TAKEN_OVER => "another client took over the client id".into(),
        0x93 => "the broker received more messages than it allows at once".into(),
        0x95 => "a packet was too large for the broker".into(),
        0x96 => "the message rate is too high for the broker".into(),
        0x97 => "a quota of the broker is exceeded".into(),
        0x98 => "an administrator of the broker ended the connection".into(),
        0x9A => "the broker does not keep retained messages".into(),
        0x9E => "the broker has no shared subscriptions".into(),
        other => format!("the broker ended the connection with reason code {other:#04x}"),
    };
    FromBroker::Disconnect { taken_over: code == TAKEN_OVER, reason }
}

#[cfg(test)]
mod tests;
