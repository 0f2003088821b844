//! How much may stay with a weaker model: a threshold on a score with a guarantee on what is lost, and the check, while it is in use,
//! that the guarantee still holds. Must not know what a score is made of, nor what a request says.
//!
//! The *loss* of a request is by how much the stronger site's answer is better, 0 to 1, if the request stays local, and 0
//! if it does not stay. The *risk* of a threshold is the mean loss over all requests.

use crate::units::Ratio;

/// One labelled request: what the score said, and what staying local loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// Expected gain of the stronger site. Requests at or below the threshold stay.
    pub score: f64,
    /// By how much the stronger answer was better.
    pub loss: Ratio,
}

/// A threshold whose risk is at most the target, as sure as was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certified {
    /// Requests whose score is at most this may stay.
    pub threshold: f64,
    /// Labelled requests that would have stayed, of all.
    pub kept: u32,
    /// All labelled requests.
    pub labelled: u32,
    /// Their mean loss.
    pub loss: f64,
    /// Probability of so little loss if the risk were above the target.
    pub p_value: f64,
}

/// The most permissive threshold whose risk is at most `target`, wrong with a probability of at most `delta`. `None`: none is sure,
/// so everything takes the safe side.
///
/// Fixed-sequence testing (Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test", 2021): thresholds are tested from
/// the safest on, each at the whole of `delta`, until one is not sure. `thresholds` go upwards and must not come from `labelled`;
/// from the rows that the score was learnt from, they may.
pub fn certify(labelled: &[Labelled], thresholds: &[f64], target: Ratio, delta: Ratio) -> Option<Certified> {
    let all = u32::try_from(labelled.len()).ok().filter(|all| *all > 0)?;
    let mut found = None;
    let mut last = f64::NEG_INFINITY;
    for threshold in thresholds {
        // Out of order or no number: the sequence ends, as nothing is known of it.
        if threshold.is_nan() || *threshold < last {
            break;
        }
        last = *threshold;
        let (mut kept, mut total, mut is_whole) = (0_u32, 0.0, true);
        for request in labelled.iter().filter(|request| request.score <= *threshold) {
            kept += 1;
            total += request.loss.get();
            is_whole &= request.loss == Ratio::ZERO || request.loss == Ratio::ONE;
        }
        let p_value = if is_whole {
            binomial_tail(all, total, target.get())
        } else {
            hoeffding_bentkus(all, total, target.get())
        };
        if p_value > delta.get() {
            break;
        }
        found = Some(Certified { threshold: *threshold, kept, labelled: all, loss: total / f64::from(all), p_value });
    }
    found
}

/// A p-value for "the mean is above `target`" from `n` values within 0..=1 whose sum is `total`: the smaller of Hoeffding's bound
/// in its tight form and Bentkus's (Bates et al., "Distribution-free, risk-controlling prediction sets", 2021).
fn hoeffding_bentkus(n: u32, total: f64, target: f64) -> f64 {
    let all = f64::from(n);
    let mean = total / all;
    if mean >= target {
        return 1.0;
    }
    let hoeffding = (-all * divergence(mean, target)).exp();
    let bentkus = core::f64::consts::E * binomial_tail(n, total.ceil(), target);
    hoeffding.min(bentkus).min(1.0)
}

/// Kullback and Leibler's divergence of two coins.
fn divergence(seen: f64, expected: f64) -> f64 {
    let part = |seen: f64, expected: f64| if seen <= 0.0 { 0.0 } else { seen * (seen / expected).ln() };
    part(seen, expected) + part(1.0 - seen, 1.0 - expected)
}

