//! A probability in whole numbers, so that what is decided by it replays exactly.

/// A probability in 65,536ths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    /// Never.
    pub const NONE: Chance = Chance(0);
    /// Always.
    pub const SURE: Chance = Chance(1 << 16);

    /// `part` of `whole`; never of nothing, always at most sure. Both below 2^48.
    pub const fn of(part: u64, whole: u64) -> Chance {
        if whole == 0 {
            return Chance::NONE;
        }
        let share = (part << 16) / whole;
        #[expect(clippy::cast_possible_truncation, reason = "tested against the largest")]
        if share >= 1 << 16 { Chance::SURE } else { Chance(share as u32) }
    }

    /// So many of a thousand.
    pub const fn permille(permille: u32) -> Chance {
        Chance::of(permille as u64, 1000)
    }

    /// That it does not happen.
    pub const fn not(self) -> Chance {
        Chance((1 << 16) - self.0)
    }

    /// That this and an independent `other` both happen.
    pub const fn and(self, other: Chance) -> Chance {
        #[expect(clippy::cast_possible_truncation, reason = "a product of two shares is a share")]
        Chance(((self.0 as u64 * other.0 as u64) >> 16) as u32)
    }

    /// That this or what excludes it happens.
    pub const fn or(self, other: Chance) -> Chance {
        let sum = self.0 + other.0;
        if sum > 1 << 16 { Chance::SURE } else { Chance(sum) }
    }

    /// 65,536ths.
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_stay_between_never_and_always() {
        assert_eq!(Chance::of(1, 0), Chance::NONE);
        assert_eq!(Chance::of(3, 2), Chance::SURE);
        assert_eq!(Chance::of(1, 2).not(), Chance::of(1, 2));
        assert_eq!(Chance::of(1, 2).and(Chance::of(1, 2)), Chance::of(1, 4));
        assert_eq!(Chance::SURE.or(Chance::of(1, 4)), Chance::SURE);
        assert_eq!(Chance::SURE.and(Chance::SURE), Chance::SURE);
        assert_eq!(Chance::permille(10).get(), 655);
    }
}
