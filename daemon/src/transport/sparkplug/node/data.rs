//! What a born node says: births, what changed, results one by one, history in portions.

use super::session::{Entity, Fence};
use super::{
    Action, Device, FENCE_PAUSE, HISTORY_PAUSE, Kept, MOST_UNPROVEN, MOST_UPDATES, Metric, Naming, Node, Now, Packet,
    Payload, Phase, Picture, Shown, Update, payload,
};
use crate::transport::sparkplug::metrics::REBIRTH;
use crate::transport::sparkplug::store::ChunkId;

impl Node {
    /// The node and its models as they are now. Devices of models that are not in it are gone.
    pub fn show(&mut self, picture: Picture) {
        self.shown = picture.node;
        self.devices.retain(|id, shown| shown.model.is_none() || picture.devices.contains_key(id));
        for (id, Device { model, metrics }) in picture.devices {
            self.devices.insert(id, Shown { model: Some(model), metrics });
        }
        self.refresh();
    }

    /// A binding is shown before its first result.
    pub fn declare(&mut self, update: Update) {
        self.devices.insert(update.device, Shown { model: None, metrics: update.metrics });
        self.session.dirty = true;
    }

    /// A binding is not configured any more.
    pub fn withdraw(&mut self, device: &str) {
        self.updates.retain(|update| update.device != device);
        self.devices.remove(device);
        self.session.dirty = true;
    }

    /// A binding answered. Nobody hears it now unless the node is born: then it is kept.
    pub fn result(&mut self, update: Update) {
        if self.phase != Phase::Born {
            return self.keep_update(update);
        }
        self.updates.push_back(update);
        if self.updates.len() > MOST_UPDATES
            && let Some(oldest) = self.updates.pop_front()
        {
            self.keep_update(oldest);
        }
    }

    pub(super) fn keep_update(&mut self, update: Update) {
        if let Some(kept) = self.take(update) {
            self.keep(&kept);
        }
    }

    pub(super) fn keep(&mut self, kept: &Kept) {
        match kept.write() {
            Ok(chunk) => self.actions.push_back(Action::Keep(chunk)),
            Err(error) => self.actions.push_back(Action::Doubt(error.to_string())),
        }
    }

    /// The device is as the result says from now on; what that changes.
    fn take(&mut self, update: Update) -> Option<Kept> {
        let Update { device, metrics } = update;
        let before = self.devices.get(&device).map_or(&[][..], |shown| &shown.metrics);
        let changed: Vec<Metric> = metrics
            .iter()
            .filter(|metric| !before.iter().any(|b| same(b, metric) && b.says(metric)))
            .cloned()
            .collect();
        self.devices.insert(device.clone(), Shown { model: None, metrics });
        (!changed.is_empty()).then_some(Kept { device, metrics: changed })
    }

    /// Chunks of the store that were asked for.
    pub fn fetched(&mut self, chunks: Vec<(ChunkId, Vec<u8>)>) {
        self.session.fetching = false;
        if self.phase == Phase::Born {
            self.session.fetched.extend(chunks);
        }
    }

    /// How many chunks are in the store.
    pub fn stored(&mut self, count: usize) {
        self.stored = count;
    }

    /// The broker answered a [`Packet::Fence`]: it has read everything that went before.
    pub fn fenced(&mut self, now: Now) {
        let Some(Fence { live, history }) = self.session.fence.take() else { return };
        self.session.unproven.drain(..live.min(self.session.unproven.len()));
        if let Some(through) = history {
            self.session.history_told = None;
            self.actions.push_back(Action::Remove(through));
        }
        self.session.fence_due = (!self.session.unproven.is_empty()).then(|| now.mono.after(FENCE_PAUSE));
    }

