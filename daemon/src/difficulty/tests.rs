//! Learning, the file, and the score, on outcomes that are made up.

use proptest::prelude::*;

use super::curve::{Call, Curve};
use super::features::{Reader, mixed};
use super::model::{Guarantee, Learnt, ModelError, Score, Unfamiliar};
use super::train::{FEWEST, Row, TrainError, train};

/// Texts of two kinds: sums, at which the weak model mostly fails, and questions of facts; and tasks that differ too.
pub(super) fn rows(count: u64, seed: u64) -> Vec<Row> {
    let row = |at: u64| {
        let draw = |salt: u64| mixed(mixed(seed ^ salt).wrapping_add(at)) % 100;
        let (is_sum, is_law) = (draw(1) < 40, draw(2) < 50);
        let place = ["north", "south", "river", "mountain"][usize::try_from(draw(3) % 4).unwrap_or(0)];
        let text = match is_sum {
            true => format!("Calculate the sum of {} and {} exactly.", draw(4), draw(5)),
            false => format!("Which city lies in the {place} of the country named first?"),
        };
        let fails = 10 + if is_sum { 50 } else { 0 } + if is_law { 20 } else { 0 };
        let task = Some(if is_law { "law" } else { "trade" }.to_owned());
        Row { text, weak: f64::from(u8::from(draw(6) >= fails)), strong: f64::from(u8::from(draw(7) >= 10)), task }
    };
    (0..count).map(row).collect()
}

fn learnt() -> Learnt {
    let mut learnt = train(&rows(400, 3), 1).unwrap().learnt;
    learnt.about.date = "2026-11-28".into();
    learnt.guarantee = Some(Guarantee { threshold: 0.2, target_loss: 0.05, confidence: 0.95, kept: 0.5, loss: 0.03 });
    learnt
}

#[test]
fn what_was_learnt_ranks_and_is_calibrated_on_what_was_not_seen() {
    let (learnt, mut reader) = (learnt(), Reader::default());
    let unseen = rows(4_000, 9);
    let scores: Vec<_> = unseen
        .iter()
        .map(|row| match learnt.score(&mut reader, &row.text, row.task.as_deref()) {
            Score::Known(expected) => expected,
            Score::Unknown(why) => panic!("{row:?}: {why:?}"),
        })
        .collect();
    let call = |(row, score): (&Row, &super::model::Expected)| Call {
        score: score.gain().into(),
        weak: row.weak,
        strong: row.strong,
    };
    let curve = Curve::of(&unseen.iter().zip(&scores).map(call).collect::<Vec<_>>()).unwrap();
    assert!(curve.apgr().unwrap() > 0.72, "{:?}", curve.apgr());
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 4_000.0;
    let (told, was) =
        (mean(&mut scores.iter().map(|score| f64::from(score.helps))), mean(&mut unseen.iter().map(Row::helps)));
    assert!((told - was).abs() < 0.04, "said {told}, was {was}");
}

#[test]
fn tasks_with_few_rows_are_drawn_to_the_mean_and_the_same_rows_give_the_same_model() {
    let mut some = rows(400, 3);
    some.push(Row { text: "Which city lies south?".into(), weak: 0.0, strong: 1.0, task: Some("rare".into()) });
    let found = train(&some, 1).unwrap().learnt;
    let names: Vec<&str> = found.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["law", "rare", "trade"]);
    let rare = &found.tasks[1];
    assert_eq!((rare.rows, rare.measured), (1, 1.0));
    assert!(rare.shrunk < 0.5, "{rare:?}");
    assert!(found.tasks[0].helps > found.tasks[2].helps, "{:?}", found.tasks);
    assert_eq!(train(&some, 1).unwrap().learnt, found);
}

#[test]
fn what_is_unlike_all_that_was_learnt_from_is_unknown() {
    let (learnt, mut reader) = (learnt(), Reader::default());
    let mut score = |text: &str, task| learnt.score(&mut reader, text, task);
    let fact = "Which city lies in the north of the country named first?";
    assert!(matches!(score(fact, None), Score::Known(_)));
    assert!(matches!(score(fact, Some("law")), Score::Known(_)));
    assert_eq!(score(fact, Some("poetry")), Score::Unknown(Unfamiliar::Task));
    assert_eq!(score(" \n?! ", None), Score::Unknown(Unfamiliar::Empty));
    assert!(matches!(score(&fact.repeat(9), None), Score::Unknown(Unfamiliar::Long { .. })));
    let strange = "Sutor ne ultra crepidam iudicet, quod erat demonstrandum";
    assert!(matches!(score(strange, None), Score::Unknown(Unfamiliar::Words { .. })), "{:?}", score(strange, None));
}

