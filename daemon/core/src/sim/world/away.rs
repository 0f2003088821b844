//! Fake sites and a fake disk: what they are told to do they do, and they keep a ledger of every payload that reached them.

use std::collections::{BTreeMap, BTreeSet};

use core::time::Duration;

use super::{Happening, World};
use crate::event::{Event, Trip};
use crate::id::{HostId, RequestId, SiteId};
use crate::request::{DataClass, Priority, RequestMeta, Zone};
use crate::sim::Dice;
use crate::site::{NanoUsd, Tokens};
use crate::units::{Bytes, Mono, Span};
use crate::verdict::{Outcome, SiteFault};

/// What happens on no engine host.
pub(super) const NETWORK: HostId = HostId(u8::MAX);
/// Time until an attempt that was called off has ended.
const CALLED_OFF: Span = Span::from_nanos(500_000);
/// Ids of requests that came back from the disk.
const BACK: u64 = 1 << 41;

/// How a site behaves.
#[derive(Clone, Copy, Debug)]
pub struct FakeSite {
    /// Where it is, by its own word: what the ledger says of the bytes that reach it.
    pub zone: Zone,
    /// The quickest and the slowest of its answers; drawn evenly between them.
    pub takes: (Span, Span),
    /// What it does with a request.
    pub does: Does,
    /// It takes so many at once, and says that it is busy beyond.
    pub capacity: usize,
    /// It is there for so long, then away for as long, and so on.
    pub flaps: Option<Span>,
    /// Tokens of its answers to a prompt.
    pub tokens: u32,
}

/// What a site does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It answers.
    Answers,
    /// It fails so; the flag: after the payload was sent.
    Fails(SiteFault, bool),
    /// It takes the payload and never answers.
    Nothing,
}

impl FakeSite {
    /// A site that answers after `takes`.
    pub fn new(zone: Zone, takes: Span) -> FakeSite {
        FakeSite { zone, takes: (takes, takes), does: Does::Answers, capacity: 1000, flaps: None, tokens: 100 }
    }

    fn is_there(&self, now: Mono) -> bool {
        self.flaps.is_none_or(|half| (now.as_nanos() / half.as_nanos().max(1)).is_multiple_of(2))
    }
}

/// A payload that reached a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Mono,
    /// Of which request.
    pub id: RequestId,
    /// Its class, as it was accepted with.
    pub class: DataClass,
    /// Which site.
    pub site: SiteId,
    /// Where that is.
    pub zone: Zone,
    /// How much.
    pub bytes: Bytes,
}

/// An attempt that is under way.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    serial: u64,
    began: Mono,
    reserved: NanoUsd,
    sent: bool,
}

/// All that is away from the box.
#[derive(Debug)]
pub struct Away {
    /// The sites.
    pub sites: BTreeMap<SiteId, FakeSite>,
    /// Requests whose answer of this box is doubtful.
    pub doubtful: BTreeSet<RequestId>,
    /// How long an answer is looked at.
    pub looks: Span,
    /// Requests that fit on the disk.
    pub disk_room: usize,
    /// Requests that did not.
    pub disk_full: u64,
    /// The most attempts that were open at a site at once.
    pub most_open: BTreeMap<SiteId, usize>,
    dice: Dice,
    serial: u64,
    attempts: BTreeMap<(RequestId, SiteId), Attempt>,
    sent: Vec<Sent>,
    pub(super) classes: BTreeMap<RequestId, DataClass>,
    disk: BTreeMap<(Priority, Mono, RequestId), RequestMeta>,
    /// Under which id a request came back.
    again: BTreeMap<RequestId, RequestId>,
}

impl Away {
    pub(super) fn new() -> Away {
        Away {
            sites: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            looks: Span::from_millis(1),
            disk_room: 1000,
            disk_full: 0,
            most_open: BTreeMap::new(),
            dice: Dice::new(1),
            serial: 0,
            attempts: BTreeMap::new(),
            sent: Vec::new(),
            classes: BTreeMap::new(),
            disk: BTreeMap::new(),
            again: BTreeMap::new(),
        }
    }

