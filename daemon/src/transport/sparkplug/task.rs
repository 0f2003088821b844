//! The loop that ties the [`Node`] to a connection, to the driver and to its store. Decides nothing about Sparkplug.

mod orders;
mod report;
mod wire;

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::Status;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tokio::time::{Sleep, sleep};

use self::orders::{Orders, Told};
use self::report::Report;
use self::wire::{manner, servers, to_broker};
use super::kept::Kept;
use super::metrics::Permits;
use super::metrics::bindings::Bindings;
use super::metrics::status::{Rates, picture};
use super::node::{Action, Node, Now, Phase, Plan};
use super::topic::Topics;
use super::{News, Setup, number};
use crate::config::MqttConfig;
use crate::driver::clock::Clock;
use crate::transport::mqtt::link::{self, Link};
use crate::transport::mqtt::packet::{FromBroker, Qos, ToBroker};
use crate::transport::mqtt::reconnect::{End, Reconnect};

/// Why the loop turns.
enum Wake {
    Packet(Option<FromBroker>),
    /// The link takes packets again.
    Room,
    Status {
        driver_is_gone: bool,
    },
    News(News),
    Told(Told),
    /// The store's disk.
    Disk(crate::ledger::outbox::Report),
    Time,
    Stop,
}

/// The task.
pub struct Task {
    /// The brokers, in the order in which they are gone to.
    servers: Vec<MqttConfig>,
    clock: Clock,
    wall: fn() -> std::time::SystemTime,
    state_dir: std::path::PathBuf,
    interval: Duration,
    permits: Permits,
    topics: Topics,
    node: Node,
    store: Kept,
    bindings: Bindings,
    news: OwnedMutexGuard<mpsc::Receiver<News>>,
    rates: Rates,
    orders: Orders,
    report: Report,
    status: watch::Receiver<Arc<Status>>,
    link: Option<Link>,
    reconnect: Reconnect,
    dice: RandomState,
    next_attempt: Option<Mono>,
    is_warm: bool,
    stopping: bool,
    /// Messages of the broker that it is to be told we have.
    acks: VecDeque<u16>,
    last_packet_id: u16,
    /// The link had no room when something was to be sent.
    blocked: bool,
    /// The status changed since it was shown.
    status_is_new: bool,
    shown_at: Option<Mono>,
}

impl Task {
    /// One that is not connected; `last` is the number of the last connection of an earlier life.
    pub fn new(setup: Setup, news: OwnedMutexGuard<mpsc::Receiver<News>>, last: Option<u8>, store: Kept) -> Task {
        let Setup { config, mqtt, handle, clock, wall, state_dir, .. } = setup;
        let servers = servers(mqtt);
        let permits = Permits { drain: config.drain, activate: config.activate };
        let topics = Topics::new(&config.group, &config.edge_node);
        let plan = Plan {
            topics: topics.clone(),
            permits,
            primary_host: config.primary_host.clone(),
            servers: servers.len(),
            history_per_second: config.history_per_second,
        };
        Task {
            node: Node::new(plan, last),
            store,
            bindings: Bindings::default(),
            report: Report::new(&config),
            orders: Orders::new(handle.clone(), format!("sparkplug group {}", config.group), wall),
            status: handle.watch(),
            servers,
            clock,
            wall,
            state_dir,
            interval: config.interval,
            permits,
            topics,
            news,
            rates: Rates::default(),
            link: None,
            reconnect: Reconnect::default(),
            dice: RandomState::new(),
            next_attempt: None,
            is_warm: false,
            stopping: false,
            acks: VecDeque::new(),
            last_packet_id: 0,
            blocked: false,
            status_is_new: true,
            shown_at: None,
        }
    }

