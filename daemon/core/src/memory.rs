//! Decides whether a model may be loaded: there is room, or there will be when others are let go, or there is not. Must not
//! know where the figures come from, nor how a model is loaded; it is given bytes and times.

use crate::{ModelId, Mono};

/// What a load needs, and what there is. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What the load takes.
    pub needed: u64,
    /// What loads that are under way take: they may not have taken it yet.
    pub loading: u64,
    /// What the machine, or the part of it that the service may use, has left; `None` if nobody knows.
    pub available: Option<u64>,
    /// What is to be left of that.
    pub reserve: u64,
    /// The most that all models may take together; `None` for no limit of their own.
    pub limit: Option<u64>,
    /// What the device of the execution provider has left, where that is not the machine's memory; `None` if nobody knows.
    pub device_free: Option<u64>,
}

/// A model that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Which one.
    pub model: ModelId,
    /// What it takes, bytes.
    pub bytes: u64,
    /// When a request for it last came, or it was loaded.
    pub last_use: Mono,
    /// Never let go for another one.
    pub pinned: bool,
    /// Requests wait for it or run.
    pub busy: bool,
}

/// What sets the bound that a load does not fit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The memory of the machine, or of the service.
    Machine,
    /// The limit for all models together.
    Limit,
    /// The memory of the device.
    Device,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is room.
    Fits,
    /// It fits when these have been let go; the one that was used longest ago comes first.
    Unload(Vec<ModelId>),
    /// It does not fit, whatever is let go.
    Refuse {
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that it could have, if all were let go that may be.
        free: u64,
        /// What it does not fit in.
        bound: Bound,
    },
}

impl Room {
    /// Bytes that a load could have once `freed` of what takes `held` together has been let go, and what sets that bound;
    /// `None` if there is no bound.
    fn free(&self, held: u64, freed: u64) -> Option<(u64, Bound)> {
        let machine = self.available.map(|available| (available.saturating_add(freed), self.reserve, Bound::Machine));
        let limit = self.limit.map(|limit| (limit, held.saturating_sub(freed), Bound::Limit));
        let device = self.device_free.map(|free| (free.saturating_add(freed), 0, Bound::Device));
        let left =
            |(all, kept, bound): (u64, u64, Bound)| (all.saturating_sub(kept).saturating_sub(self.loading), bound);
        [machine, limit, device].into_iter().flatten().map(left).min_by_key(|(free, _)| *free)
    }

    fn fits(&self, held: u64, freed: u64) -> bool {
        self.free(held, freed).is_none_or(|(free, _)| self.needed <= free)
    }
}