    /// Every payload that reached a site, in order.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Requests that wait on the disk.
    pub fn on_disk(&self) -> usize {
        self.disk.len()
    }

    /// Whether attempts are under way.
    pub fn is_quiet(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The draws follow from this seed.
    pub fn seed(&mut self, seed: u64) {
        self.dice = Dice::new(seed);
    }

    /// Under which id a request is known now: its own, or the one that it came back with.
    pub fn known_as(&self, id: RequestId) -> RequestId {
        self.again.get(&id).map_or(id, |next| self.known_as(*next))
    }

    /// Payloads of a request that reached sites, whatever ids it had.
    pub fn sites_of(&self, id: u64) -> Vec<u8> {
        let mut ids = vec![RequestId(id)];
        while let Some(next) = ids.last().and_then(|last| self.again.get(last)) {
            ids.push(*next);
        }
        self.sent.iter().filter(|sent| ids.contains(&sent.id)).map(|sent| sent.site.0).collect()
    }
}

impl World {
    /// How a request ended in the end: after it came back from the disk as often as it did.
    pub fn answer(&self, id: u64) -> Option<Outcome> {
        self.outcome(self.away.known_as(RequestId(id)).0)
    }

    /// Adds a site that behaves so; the policy says what the core is to know of it.
    pub fn site(&mut self, site: u8, fake: FakeSite) {
        self.away.sites.insert(SiteId(site), fake);
    }

    pub(super) fn spill(&mut self, id: RequestId, site: SiteId, reserved: NanoUsd) {
        let away = &mut self.away;
        away.serial += 1;
        let attempt = Attempt { serial: away.serial, began: self.now, reserved, sent: true };
        let open = away.attempts.keys().filter(|(_, at)| *at == site).count();
        let most = away.most_open.entry(site).or_default();
        *most = (*most).max(open + 1);
        let Some(fake) = away.sites.get(&site).copied() else {
            away.attempts.insert((id, site), Attempt { sent: false, ..attempt });
            return self.answer_later(id, site, Span::from_millis(1), Err(SiteFault::Connect));
        };
        let spread = fake.takes.1.minus(fake.takes.0).as_nanos();
        let takes = fake.takes.0.plus(Span::from_nanos(away.dice.below(spread.saturating_add(1))));
        let (sent, result) = match fake.does {
            _ if !fake.is_there(self.now) => (false, Some(Err(SiteFault::Connect))),
            _ if open >= fake.capacity => (true, Some(Err(SiteFault::Busy(None)))),
            Does::Answers => (true, Some(Ok(self.read_of(id, &fake)))),
            Does::Fails(fault, sent) => (sent, Some(Err(fault))),
            Does::Nothing => (true, None),
        };
        let away = &mut self.away;
        away.attempts.insert((id, site), Attempt { sent, ..attempt });
        if sent {
            let class = away.classes.get(&id).copied().unwrap_or(DataClass::Regulated);
            let bytes = self.requests.get(&id).map_or(Bytes(0), |meta| meta.bytes);
            away.sent.push(Sent { at: self.now, id, class, site, zone: fake.zone, bytes });
        }
        if let Some(result) = result {
            self.answer_later(id, site, takes, result);
        }
    }

    fn read_of(&self, id: RequestId, fake: &FakeSite) -> Tokens {
        match self.requests.get(&id).map(|meta| meta.terms.tokens) {
            Some(Tokens { input, output }) if input > 0 => {
                Tokens { input, output: if output > 0 { output.min(fake.tokens) } else { fake.tokens } }
            }
            _ => Tokens::default(),
        }
    }

    fn answer_later(&mut self, id: RequestId, site: SiteId, after: Span, result: Result<Tokens, SiteFault>) {
        let serial = self.away.attempts.get(&(id, site)).map_or(0, |attempt| attempt.serial);
        self.plan(NETWORK, after, Happening::Answered { id, site, serial, result });
    }

