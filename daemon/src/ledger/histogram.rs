//! A small histogram of durations that can be added to another: what quantiles over any stretch of time come from.
//!
//! Each power of two has [`PARTS`] buckets of one width, and a quantile is the middle of its bucket, so it is off by
//! 1/32 of itself (3.2 %) at most; below 32 us it is exact. Only buckets that have something take room.

/// Buckets in each power of two, as a power of two.
const BITS: u32 = 4;
const PARTS: u64 = 1 << BITS;
/// Longer durations count as this: 2^40 us are twelve days.
const LONGEST: u64 = (1 << 40) - 1;

/// Counts by duration, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bucket and count, in the order of the buckets; no count is 0.
    counts: Vec<(u16, u64)>,
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, us: u64) {
        self.add_to(bucket(us), 1);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, count) in &other.counts {
            self.add_to(*bucket, *count);
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The duration that `per_mille` of 1000 do not exceed (500 is the median), microseconds; `None` if nothing was
    /// counted.
    pub fn quantile(&self, per_mille: u64) -> Option<u64> {
        let rank = self.count().saturating_mul(per_mille.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0_u64;
        self.counts.iter().find_map(|(bucket, count)| {
            seen = seen.saturating_add(*count);
            (seen >= rank).then(|| middle(*bucket))
        })
    }

    /// Forgets everything, and keeps the room.
    pub fn clear(&mut self) {
        self.counts.clear();
    }

    /// As bytes: for each bucket the distance from the one before and the count, both in LEB128.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.counts.len() * 3);
        let mut last = 0;
        for (bucket, count) in &self.counts {
            write(&mut bytes, u64::from(bucket - last));
            write(&mut bytes, *count);
            last = *bucket;
        }
        bytes
    }

    /// What [`Histogram::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Histogram> {
        let mut histogram = Histogram::default();
        let mut last = 0_u16;
        while !bytes.is_empty() {
            let (step, count) = (u16::try_from(read(&mut bytes)?).ok()?, read(&mut bytes)?);
            let first = histogram.counts.is_empty();
            last = last.checked_add(step)?;
            if count == 0 || (step == 0 && !first) || last > bucket(LONGEST) {
                return None;
            }
            histogram.counts.push((last, count));
        }
        Some(histogram)
    }

    fn add_to(&mut self, bucket: u16, more: u64) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                if let Some((_, count)) = self.counts.get_mut(at) {
                    *count = count.saturating_add(more);
                }
            }
            Err(at) => self.counts.insert(at, (bucket, more)),
        }
    }
}

/// Up to 2 x PARTS each value has a bucket; above, the highest five bits say which.
fn bucket(us: u64) -> u16 {
    let us = us.min(LONGEST);
    let shift = us.max(1).ilog2().saturating_sub(BITS);
    u16::try_from(u64::from(shift) * PARTS + (us >> shift)).unwrap_or(u16::MAX)
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let shift = (bucket / PARTS).saturating_sub(1);
    let low = (bucket - shift * PARTS) << shift;
    low + ((1 << shift) >> 1)
}

fn write(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(first & 0x7f);
        if (low << shift) >> shift != low {
            return None;
        }
        value |= low << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_small_values_are_exact() {
        let mut last = 0;
        for us in 0..100_000 {
            let found = bucket(us);
            assert!(found == last || found == last + 1, "{us}");
            last = found;
            assert!(us >= 32 || middle(found) == us, "{us}");
        }
        assert_eq!(bucket(u64::MAX), bucket(LONGEST));
        assert_eq!(Histogram::default().quantile(500), None);
    }

    #[test]
    fn bytes_that_no_histogram_wrote_are_refused() {
        for bytes in [&[1][..], &[1, 0], &[5, 1, 0, 1], &[0x80], &[0xff; 12], &[0xff, 0xff, 0xff, 1, 1]] {
            assert_eq!(Histogram::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_a_thirtysecond_at_most_and_merging_is_adding(
            mut values in proptest::collection::vec(0_u64..1 << 36, 1..300), cut in 0_usize..300, per_mille in 0_u64..=1000,
        ) {
            let mut parts = [Histogram::default(), Histogram::default()];
            for (at, value) in values.iter().enumerate() {
                parts[usize::from(at < cut)].add(*value);
            }
            let [mut whole, other] = parts;
            whole.merge(&other);
            prop_assert_eq!(Histogram::from_bytes(&whole.to_bytes()), Some(whole.clone()));
            values.sort_unstable();
            let rank = (values.len() * usize::try_from(per_mille).unwrap()).div_ceil(1000).max(1);
            let (exact, told) = (values[rank - 1], whole.quantile(per_mille).unwrap());
            prop_assert!(told.abs_diff(exact) <= exact / 32, "{} {}", told, exact);
        }
    }
}
