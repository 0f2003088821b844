//! Things that were found with a rectangle each: mean average precision as COCO defines it (cocodataset.org, "Detection
//! evaluation"; T.-Y. Lin and others, "Microsoft COCO", 2014): precision at 101 recalls, the mean over labels, at an overlap of
//! 0.5 and over those of 0.5 to 0.95; the hundred surest of a label on a picture count; things marked as a crowd are nobody's
//! fault. Areas of all sizes.

use std::cmp::Reverse;

use super::mean;

/// The surest of a label on one picture that count.
const MOST: usize = 100;
/// Recalls at which precision is looked at: 0, 0.01, ... 1.
const RECALLS: u8 = 101;

/// Left, top, right, bottom.
pub type Corners = [f64; 4];

/// A thing that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub picture: usize,
    pub label: usize,
    pub score: f64,
    pub corners: Corners,
}

/// A thing that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    pub picture: usize,
    pub label: usize,
    pub corners: Corners,
    /// Many things in one rectangle: what is found there is neither right nor wrong.
    pub crowd: bool,
}

/// The overlaps of COCO's first measure: 0.5, 0.55, ... 0.95.
pub fn overlaps() -> impl Iterator<Item = f64> + Clone {
    (10..20u8).map(|step| f64::from(step) / 20.0)
}

/// The mean over labels and overlaps; labels of which nothing is there do not count. `None` if nothing is there at all.
pub fn mean_average_precision(
    found: &[Found],
    truths: &[Truth],
    overlaps: impl Iterator<Item = f64> + Clone,
) -> Option<f64> {
    let mut labels: Vec<usize> = truths.iter().filter(|truth| !truth.crowd).map(|truth| truth.label).collect();
    labels.sort_unstable();
    labels.dedup();
    let each = |label: usize| {
        let overlaps = overlaps.clone();
        overlaps.filter_map(move |overlap| average_precision(found, truths, label, overlap))
    };
    mean(labels.into_iter().flat_map(each))
}

