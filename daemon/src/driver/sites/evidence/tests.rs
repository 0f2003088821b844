//! Counts and a withdrawal over restarts, and when they are written.

use super::*;

const RATE: f64 = 0.01;
/// What takes some answers to refute the guarantee.
const LOSS: f64 = 0.3;

fn guarantee() -> Guarantee {
    Guarantee { threshold: 0.0, target_loss: 0.05, confidence: 0.95, kept: 0.5, loss: 0.01 }
}

fn count(evidence: &mut Evidence, answers: u32, loss: f64) {
    for _ in 0..answers {
        let recheck = evidence.of(Ratio::new(RATE).unwrap(), &guarantee()).unwrap();
        let standing = recheck.stayed(Ratio::new(loss).unwrap());
        evidence.note(standing);
    }
}

fn at(seconds: u64) -> Mono {
    Mono::default().after(Duration::from_secs(seconds))
}

/// Carries out what is due, and says whether anything was.
async fn turn(evidence: &mut Evidence, now: Mono, ending: bool) -> bool {
    evidence.go_on(now, ending);
    let was_due = evidence.job.is_some();
    if was_due {
        let done = evidence.next().await;
        evidence.done(done);
    }
    was_due
}

async fn opened(state: &Path, model: &str) -> Evidence {
    let mut evidence = Evidence::new(state);
    assert!(!turn(&mut evidence, at(0), false).await, "without a model nothing is read");
    evidence.take(model);
    assert!(evidence.bars().unwrap().contains("still being read"));
    assert!(evidence.of(Ratio::ONE, &guarantee()).is_none(), "nothing is counted before");
    assert!(turn(&mut evidence, at(0), false).await);
    evidence
}

#[tokio::test]
async fn what_was_found_outlives_a_restart_and_a_withdrawal_stays() {
    let state = tempfile::tempdir().unwrap();
    let mut evidence = opened(state.path(), "aa").await;
    assert_eq!(evidence.bars(), None);
    count(&mut evidence, 1, LOSS);
    assert!(turn(&mut evidence, at(100), false).await);
    let mut lives = 1;
    // Killed after each answer: it still comes to an end.
    while evidence.withdrawn.is_none() {
        evidence = opened(state.path(), "aa").await;
        assert_eq!(evidence.told()[0].found.sampled, lives);
        count(&mut evidence, 1, LOSS);
        assert!(turn(&mut evidence, at(100), false).await);
        lives += 1;
        assert!(lives < 100);
    }
    assert!(lives > 5, "a withdrawal after {lives} tells little");
    let mut whole = Recheck::new(
        Ratio::new(RATE).unwrap(),
        Ratio::new(f64::from(0.05_f32)).unwrap(),
        Ratio::new(1.0 - f64::from(0.95_f32)).unwrap(),
    );
    while whole.stayed(Ratio::new(LOSS).unwrap()) == Standing::Valid {}
    assert_eq!(evidence.told(), [Share { permille: 10, found: whole.found() }], "as without a break");
    evidence = opened(state.path(), "aa").await;
    let told = evidence.problems();
    assert!(evidence.bars().is_some() && told.len() == 1 && told[0].what.contains("is asked no more"), "{told:?}");
    // Another model is asked, and the first one's record goes.
    evidence.take("bb");
    assert!(turn(&mut evidence, at(0), false).await);
    assert!(evidence.bars().is_none() && evidence.problems().is_empty() && evidence.told().is_empty());
    assert!(!record::place(&record::dir(state.path()), "aa").exists());
}

#[tokio::test]
async fn records_are_written_once_a_minute_at_a_withdrawal_and_at_the_end() {
    let state = tempfile::tempdir().unwrap();
    let mut evidence = opened(state.path(), "aa").await;
    for (now, answers, ending, written) in [
        (at(100), 0, false, false),
        (at(100), 1, false, true),
        (at(101), 1, false, false),
        (at(159), 0, false, false),
        (at(160), 0, false, true),
        (at(161), 1, false, false),
        (at(161), 0, true, true),
        (at(161), 0, true, false),
        (at(162), 90, false, true),
    ] {
        count(&mut evidence, answers, if answers > 1 { 1.0 } else { 0.0 });
        assert_eq!(turn(&mut evidence, now, ending).await, written, "{now:?} {answers} {ending}");
    }
    assert!(evidence.withdrawn.is_some());
}

#[tokio::test]
async fn a_damaged_record_bars_the_model_until_it_is_removed_or_another_is_there() {
    let state = tempfile::tempdir().unwrap();
    let place = record::place(&record::dir(state.path()), "aa");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, "{\"format\": 1, ").unwrap();
    let mut evidence = opened(state.path(), "aa").await;
    let told = evidence.problems();
    assert!(evidence.bars().unwrap().contains("cannot be read"));
    assert!(told[0].what.contains("is not asked") && told[0].remedy.contains(place.to_str().unwrap()), "{told:?}");
    assert!(evidence.of(Ratio::ONE, &guarantee()).is_none() && !turn(&mut evidence, at(900), true).await);
    // A reload looks again.
    evidence.take("aa");
    assert!(turn(&mut evidence, at(0), false).await && evidence.bars().is_some());
    std::fs::remove_file(&place).unwrap();
    evidence.take("aa");
    assert!(turn(&mut evidence, at(0), false).await);
    assert_eq!(evidence.bars(), None);
    std::fs::write(&place, "").unwrap();
    let mut evidence = opened(state.path(), "aa").await;
    assert!(evidence.bars().is_some());
    evidence.take("bb");
    assert!(turn(&mut evidence, at(0), false).await);
    assert!(evidence.bars().is_none() && !place.exists());
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_tried_again_and_holds_up_no_end() {
    let state = tempfile::tempdir().unwrap();
    let mut evidence = opened(state.path(), "aa").await;
    let in_the_way = record::dir(state.path());
    std::fs::write(&in_the_way, "a file").unwrap();
    count(&mut evidence, 1, 0.0);
    assert!(evidence.is_behind());
    assert!(turn(&mut evidence, at(100), true).await);
    let told = evidence.problems();
    assert!(told.len() == 1 && told[0].what.contains("forgotten at the next start"), "{told:?}");
    assert!(!evidence.is_behind() && evidence.bars().is_none());
    assert!(!turn(&mut evidence, at(159), true).await);
    std::fs::remove_file(&in_the_way).unwrap();
    assert!(turn(&mut evidence, at(160), false).await);
    assert!(evidence.problems().is_empty() && record::place(&in_the_way, "aa").exists());
}

#[tokio::test]
async fn a_record_of_the_model_before_that_comes_late_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let mut evidence = opened(state.path(), "aa").await;
    count(&mut evidence, 99, 1.0);
    evidence.go_on(at(100), false);
    evidence.take("bb");
    assert!(turn(&mut evidence, at(100), false).await);
    assert!(
        evidence.bars().unwrap().contains("still being read") && record::dir(state.path()).join("aa.json").exists()
    );
    assert!(turn(&mut evidence, at(100), false).await);
    assert!(evidence.bars().is_none() && !record::dir(state.path()).join("aa.json").exists());
}
