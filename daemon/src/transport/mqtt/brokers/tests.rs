use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const START: Mono = Mono::from_nanos(0);

fn end(stood: Option<Duration>) -> End {
    End { stood, taken_over: false, refused: false, closed: stood.is_some(), reason: "why".into() }
}

fn failed(brokers: &mut Brokers) -> (usize, u128) {
    let next = brokers.after(end(None), "box", 0);
    (brokers.at(), next.pause.as_millis())
}

#[test]
fn a_round_tries_each_broker_once_in_order_and_the_pauses_grow_with_the_rounds() {
    let mut brokers = Brokers::new(3, Some(MINUTE));
    let tried: Vec<_> = (0..7).map(|_| failed(&mut brokers)).collect();
    assert_eq!(tried, [(1, 188), (2, 188), (0, 188), (1, 188), (2, 188), (0, 375), (1, 188)]);
}

#[test]
fn a_list_of_one_is_tried_again_with_growing_pauses() {
    let mut brokers = Brokers::new(1, Some(MINUTE));
    let tried: Vec<_> = (0..3).map(|_| failed(&mut brokers)).collect();
    assert_eq!(tried, [(0, 188), (0, 375), (0, 750)]);
    brokers.accepted(START, 0);
    assert_eq!(brokers.probe_due(), None);
}

#[test]
fn a_connection_that_stood_well_is_first_made_again_where_it_was() {
    let mut brokers = Brokers::new(3, Some(MINUTE));
    failed(&mut brokers);
    brokers.accepted(START, 0);
    brokers.after(end(Some(MINUTE)), "box", 0);
    assert_eq!(brokers.at(), 1);
    assert_eq!(failed(&mut brokers).0, 0, "then from the first one on");
    assert_eq!(failed(&mut brokers).0, 2, "without that which has just failed");
}

#[test]
fn a_broker_that_accepts_and_does_not_stay_is_a_failed_one() {
    let mut brokers = Brokers::new(2, Some(MINUTE));
    brokers.accepted(START, 0);
    brokers.after(end(Some(Duration::from_secs(1))), "box", 0);
    assert_eq!(brokers.at(), 1);
}

#[test]
fn a_contested_client_id_is_not_carried_to_another_broker() {
    let mut brokers = Brokers::new(2, Some(MINUTE));
    brokers.accepted(START, 0);
    let taken = End { taken_over: true, ..end(Some(Duration::from_secs(1))) };
    let next = brokers.after(taken, "box", 0);
    assert!(next.contested && next.pause > Duration::from_secs(5));
    assert_eq!(brokers.at(), 0);
}

#[test]
fn on_a_fallback_the_first_broker_is_looked_for_after_the_dwell_and_gone_back_to_when_it_answers() {
    let mut brokers = Brokers::new(2, Some(MINUTE));
    failed(&mut brokers);
    brokers.accepted(START, u64::from(u32::MAX));
    let due = brokers.probe_due().unwrap();
    assert!(due.since(START) >= MINUTE * 3 / 4 && due.since(START) <= MINUTE * 5 / 4, "{due:?}");
    assert!(!brokers.probe(START) && brokers.probe(due) && !brokers.probe(due));
    assert!(!brokers.probed(due, false, 0));
    let again = brokers.probe_due().unwrap();
    assert_eq!(again.since(due), MINUTE * 3 / 2, "no answer: after twice the time");
    assert!(brokers.probe(again) && brokers.probed(again, true, 0));
    brokers.go_back();
    assert_eq!(brokers.at(), 0);
    brokers.accepted(again, 0);
    assert_eq!(brokers.probe_due(), None);
}

#[test]
fn zero_stays_with_the_broker_that_answers() {
    let mut brokers = Brokers::new(2, None);
    failed(&mut brokers);
    brokers.accepted(START, 0);
    assert_eq!(brokers.probe_due(), None);
}

#[test]
fn the_answer_to_a_probe_of_an_earlier_connection_moves_nothing() {
    let mut brokers = Brokers::new(2, Some(MINUTE));
    failed(&mut brokers);
    brokers.accepted(START, 0);
    assert!(brokers.probe(START.after(MINUTE * 2)));
    brokers.after(end(Some(MINUTE)), "box", 0);
    assert!(!brokers.probed(START.after(MINUTE * 2), true, 0));
}

#[test]
fn a_first_broker_that_answers_and_does_not_stay_doubles_the_dwell_up_to_a_limit() {
    let mut brokers = Brokers::new(2, Some(MINUTE));
    failed(&mut brokers);
    let mut dwells = Vec::new();
    for _ in 0..6 {
        assert_eq!(brokers.at(), 1);
        brokers.accepted(START, 0);
        let due = brokers.probe_due().unwrap();
        dwells.push(due.since(START).as_secs());
        assert!(brokers.probe(due) && brokers.probed(due, true, 0));
        brokers.go_back();
        brokers.accepted(due, 0);
        brokers.after(end(Some(Duration::from_secs(2))), "box", 0);
    }
    assert_eq!(dwells, [45, 90, 180, 360, 675, 675]);
    // It stays: all is forgiven.
    brokers.accepted(START, 0);
    let due = brokers.probe_due().unwrap();
    assert!(brokers.probe(due) && brokers.probed(due, true, 0));
    brokers.go_back();
    brokers.accepted(due, 0);
    brokers.after(end(Some(MINUTE)), "box", 0);
    failed(&mut brokers);
    brokers.accepted(START, 0);
    assert_eq!(brokers.probe_due().unwrap().since(START).as_secs(), 45);
}

