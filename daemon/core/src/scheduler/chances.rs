//! The instants at which a request that waits here, or that is away for long, is looked at again: its last chance at a site, a
//! second site, a place that does not become free.

use crate::fallback::{Failure, Step};
use crate::queue::{Key, Slot};
use crate::scheduler::Scheduler;
use crate::scheduler::heat::meta_of;
use crate::scheduler::table::{Live, Stage};
use crate::site::Sites;
use crate::spill::{Bar, Offer};
use crate::units::{Mono, Span};
use crate::verdict::Reason;

/// What is being decoded is looked at again after this.
const SOON: Span = Span::from_millis(5);

/// When it is looked again for what is not there now: half way to the deadline, as long as there is time.
pub(super) fn later(now: Mono, deadline: Mono) -> Option<Mono> {
    let half = Span::between(now, deadline).part(2);
    (half > SOON).then(|| half.from(now))
}

impl Scheduler {
    /// When a request is looked at again, if at all.
    pub(super) fn look_at(&mut self, slot: Slot, at: Option<Mono>) {
        let Some(live) = self.table.get(slot) else { return };
        let place = |at: Mono| Key { deadline: at, ..live.key.by_deadline() };
        let (before, after) = (live.travel.look.map(place), at.map(place));
        if before == after {
            return;
        }
        if let Some(key) = before {
            self.look_nodes.remove(&mut self.looks, key);
        }
        if let Some(key) = after {
            self.look_nodes.insert(&mut self.looks, slot, key, 0);
        }
        self.table.change(slot, |live| live.travel.look = at);
    }

    /// The last instant at which a request that waits here could still go to a site: it is looked at then.
    pub(super) fn watch(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let chance = self.chance(now, live, self.offer(now, live, Sites::ALL));
        self.look_at(slot, chance);
    }

    /// When a request that waits here is looked at again, by what the sites offer now.
    fn chance(&self, now: Mono, live: &Live, offer: Result<Offer, Option<Bar>>) -> Option<Mono> {
        let deadline = live.key.deadline;
        if !self.policy.routing.fallbacks.after(Failure::QueueFull).any(|step| step == Step::Site) {
            return None;
        }
        match offer {
            Ok(offer) => Some(Mono::from_nanos(deadline.as_nanos().saturating_sub(offer.sure.as_nanos()))),
            Err(Some(Bar::Off | Bar::Tripped | Bar::Full | Bar::Budget)) => {
                // It may be well by then.
                later(now, deadline)
            }
            Err(_) => None,
        }
    }

    /// Those whose instant has come.
    pub(super) fn look(&mut self, now: Mono) {
        while let Some((key, slot)) = self.looks.first() {
            if key.deadline > now {
                return;
            }
            self.look_at(slot, None);
            let Some(live) = self.table.get(slot) else { return };
            match live.stage {
                Stage::Away if live.travel.waits_for.is_some() => self.look_at_place(now, slot),
                Stage::Away => self.hedge(now, slot),
                Stage::Undecoded | Stage::Queued => self.last_chance(now, slot),
                Stage::Decoding => self.look_at(slot, Some(SOON.from(now))),
                Stage::Running | Stage::Gathering | Stage::Checking => {}
            }
        }
    }

    /// The first site is late: a second one is asked, once.
    fn hedge(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        if let Ok(offer) = self.offer(now, live, Sites::ALL)
            && self.policy.sites.get(usize::from(offer.site.0)).is_some_and(|site| site.may_hedge)
        {
            self.send(now, slot, offer.site, Reason::Hedged);
        }
    }

    /// A request has waited until only now another site can still be in time: it goes, unless this box is about to begin
    /// with it and would be in time even if that took twice as long as predicted.
    fn last_chance(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let offer = self.offer(now, live, Sites::ALL);
        // Sites are quicker than they were, or none is well now. If none can be in time any more, the box keeps it.
        let again = self.chance(now, live, offer).filter(|chance| *chance > now);
        let (Ok(offer), None) = (offer, again) else { return self.look_at(slot, again) };
        let (meta, key, model, itself) = (meta_of(live, self.models[live.model].id), live.key, live.model, live.priced);
        let mut seen = self.seen(now, &meta, key, Some(model));
        super::heat::without(&mut seen, &meta, itself);
        // What it waits for has been wrong before: a wait that is as long again as predicted must still do.
        let slack = Span::between(now, key.deadline);
        let late = seen.predicted().is_none_or(|end| end.plus(seen.until_served()) > slack);
        if (late || seen.barred.is_some()) && self.send(now, slot, offer.site, Reason::WaitedTooLong) {
            self.taken.count(Failure::QueueFull, Some(Step::Site));
        }
    }
}