/// Probability of at most `most` heads of a coin whose heads have probability `heads`, in `n` throws.
fn binomial_tail(n: u32, most: f64, heads: f64) -> f64 {
    if heads <= 0.0 || most >= f64::from(n) {
        return 1.0;
    }
    if heads >= 1.0 {
        return 0.0;
    }
    let odds = (heads / (1.0 - heads)).ln();
    let mut log = f64::from(n) * (1.0 - heads).ln();
    let mut sum = 0.0;
    for head in 0..=n {
        let at = f64::from(head);
        if at > most {
            break;
        }
        sum += log.exp();
        log += ((f64::from(n) - at) / (at + 1.0)).ln() + odds;
    }
    sum.min(1.0)
}

/// Stakes of the bets against a threshold, as shares of the largest that cannot lose everything.
const STAKES: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

/// The check while a threshold is in use: a random sample of all requests, those that stayed asked of the stronger site too.
///
/// Whoever bets against "the risk is at most the target" multiplies what he has by `1 + stake (loss - target)` with each request of
/// the sample. If it is true, he ever owns `1 / delta` of what he had with a probability of at most `delta` (Ville's
/// inequality), however often one looks (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
/// betting", 2024). He divides his money among fixed stakes. As the logarithm is concave, what a loss between 0 and 1 brings is at least
/// that share of what a loss of 1 brings; this is counted. So all that matters are two whole numbers, in whatever
/// order answers come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recheck {
    rate: Ratio,
    target: Ratio,
    delta: Ratio,
    sampled: u64,
    /// Thousandths.
    lost: u64,
    withdrawn: Option<Withdrawn>,
}

/// Whether a threshold may be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Nothing speaks against it.
    Valid,
    /// Not any more, until another is learnt.
    Withdrawn(Withdrawn),
}

/// Why a threshold was withdrawn: the sample loses more than the target allows by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Requests of the sample until then.
    pub sampled: u64,
    /// What they lost, thousandths of a request.
    pub lost_milli: u64,
}

/// What a check has found so far: all that it is resumed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Requests of the sample.
    pub sampled: u64,
    /// What they lost, thousandths of a request; at most all of them.
    pub lost_milli: u64,
    /// Why the threshold was withdrawn, if it was.
    pub withdrawn: Option<Withdrawn>,
}

impl Recheck {
    /// Checks a share `rate` of all requests against `target`; a threshold that holds is withdrawn with a probability of at most
    /// `delta`, over all time.
    pub const fn new(rate: Ratio, target: Ratio, delta: Ratio) -> Recheck {
        Recheck { rate, target, delta, sampled: 0, lost: 0, withdrawn: None }
    }

    /// The same, going on from what was found before: it decides as if there had been no break, because nothing but the counts matters
    /// until a withdrawal, and nothing at all after it.
    pub fn resume(rate: Ratio, target: Ratio, delta: Ratio, found: Found) -> Recheck {
        let lost = found.lost_milli.min(found.sampled.saturating_mul(1000));
        let mut check = Recheck { rate, target, delta, sampled: found.sampled, lost, withdrawn: found.withdrawn };
        check.decide();
        check
    }

    /// What it would be resumed from.
    pub const fn found(&self) -> Found {
        Found { sampled: self.sampled, lost_milli: self.lost, withdrawn: self.withdrawn }
    }

