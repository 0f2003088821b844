//! What holds for one connection: which births are due, which number stands for which metric, what was told.

use std::collections::{BTreeMap, VecDeque};

use edge_core::Mono;

use super::Packet;
use crate::transport::sparkplug::history::Kept;
use crate::transport::sparkplug::metrics::Metric;
use crate::transport::sparkplug::store::ChunkId;

/// The node itself, or one of its devices.
pub type Entity = Option<String>;

/// A question that the broker has not answered, and what its answer proves.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    /// So many of the oldest unproven results.
    pub live: usize,
    /// History up to this chunk.
    pub history: Option<ChunkId>,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Goes before everything else.
    pub urgent: VecDeque<Packet>,
    /// What was subscribed to.
    pub filters: Vec<String>,
    /// Number of the next message.
    seq: u8,
    /// Births that are still to be sent, the node's own first.
    pub births: VecDeque<Entity>,
    /// When all births begin again; no data before.
    pub birth_due: Option<Mono>,
    /// When they began last.
    pub born_at: Option<Mono>,
    /// What was told of whom.
    pub told: BTreeMap<Entity, Vec<Metric>>,
    /// By whom, the numbers that stand for names.
    aliases: BTreeMap<Entity, BTreeMap<String, u64>>,
    last_alias: u64,
    /// Something may have changed since it was last compared with what was told.
    pub dirty: bool,
    /// Results that were told and are not known to have come, the oldest first.
    pub unproven: VecDeque<Kept>,
    pub fence: Option<Fence>,
    /// When the next question may be put.
    pub fence_due: Option<Mono>,
    /// Chunks that were fetched and are to be told.
    pub fetched: VecDeque<(ChunkId, Vec<u8>)>,
    /// The store was asked for chunks.
    pub fetching: bool,
    /// When it may be asked again.
    pub history_due: Option<Mono>,
    /// The last chunk that was told and is not known to have come.
    pub history_told: Option<ChunkId>,
}

impl Session {
    /// All births, from now on.
    pub fn begin_births<'a>(&mut self, now: Mono, devices: impl Iterator<Item = &'a String>) {
        self.births = std::iter::once(None).chain(devices.cloned().map(Some)).collect();
        self.birth_due = None;
        self.born_at = Some(now);
        self.dirty = true;
    }

    /// The number of the message that is handed over now.
    pub fn next_seq(&mut self) -> u8 {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        seq
    }

    /// The node is born: its birth has the number 0.
    pub fn restart_seq(&mut self) {
        self.seq = 0;
    }

    /// The number that stands for a metric on this connection; the same in every birth.
    pub fn alias(&mut self, entity: &Entity, name: &str) -> u64 {
        let known = self.aliases.entry(entity.clone()).or_default();
        *known.entry(name.to_owned()).or_insert_with(|| {
            self.last_alias += 1;
            self.last_alias
        })
    }

    /// The number of a metric that was born.
    pub fn known_alias(&self, entity: &Entity, name: &str) -> Option<u64> {
        self.aliases.get(entity)?.get(name).copied()
    }

    /// The metric of this device, or of the node, that a number stands for.
    pub fn name_of(&self, device: Option<&str>, alias: u64) -> Option<&str> {
        let of_entity = self.aliases.get(&device.map(str::to_owned))?;
        of_entity.iter().find(|(_, number)| **number == alias).map(|(name, _)| name.as_str())
    }

    /// A device is gone; its numbers are not used again on this connection.
    pub fn forget(&mut self, device: &str) {
        let entity = Some(device.to_owned());
        self.told.remove(&entity);
        self.aliases.remove(&entity);
    }

    /// When there is something to do by the clock.
    pub fn next_due(&self, stored: usize) -> Option<Mono> {
        let fence = self.fence_due.filter(|_| self.fence.is_none());
        let fetch = self.history_due.filter(|_| stored > 0 && self.is_idle_in_history());
        [self.birth_due, fence, fetch].into_iter().flatten().min()
    }

    /// No portion of history is under way.
    pub fn is_idle_in_history(&self) -> bool {
        !self.fetching && self.fetched.is_empty() && self.history_told.is_none()
    }
}