    /// Runs until stopped; gives the store back to be closed.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<()>>) -> Kept {
        let timer = sleep(Duration::ZERO);
        tokio::pin!(timer);
        let (mut armed, mut news_end, mut driver_gone) = (None, false, false);
        loop {
            self.advance().await;
            let now = self.now().mono;
            self.store.tick(now);
            if self.stopping && self.link.is_none() {
                return self.store;
            }
            self.report.tell(self.now().mono, &self.node, self.store.store(), self.orders.handle());
            self.arm(timer.as_mut(), &mut armed);
            let (blocked, may_stop) = (self.blocked, !self.stopping);
            let (received, packets) = match &mut self.link {
                Some(link) => (Some(&mut link.received), Some(&link.packets)),
                None => (None, None),
            };
            let wake = tokio::select! {
                packet = receive(received) => Wake::Packet(packet),
                () = room(packets), if blocked => Wake::Room,
                changed = self.status.changed(), if !driver_gone => Wake::Status { driver_is_gone: changed.is_err() },
                news = self.news.recv(), if !news_end => match news {
                    Some(news) => Wake::News(news),
                    None => { news_end = true; continue }
                },
                Some(told) = self.orders.next() => Wake::Told(told),
                Some(report) = self.store.reports.recv() => Wake::Disk(report),
                () = timer.as_mut() => Wake::Time,
                _asked = stop.wait_for(Option::is_some), if may_stop => Wake::Stop,
            };
            match wake {
                Wake::Packet(Some(packet)) => self.on_packet(packet),
                Wake::Packet(None) => self.on_link_end().await,
                Wake::Status { driver_is_gone } => {
                    self.status_is_new = true;
                    driver_gone |= driver_is_gone;
                    if driver_is_gone {
                        self.on_stop();
                    }
                }
                Wake::News(news) => self.on_news(news),
                Wake::Told(Told::Outcome(words)) => self.node.outcome(&words),
                Wake::Told(Told::Served(served)) => {
                    self.orders.served = served;
                    self.status_is_new = true;
                }
                Wake::Disk(report) => self.store.on_report(report),
                Wake::Stop => self.on_stop(),
                Wake::Time => armed = None,
                Wake::Room => {}
            }
        }
    }

    fn now(&self) -> Now {
        let since = (self.wall)().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.clock.now(), wall_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// What is due by the clock, then everything that the node has.
    async fn advance(&mut self) {
        let now = self.now();
        if !self.is_warm && !matches!(self.status.borrow().state.as_str(), "" | "starting") {
            self.is_warm = true;
            self.report.warm();
            self.next_attempt = Some(now.mono);
        }
        let due = self.shown_at.is_none_or(|at| now.mono.since(at) >= self.interval);
        if self.is_warm && self.status_is_new && due {
            self.show(now);
        }
        if self.link.is_none() && self.next_attempt.is_some_and(|at| at <= now.mono) {
            self.connect(now).await;
        }
        self.node.tick(now);
        self.drive(now);
    }

    fn show(&mut self, now: Now) {
        let status = self.status.borrow_and_update().clone();
        self.status_is_new = false;
        self.shown_at = Some(now.mono);
        self.orders.look_at_usage(now.mono);
        self.node.show(picture(&status, &self.orders.served, self.permits, &mut self.rates, now.mono));
    }

    async fn connect(&mut self, now: Now) {
        self.next_attempt = None;
        let will = self.node.hello(now);
        if let Some(number) = self.node.bdseq() {
            number::write(&self.state_dir, number).await;
        }
        let Some(server) = self.servers.get(self.node.server()).or(self.servers.first()) else { return };
        self.report.connecting(server);
        self.link = Some(link::start(server.clone(), manner(will), self.clock));
    }

    /// Hands over what the node has while the link takes it, and does what it asks for.
    fn drive(&mut self, now: Now) {
        loop {
            let mut acted = false;
            while let Some(action) = self.node.poll_action() {
                acted = true;
                self.act(action);
            }
            self.blocked = false;
            while let Some(link) = &self.link {
                let Ok(permit) = link.packets.try_reserve() else {
                    self.blocked = true;
                    break;
                };
                let packet = match self.acks.pop_front() {
                    Some(id) => ToBroker::PubAck(id),
                    None => match self.node.poll_packet(now) {
                        Some(packet) => to_broker(packet, &self.topics, &mut self.last_packet_id),
                        None => break,
                    },
                };
                permit.send(packet);
                acted = true;
            }
            if !acted {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Command(command) => {
                tracing::info!(command = %command.words(), "a Sparkplug host commands");
                if let Some(words) = self.orders.carry_out(command) {
                    self.node.outcome(&words);
                }
            }
            Action::Refused(why) => tracing::warn!(%why, "a command of a Sparkplug host is refused"),
            Action::Doubt(what) => tracing::warn!(%what, "Sparkplug"),
            Action::Keep(chunk) => {
                let now = self.now().mono;
                self.store.append(now, chunk);
            }
            Action::Fetch(most) => self.node.fetched(self.store.oldest(most)),
            Action::Remove(through) => self.store.remove(through),
        }
        self.node.stored(self.store.store().len());
    }

    fn on_packet(&mut self, packet: FromBroker) {
        let now = self.now();
        match packet {
            FromBroker::Connected(Ok(_)) => {
                self.report.accepted();
                self.node.connected();
            }
            FromBroker::SubAck(answers) => self.node.subscribed(now, &answers),
            FromBroker::UnsubAck => self.node.fenced(now),
            FromBroker::Publish(message) => {
                // A command of QoS 2 cannot come: QoS 1 was asked for.
                if message.qos != Qos::AtMostOnce {
                    self.acks.push_back(message.packet_id);
                }
                if message.oversized.is_none() {
                    self.node.received(now, &message.topic, &message.payload, message.retained);
                }
            }
            FromBroker::Connected(Err(_))
            | FromBroker::PubAck(..)
            | FromBroker::PubRec(..)
            | FromBroker::PubRel(_)
            | FromBroker::PubComp(_)
            | FromBroker::Disconnect { .. }
            | FromBroker::Pong => {}
        }
    }

    async fn on_link_end(&mut self) {
        let Some(link) = self.link.take() else { return };
        let end = link.task.await.unwrap_or_else(|error| End {
            stood: None,
            taken_over: false,
            refused: false,
            closed: false,
            reason: format!("the task of the connection ended: {error}"),
        });
        let now = self.now().mono;
        let (deliberate, doubt) = (matches!(self.node.phase(), Phase::Leaving { .. }), self.node.host_online());
        self.acks.clear();
        self.node.lost();
        let server = self.servers.first();
        let client_id = server.map_or("", |server| &server.client_id);
        let mut next = self.reconnect.after(end, client_id, self.dice.hash_one(now.as_nanos()));
        if deliberate {
            next.reason = match doubt {
                Some(false) => "the primary host is offline".into(),
                Some(true) | None => "the primary host did not come; another server is looked at".into(),
            };
        }
        if !self.stopping {
            tracing::warn!(reason = %next.reason, retry_in = ?next.pause, "no Sparkplug connection");
            self.next_attempt = Some(now.after(next.pause));
        }
        self.report.lost(next.reason);
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Declared(binding) => {
                if let Some(update) = self.bindings.declare(&binding) {
                    self.node.declare(update);
                }
            }
            News::Result(result) => match self.bindings.take(&result) {
                Some(update) => self.node.result(update),
                None => tracing::debug!(binding = %result.binding, "more bindings than are shown"),
            },
            News::Withdrawn(binding) => {
                if let Some(device) = self.bindings.withdraw(&binding) {
                    self.node.withdraw(&device);
                }
            }
        }
    }

    fn on_stop(&mut self) {
        self.stopping = true;
        self.next_attempt = None;
        self.node.stop(self.now());
        // One that is still being made is not waited for.
        if self.node.phase() == Phase::Down
            && let Some(link) = self.link.take()
        {
            link.task.abort();
        }
    }

    fn arm(&self, mut timer: std::pin::Pin<&mut Sleep>, armed: &mut Option<Mono>) {
        let show = self.shown_at.filter(|_| self.status_is_new).map(|at| at.after(self.interval));
        let due = [self.node.poll_deadline(), self.next_attempt, show, self.report.next_due(), self.store.next_due()];
        let next = due.into_iter().flatten().min().unwrap_or(Mono::MAX);
        if *armed != Some(next) {
            timer.as_mut().reset(self.clock.instant(next));
            *armed = Some(next);
        }
    }
}

/// The next packet; `None` when the connection ended. Waits for ever without one.
async fn receive(received: Option<&mut mpsc::Receiver<FromBroker>>) -> Option<FromBroker> {
    match received {
        Some(received) => received.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits until the link takes a packet. The end of the link comes by the other channel.
async fn room(packets: Option<&mpsc::Sender<ToBroker>>) {
    match packets {
        Some(packets) if packets.reserve().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}
