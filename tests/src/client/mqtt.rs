//! A field device on the broker, in either version of the protocol.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{Packet as Packet5, PublishProperties};
use rumqttc::{Packet as Packet311, QoS as QoS311};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::answer::Outcome;
use crate::client::reply;
use crate::clock::{PATIENCE, Stopwatch};
use crate::daemon::NODE;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V5,
    V311,
}

impl Protocol {
    /// The word in the daemon's configuration.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::V5 => "5",
            Protocol::V311 => "3.1.1",
        }
    }
}

/// The largest packet that these clients send or take.
const MAX_PACKET: u32 = 64 << 20;
/// Requests that may wait inside the client library.
const CHANNEL: usize = 512;
/// How long the broker keeps the session of a device that is away.
const SESSION_SECONDS: u32 = 600;

/// A message to the broker. Everything but topic, payload, QoS and retain needs MQTT 5.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    /// The broker keeps it for those who subscribe later.
    pub retain: bool,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation: Option<Bytes>,
    pub expiry_seconds: Option<u32>,
    pub user: Vec<(String, String)>,
}

/// A message from the broker.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
    pub content_type: Option<String>,
    pub correlation: Option<Bytes>,
    pub user: Vec<(String, String)>,
}

impl Incoming {
    /// A user property.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.user.iter().find(|pair| pair.0 == key).map(|pair| pair.1.as_str())
    }

    /// The payload as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.payload).with_context(|| format!("JSON on {}", self.topic))
    }
}

#[derive(Debug, Default)]
struct Seen {
    messages: Vec<Incoming>,
    connections: usize,
    subscriptions: usize,
    unsubscriptions: usize,
    acknowledged: usize,
    last_fault: Option<String>,
}

#[derive(Debug, Default)]
struct Inbox {
    seen: Mutex<Seen>,
    news: Notify,
}