/// Whether a load fits beside what is `loaded`. Models are let go that nobody uses, those that were used longest ago first,
/// and no more of them than needed.
pub fn admit(room: &Room, loaded: &[Loaded]) -> Admission {
    let sum = |models: &[&Loaded]| models.iter().map(|model| model.bytes).fold(0, u64::saturating_add);
    let held = sum(&loaded.iter().collect::<Vec<_>>());
    if room.fits(held, 0) {
        return Admission::Fits;
    }
    let mut idle: Vec<&Loaded> = loaded.iter().filter(|model| !model.pinned && !model.busy).collect();
    idle.sort_by_key(|model| (model.last_use, model.model));
    let Some(count) = (1..=idle.len()).find(|count| room.fits(held, sum(&idle[..*count]))) else {
        let (free, bound) = room.free(held, sum(&idle)).unwrap_or((u64::MAX, Bound::Machine));
        return Admission::Refuse { needed: room.needed, free, bound };
    };
    idle.truncate(count);
    // A large one may do without smaller ones that were used before it.
    for at in (0..idle.len()).rev() {
        let mut others = idle.clone();
        others.remove(at);
        if room.fits(held, sum(&others)) {
            idle = others;
        }
    }
    Admission::Unload(idle.iter().map(|model| model.model).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use Admission::{Fits, Refuse};

    /// Model, bytes, second of its last use, and whether it has to stay.
    fn loaded(list: &[(u16, u64, u64, &str)]) -> Vec<Loaded> {
        let one = |&(model, bytes, used, stays): &(u16, u64, u64, &str)| Loaded {
            model: ModelId(model),
            bytes,
            last_use: Mono::default().after(Duration::from_secs(used)),
            pinned: stays == "pinned",
            busy: stays == "busy",
        };
        list.iter().map(one).collect()
    }

    fn unload(models: &[u16]) -> Admission {
        Admission::Unload(models.iter().copied().map(ModelId).collect())
    }

    #[test]
    fn a_load_fits_or_others_are_let_go_or_it_is_refused() {
        let machine = |needed, available| Room { needed, available: Some(available), reserve: 10, ..Room::default() };
        let limit = |needed, limit| Room { needed, limit: Some(limit), ..Room::default() };
        let refuse = |needed, free, bound| Refuse { needed, free, bound };
        let two: &[_] = &[(1, 30, 5, ""), (2, 40, 3, "")];
        for (room, others, expected) in [
            (Room { needed: u64::MAX, ..Room::default() }, two, Fits),
            (machine(90, 100), two, Fits),
            (machine(91, 100), two, unload(&[2])),
            (machine(131, 100), two, unload(&[2, 1])),
            (machine(161, 100), two, refuse(161, 160, Bound::Machine)),
            (machine(91, 100), &[(1, 30, 5, "busy"), (2, 40, 3, "pinned")], refuse(91, 90, Bound::Machine)),
            (machine(91, 100), &[(1, 30, 5, ""), (2, 40, 3, "busy")], unload(&[1])),
            // The small one that was used longest ago does not help: it stays.
            (machine(120, 100), &[(1, 30, 5, ""), (2, 10, 3, "")], unload(&[1])),
            (machine(5, 8), &[], refuse(5, 0, Bound::Machine)),
            // What is loading counts with its estimate.
            (Room { loading: 50, ..machine(41, 100) }, &[], refuse(41, 40, Bound::Machine)),
            (limit(30, 100), two, Fits),
            (limit(31, 100), two, unload(&[2])),
            (limit(101, 100), two, refuse(101, 100, Bound::Limit)),
            (Room { available: Some(1000), ..limit(101, 100) }, two, refuse(101, 100, Bound::Limit)),
            (Room { device_free: Some(5), ..machine(6, 100) }, &[], refuse(6, 5, Bound::Device)),
            (Room { device_free: Some(5), ..machine(6, 100) }, two, unload(&[2])),
        ] {
            assert_eq!(admit(&room, &loaded(others)), expected, "{room:?} beside {others:?}");
        }
    }

    /// Numbers that look random and are the same each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    #[test]
    fn only_what_is_idle_is_let_go_and_no_more_than_needed_and_nothing_is_refused_that_would_fit() {
        let mut numbers = Numbers(7);
        let mut seen = [0; 3];
        for _ in 0..20_000 {
            let stays = ["", "", "", "pinned", "busy"];
            let others: Vec<Loaded> = (0..u16::try_from(numbers.below(7)).unwrap())
                .flat_map(|model| {
                    let stays = stays[usize::try_from(numbers.below(5)).unwrap()];
                    loaded(&[(model, numbers.below(50), numbers.below(4), stays)])
                })
                .collect();
            let mut maybe = |bound| (numbers.below(3) > 0).then(|| numbers.below(bound));
            let (available, limit, device_free) = (maybe(120), maybe(250), maybe(300));
            let room = Room {
                needed: numbers.below(150),
                loading: numbers.below(20),
                available,
                reserve: numbers.below(20),
                limit,
                device_free,
            };
            let bytes =
                |wanted: &dyn Fn(&Loaded) -> bool| others.iter().filter(|model| wanted(model)).map(|m| m.bytes).sum();
            let held: u64 = bytes(&|_| true);
            let idle: u64 = bytes(&|model| !model.pinned && !model.busy);
            let case = format!("{room:?} beside {others:?}");
            match admit(&room, &others) {
                Fits => {
                    seen[0] += 1;
                    assert!(room.fits(held, 0), "{case}");
                }
                Admission::Unload(models) => {
                    seen[1] += 1;
                    let gone = |model: &Loaded| models.contains(&model.model);
                    assert!(others.iter().all(|model| !gone(model) || !model.pinned && !model.busy), "{case}");
                    assert!(room.fits(held, bytes(&gone)) && !room.fits(held, 0), "{case}: {models:?}");
                    for left in &models {
                        let freed = bytes(&|model| gone(model) && model.model != *left);
                        assert!(!room.fits(held, freed), "{case}: {models:?} and not {left:?}");
                    }
                    let used =
                        |id: &ModelId| others.iter().find(|model| model.model == *id).map(|model| model.last_use);
                    assert!(models.is_sorted_by_key(used), "{case}: {models:?}");
                }
                Refuse { needed, free, .. } => {
                    seen[2] += 1;
                    assert!(needed > free && !room.fits(held, idle), "{case}");
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 500), "{seen:?}");
    }
}
