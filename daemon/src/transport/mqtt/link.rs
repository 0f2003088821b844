//! One connection to the broker, in a task of its own that only forwards: packets in, packets out.
//!
//! Decides when the connection is dead (the rule is [`Vigil`]'s). Must not know what a packet is for. Nothing here waits for
//! the rest of the transport while the broker waits for us: received packets that find no room stop the reading, never the
//! writing, so that neither side can wait for itself.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::codec::{Codec, CodecError};
use super::dial::{DialError, Stream, dial};
use super::packet::{FromBroker, Granted, Hello, Manner, ToBroker};
use super::reconnect::End;
use super::told::Told;
use super::vigil::{Dead, Vigil};
use crate::config::MqttConfig;
use crate::driver::chain;
use crate::driver::clock::Clock;

/// Name, TCP, TLS and CONNACK together may take this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Packets that wait for the transport. Few: each may be large.
const RECEIVED: usize = 8;
/// Packets that wait for the connection.
const TO_SEND: usize = 64;
/// Encoded bytes above which no further packet is taken before some are written.
const WRITE_AHEAD: usize = 64 << 10;
/// Room for reading: at least this, and as much as the last packets were large.
const READ_ROOM: usize = 8 << 10;
/// Not more than this in advance.
const MAX_READ_ROOM: usize = 512 << 10;
/// Payloads up to this size are copied out of the buffer that they were read into.
const SMALL: usize = 8 << 10;

