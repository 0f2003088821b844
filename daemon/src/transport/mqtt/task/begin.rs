//! How the task is put together.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::RandomState;

use edge_wire::mqtt::topic::Topics;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;

use super::held::Held;
use super::home::Home;
use super::journal;
use super::siblings::Siblings;
use super::sources::Sources;
use super::speak::Speaker;
use super::{Ledger, STALLED_KEEP_ALIVES, Stage, Task, UNKEPT};
use crate::driver::sites::siblings::Ask;
use crate::transport::mqtt::Setup;
use crate::transport::mqtt::bindings::{Binder, Own};
use crate::transport::mqtt::brokers::Brokers;
use crate::transport::mqtt::ingress::Rules;
use crate::transport::mqtt::peers::encode::Sender;
use crate::transport::mqtt::session::{Limits, Session};

impl Task {
    pub fn new(setup: Setup, ledger: Ledger, orders: OwnedMutexGuard<mpsc::Receiver<Ask>>) -> Task {
        let sources = Sources::start(&setup);
        let Setup { config, node, handle, clock, wall, telemetry_interval, bindings, news, .. } = setup;
        let since_epoch = wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let id_prefix = format!("m{:x}", since_epoch.as_millis());
        let own = Own {
            node: &node,
            prefix: &config.prefix,
            zone: config.zone,
            id_prefix: &id_prefix,
            has_hosts: news.is_some(),
        };
        let binder = Binder::new(&bindings, own, clock, config.max_request_bytes);
        let limits = Limits {
            journal_after: config.journal_after,
            journal_rows: config.journal_max_rows,
            journal_bytes: config.journal_max_bytes,
            replies_waiting: config.max_replies_waiting,
            inflight: config.max_inflight.into(),
            inflight_bytes: config.max_inflight_bytes,
            outbox: config.outbox,
            stalled_after: config.keep_alive * STALLED_KEEP_ALIVES,
        };
        let topics = Topics::new(&config.prefix, &node);
        let rules = Rules {
            topics: topics.clone(),
            reply_allow: config.reply_allow.clone(),
            max_request_bytes: config.max_request_bytes,
            zone: config.zone,
        };
        let status = handle.watch();
        let (answer_to, answers) = mpsc::channel(limits.most_open() + binder.most_open());
        let first_job = ledger.found.as_ref().map_or(UNKEPT, journal::first_number);
        // A journal that is not open may be one of a daemon that crashed.
        let crashed = ledger.found.as_ref().is_none_or(|found| found.crashed);
        let sender = Sender { topics: topics.clone(), node, protocol: config.protocol };
        let mut speaker = Speaker::new(&config, topics, telemetry_interval, wall);
        speaker.set_bindings(binder.status());
        Task {
            session: Session::new(limits, first_job, crashed),
            siblings: Siblings::new(orders, sender, id_prefix.clone(), handle.clone(), clock),
            binder,
            news,
            frames_in_order: VecDeque::new(),
            first_left: None,
            alone: None,
            ready_frames: HashMap::new(),
            binder_due: None,
            resolving: JoinSet::new(),
            sources,
            id_prefix,
            speaker,
            rules,
            handle,
            clock,
            wall,
            open: HashMap::new(),
            answers,
            answer_to,
            writing: 0,
            journal_spoke: None,
            notes: Vec::new(),
            notes_due: None,
            ledger,
            status,
            link: None,
            held: Held::default(),
            brokers: Brokers::new(config.brokers(), config.return_after),
            home: Home::default(),
            config,
            dice: RandomState::new(),
            next_attempt: None,
            stage: Stage::Waiting,
            subscribing: VecDeque::new(),
            unsubscribed: Vec::new(),
            former: HashSet::new(),
            in_group: None,
            in_fleet: false,
            reports: Vec::new(),
        }
    }
}
