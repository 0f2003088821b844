//! The task's looks beside its connection: whether the first broker of the list answers again, and whether files of certificates
//! that are about to end were renewed. What follows is a change of connection in good order: in a quiet moment, or after a short
//! wait for one, and with all that was handed to the connection sent.

use std::time::{Duration, SystemTime};

use edge_core::Mono;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::{GOODBYE, Stage, Task};
use crate::config::{MqttConfig, TlsConfig};
use crate::transport::mqtt::link::{self, Link};
use crate::transport::mqtt::packet::ToBroker;
use crate::transport::mqtt::task::speak::SOON;
use crate::transport::mqtt::tls;
use crate::transport::mqtt::told::Told;

/// How long a quiet moment is waited for.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// Pause between two looks at the files of certificates that are about to end.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Debug)]
pub enum Seen {
    /// What became of a probe of the first broker.
    First(Result<(), String>),
    /// The files are other ones than the connection was made with, and one can be made with them.
    Renewed(bool),
}

/// Why a connection is given up that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// The first broker of the list answers.
    ForFirst,
    /// There are new certificates.
    ForRenewed,
}

/// What is under way.
#[derive(Debug, Default)]
pub struct Home {
    pub looking: JoinSet<Seen>,
    /// A change, and until when a quiet moment is waited for.
    leaving: Option<(Leave, Mono)>,
    look_at: Option<Mono>,
}

impl Home {
    /// What was seen of it, or is yet to come, is of no use any more.
    pub fn connection_is_gone(&mut self) {
        *self = Home::default();
    }
}

impl Task {
    /// The link told something of itself.
    pub(super) fn on_told(&mut self) {
        if let Some(link) = &mut self.link {
            self.speaker.told(&link.told.borrow_and_update());
        }
    }

    /// Begins what is due.
    pub(super) fn look_homeward(&mut self, now: Mono) {
        if !matches!(self.stage, Stage::Serving) || !self.speaker.is_connected() {
            return;
        }
        if self.brokers.probe(now) {
            let first = self.config.at(0);
            self.home.looking.spawn(async move { Seen::First(link::probe(&first).await) });
        }
        if self.config.tls.is_some() && self.home.look_at.is_none_or(|at| at <= now) {
            self.home.look_at = Some(now.after(LOOK_AT_FILES));
            self.look_at_files();
        }
        if let Some((why, until)) = self.home.leaving
            && (self.session.is_drained() || now >= until)
        {
            self.change_connection(now, why);
        }
    }

    pub(super) fn home_due(&self) -> Option<Mono> {
        let connected = self.speaker.is_connected() && matches!(self.stage, Stage::Serving);
        let leaving = self.home.leaving.map(|(_, until)| until);
        let due = [self.brokers.probe_due(), self.home.look_at, leaving];
        due.into_iter().flatten().min().filter(|_| connected)
    }

    fn look_at_files(&mut self) {
        let Some(link) = &self.link else { return };
        let (told, soon) = (link.told.borrow().clone(), seconds((self.wall)()).saturating_add(SOON));
        let (Some(tls), Some(files)) = (self.config.tls.clone(), told.files) else { return };
        if told.first_end_s().is_some_and(|end| end <= soon) {
            let config = self.config.at(self.brokers.at());
            self.home.looking.spawn(renewed(config, tls, files));
        }
    }

    pub(super) fn on_seen(&mut self, seen: Result<Seen, JoinError>) {
        let now = self.clock.now();
        let why = match seen {
            Ok(Seen::First(found)) => {
                if let Err(why) = &found {
                    self.speaker.failed_at(0, why);
                }
                let back = self.brokers.probed(now, found.is_ok(), self.throw(now));
                back.then_some(Leave::ForFirst)
            }
            Ok(Seen::Renewed(renewed)) => renewed.then_some(Leave::ForRenewed),
            Err(error) => {
                tracing::error!(%error, "a look beside the connection ended");
                self.brokers.probed(now, false, self.throw(now));
                None
            }
        };
        if let Some(why) = why {
            self.home.leaving.get_or_insert((why, now.after(QUIET_WITHIN)));
        }
    }

    /// Leaves the connection for another one.
    fn change_connection(&mut self, now: Mono, why: Leave) {
        let Some(Link { packets, mut received, task, .. }) = self.link.take() else { return };
        let reason = match why {
            // Without a good-bye: the broker then says `offline` there, in this box's name.
            Leave::ForFirst => {
                self.brokers.go_back();
                format!("goes back to {}, which answers again", self.config.at(0).address())
            }
            Leave::ForRenewed => {
                if packets.try_send(ToBroker::Disconnect).is_err() {
                    tracing::debug!("no room for a good-bye");
                }
                "connects again with renewed certificates".into()
            }
        };
        tracing::info!(broker = %self.speaker.broker(), %reason, "leaves the connection");
        drop(packets);
        // The link sends what it has and ends. What comes meanwhile was not acknowledged, and comes again.
        let rest = async move { while received.recv().await.is_some() {} };
        tokio::spawn(async move {
            if timeout(GOODBYE, rest).await.is_err() {
                task.abort();
            }
        });
        self.forget_connection(now, &reason);
        self.speaker.left(reason);
        self.next_attempt = Some(now);
    }
}

/// Whether the files of a connection are other ones now, and the broker takes a connection that is made with them.
async fn renewed(config: MqttConfig, tls: TlsConfig, in_use: [u8; 32]) -> Seen {
    let found = tokio::task::spawn_blocking(move || tls::fingerprint(&tls)).await;
    let changed = found.is_ok_and(|found| found.is_some_and(|found| found != in_use));
    Seen::Renewed(changed && link::probe(&config).await.is_ok())
}

fn seconds(wall: SystemTime) -> i64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Waits until the link tells something of itself. Its end comes by another channel.
pub(super) async fn news(told: Option<&mut watch::Receiver<Told>>) {
    if let Some(told) = told
        && told.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
