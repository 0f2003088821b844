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
    /// The device of the execution provider, where its memory is not the machine's; `None` if nobody knows.
    pub device: Option<DeviceRoom>,
}

/// What a load needs on a device with memory of its own, and what that has left, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceRoom {
    /// What the load takes there.
    pub needed: u64,
    /// What loads that are under way take there.
    pub loading: u64,
    /// What is left of it.
    pub free: u64,
}

/// A model that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Which one.
    pub model: ModelId,
    /// What it takes of the machine's memory, bytes.
    pub bytes: u64,
    /// What it takes of the device's own memory, bytes.
    pub device_bytes: u64,
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

/// What some models take together, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    bytes: u64,
    device_bytes: u64,
}

impl Sum {
    fn of<'a>(models: impl IntoIterator<Item = &'a Loaded>) -> Sum {
        models.into_iter().fold(Sum::default(), |sum, model| Sum {
            bytes: sum.bytes.saturating_add(model.bytes),
            device_bytes: sum.device_bytes.saturating_add(model.device_bytes),
        })
    }
}

/// A bound on a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    needed: u64,
    free: u64,
    bound: Bound,
}

impl Room {
    /// Every bound, once `freed` of what takes `held` together has been let go.
    fn limits(&self, held: Sum, freed: Sum) -> impl Iterator<Item = Limit> {
        let of_host = |all: u64, kept: u64, bound| Limit {
            needed: self.needed,
            free: all.saturating_sub(kept).saturating_sub(self.loading),
            bound,
        };
        let machine = self
            .available
            .map(|available| of_host(available.saturating_add(freed.bytes), self.reserve, Bound::Machine));
        let limit = self.limit.map(|limit| of_host(limit, held.bytes.saturating_sub(freed.bytes), Bound::Limit));
        let device = self.device.map(|device| Limit {
            needed: device.needed,
            free: device.free.saturating_add(freed.device_bytes).saturating_sub(device.loading),
            bound: Bound::Device,
        });
        [machine, limit, device].into_iter().flatten()
    }

    fn fits(&self, held: Sum, freed: Sum) -> bool {
        self.limits(held, freed).all(|limit| limit.needed <= limit.free)
    }

    /// The bound that is missed by most.
    fn missed(&self, held: Sum, freed: Sum) -> Option<Limit> {
        self.limits(held, freed).max_by_key(|limit| limit.needed.saturating_sub(limit.free))
    }
}

/// Whether a load fits beside what is `loaded`. Models are let go that nobody uses, those that were used longest ago first,
/// and no more of them than needed.
pub fn admit(room: &Room, loaded: &[Loaded]) -> Admission {
    let held = Sum::of(loaded);
    let fits_without = |models: &[&Loaded]| room.fits(held, Sum::of(models.iter().copied()));
    if fits_without(&[]) {
        return Admission::Fits;
    }
    let mut idle: Vec<&Loaded> = loaded.iter().filter(|model| !model.pinned && !model.busy).collect();
    idle.sort_by_key(|model| (model.last_use, model.model));
    let Some(count) = (1..=idle.len()).find(|count| fits_without(&idle[..*count])) else {
        let missed = room.missed(held, Sum::of(idle.iter().copied()));
        let Limit { needed, free, bound } =
            missed.unwrap_or(Limit { needed: room.needed, free: u64::MAX, bound: Bound::Machine });
        return Admission::Refuse { needed, free, bound };
    };
    idle.truncate(count);
    // A large one may do without smaller ones that were used before it.
    for at in (0..idle.len()).rev() {
        let mut others = idle.clone();
        others.remove(at);
        if fits_without(&others) {
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
            // A quarter of it on the device, say.
            device_bytes: bytes / 4,
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
        let device = |needed, free| Some(DeviceRoom { needed, loading: 0, free });
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
            (Room { device: device(6, 5), ..machine(9, 100) }, &[], refuse(6, 5, Bound::Device)),
            (Room { device: device(6, 5), ..machine(9, 100) }, two, unload(&[2])),
            (Room { device: device(16, 5), ..machine(9, 100) }, two, unload(&[2, 1])),
            (Room { device: device(23, 5), ..machine(9, 100) }, two, refuse(23, 22, Bound::Device)),
            // Both are too small: the one that is missed by most is told.
            (Room { device: device(80, 5), ..machine(99, 100) }, &[], refuse(80, 5, Bound::Device)),
            (Room { device: device(6, 5), ..machine(99, 100) }, &[], refuse(99, 90, Bound::Machine)),
            (
                Room { device: Some(DeviceRoom { needed: 3, loading: 3, free: 5 }), ..machine(9, 100) },
                &[],
                refuse(3, 2, Bound::Device),
            ),
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
            let (available, limit, device_free) = (maybe(120), maybe(250), maybe(60));
            let room = Room {
                needed: numbers.below(150),
                loading: numbers.below(20),
                available,
                reserve: numbers.below(20),
                limit,
                device: device_free.map(|free| DeviceRoom {
                    needed: numbers.below(40),
                    loading: numbers.below(5),
                    free,
                }),
            };
            let bytes = |wanted: &dyn Fn(&Loaded) -> bool| Sum::of(others.iter().filter(|model| wanted(model)));
            let held = bytes(&|_| true);
            let idle = bytes(&|model| !model.pinned && !model.busy);
            let case = format!("{room:?} beside {others:?}");
            match admit(&room, &others) {
                Fits => {
                    seen[0] += 1;
                    assert!(room.fits(held, Sum::default()), "{case}");
                }
                Admission::Unload(models) => {
                    seen[1] += 1;
                    let gone = |model: &Loaded| models.contains(&model.model);
                    assert!(others.iter().all(|model| !gone(model) || !model.pinned && !model.busy), "{case}");
                    assert!(room.fits(held, bytes(&gone)) && !room.fits(held, Sum::default()), "{case}: {models:?}");
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