    /// Whether the request of this number is of the sample. The same number always is or never is, and numbers that come one after
    /// the other are as if thrown: splitmix64, so that no rhythm of the callers meets the sample's.
    pub const fn samples(&self, number: u64) -> bool {
        let spread = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let spread = (spread ^ (spread >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let spread = (spread ^ (spread >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (spread ^ (spread >> 31)) >> 11 < self.rate.of(1 << 53)
    }

    /// A request of the sample that did not stay: it lost nothing.
    pub fn left(&mut self) -> Standing {
        self.stayed(Ratio::ZERO)
    }

    /// A request of the sample that stayed, and by how much the stronger answer was better.
    pub fn stayed(&mut self, loss: Ratio) -> Standing {
        self.sampled = self.sampled.saturating_add(1);
        self.lost = self.lost.saturating_add(loss.of(1000));
        self.decide();
        self.standing()
    }

    fn decide(&mut self) {
        if self.withdrawn.is_none() && self.wealth_is_beyond() {
            self.withdrawn = Some(Withdrawn { sampled: self.sampled, lost_milli: self.lost });
        }
    }

    /// Whether the threshold may be used now.
    pub const fn standing(&self) -> Standing {
        match self.withdrawn {
            None => Standing::Valid,
            Some(why) => Standing::Withdrawn(why),
        }
    }

    /// Requests of the sample, and what they lost in thousandths of a request.
    pub const fn counts(&self) -> (u64, u64) {
        (self.sampled, self.lost)
    }

    /// Whether the mean over the stakes is at least 1 / delta.
    fn wealth_is_beyond(&self) -> bool {
        let (target, delta) = (self.target.get(), self.delta.get());
        if target >= 1.0 || delta <= 0.0 {
            return false;
        }
        let (all, lost) = (real(self.sampled), real(self.lost) / 1000.0);
        let beyond = -(delta.ln());
        let wealth = |share: &f64| {
            // With a target of 0 any stake is safe; this one sees a single loss.
            let stake = if target > 0.0 { share / target } else { share * 1e6 };
            (lost * (1.0 + stake * (1.0 - target)).ln() + (all - lost) * (1.0 - stake * target).ln() - beyond)
                .min(700.0)
        };
        let stakes = f64::from(u32::try_from(STAKES.len()).unwrap_or(u32::MAX));
        STAKES.iter().map(|share| wealth(share).exp()).sum::<f64>() / stakes >= 1.0
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(value: f64) -> Ratio {
        Ratio::new(value).unwrap()
    }

    /// A number within 0..1 from a seed, and the next seed.
    fn draw(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let spread = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let spread = (spread ^ (spread >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((spread ^ (spread >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Scores that are uniform, and losses as probable as the score is high: staying up to t risks t^2 / 2.
    fn sample(seed: &mut u64, rows: usize, is_whole: bool) -> Vec<Labelled> {
        let one = |_| {
            let score = draw(seed);
            let loss = if is_whole { f64::from(draw(seed) < score) } else { score * draw(seed).sqrt() * 1.5 };
            Labelled { score, loss: ratio(loss.min(1.0)) }
        };
        (0..rows).map(one).collect()
    }

    fn grid() -> Vec<f64> {
        (0..=100).map(|step| f64::from(step) / 100.0).collect()
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        for (n, most, heads, expected) in
            [(10, 2.0, 0.5, 0.054_687_5), (59, 0.0, 0.05, 0.048_49), (100, 3.0, 0.1, 0.007_836), (5, 5.0, 0.2, 1.0)]
        {
            let found = binomial_tail(n, most, heads);
            assert!((found - expected).abs() < 1e-5, "{n} {most} {heads}: {found}");
        }
        assert_eq!((binomial_tail(9, 0.0, 0.0), binomial_tail(9, 3.0, 1.0)), (1.0, 0.0));
        assert!(hoeffding_bentkus(100, 3.0, 0.1) >= binomial_tail(100, 3.0, 0.1));
    }

    #[test]
    fn a_threshold_is_wrong_no_more_often_than_was_asked_for_and_has_power() {
        for (is_whole, rows, target, delta, power) in [
            (true, 300, 0.05, 0.1, 0.7),
            (true, 1000, 0.05, 0.05, 0.8),
            (true, 300, 0.1, 0.2, 0.75),
            (false, 300, 0.05, 0.1, 0.5),
        ] {
            let mut seed = 7;
            // The risk of each step, from a sample so large that it is as good as the truth.
            let large = sample(&mut seed, 200_000, is_whole);
            let risk = |at: f64| {
                large.iter().filter(|one| one.score <= at).map(|one| one.loss.get()).sum::<f64>() / large.len() as f64
            };
            let allowed = grid().into_iter().rfind(|at| risk(*at) <= target).unwrap();
            let (mut wrong, mut reached) = (0, 0.0);
            for _ in 0..1000 {
                let found = certify(&sample(&mut seed, rows, is_whole), &grid(), ratio(target), ratio(delta));
                let at = found.map_or(0.0, |found| found.threshold);
                wrong += usize::from(at > allowed + 1e-9);
                reached += at / allowed / 1000.0;
            }
            // Three deviations of a count of 1000 throws.
            let most = 1000.0 * delta + 3.0 * (1000.0 * delta * (1.0 - delta)).sqrt();
            assert!(wrong as f64 <= most, "{wrong} of 1000 wrong, {delta} allowed");
            assert!(reached > power, "reaches {reached} of what is allowed, {rows} rows");
        }
    }

    #[test]
    fn nothing_is_certified_from_too_few_or_too_lossy_labels_or_on_a_sequence_without_order() {
        let safe = |rows| vec![Labelled { score: 0.0, loss: Ratio::ZERO }; rows];
        let (target, delta) = (ratio(0.05), ratio(0.05));
        assert!(certify(&[], &grid(), target, delta).is_none());
        assert!(certify(&safe(58), &grid(), target, delta).is_none());
        let found = certify(&safe(59), &grid(), target, delta).unwrap();
        assert_eq!((found.threshold, found.kept, found.labelled), (1.0, 59, 59));
        let lossy = vec![Labelled { score: 0.0, loss: Ratio::ONE }; 1000];
        assert!(certify(&lossy, &grid(), target, delta).is_none());
        assert_eq!(certify(&safe(99), &[0.1, 0.5, 0.2, 0.9], target, delta).unwrap().threshold, 0.5);
        assert!(certify(&safe(99), &[f64::NAN, 0.5], target, delta).is_none());
    }

    #[test]
    fn a_score_that_is_no_number_never_stays() {
        let odd = vec![Labelled { score: f64::NAN, loss: Ratio::ONE }; 100];
        assert_eq!(certify(&odd, &grid(), ratio(0.05), ratio(0.05)).unwrap().kept, 0);
    }

    #[test]
    fn the_sample_has_its_share_and_is_the_same_again() {
        let check = Recheck::new(ratio(0.02), ratio(0.05), ratio(0.01));
        let sampled = (0..100_000).filter(|number| check.samples(*number)).count();
        assert!((1_850..2_150).contains(&sampled), "{sampled}");
        assert!((0..99).all(|number| Recheck::new(Ratio::ONE, Ratio::ZERO, Ratio::ONE).samples(number)));
        assert!((0..99).all(|number| !Recheck::new(Ratio::ZERO, Ratio::ZERO, Ratio::ONE).samples(number)));
    }

    /// How many of some runs are withdrawn, and after how many requests on average.
    fn withdrawn(risk: f64, target: f64, delta: f64, length: u32) -> (u32, f64) {
        let mut seed = 11;
        let (mut count, mut after) = (0, 0.0);
        for _ in 0..400 {
            let mut check = Recheck::new(Ratio::ONE, ratio(target), ratio(delta));
            for _ in 0..length {
                let _ = check.stayed(if draw(&mut seed) < risk { Ratio::ONE } else { Ratio::ZERO });
            }
            if let Standing::Withdrawn(why) = check.standing() {
                (count, after) = (count + 1, after + why.sampled as f64);
            }
        }
        (count, after / f64::from(count.max(1)))
    }

    #[test]
    fn what_holds_is_seldom_withdrawn_however_long_one_looks_and_what_does_not_soon_is() {
        let (wrongly, _) = withdrawn(0.05, 0.05, 0.1, 5_000);
        assert!(wrongly <= 58, "{wrongly} of 400, a tenth and three deviations allowed");
        let (never, _) = withdrawn(0.03, 0.05, 0.05, 5_000);
        assert!(never <= 4, "{never} of 400");
        let (all, after) = withdrawn(0.15, 0.05, 0.05, 2_000);
        assert!(all == 400 && after < 150.0, "{all} after {after}");
        let (some, after) = withdrawn(0.08, 0.05, 0.05, 5_000);
        assert!(some >= 395 && after < 1_000.0, "{some} after {after}");
    }

    #[test]
    fn the_order_of_answers_does_not_matter_and_what_was_withdrawn_stays_so() {
        let losses = |order: &[f64]| {
            let mut check = Recheck::new(Ratio::ONE, ratio(0.5), ratio(1e-9));
            order.iter().for_each(|loss| {
                let _ = check.stayed(ratio(*loss));
            });
            check.counts()
        };
        assert_eq!(losses(&[0.25, 1.0, 0.0, 0.5]), losses(&[1.0, 0.5, 0.25, 0.0]));
        assert_eq!(losses(&[0.25, 1.0, 0.0, 0.5]), (4, 1750));
        let mut check = Recheck::new(Ratio::ONE, Ratio::ZERO, ratio(0.05));
        assert_eq!(check.left(), Standing::Valid);
        let gone = check.stayed(Ratio::ONE);
        assert_eq!(gone, Standing::Withdrawn(Withdrawn { sampled: 2, lost_milli: 1000 }));
        for _ in 0..100 {
            assert_eq!(check.left(), gone);
        }
    }

    #[test]
    fn a_resumed_check_decides_by_what_was_found_before() {
        let gone = |sampled, lost_milli| Some(Withdrawn { sampled, lost_milli });
        let found = |sampled, lost_milli, withdrawn| Found { sampled, lost_milli, withdrawn };
        for (before, after) in [
            (Found::default(), Found::default()),
            (found(100, 5_000, None), found(100, 5_000, None)),
            // Beyond by its counts alone.
            (found(100, 40_000, None), found(100, 40_000, gone(100, 40_000))),
            // Withdrawn, and what came later looks better: it stays so.
            (found(9_000, 20_000, gone(40, 20_000)), found(9_000, 20_000, gone(40, 20_000))),
            // More was lost than there was: as if all was.
            (found(3, u64::MAX, None), found(3, 3_000, gone(3, 3_000))),
        ] {
            let check = Recheck::resume(Ratio::ONE, ratio(0.05), ratio(0.05), before);
            assert_eq!(check.found(), after, "{before:?}");
            let expected = after.withdrawn.map_or(Standing::Valid, Standing::Withdrawn);
            assert_eq!(check.standing(), expected, "{before:?}");
        }
        let new = Recheck::new(ratio(0.02), ratio(0.05), ratio(0.01));
        assert_eq!(Recheck::resume(ratio(0.02), ratio(0.05), ratio(0.01), Found::default()), new);
    }

    proptest::proptest! {
        #[test]
        fn a_check_with_breaks_decides_as_one_without(
            losses in proptest::collection::vec((0.0_f64..=1.0, proptest::bool::ANY), 0..200),
            target in 0.0_f64..0.3,
            delta in 0.001_f64..0.5,
        ) {
            let (target, delta) = (ratio(target), ratio(delta));
            let mut whole = Recheck::new(Ratio::ONE, target, delta);
            let mut broken = whole;
            for (loss, has_break) in losses {
                if has_break {
                    broken = Recheck::resume(Ratio::ONE, target, delta, broken.found());
                }
                proptest::prop_assert_eq!(broken.stayed(ratio(loss)), whole.stayed(ratio(loss)));
            }
            proptest::prop_assert_eq!(broken, whole);
        }
    }

    #[test]
    fn small_losses_count_for_their_share() {
        let after = |loss: f64| {
            let mut check = Recheck::new(Ratio::ONE, ratio(0.05), ratio(0.05));
            (1..10_000).find(|_| check.stayed(ratio(loss)) != Standing::Valid)
        };
        assert!(
            after(1.0) < after(0.5) && after(0.5) < after(0.2),
            "{:?} {:?} {:?}",
            after(1.0),
            after(0.5),
            after(0.2)
        );
        assert_eq!(after(0.05), None);
    }
}