/// The transport's end of a connection.
#[derive(Debug)]
pub struct Link {
    /// To the broker, once [`FromBroker::Connected`] came.
    pub packets: mpsc::Sender<ToBroker>,
    /// From the broker; closed when the connection ends.
    pub received: mpsc::Receiver<FromBroker>,
    /// What is known of it besides.
    pub told: watch::Receiver<Told>,
    /// How it ended.
    pub task: JoinHandle<End>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the broker did not accept the connection within {} s", CONNECT_LIMIT.as_secs())]
    Slow,
    #[error("the broker refused the connection of {who}: {why}")]
    Refused { who: String, why: String },
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker does not answer: {0}")]
    Dead(Dead),
    #[error("read from the broker")]
    Read(#[source] std::io::Error),
    #[error("write to the broker")]
    Write(#[source] std::io::Error),
    #[error("{reason}")]
    Disconnected { taken_over: bool, reason: String },
    #[error("the broker sent something else than an answer to the connection")]
    Protocol,
    #[error("the connection is not needed any more")]
    Unwanted,
}

/// Starts a connection. The first packet that comes is [`FromBroker::Connected`].
pub fn start(config: MqttConfig, manner: Manner, clock: Clock) -> Link {
    let (packets, to_send) = mpsc::channel(TO_SEND);
    let (sender, received) = mpsc::channel(RECEIVED);
    let (tell, told) = watch::channel(Told::default());
    let task = tokio::spawn(async move {
        let mut up_since = None;
        let ends = Ends { to_send, received: sender, told: tell, clock };
        let result = live(&config, manner, ends, || up_since = Some(clock.now())).await;
        let error = match result {
            Ok(()) => LinkError::Unwanted,
            Err(error) => error,
        };
        End {
            stood: up_since.map(|since| clock.now().since(since)),
            taken_over: matches!(error, LinkError::Disconnected { taken_over: true, .. }),
            refused: matches!(error, LinkError::Refused { .. }),
            closed: matches!(error, LinkError::Closed | LinkError::Read(_)),
            reason: chain(&error),
        }
    });
    Link { packets, received, told, task }
}

/// Looks whether a broker answers, beside any connection to it: TCP, and TLS where it is set up.
///
/// # Errors
/// Why it does not, in words.
pub async fn probe(config: &MqttConfig) -> Result<(), String> {
    let (tell, _told) = watch::channel(Told::default());
    match timeout(CONNECT_LIMIT, dial(config, &tell)).await {
        Ok(Ok(_stream)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(chain(&LinkError::Slow)),
    }
}

/// What a connection has of the transport.
struct Ends {
    to_send: mpsc::Receiver<ToBroker>,
    received: mpsc::Sender<FromBroker>,
    told: watch::Sender<Told>,
    clock: Clock,
}

async fn live(config: &MqttConfig, manner: Manner, ends: Ends, up: impl FnOnce()) -> Result<(), LinkError> {
    let max_packet = usize::try_from(config.max_packet_bytes).unwrap_or(usize::MAX);
    let mut wire = Wire::new(Codec::new(config.protocol, max_packet));
    let connecting = async {
        let (mut stream, password) = dial(config, &ends.told).await?;
        let hello = hello(config, manner, password);
        let granted = match &mut stream {
            Stream::Plain(stream) => wire.introduce(stream, &hello).await?,
            Stream::Tls(stream) => wire.introduce(stream, &hello).await?,
        };
        Ok::<_, LinkError>((stream, granted))
    };
    let (stream, granted) = timeout(CONNECT_LIMIT, connecting).await.map_err(|_| LinkError::Slow)??;
    up();
    let keep_alive = granted.keep_alive_s.map_or(config.keep_alive, |s| Duration::from_secs(s.max(2).into()));
    ends.told.send_modify(|told| told.keep_alive_s = u32::try_from(keep_alive.as_secs()).unwrap_or(u32::MAX));
    if ends.received.send(FromBroker::Connected(Ok(granted))).await.is_err() {
        return Ok(());
    }
    match stream {
        Stream::Plain(stream) => {
            let (reader, writer) = stream.into_split();
            wire.forward(reader, writer, ends, keep_alive).await
        }
        Stream::Tls(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            wire.forward(reader, writer, ends, keep_alive).await
        }
    }
}

fn hello(config: &MqttConfig, manner: Manner, password: Option<String>) -> Hello {
    Hello {
        client_id: config.client_id.clone(),
        keep_alive_s: u16::try_from(config.keep_alive.as_secs()).unwrap_or(u16::MAX),
        username: config.username.clone(),
        password,
        manner,
        receive_max: config.max_inflight,
        max_packet: u32::try_from(config.max_packet_bytes).unwrap_or(u32::MAX),
    }
}

/// Bytes on their way.
struct Wire {
    codec: Codec,
    inbound: BytesMut,
    outbound: BytesMut,
    /// Received, and without room in the channel yet.
    held: VecDeque<FromBroker>,
    room: usize,
}

impl Wire {
    fn new(codec: Codec) -> Wire {
        Wire { codec, inbound: BytesMut::new(), outbound: BytesMut::new(), held: VecDeque::new(), room: READ_ROOM }
    }

    /// Says who we are and waits for what is granted.
    async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        hello: &Hello,
    ) -> Result<Granted, LinkError> {
        self.codec.encode_hello(hello, &mut self.outbound)?;
        stream.write_all_buf(&mut self.outbound).await.map_err(LinkError::Write)?;
        stream.flush().await.map_err(LinkError::Write)?;
        loop {
            match self.codec.decode(&mut self.inbound)? {
                Some(FromBroker::Connected(Ok(granted))) => return Ok(granted),
                Some(FromBroker::Connected(Err(why))) => {
                    let who = hello
                        .username
                        .as_ref()
                        .map_or("a box without a user name".into(), |user| format!("user {user:?}"));
                    return Err(LinkError::Refused { who, why });
                }
                Some(_) => return Err(LinkError::Protocol),
                None => {}
            }
            if stream.read_buf(&mut self.inbound).await.map_err(LinkError::Read)? == 0 {
                return Err(LinkError::Closed);
            }
        }
    }

    async fn forward<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        mut self,
        mut reader: R,
        mut writer: W,
        ends: Ends,
        keep_alive: Duration,
    ) -> Result<(), LinkError> {
        let Ends { mut to_send, received, told, clock } = ends;
        let mut look = interval(keep_alive / Vigil::LOOKS);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.tick().await;
        let (mut vigil, mut unflushed) = (Vigil::new(clock.now(), keep_alive), false);
        // What came together with CONNACK.
        self.take_packets(&received)?;
        loop {
            self.make_room();
            let (unwritten, takes_more) = (!self.outbound.is_empty(), self.outbound.len() < WRITE_AHEAD);
            tokio::select! {
                biased;
                // First: whatever else there is to do, a ping is owed in time, and a dead link is noticed in time.
                _ = look.tick() => {
                    // What was not read, as there was no room for it, was not listened for either.
                    if vigil.look(clock.now(), unwritten, !self.held.is_empty()).map_err(LinkError::Dead)? {
                        self.codec.encode(&ToBroker::Ping, &mut self.outbound)?;
                    }
                }
                pushed = push(&mut writer, &mut self.outbound), if unflushed || unwritten => {
                    unflushed = pushed.map_err(LinkError::Write)?;
                    vigil.wrote(clock.now(), !self.outbound.is_empty());
                }
                packet = to_send.recv(), if takes_more => match packet {
                    Some(packet) => {
                        if !self.encode_all(packet, &mut to_send)? {
                            return self.finish(writer).await;
                        }
                    }
                    // Left without a good-bye, but not with what was handed over.
                    None => return self.finish(writer).await,
                },
                read = reader.read_buf(&mut self.inbound), if self.held.is_empty() => {
                    if read.map_err(LinkError::Read)? == 0 {
                        return Err(LinkError::Closed);
                    }
                    vigil.heard(clock.now());
                    if let Some(round_trip) = self.take_packets(&received)?.then(|| vigil.pong(clock.now())).flatten() {
                        told.send_modify(|told| told.ping_us = u64::try_from(round_trip.as_micros()).ok());
                    }
                }
                permit = received.reserve(), if !self.held.is_empty() => match (permit, self.held.pop_front()) {
                    (Ok(permit), Some(packet)) => permit.send(packet),
                    (Ok(_), None) => {}
                    (Err(_), _) => return Ok(()),
                },
            }
        }
    }

    /// Encodes `first` and what waits behind it, so that it leaves in one write. `false` once we said good-bye.
    fn encode_all(&mut self, first: ToBroker, more: &mut mpsc::Receiver<ToBroker>) -> Result<bool, LinkError> {
        let mut next = Some(first);
        while let Some(packet) = next {
            self.codec.encode(&packet, &mut self.outbound)?;
            if packet.is_last() {
                return Ok(false);
            }
            next = if self.outbound.len() < WRITE_AHEAD { more.try_recv().ok() } else { None };
        }
        Ok(true)
    }

    /// Hands on every packet that is complete. Gives whether a ping was answered.
    fn take_packets(&mut self, received: &mpsc::Sender<FromBroker>) -> Result<bool, LinkError> {
        let (before, mut answered) = (self.inbound.len(), false);
        while let Some(packet) = self.codec.decode(&mut self.inbound)? {
            match packet {
                FromBroker::Pong => answered = true,
                FromBroker::Disconnect { taken_over, reason } => {
                    return Err(LinkError::Disconnected { taken_over, reason });
                }
                packet if self.held.is_empty() => {
                    if let Err(mpsc::error::TrySendError::Full(packet)) = received.try_send(detached(packet)) {
                        self.held.push_back(packet);
                    }
                }
                packet => self.held.push_back(detached(packet)),
            }
        }
        let taken = before - self.inbound.len();
        if taken > 0 {
            // Follows the traffic: one large packet is read into one piece, and small ones do not hold large buffers.
            self.room = (self.room / 2).max(taken + 1024).clamp(READ_ROOM, MAX_READ_ROOM);
        }
        Ok(answered)
    }

    fn make_room(&mut self) {
        let free = self.inbound.capacity() - self.inbound.len();
        let wanted = self.codec.wants(&self.inbound);
        if free == 0 || free < wanted || (self.inbound.is_empty() && free < self.room) {
            self.inbound.reserve(wanted.max(if self.inbound.is_empty() { self.room } else { READ_ROOM }));
        }
    }

    async fn finish<W: AsyncWrite + Unpin>(&mut self, mut writer: W) -> Result<(), LinkError> {
        writer.write_all_buf(&mut self.outbound).await.map_err(LinkError::Write)?;
        writer.shutdown().await.map_err(LinkError::Write)
    }
}

/// A small payload in memory of its own: as a slice it would hold the whole buffer that it was read into, which is as
/// large as the packets before it were, for as long as its request is open.
fn detached(mut packet: FromBroker) -> FromBroker {
    if let FromBroker::Publish(message) = &mut packet
        && message.payload.len() <= SMALL
    {
        message.payload = Bytes::copy_from_slice(&message.payload);
    }
    packet
}

/// Writes what there is, or flushes what was written. `true` while there is something to flush; can be cancelled.
async fn push<W: AsyncWrite + Unpin>(writer: &mut W, outbound: &mut BytesMut) -> std::io::Result<bool> {
    if outbound.is_empty() {
        writer.flush().await.map(|()| false)
    } else {
        writer.write_buf(outbound).await.map(|_| true)
    }
}

#[cfg(test)]
mod tests;
