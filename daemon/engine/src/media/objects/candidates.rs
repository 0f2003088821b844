//! Of rectangles that cover each other only the surest stays: non-maximum suppression, for each label by itself unless the
//! recipe says otherwise. Knows rectangles and scores, no tensors.

/// Something that a model found: a rectangle with a class and a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Place of its label.
    pub class: usize,
    /// 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom; pixels of the tensor.
    pub sides: [f32; 4],
    /// Where in the model's answer it was.
    pub place: usize,
}

impl Candidate {
    fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.sides;
        (right - left).max(0.0) * (bottom - top).max(0.0)
    }

    /// Intersection over union, 0 to 1.
    fn overlap(&self, other: &Candidate) -> f32 {
        let ([left, top, right, bottom], [l, t, r, b]) = (self.sides, other.sides);
        let common = (right.min(r) - left.max(l)).max(0.0) * (bottom.min(b) - top.max(t)).max(0.0);
        let all = self.area() + other.area() - common;
        if all > 0.0 { common / all } else { 0.0 }
    }
}

/// What stays, the surest first. Of two of one class (of any two, if `across`) that overlap by more than
/// `overlap` the less sure one goes. Equal scores keep the order of the model's answer.
pub fn suppress(mut found: Vec<Candidate>, overlap: f32, across: bool) -> Vec<Candidate> {
    found.sort_unstable_by(surest_first);
    if overlap >= 1.0 {
        return found;
    }
    let mut kept: Vec<Candidate> = Vec::new();
    for next in found {
        let covers = |other: &Candidate| (across || other.class == next.class) && other.overlap(&next) > overlap;
        if !kept.iter().any(covers) {
            kept.push(next);
        }
    }
    kept
}

/// Leaves the `most` surest, in no order.
pub fn shorten(found: &mut Vec<Candidate>, most: usize) {
    if found.len() > most {
        found.select_nth_unstable_by(most, surest_first);
        found.truncate(most);
    }
}

fn surest_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(a.place.cmp(&b.place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(class: usize, score: f32, sides: [f32; 4]) -> Candidate {
        Candidate { class, score, sides, place: 0 }
    }

    #[test]
    fn overlap_is_what_is_common_over_what_both_cover() {
        let square = candidate(0, 1.0, [0.0, 0.0, 10.0, 10.0]);
        for (sides, wanted) in [
            ([0.0, 0.0, 10.0, 10.0], 1.0),
            ([5.0, 0.0, 15.0, 10.0], 1.0 / 3.0),
            ([10.0, 0.0, 20.0, 10.0], 0.0),
            ([20.0, 20.0, 30.0, 30.0], 0.0),
            ([2.0, 2.0, 4.0, 4.0], 0.04),
            // Inside out, and without an area: nothing.
            ([10.0, 10.0, 0.0, 0.0], 0.0),
            ([5.0, 5.0, 5.0, 5.0], 0.0),
        ] {
            assert_eq!(square.overlap(&candidate(0, 1.0, sides)), wanted, "{sides:?}");
        }
    }

    #[test]
    fn the_surest_of_those_that_cover_each_other_stays() {
        let (one, near, far) = ([0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [50.0, 50.0, 60.0, 60.0]);
        let found =
            vec![candidate(0, 0.5, one), candidate(0, 0.9, near), candidate(1, 0.8, one), candidate(0, 0.3, far)];
        let scores = |kept: Vec<Candidate>| kept.iter().map(|one| one.score).collect::<Vec<_>>();
        for (overlap, across, wanted) in [
            (0.45, false, [0.9, 0.8, 0.3].as_slice()),
            (0.45, true, &[0.9, 0.3]),
            (0.9, false, &[0.9, 0.8, 0.5, 0.3]),
            (1.0, true, &[0.9, 0.8, 0.5, 0.3]),
        ] {
            assert_eq!(scores(suppress(found.clone(), overlap, across)), wanted, "{overlap} {across}");
        }
    }

    proptest! {
        #[test]
        fn what_stays_is_sorted_and_nothing_of_a_class_covers_another(
            raw in prop::collection::vec((0..3usize, 0.0f32..1.0, 0.0f32..50.0, 0.0f32..50.0, 1.0f32..20.0), 0..60),
            most in 0..40usize,
        ) {
            let place = |(place, (class, score, x, y, size)): (usize, &(usize, f32, f32, f32, f32))| {
                Candidate { class: *class, score: *score, sides: [*x, *y, x + size, y + size], place }
            };
            let mut found: Vec<Candidate> = raw.iter().enumerate().map(place).collect();
            let all = suppress(found.clone(), 0.4, false);
            prop_assert!(all.windows(2).all(|pair| pair[0].score >= pair[1].score));
            for (at, one) in all.iter().enumerate() {
                prop_assert!(all[..at].iter().all(|other| other.class != one.class || other.overlap(one) <= 0.4));
            }
            // Whatever is not there is covered by something surer.
            for gone in found.iter().filter(|one| !all.contains(one)) {
                prop_assert!(all.iter().any(|one| one.class == gone.class && one.score >= gone.score && one.overlap(gone) > 0.4));
            }
            let mut surest = found.clone();
            surest.sort_by(surest_first);
            surest.truncate(most);
            shorten(&mut found, most);
            found.sort_by(surest_first);
            prop_assert_eq!(found, surest);
        }
    }
}
