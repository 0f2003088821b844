//! Seeded arrivals: the same seed gives the same load on every machine.

use crate::id::{ClientId, ModelId, RequestId, ShareId};
use crate::request::{ClassClaim, Origin, Priority, RequestMeta, Terms, Work};
use crate::units::{Bytes, Cost, Mono, Span};

/// A small generator of evenly spread numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for this seed.
    pub const fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Dice of their own for each `number`, the same whatever was rolled before elsewhere.
    pub fn at(&self, number: usize) -> Dice {
        let mut dice = Dice(self.0 ^ (number as u64).wrapping_mul(0xd134_2543_de82_ef95));
        dice.roll();
        dice
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll().checked_rem(end).unwrap_or(0)
    }
}

/// A header of ordinary size of a client that is a caller of its own, to be changed by struct update.
pub fn meta(id: u64, client: u32, model: u16) -> RequestMeta {
    RequestMeta {
        id: RequestId(id),
        parent: None,
        client: ClientId(client),
        share: ShareId::new(client),
        model: ModelId(model),
        deadline: None,
        class: ClassClaim::Unlabelled,
        priority: Priority::Normal,
        deferrable: false,
        bytes: Bytes(1000),
        origin: Origin::Bus,
        work: Work::Tensors,
        cost: Cost::ONE,
        most_rows: None,
        deaths: 0,
        terms: Terms::default(),
    }
}

/// Requests of one client at random intervals around a mean.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// Source of the intervals.
    pub dice: Dice,
    /// Mean interval.
    pub every: Span,
    /// Deadline of each, counted from its arrival.
    pub slack: Span,
    /// What each looks like; id and deadline are set for each.
    pub like: RequestMeta,
}

impl Iterator for Arrivals {
    type Item = RequestMeta;

    /// The next request; its deadline less `slack` is when it arrives.
    fn next(&mut self) -> Option<RequestMeta> {
        let gap = Span::from_nanos(self.dice.below(self.every.times(2).as_nanos()));
        let deadline = self.like.deadline.unwrap_or(self.slack.from(Mono::default()));
        self.like.deadline = Some(gap.from(deadline));
        self.like.id.0 += 1;
        Some(self.like.clone())
    }
}