/// One label at one overlap; `None` if no such thing is there.
pub fn average_precision(found: &[Found], truths: &[Truth], label: usize, overlap: f64) -> Option<f64> {
    let there = truths.iter().filter(|truth| truth.label == label && !truth.crowd).count();
    if there == 0 {
        return None;
    }
    let mut judged = judged(found, truths, label, overlap);
    // Stable: of those that are as sure the picture's order holds.
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut wrong) = (0usize, 0usize);
    // Recall and precision after each.
    let mut curve: Vec<(f64, f64)> = Vec::with_capacity(judged.len());
    for (_, verdict) in &judged {
        match verdict {
            Verdict::Right => right += 1,
            Verdict::Wrong => wrong += 1,
            Verdict::Neither => {}
        }
        curve.push((super::share(right, there), super::share(right, right + wrong)));
    }
    // Precision never rises with recall.
    let mut best = 0f64;
    for (_, precision) in curve.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let at = |recall: f64| {
        let place = curve.partition_point(|(reached, _)| *reached < recall);
        curve.get(place).map_or(0.0, |(_, precision)| *precision)
    };
    mean((0..RECALLS).map(|step| at(f64::from(step) / f64::from(RECALLS - 1))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    Neither,
}

/// Each thing of a label that was found, with its score, picture by picture.
fn judged(found: &[Found], truths: &[Truth], label: usize, overlap: f64) -> Vec<(f64, Verdict)> {
    let mut found: Vec<&Found> = found.iter().filter(|one| one.label == label).collect();
    found.sort_by(|a, b| a.picture.cmp(&b.picture).then(b.score.total_cmp(&a.score)));
    let mut truths: Vec<&Truth> = truths.iter().filter(|one| one.label == label).collect();
    truths.sort_by_key(|one| (one.picture, one.crowd));
    let mut judged = Vec::with_capacity(found.len());
    for of_picture in found.chunk_by(|a, b| a.picture == b.picture) {
        let picture = of_picture.first().map_or(0, |one| one.picture);
        let first = truths.partition_point(|one| one.picture < picture);
        let there: Vec<&Truth> = truths.iter().skip(first).take_while(|one| one.picture == picture).copied().collect();
        let mut taken = vec![false; there.len()];
        for one in of_picture.iter().take(MOST) {
            let matched = best(one, &there, &taken, overlap);
            let verdict = match matched.and_then(|at| there.get(at)) {
                None => Verdict::Wrong,
                Some(truth) if truth.crowd => Verdict::Neither,
                Some(_) => Verdict::Right,
            };
            if let Some(taken) = matched.and_then(|at| taken.get_mut(at)) {
                *taken = true;
            }
            judged.push((one.score, verdict));
        }
    }
    judged
}

/// The thing that is there which overlaps most and enough, and is nobody else's; a crowd only if there is none.
fn best(one: &Found, there: &[&Truth], taken: &[bool], overlap: f64) -> Option<usize> {
    let free = |at: &usize, truth: &Truth| truth.crowd || taken.get(*at) == Some(&false);
    let candidates = there.iter().enumerate().filter(|(at, truth)| free(at, truth));
    let overlapping = candidates.filter_map(|(at, truth)| {
        let share = overlap_of(&one.corners, &truth.corners, truth.crowd);
        (share >= overlap.min(1.0 - 1e-10)).then_some((at, truth.crowd, share))
    });
    // Of those that overlap alike the last one, as the reference implementation has it.
    overlapping.max_by(|a, b| Reverse(a.1).cmp(&Reverse(b.1)).then(a.2.total_cmp(&b.2))).map(|(at, ..)| at)
}

/// Intersection over union; of a crowd over what was found alone.
fn overlap_of(found: &Corners, truth: &Corners, crowd: bool) -> f64 {
    let area = |[left, top, right, bottom]: &Corners| (right - left).max(0.0) * (bottom - top).max(0.0);
    let shared = [found[0].max(truth[0]), found[1].max(truth[1]), found[2].min(truth[2]), found[3].min(truth[3])];
    let shared = area(&shared);
    let all = if crowd { area(found) } else { area(found) + area(truth) - shared };
    if all > 0.0 { shared / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(at: f64) -> Corners {
        [at, 0.0, at + 10.0, 10.0]
    }

    fn found(picture: usize, label: usize, score: f64, corners: Corners) -> Found {
        Found { picture, label, score, corners }
    }

    fn truth(picture: usize, label: usize, corners: Corners) -> Truth {
        Truth { picture, label, corners, crowd: false }
    }

    fn near(given: Option<f64>, wanted: f64) {
        assert!(given.is_some_and(|given| (given - wanted).abs() < 1e-9), "{given:?} instead of {wanted}");
    }

    #[test]
    fn precision_is_looked_at_101_recalls() {
        let truths = [truth(0, 0, square(0.0)), truth(0, 0, square(50.0))];
        let at = |list: &[(f64, f64)]| {
            let found: Vec<Found> = list.iter().map(|(score, at)| found(0, 0, *score, square(*at))).collect();
            average_precision(&found, &truths, 0, 0.5)
        };
        near(at(&[(0.9, 0.0), (0.8, 50.0)]), 1.0);
        near(at(&[]), 0.0);
        // One of two: the recalls 0 to 0.5, which are 51 of 101.
        near(at(&[(0.9, 0.0)]), 51.0 / 101.0);
        // A wrong one first: 1/2 up to recall 0.5, then 2/3; as precision never rises with recall, 2/3 everywhere.
        near(at(&[(0.9, 200.0), (0.8, 0.0), (0.7, 50.0)]), 2.0 / 3.0);
        // In the middle: 1 for 51 recalls, 2/3 for 50.
        near(at(&[(0.9, 0.0), (0.8, 200.0), (0.7, 50.0)]), (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
        // The same thing twice: the second time is wrong.
        near(at(&[(0.9, 0.0), (0.8, 0.0), (0.7, 50.0)]), (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
    }

    #[test]
    fn overlap_is_shared_over_all() {
        assert_eq!(overlap_of(&square(0.0), &square(0.0), false), 1.0);
        near(Some(overlap_of(&square(0.0), &square(5.0), false)), 1.0 / 3.0);
        near(Some(overlap_of(&square(0.0), &square(5.0), true)), 0.5);
        assert_eq!(overlap_of(&square(0.0), &square(10.0), false), 0.0);
        assert_eq!(overlap_of(&[1.0; 4], &[1.0; 4], false), 0.0);
        // Shifted by 2 of 10: 8 / 12, enough for 0.5, 0.55, 0.6 and 0.65, four of ten.
        let (given, there) = ([found(0, 0, 0.9, square(2.0))], [truth(0, 0, square(0.0))]);
        near(mean_average_precision(&given, &there, overlaps()), 0.4);
        near(mean_average_precision(&given, &there, std::iter::once(0.5)), 1.0);
    }

    #[test]
    fn labels_count_alike_and_pictures_are_apart() {
        let there = [truth(0, 0, square(0.0)), truth(1, 0, square(0.0)), truth(1, 3, square(50.0))];
        let given = [
            found(0, 0, 0.9, square(0.0)),
            found(1, 0, 0.8, square(0.0)),
            // There on the other picture only, and a label of which nothing is there.
            found(0, 3, 0.9, square(50.0)),
            found(0, 5, 0.9, square(50.0)),
        ];
        near(mean_average_precision(&given, &there, std::iter::once(0.5)), 0.5);
        assert_eq!(mean_average_precision(&given, &[], std::iter::once(0.5)), None);
    }

    #[test]
    fn what_is_found_in_a_crowd_is_neither_right_nor_wrong() {
        let crowd = Truth { crowd: true, ..truth(0, 0, [100.0, 0.0, 200.0, 100.0]) };
        let there = [crowd.clone(), truth(0, 0, square(0.0))];
        let given = [
            found(0, 0, 0.9, [110.0, 0.0, 120.0, 10.0]),
            found(0, 0, 0.8, [130.0, 0.0, 140.0, 10.0]),
            found(0, 0, 0.7, square(0.0)),
        ];
        near(average_precision(&given, &there, 0, 0.5), 1.0);
        assert_eq!(average_precision(&given, &[crowd], 0, 0.5), None);
    }

    /// What pycocotools 2.0 says of the same numbers.
    #[test]
    fn the_measures_are_those_of_the_reference_implementation() {
        let (given, there) = scene();
        near(mean_average_precision(&given, &there, overlaps()), MAP);
        near(mean_average_precision(&given, &there, std::iter::once(0.5)), MAP50);
    }

    const MAP: f64 = 0.124_859_419_373_249_58;
    const MAP50: f64 = 0.363_444_939_446_285;

    /// 40 pictures with things of three labels, some in crowds, and things that were found more or less there.
    fn scene() -> (Vec<Found>, Vec<Truth>) {
        let mut state = 1u32;
        let mut next = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from((state >> 8) % most)
        };
        let (mut given, mut there) = (Vec::new(), Vec::new());
        for picture in 0..40 {
            for at in 0..6 {
                let label = (picture + at) % 3;
                let (x, y, wide, high) = (next(200), next(200), 10.0 + next(60), 10.0 + next(60));
                let corners = [x, y, x + wide, y + high];
                there.push(Truth { picture, label, corners, crowd: next(10) == 0.0 });
                let moved = [next(12), next(12)];
                let corners = [x + moved[0], y + moved[1], x + wide + moved[0], y + high];
                // Whole hundredths, some of them alike.
                given.push(Found {
                    picture,
                    label: if next(8) == 0.0 { 0 } else { label },
                    score: next(100) / 100.0,
                    corners,
                });
                if next(3) == 0.0 {
                    let (x, y) = (next(200), next(200));
                    given.push(Found { picture, label, score: next(100) / 100.0, corners: [x, y, x + 30.0, y + 30.0] });
                }
            }
        }
        (given, there)
    }
}