#[test]
fn rows_that_cannot_be_learnt_from_are_named() {
    let few = FEWEST - 1;
    assert_eq!(train(&rows(49, 1), 1).unwrap_err(), TrainError::Few { found: few });
    let mut bad = rows(60, 1);
    bad[4].strong = 1.5;
    assert_eq!(train(&bad, 1).unwrap_err(), TrainError::Range { row: 5, name: "strong", found: 1.5 });
}

#[test]
fn rows_of_one_outcome_give_a_model_that_sees_no_gain() {
    let mut same = rows(100, 1);
    same.iter_mut().for_each(|row| (row.weak, row.strong) = (1.0, 1.0));
    let found = train(&same, 1).unwrap().learnt;
    let Score::Known(expected) = found.score(&mut Reader::default(), &same[0].text, None) else { panic!() };
    assert!(expected.gain().abs() < 0.05 && expected.helps < 0.05, "{expected:?}");
}

#[test]
fn a_file_comes_back_as_it_was_and_a_damaged_one_is_refused_by_name() {
    let learnt = learnt();
    let bytes = learnt.write().unwrap();
    assert!(bytes.len() < 40_000, "{} bytes", bytes.len());
    assert_eq!(Learnt::read(&bytes).unwrap(), learnt);
    let mut other = bytes.clone();
    other[7] = 2;
    assert!(matches!(Learnt::read(&other), Err(ModelError::Magic { .. })));
    assert_eq!(Learnt::read(&bytes[..bytes.len() - 1]), Err(ModelError::Sum));
    assert_eq!(Learnt::read(b"EDQUAL"), Err(ModelError::Size { found: 6 }));
    assert!(matches!(Learnt::read(&vec![0; 2 << 20]), Err(ModelError::Size { .. })));
}

#[test]
fn a_number_out_of_its_range_is_named_with_the_range() {
    type Spoil = fn(&mut Learnt);
    let cases: [(Spoil, &str); 8] = [
        (|to| to.helps.step = f32::NAN, "helps.step"),
        (|to| to.harms.bias = 1e9, "harms.bias"),
        (|to| to.helps.weights.truncate(7), "helps.weights"),
        (|to| to.plain[3].deviation = 0.0, "plain[3].deviation"),
        (|to| to.known.words.clear(), "known.words"),
        (|to| to.tasks.reverse(), "tasks"),
        (|to| to.tasks[0].helps = f32::INFINITY, "tasks[\"law\"].helps"),
        (|to| to.guarantee.as_mut().unwrap().confidence = 2.0, "guarantee.confidence"),
    ];
    for (spoil, name) in cases {
        let mut learnt = learnt();
        spoil(&mut learnt);
        let Err(ModelError::Field { field, range, .. }) = learnt.write() else { panic!("{name} was taken") };
        assert_eq!(field, name);
        assert!(!range.is_empty());
    }
}

/// A body with the right head and sum, whatever is in it.
fn sealed(body: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    let mut bytes = [b"EDQUAL\0\x01".as_slice(), body].concat();
    let sum = sha2::Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

proptest! {
    #[test]
    fn no_bytes_are_read_as_a_model_but_those_of_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Learnt::read(&bytes).is_err());
        prop_assert!(Learnt::read(&sealed(&bytes)).is_err());
    }

    #[test]
    fn a_changed_body_is_refused_or_within_its_ranges(at in 0_usize..30_000, to in any::<u8>()) {
        static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| learnt().write().unwrap());
        let mut body = BYTES[8..BYTES.len() - 32].to_vec();
        let at = at % body.len();
        body[at] = to;
        if let Ok(learnt) = Learnt::read(&sealed(&body)) {
            prop_assert!(learnt.write().is_ok());
            let score = learnt.score(&mut Reader::default(), "Which city lies in the north?", None);
            if let Score::Known(expected) = score {
                prop_assert!((-1.0..=1.0).contains(&expected.gain()));
            }
        }
    }
}