    /// The next message, if there is one to be sent now. Call it only with room for it.
    pub fn poll_packet(&mut self, now: Now) -> Option<Packet> {
        if let Some(packet) = self.session.urgent.pop_front() {
            return Some(packet);
        }
        if self.phase != Phase::Born {
            return None;
        }
        if self.session.births.is_empty() && self.session.birth_due.is_some_and(|due| due <= now.mono) {
            self.begin_births(now);
        }
        while let Some(entity) = self.session.births.pop_front() {
            if let Some(birth) = self.birth(now, &entity) {
                return Some(birth);
            }
        }
        if self.session.birth_due.is_some() {
            return None;
        }
        self.change(now).or_else(|| self.tell_result(now)).or_else(|| self.history(now)).or_else(|| self.fence(now))
    }

    /// `None` for a device that is gone meanwhile.
    fn birth(&mut self, now: Now, entity: &Entity) -> Option<Packet> {
        let metrics = match entity {
            None => self.node.clone(),
            Some(device) => self.devices.get(device)?.metrics.clone(),
        };
        let mut born = Vec::with_capacity(metrics.len() + 2);
        if entity.is_none() {
            self.session.restart_seq();
            born.push(payload::metric(&Metric::flag(REBIRTH, false), Naming::Birth(None), now.wall_ms));
            let number = self.bdseq_metric();
            let alias = self.session.alias(entity, &number.name);
            born.push(payload::metric(&number, Naming::Birth(Some(alias)), now.wall_ms));
        }
        for metric in &metrics {
            let alias = self.session.alias(entity, &metric.name);
            born.push(payload::metric(metric, Naming::Birth(Some(alias)), now.wall_ms));
        }
        self.session.told.insert(entity.clone(), metrics);
        Some(self.publish(now, self.plan.topics.birth(entity.as_deref()), born))
    }

    fn publish(&mut self, now: Now, topic: String, metrics: Vec<payload::Metric>) -> Packet {
        let seq = Some(self.session.next_seq().into());
        let payload = Payload { timestamp: Some(now.wall_ms), metrics, seq };
        Packet::Publish { topic, payload: payload.write() }
    }

    /// What differs from what was told: devices that came, went or have other metrics, then values.
    fn change(&mut self, now: Now) -> Option<Packet> {
        if !self.session.dirty {
            return None;
        }
        if !same_set(&self.node, self.session.told.get(&None)) {
            self.ask_birth(now);
            return None;
        }
        if let Some(gone) = self.gone() {
            self.session.forget(&gone);
            return Some(self.publish(now, self.plan.topics.death(Some(&gone)), Vec::new()));
        }
        let others = self.devices.iter().find(|(id, shown)| {
            let told = self.session.told.get(&Some((*id).clone()));
            !same_set(&shown.metrics, told)
        });
        if let Some(entity) = others.map(|(id, _)| Some(id.clone())) {
            return self.birth(now, &entity);
        }
        let changed = self.changed();
        self.session.dirty = changed.is_some();
        let (entity, metrics) = changed?;
        self.data(now, &entity, &metrics)
    }

    fn gone(&self) -> Option<String> {
        let devices = self.session.told.keys().flatten();
        devices.into_iter().find(|id| !self.devices.contains_key(*id)).cloned()
    }

    fn changed(&self) -> Option<(Entity, Vec<Metric>)> {
        let devices = self.devices.iter().map(|(id, shown)| (Some(id.clone()), &shown.metrics));
        std::iter::once((None, &self.node)).chain(devices).find_map(|(entity, metrics)| {
            let told = self.session.told.get(&entity)?;
            let changed = metrics.iter().zip(told).filter(|(now, told)| !now.says(told));
            let changed: Vec<Metric> = changed.map(|(now, _)| now.clone()).collect();
            (!changed.is_empty()).then_some((entity, changed))
        })
    }

    /// Data by aliases; what is not born is left out.
    fn data(&mut self, now: Now, entity: &Entity, metrics: &[Metric]) -> Option<Packet> {
        let sent = self.by_alias(now, entity, metrics);
        if let Some(told) = self.session.told.get_mut(entity) {
            for metric in metrics {
                told.iter_mut().filter(|told| same(told, metric)).for_each(|told| told.clone_from(metric));
            }
        }
        (!sent.is_empty()).then(|| self.publish(now, self.plan.topics.data(entity.as_deref()), sent))
    }

