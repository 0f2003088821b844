//! The places of one site: what is open there, how long such requests take, and who waits here until one of them is free.
//! Decides nothing; must not know whether a request may go there.

use crate::estimate::works::Works;
use crate::id::RequestId;
use crate::queue::Key;
use crate::units::{Mono, Span};
use crate::verdict::Reason;
use crate::wait::{Running, Scene, Speed};

/// Of so many open requests it is looked at when they may end. That more of them end errs to the side of leaving.
const SEEN: usize = 64;
/// Room that is kept from the start; a site that may have more open at once gets it when they are.
const EAGER: usize = 256;
/// Half of all requests are believed to be over after this, before any was: what runs soon says more.
const BELIEVED: Span = Span::from_millis(1_000);

/// One request that is open there.
#[derive(Clone, Copy, Debug)]
struct Open {
    id: RequestId,
    bytes: u64,
    /// Tokens of its prompt, if it has one.
    prompt: u32,
    began: Mono,
}

impl Open {
    /// What the time that it takes is learnt by.
    fn size(&self) -> u64 {
        if self.prompt > 0 { self.prompt.into() } else { self.bytes }
    }
}

/// One that waits for a place.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct Waiting {
    pub id: RequestId,
    pub key: Key,
    /// Why it is sent there.
    pub reason: Reason,
}

/// What is open at a site, and who waits.
#[derive(Clone, Debug)]
pub(in crate::scheduler) struct Places {
    open: Vec<Open>,
    works: Works,
    /// The most urgent first.
    waiting: Vec<Waiting>,
}

impl Places {
    pub fn new(most: u16) -> Places {
        let room = usize::from(most).min(EAGER);
        Places { open: Vec::with_capacity(room), works: Works::new(BELIEVED), waiting: Vec::with_capacity(room) }
    }

    /// The site may have so many open now.
    pub fn make_room(&mut self, most: u16) {
        let room = usize::from(most).min(EAGER);
        self.open.reserve(room.saturating_sub(self.open.len()));
        self.waiting.reserve(room.saturating_sub(self.waiting.len()));
    }

    /// Another site has this place in the policy now: what was learnt of the old one is forgotten.
    pub fn forget(&mut self) {
        self.works = Works::new(BELIEVED);
    }

    /// Requests that are open there.
    pub fn open(&self) -> u16 {
        u16::try_from(self.open.len()).unwrap_or(u16::MAX)
    }

    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    pub fn began(&mut self, now: Mono, id: RequestId, (bytes, prompt): (u64, u32)) {
        self.open.push(Open { id, bytes, prompt, began: now });
    }

    /// One ended; `answered` if by an answer. Says how long its prompt was.
    pub fn ended(&mut self, now: Mono, id: RequestId, answered: bool) -> u32 {
        let Some(place) = self.open.iter().position(|open| open.id == id) else { return 0 };
        let open = self.open.swap_remove(place);
        if answered {
            let took = Span::between(open.began, now);
            self.works.learn(now, open.size(), took, took);
        }
        open.prompt
    }

    /// How many of those that wait go before a request.
    pub fn ahead_of(&self, key: Key) -> usize {
        self.waiting.partition_point(|other| other.key.of_all() < key.of_all())
    }

    /// How many wait beside it.
    pub fn others(&self, key: Key) -> usize {
        let itself = self.waiting.get(self.ahead_of(key)).is_some_and(|waiting| waiting.key == key);
        self.waiting.len() - usize::from(itself)
    }

    pub fn wait(&mut self, waiting: Waiting) {
        self.waiting.insert(self.ahead_of(waiting.key), waiting);
    }

    /// A request waits no longer; `false` if it did not.
    pub fn leave(&mut self, id: RequestId) -> bool {
        let place = self.waiting.iter().position(|waiting| waiting.id == id);
        place.map(|place| self.waiting.remove(place)).is_some()
    }

    /// Asks `about` a request with `ahead` others before it that takes `known` there and is due by `deadline`; `most`
    /// may be open.
    pub fn ask<T>(
        &self,
        (now, deadline): (Mono, Mono),
        (ahead, known): (usize, Span),
        most: u16,
        about: impl FnOnce(&Scene<'_>) -> T,
    ) -> T {
        let mut running = [Running::default(); SEEN];
        let seen = self.open.len().min(SEEN);
        for (run, open) in running.iter_mut().zip(&self.open) {
            *run = Running { size: open.size(), known: Span::ZERO, had: Span::between(open.began, now) };
        }
        let most = usize::from(most);
        about(&Scene {
            now,
            deadline,
            known,
            // A reload may leave more open than there are places: they have to end first.
            ahead: ahead + self.open.len().saturating_sub(most),
            free: most.saturating_sub(self.open.len()),
            running: &running[..seen],
            works: &self.works,
            speed: Speed::FULL,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShareId;
    use crate::request::Priority;
    use crate::wait::in_time;

    fn at(millis: u64) -> Mono {
        Span::from_millis(millis).from(Mono::default())
    }

    fn key(priority: Priority, deadline: u64) -> Key {
        Key { priority, share: ShareId::default(), deadline: at(deadline), sequence: deadline }
    }

    fn waits(id: u64, key: Key) -> Waiting {
        Waiting { id: RequestId(id), key, reason: Reason::QueueFull }
    }

    #[test]
    fn who_waits_is_served_by_urgency_and_may_leave() {
        let mut places = Places::new(2);
        for (id, key) in
            [(1, key(Priority::Normal, 900)), (2, key(Priority::Normal, 300)), (3, key(Priority::High, 950))]
        {
            places.wait(waits(id, key));
        }
        let order = |places: &Places| places.waiting().iter().map(|one| one.id.0).collect::<Vec<_>>();
        assert_eq!(order(&places), [3, 2, 1]);
        assert_eq!(places.ahead_of(key(Priority::Normal, 500)), 2);
        assert_eq!((places.others(key(Priority::Normal, 500)), places.others(key(Priority::Normal, 900))), (3, 2));
        assert!(places.leave(RequestId(2)) && !places.leave(RequestId(2)));
        assert_eq!(order(&places), [3, 1]);
    }

    #[test]
    fn a_place_is_expected_when_what_is_open_has_run_for_as_long_as_such_requests_do() {
        let mut places = Places::new(1);
        for id in 0..100 {
            places.began(at(id * 1000), RequestId(id), (9, 500));
            places.ended(at(id * 1000 + 400), RequestId(id), true);
        }
        places.began(at(200_000), RequestId(500), (9, 500));
        let chance = |now: u64, slack: u64| {
            (places.ask((at(now), at(now + slack)), (0, Span::from_millis(50)), 1, in_time).get() * 100) >> 16
        };
        assert!(chance(200_010, 200) < 5, "it has just begun: {}", chance(200_010, 200));
        assert!(chance(200_300, 300) > 90, "it is about to end: {}", chance(200_300, 300));
        assert_eq!(places.open(), 1);
    }

    #[test]
    fn what_is_open_beyond_the_bound_has_to_end_first() {
        let mut places = Places::new(2);
        (0..2).for_each(|id| places.began(at(0), RequestId(id), (500, 0)));
        assert_eq!(places.ask((at(1), at(900)), (0, Span::ZERO), 1, |scene| (scene.ahead, scene.free)), (1, 0));
        assert_eq!(places.ask((at(1), at(900)), (0, Span::ZERO), 3, |scene| (scene.ahead, scene.free)), (0, 1));
    }
}