impl Inbox {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_waiters();
    }

    /// Waits until `find` finds something in what was seen.
    async fn wait<T>(&self, what: &str, limit: Duration, mut find: impl FnMut(&mut Seen) -> Option<T>) -> Result<T> {
        let watch = Stopwatch::start();
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(found) = find(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(found);
            }
            if tokio::time::timeout(limit.saturating_sub(watch.elapsed()), news).await.is_err() {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let fault = seen.last_fault.clone().unwrap_or_else(|| "no fault".into());
                bail!("{what}: not within {limit:?}; {} messages not taken; {fault}", seen.messages.len());
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Sender {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// One connected device.
#[derive(Debug)]
pub struct Device {
    pub protocol: Protocol,
    /// Replies are asked to come here.
    pub reply_topic: String,
    sender: Sender,
    inbox: Arc<Inbox>,
    poller: JoinHandle<()>,
    paused: watch::Sender<bool>,
    next: AtomicU64,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

static DEVICES: AtomicU64 = AtomicU64::new(1);

impl Device {
    /// Connects and subscribes to a reply topic of its own.
    pub async fn connect(port: u16, protocol: Protocol) -> Result<Device> {
        let name = format!("device-{}-{}", std::process::id(), DEVICES.fetch_add(1, Ordering::Relaxed));
        let inbox = Arc::new(Inbox::default());
        let (paused, gate) = watch::channel(false);
        let (sender, poller) = match protocol {
            Protocol::V5 => connect5(&name, port, Arc::clone(&inbox), gate),
            Protocol::V311 => connect311(&name, port, Arc::clone(&inbox), gate),
        };
        let reply_topic = format!("edge/replies/{name}");
        let device = Device { protocol, reply_topic, sender, inbox, poller, paused, next: AtomicU64::new(1) };
        device.inbox.wait("the device connects", PATIENCE, |seen| (seen.connections > 0).then_some(())).await?;
        device.subscribe(&device.reply_topic).await?;
        Ok(device)
    }

    /// From the next message on it neither reads nor sends nor acknowledges anything, until it is resumed.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Goes on where it paused.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }

    /// Subscribes, and waits for the broker to say so.
    pub async fn subscribe(&self, filter: &str) -> Result<()> {
        let before = self.count(|seen| seen.subscriptions);
        match &self.sender {
            Sender::V5(client) => client.subscribe(filter, QoS5::AtLeastOnce).await?,
            Sender::V311(client) => client.subscribe(filter, QoS311::AtLeastOnce).await?,
        }
        let what = format!("the broker takes the subscription {filter}");
        self.inbox.wait(&what, PATIENCE, |seen| (seen.subscriptions > before).then_some(())).await
    }

    /// Ends a subscription, and waits for the broker to say so.
    pub async fn unsubscribe(&self, filter: &str) -> Result<()> {
        let before = self.count(|seen| seen.unsubscriptions);
        match &self.sender {
            Sender::V5(client) => client.unsubscribe(filter).await?,
            Sender::V311(client) => client.unsubscribe(filter).await?,
        }
        let what = format!("the broker ends the subscription {filter}");
        self.inbox.wait(&what, PATIENCE, |seen| (seen.unsubscriptions > before).then_some(())).await
    }

    /// Hands a message to the client library.
    pub async fn publish(&self, message: Outgoing) -> Result<()> {
        match &self.sender {
            Sender::V5(client) => {
                let qos = [QoS5::AtMostOnce, QoS5::AtLeastOnce, QoS5::ExactlyOnce][usize::from(message.qos)];
                let properties = PublishProperties {
                    content_type: message.content_type,
                    response_topic: message.response_topic,
                    correlation_data: message.correlation,
                    message_expiry_interval: message.expiry_seconds,
                    user_properties: message.user,
                    ..PublishProperties::default()
                };
                client.publish_with_properties(message.topic, qos, message.retain, message.payload, properties).await?;
            }
            Sender::V311(client) => {
                let qos = [QoS311::AtMostOnce, QoS311::AtLeastOnce, QoS311::ExactlyOnce][usize::from(message.qos)];
                client.publish(message.topic, qos, message.retain, message.payload).await?;
            }
        }
        Ok(())
    }

    /// Waits until the broker acknowledged this many messages in all.
    pub async fn acknowledged(&self, count: usize) -> Result<()> {
        let what = format!("the broker acknowledges {count} messages");
        self.inbox.wait(&what, PATIENCE, |seen| (seen.acknowledged >= count).then_some(())).await
    }

    /// Takes the first message that fits, now or when it comes.
    pub async fn take(&self, what: &str, limit: Duration, fits: impl Fn(&Incoming) -> bool) -> Result<Incoming> {
        let find = |seen: &mut Seen| {
            let place = seen.messages.iter().position(&fits)?;
            Some(seen.messages.remove(place))
        };
        self.inbox.wait(what, limit, find).await
    }

    /// Takes every message that is there and fits.
    pub fn take_all(&self, fits: impl Fn(&Incoming) -> bool) -> Vec<Incoming> {
        let mut taken = Vec::new();
        self.inbox.note(|seen| {
            let (fitting, others) = std::mem::take(&mut seen.messages).into_iter().partition(|message| fits(message));
            taken = fitting;
            seen.messages = others;
        });
        taken
    }

    fn count(&self, read: impl Fn(&Seen) -> usize) -> usize {
        read(&self.inbox.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request id that no other request of this device has.
    pub fn fresh_id(&self) -> String {
        format!(
            "{}-{}",
            self.reply_topic.rsplit('/').next().unwrap_or_default(),
            self.next.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Sends a JSON body and waits for its reply; `id` and `reply_to` are added unless they are there.
    pub async fn ask_json(&self, model: &str, body: &Value) -> Result<Outcome> {
        let mut body = body.as_object().context("a body is an object")?.clone();
        let fresh = Value::from(self.fresh_id());
        let id = body.entry("id").or_insert(fresh).as_str().unwrap_or_default().to_owned();
        body.entry("reply_to").or_insert_with(|| self.reply_topic.clone().into());
        let payload = serde_json::to_vec(&body)?.into();
        self.publish(Outgoing { topic: request_topic(model), payload, qos: 1, ..Outgoing::default() }).await?;
        self.reply_to_id(&id).await
    }

    /// Waits for the reply whose body names this id.
    pub async fn reply_to_id(&self, id: &str) -> Result<Outcome> {
        let named = |message: &Incoming| reply::id_of(message).is_some_and(|found| found == id);
        let what = format!("the reply to {id}");
        reply::read(&self.take(&what, PATIENCE, named).await?)
    }

    /// Sends any body as it is, with MQTT 5 properties, and waits for the reply with the same correlation data.
    pub async fn ask5(&self, message: Outgoing) -> Result<Outcome> {
        reply::read(&self.exchange5(message).await?)
    }

    /// The same, giving the reply as it came.
    pub async fn exchange5(&self, mut message: Outgoing) -> Result<Incoming> {
        if self.protocol != Protocol::V5 {
            return Err(anyhow!("correlation data needs MQTT 5"));
        }
        let correlation = message.correlation.take().unwrap_or_else(|| self.fresh_id().into());
        message.correlation = Some(correlation.clone());
        message.response_topic.get_or_insert_with(|| self.reply_topic.clone());
        self.publish(message).await?;
        let what = format!("the reply with correlation data {correlation:?}");
        self.take(&what, PATIENCE, |reply| reply.correlation.as_ref() == Some(&correlation)).await
    }
}

/// Where requests for `model` go.
pub fn request_topic(model: &str) -> String {
    format!("edge/{NODE}/infer/{model}")
}

fn connect5(name: &str, port: u16, inbox: Arc<Inbox>, mut gate: watch::Receiver<bool>) -> (Sender, JoinHandle<()>) {
    let mut options = rumqttc::v5::MqttOptions::new(name, "127.0.0.1", port);
    options.set_clean_start(false).set_session_expiry_interval(Some(SESSION_SECONDS));
    options.set_max_packet_size(Some(MAX_PACKET)).set_keep_alive(Duration::from_secs(30));
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, CHANNEL);
    let poller = tokio::spawn(async move {
        while gate.wait_for(|paused| !*paused).await.is_ok() {
            match events.poll().await {
                Ok(rumqttc::v5::Event::Incoming(packet)) => inbox.note(|seen| seen.packet5(packet)),
                Ok(rumqttc::v5::Event::Outgoing(_)) => {}
                Err(fault) => rest(&inbox, fault.to_string()).await,
            }
        }
    });
    (Sender::V5(client), poller)
}

fn connect311(name: &str, port: u16, inbox: Arc<Inbox>, mut gate: watch::Receiver<bool>) -> (Sender, JoinHandle<()>) {
    let mut options = rumqttc::MqttOptions::new(name, "127.0.0.1", port);
    let size = usize::try_from(MAX_PACKET).unwrap_or(usize::MAX);
    options.set_clean_session(false).set_max_packet_size(size, size).set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = rumqttc::AsyncClient::new(options, CHANNEL);
    events.network_options.set_tcp_nodelay(true);
    let poller = tokio::spawn(async move {
        while gate.wait_for(|paused| !*paused).await.is_ok() {
            match events.poll().await {
                Ok(rumqttc::Event::Incoming(packet)) => inbox.note(|seen| seen.packet311(packet)),
                Ok(rumqttc::Event::Outgoing(_)) => {}
                Err(fault) => rest(&inbox, fault.to_string()).await,
            }
        }
    });
    (Sender::V311(client), poller)
}

/// After a broken connection: the next poll connects again, but not at once.
async fn rest(inbox: &Inbox, fault: String) {
    inbox.note(|seen| seen.last_fault = Some(fault));
    tokio::time::sleep(Duration::from_millis(50)).await;
}

impl Seen {
    fn packet5(&mut self, packet: Packet5) {
        match packet {
            Packet5::ConnAck(_) => self.connections += 1,
            Packet5::SubAck(_) => self.subscriptions += 1,
            Packet5::UnsubAck(_) => self.unsubscriptions += 1,
            Packet5::PubAck(_) | Packet5::PubComp(_) => self.acknowledged += 1,
            Packet5::Publish(publish) => {
                let properties = publish.properties.unwrap_or_default();
                self.messages.push(Incoming {
                    topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                    payload: publish.payload,
                    qos: publish.qos as u8,
                    retain: publish.retain,
                    content_type: properties.content_type,
                    correlation: properties.correlation_data,
                    user: properties.user_properties,
                });
            }
            Packet5::Disconnect(why) => {
                self.last_fault = Some(format!("the broker said goodbye: {:?}", why.reason_code))
            }
            _ => {}
        }
    }

    fn packet311(&mut self, packet: Packet311) {
        match packet {
            Packet311::ConnAck(_) => self.connections += 1,
            Packet311::SubAck(_) => self.subscriptions += 1,
            Packet311::UnsubAck(_) => self.unsubscriptions += 1,
            Packet311::PubAck(_) | Packet311::PubComp(_) => self.acknowledged += 1,
            Packet311::Publish(publish) => self.messages.push(Incoming {
                topic: publish.topic,
                payload: publish.payload,
                qos: publish.qos as u8,
                retain: publish.retain,
                content_type: None,
                correlation: None,
                user: Vec::new(),
            }),
            _ => {}
        }
    }
}