    fn by_alias(&self, now: Now, entity: &Entity, metrics: &[Metric]) -> Vec<payload::Metric> {
        let born = self.session.told.get(entity).map_or(&[][..], Vec::as_slice);
        let sent = metrics.iter().filter(|metric| born.iter().any(|born| same(born, metric))).filter_map(|metric| {
            let alias = self.session.known_alias(entity, &metric.name)?;
            Some(payload::metric(metric, Naming::Alias(alias), now.wall_ms))
        });
        sent.collect()
    }

    /// Results, each in a message of its own.
    fn tell_result(&mut self, now: Now) -> Option<Packet> {
        while self.session.unproven.len() < MOST_UNPROVEN {
            let update = self.updates.pop_front()?;
            let entity = Some(update.device.clone());
            let others = !same_set(&update.metrics, self.session.told.get(&entity));
            let Some(kept) = self.take(update) else { continue };
            let metrics = kept.metrics.clone();
            self.session.unproven.push_back(kept);
            self.session.fence_due.get_or_insert(now.mono.after(FENCE_PAUSE));
            if others {
                // The device has other metrics now: it is born again, with the result in it.
                return self.birth(now, &entity);
            }
            if let Some(packet) = self.data(now, &entity, &metrics) {
                return Some(packet);
            }
        }
        // As many as may be unproven are: the question is put at once.
        self.session.fence_due = Some(now.mono);
        None
    }

    /// One result of an earlier time; or the store is asked for some.
    fn history(&mut self, now: Now) -> Option<Packet> {
        while let Some((id, chunk)) = self.session.fetched.pop_front() {
            self.session.history_told = Some(id);
            let packet = match Kept::read(&chunk) {
                Ok(kept) => self.tell_again(now, &kept),
                Err(error) => {
                    self.actions.push_back(Action::Doubt(error.to_string()));
                    None
                }
            };
            match packet {
                Some(packet) => {
                    self.counts.history_told = self.counts.history_told.saturating_add(1);
                    return Some(packet);
                }
                None => self.counts.history_lost = self.counts.history_lost.saturating_add(1),
            }
        }
        let due = self.session.history_due.is_none_or(|due| due <= now.mono);
        if due && self.stored > 0 && self.session.is_idle_in_history() {
            self.session.fetching = true;
            self.session.history_due = Some(now.mono.after(HISTORY_PAUSE));
            self.actions.push_back(Action::Fetch(self.portion()));
        }
        None
    }

    /// Chunks that are told in one [`HISTORY_PAUSE`].
    fn portion(&self) -> usize {
        const PORTIONS_PER_SECOND: u32 = 4;
        usize::try_from(self.plan.history_per_second / PORTIONS_PER_SECOND).unwrap_or(1).max(1)
    }

    fn tell_again(&mut self, now: Now, kept: &Kept) -> Option<Packet> {
        let entity = Some(kept.device.clone());
        let mut sent = self.by_alias(now, &entity, &kept.metrics);
        sent.iter_mut().for_each(|metric| metric.is_historical = Some(true));
        (!sent.is_empty()).then(|| self.publish(now, self.plan.topics.data(entity.as_deref()), sent))
    }

    fn fence(&mut self, now: Now) -> Option<Packet> {
        let history = self.session.history_told.filter(|_| self.session.fetched.is_empty());
        let due = history.is_some() || self.session.fence_due.is_some_and(|due| due <= now.mono);
        if self.session.fence.is_some() || !due {
            return None;
        }
        self.session.fence = Some(Fence { live: self.session.unproven.len(), history });
        Some(Packet::Fence)
    }
}

/// The same metric, whatever it says.
fn same(one: &Metric, other: &Metric) -> bool {
    one.name == other.name && one.kind == other.kind
}

fn same_set(metrics: &[Metric], told: Option<&Vec<Metric>>) -> bool {
    told.is_some_and(|told| told.len() == metrics.len() && told.iter().zip(metrics).all(|(told, now)| same(told, now)))
}
