//! The live requests and what each caller holds of them. Decides nothing; keeps counts and lists consistent.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::admit::Held;
use crate::estimate::Demand;
use crate::id::SiteId;
use crate::id::{ClientId, RequestId, ShareId};
use crate::queue::{Key, Slot};
use crate::request::{ClassClaim, DataClass, Origin, RequestMeta, Terms, Work};
use crate::site::Sites;
use crate::units::{Bytes, Mono};

/// Places reserved ahead at most. A policy with more places allocates when they are first used: a bound that is never
/// reached should not cost memory.
pub(super) const EAGER: usize = 4096;

/// Where an accepted request is.
///
/// ```text
///   Encoded ──► Undecoded ──► Decoding ──► Queued ──► Running ──► settled
///                  ▲                          │▲         │
///                  └──── host died ───────────┘│         │ to be tried once more, alone
///                  └───────────────────────────┼─────────┤ (encoded)
///   Tensors ───────────────────────────────────┴─────────┘ (tensors)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits to be decoded.
    Undecoded,
    /// Is being decoded.
    Decoding,
    /// Waits for a lane.
    Queued,
    /// Was given to a lane.
    Running,
    /// A request that waits for its stages or its chunks from its admission to its end.
    Gathering,
    /// Is at another site, or at two, or waits for a place at one.
    Away,
    /// Its answer is looked at.
    Checking,
}

/// What is known of a request and other sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Travel {
    /// Where it is.
    pub at: [Option<SiteId>; 2],
    /// Where it was or is.
    pub tried: Sites,
    /// This box has an answer already.
    pub answered_here: bool,
    /// It failed here.
    pub failed_here: bool,
    /// A piece of an answer was given to the caller: no other place is asked any more.
    pub begun: bool,
    /// A site was asked a second time, as nothing had reached it the first time.
    pub asked_again: bool,
    /// The site for a place at which it waits.
    pub waits_for: Option<SiteId>,
    /// When it is looked at again, if it is.
    pub look: Option<Mono>,
}

impl Travel {
    /// Whether any site is at it.
    pub fn is_out(&self) -> bool {
        self.at.iter().any(Option::is_some)
    }
}

/// What a request is among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: a request by itself.
    Single,
    /// It goes through stages or runs in chunks; its place among the parents.
    Parent(usize),
    /// A stage of this one, which holds place, bytes and work for it.
    Child(RequestId),
    /// A chunk of this one, likewise.
    Chunk(RequestId),
}

impl Role {
    /// The request that it is a part of.
    pub fn parent(self) -> Option<RequestId> {
        match self {
            Role::Child(parent) | Role::Chunk(parent) => Some(parent),
            Role::Single | Role::Parent(_) => None,
        }
    }
}

/// One accepted request.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub id: RequestId,
    pub client: ClientId,
    /// Index into the scheduler's models.
    pub model: usize,
    pub key: Key,
    pub bytes: Bytes,
    pub work: Work,
    /// Cost; expected until it is decoded.
    pub units: u64,
    pub stage: Stage,
    pub role: Role,
    pub class: ClassClaim,
    pub origin: Origin,
    pub terms: Terms,
    /// Its effective class.
    pub effective: DataClass,
    pub most_rows: Option<u32>,
    pub travel: Travel,
    pub deferrable: bool,
    pub deaths: u8,
    /// It failed in company or was alive at a crash: from now on it runs alone.
    pub alone: bool,
    /// What its caller is charged with while it waits.
    pub priced: Demand,
    /// Neighbours in its client's list.
    before: Option<Slot>,
    after: Option<Slot>,
}

impl Live {
    /// A new request, in nobody's list yet.
    pub fn new(meta: &RequestMeta, model: usize, key: Key) -> Live {
        let RequestMeta { id, client, bytes, work, class, origin, deferrable, terms, most_rows, .. } = *meta;
        // The strictest until it was classified.
        let (effective, travel) = (DataClass::Regulated, Travel::default());
        let stage = match work {
            Work::Encoded => Stage::Undecoded,
            Work::Tensors => Stage::Queued,
        };
        let (role, units, deaths, alone, priced) = (Role::Single, 1, 0, false, Demand::default());
        let (before, after) = (None, None);
        Live {
            id,
            client,
            model,
            key,
            bytes,
            work,
            units,
            stage,
            role,
            class,
            origin,
            terms,
            effective,
            most_rows,
            travel,
            deferrable,
            deaths,
            alone,
            priced,
            before,
            after,
        }
    }

    /// Its size in the model's batch dimension: tensors say by their cost, what is decoded has one row.
    pub fn rows(&self) -> usize {
        match self.work {
            Work::Encoded => 1,
            Work::Tensors => usize::try_from(self.units).unwrap_or(usize::MAX),
        }
    }

    /// Whether it waits for this box.
    pub fn waits(&self) -> bool {
        !matches!(self.stage, Stage::Running | Stage::Away | Stage::Checking)
    }