    pub(super) fn call_off(&mut self, id: RequestId, site: SiteId) {
        self.away.serial += 1;
        let serial = self.away.serial;
        let Some(attempt) = self.away.attempts.get_mut(&(id, site)) else { return };
        // What it would have said is not heard any more.
        attempt.serial = serial;
        self.answer_later(id, site, CALLED_OFF, Err(SiteFault::CalledOff));
    }

    pub(super) fn answered(&mut self, id: RequestId, site: SiteId, serial: u64, result: Result<Tokens, SiteFault>) {
        let Some(attempt) = self.away.attempts.get(&(id, site)).copied() else { return };
        if attempt.serial != serial {
            return;
        }
        self.away.attempts.remove(&(id, site));
        let meta = self.requests.get_mut(&id);
        let bytes = meta.as_ref().map_or(Bytes(0), |meta| meta.bytes);
        if let (Some(meta), Err(fault)) = (meta, result)
            && fault.is_for_good()
        {
            // Like the shell, which knows it over the disk.
            meta.terms.rejected = meta.terms.rejected.with(site);
        }
        let (reserved, sent) = (attempt.reserved, attempt.sent);
        let took: Duration = Span::between(attempt.began, self.now).duration();
        self.feed(Event::SiteDone(Trip { id, site, bytes, reserved, result, sent, took }));
    }

    pub(super) fn probe(&mut self, site: SiteId) {
        self.plan(NETWORK, Span::from_millis(1), Happening::Probed { site });
    }

    pub(super) fn probed(&mut self, site: SiteId) {
        let result = match self.away.sites.get(&site) {
            Some(fake) if fake.is_there(self.now) => match fake.does {
                Does::Answers => Ok(()),
                Does::Fails(fault, _) => Err(fault),
                Does::Nothing => Err(SiteFault::Timeout),
            },
            Some(_) | None => Err(SiteFault::Connect),
        };
        self.feed(Event::SiteProbed { site, result });
    }

    pub(super) fn check(&mut self, id: RequestId) {
        self.plan(NETWORK, self.away.looks, Happening::Looked { id });
    }

    pub(super) fn looked(&mut self, id: RequestId) {
        let doubtful = self.away.doubtful.contains(&id);
        self.feed(Event::Checked { id, doubtful });
    }

    /// A request is put on the disk if there is room.
    pub(super) fn put_aside(&mut self, id: RequestId) {
        let Some(meta) = self.requests.get(&id).cloned() else { return };
        if self.away.disk.len() < self.away.disk_room {
            let due = meta.deadline.unwrap_or(Mono::MAX);
            self.away.disk.insert((meta.priority, due, id), meta);
        } else {
            self.away.disk_full += 1;
        }
        self.tell_of_disk();
    }

    fn tell_of_disk(&mut self) {
        let waiting = u64::try_from(self.away.disk.len()).unwrap_or(u64::MAX);
        self.later.push_back(Event::Deferred { waiting });
    }

    /// The most urgent come back, under new ids.
    pub(super) fn take_up(&mut self, most: u16) {
        let mut taken = Vec::new();
        while taken.len() < usize::from(most)
            && let Some((_, meta)) = self.away.disk.pop_first()
        {
            self.children += 1;
            let id = RequestId(BACK + self.children);
            self.away.again.insert(meta.id, id);
            for odd in [&mut self.poison, &mut self.endless, &mut self.faulty, &mut self.away.doubtful] {
                if odd.contains(&meta.id) {
                    odd.insert(id);
                }
            }
            taken.push(RequestMeta { id, ..meta });
        }
        self.tell_of_disk();
        for meta in taken {
            self.requests.insert(meta.id, meta.clone());
            self.later.push_back(Event::Arrived(meta));
        }
        self.later.push_back(Event::TakenUp);
    }
}