/// How a broker behaves from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Dead,
    Alive,
    /// Accepts, and closes after two seconds.
    Restless,
}

/// What happened in a run: when which broker accepted.
struct Run {
    brokers: Brokers,
    now: Mono,
    accepted: Vec<(Mono, usize)>,
    /// Connected now.
    stands: bool,
    returns: u32,
}

impl Run {
    fn new(count: usize) -> Run {
        let brokers = Brokers::new(count, Some(MINUTE));
        Run { brokers, now: START, accepted: Vec::new(), stands: false, returns: 0 }
    }

    /// Lets time pass until `until`, with brokers that behave so.
    fn go(&mut self, until: Mono, behave: &[Behaviour], dice: &mut u64) {
        // A broker that was connected and is dead now lets go of us.
        if self.stands && behave[self.brokers.at()] != Behaviour::Alive {
            self.end(Some(MINUTE), dice);
        }
        while self.now < until {
            *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if self.stands {
                let Some(due) = self.brokers.probe_due().filter(|due| *due < until) else {
                    self.now = until;
                    return;
                };
                self.now = due.max(self.now);
                assert!(self.brokers.probe(self.now));
                if self.brokers.probed(self.now, behave[0] != Behaviour::Dead, *dice) {
                    self.brokers.go_back();
                    (self.stands, self.returns) = (false, self.returns + 1);
                }
                continue;
            }
            match behave[self.brokers.at()] {
                Behaviour::Dead => self.end(None, dice),
                Behaviour::Alive => {
                    self.brokers.accepted(self.now, *dice);
                    self.accepted.push((self.now, self.brokers.at()));
                    self.stands = true;
                }
                Behaviour::Restless => {
                    self.brokers.accepted(self.now, *dice);
                    self.now = self.now.after(Duration::from_secs(2));
                    self.end(Some(Duration::from_secs(2)), dice);
                }
            }
        }
    }

    fn end(&mut self, stood: Option<Duration>, dice: &mut u64) {
        self.stands = false;
        let next = self.brokers.after(end(stood), "box", *dice);
        assert!(next.pause > Duration::ZERO && next.pause < MINUTE);
        self.now = self.now.after(next.pause);
    }
}

fn behaviours() -> impl Strategy<Value = Vec<Behaviour>> {
    let one = prop_oneof![Just(Behaviour::Dead), Just(Behaviour::Alive), Just(Behaviour::Restless)];
    proptest::collection::vec(one, 4)
}

proptest! {
    #[test]
    fn whatever_was_before_a_broker_that_lives_is_found_and_the_first_one_is_gone_back_to(
        past in proptest::collection::vec((behaviours(), 1_u64..4000), 0..8),
        last in behaviours(),
        mut dice: u64,
    ) {
        let mut run = Run::new(4);
        for (behave, seconds) in &past {
            let until = run.now.after(Duration::from_secs(*seconds));
            run.go(until, behave, &mut dice);
        }
        // No longer than one longest pause and a round of four: a dead broker is never stuck to.
        let (begin, had) = (run.now, run.stands && last[run.brokers.at()] == Behaviour::Alive);
        run.go(begin.after(Duration::from_secs(38 + 4 * 3)), &last, &mut dice);
        // It may just be looking at a restless first one again.
        let found = had || run.accepted.last().is_some_and(|(at, _)| *at >= begin);
        prop_assert_eq!(found, last.contains(&Behaviour::Alive), "{:?} {:?}", last, run.accepted);
        // The longest dwell and the longest pause between probes, a quarter more for the spread.
        let back_by = run.now.after(LONGEST * 5 / 4 + MINUTE);
        run.go(back_by, &last, &mut dice);
        if last[0] == Behaviour::Alive {
            prop_assert!(run.stands && run.brokers.at() == 0, "{:?}", run.accepted);
        }
    }

    #[test]
    fn a_restless_first_broker_drags_the_box_along_ever_more_seldom(mut dice: u64) {
        let mut run = Run::new(2);
        let day = START.after(Duration::from_secs(24 * 3600));
        run.go(day, &[Behaviour::Restless, Behaviour::Alive], &mut dice);
        // 45 s, 90 s, ... up to 675 s at least: fewer than 5 and then one in eleven minutes.
        prop_assert!((60..140).contains(&run.returns), "{} returns", run.returns);
    }
}