    /// Whether it takes a place among those that wait.
    fn is_charged(&self) -> bool {
        (self.waits() || self.stage == Stage::Checking) && self.role.parent().is_none()
    }

    /// Whether it has children.
    pub fn is_parent(&self) -> bool {
        matches!(self.role, Role::Parent(_))
    }

    /// Whether the engine host holds something for it.
    pub fn on_host(&self) -> bool {
        match self.stage {
            Stage::Undecoded | Stage::Gathering | Stage::Away | Stage::Checking => false,
            Stage::Decoding | Stage::Running => true,
            Stage::Queued => self.work == Work::Encoded,
        }
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// All live requests.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Live>>,
    free: Vec<Slot>,
    by_id: Map<RequestId, Slot>,
    /// One request of each client; the others follow by its neighbours.
    clients: Map<ClientId, Slot>,
    /// What each caller holds, by share.
    callers: Vec<Held>,
    held: Held,
}

impl Table {
    /// A table that allocates nothing more up to `places` requests.
    pub fn with_room(places: usize) -> Table {
        // Twice the entries: a map that is at most half full makes room in place instead of growing.
        Table {
            slots: Vec::with_capacity(places),
            free: Vec::with_capacity(places),
            by_id: Map::with_capacity_and_hasher(places * 2, BuildHasherDefault::default()),
            clients: Map::with_capacity_and_hasher(places * 2, BuildHasherDefault::default()),
            callers: vec![Held::default(); ShareId::COUNT],
            held: Held::default(),
        }
    }

    /// Requests that are accepted and not settled.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What all callers together hold.
    pub fn held(&self) -> Held {
        self.held
    }

    /// What one caller holds.
    pub fn held_by(&self, share: ShareId) -> Held {
        self.callers.get(share.index()).copied().unwrap_or_default()
    }

    pub fn find(&self, id: RequestId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub fn get(&self, slot: Slot) -> Option<&Live> {
        self.slots.get(slot.index())?.as_ref()
    }

    /// One request of a client, if it has any.
    pub fn any_of(&self, client: ClientId) -> Option<Slot> {
        self.clients.get(&client).copied()
    }

    /// Every place there may be a request at.
    pub fn places(&self) -> impl Iterator<Item = Slot> + use<> {
        let len = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        (0..len).map(Slot)
    }

    /// Takes a request in; it takes a place.
    pub fn insert(&mut self, live: Live) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        self.by_id.insert(live.id, slot);
        if live.is_charged() {
            self.charge(&live);
        }
        let after = self.clients.insert(live.client, slot);
        if let Some(neighbour) = after.and_then(|after| self.slots.get_mut(after.index())).and_then(Option::as_mut) {
            neighbour.before = Some(slot);
        }
        if let Some(place) = self.slots.get_mut(slot.index()) {
            *place = Some(Live { before: None, after, ..live });
        }
        slot
    }

    /// Takes a request out for good.
    pub fn remove(&mut self, slot: Slot) -> Option<Live> {
        let live = self.slots.get_mut(slot.index())?.take()?;
        self.free.push(slot);
        self.by_id.remove(&live.id);
        if live.is_charged() {
            self.credit(&live);
        }
        self.unlink(&live);
        Some(live)
    }

    /// Changes a request, keeping the counts of what waits.
    pub fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Live)) {
        let Some(mut live) = self.slots.get_mut(slot.index()).and_then(Option::take) else { return };
        if live.is_charged() {
            self.credit(&live);
        }
        change(&mut live);
        if live.is_charged() {
            self.charge(&live);
        }
        self.slots[slot.index()] = Some(live);
    }

    fn unlink(&mut self, live: &Live) {
        if let Some(after) = live.after.and_then(|slot| self.slots.get_mut(slot.index())).and_then(Option::as_mut) {
            after.before = live.before;
        }
        if let Some(before) = live.before.and_then(|slot| self.slots.get_mut(slot.index())).and_then(Option::as_mut) {
            before.after = live.after;
        } else if let Some(after) = live.after {
            self.clients.insert(live.client, after);
        } else {
            self.clients.remove(&live.client);
        }
    }

    fn charge(&mut self, live: &Live) {
        for held in self.callers.get_mut(live.key.share.index()).into_iter().chain([&mut self.held]) {
            held.places += 1;
            held.bytes = Bytes(held.bytes.0.saturating_add(live.bytes.0));
            held.work = held.work.plus(live.priced);
        }
    }

    fn credit(&mut self, live: &Live) {
        for held in self.callers.get_mut(live.key.share.index()).into_iter().chain([&mut self.held]) {
            held.places = held.places.saturating_sub(1);
            held.bytes = Bytes(held.bytes.0.saturating_sub(live.bytes.0));
            held.work = held.work.minus(live.priced);
        }
    }
}

/// Spreads ids, which are counted upwards by the driver and chosen by nobody outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(u64::from(id));
    }

    fn write_u64(&mut self, id: u64) {
        // The map takes its place from the low bits and its tag from the high ones; a product fills the latter.
        let product = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
