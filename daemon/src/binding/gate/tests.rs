//! Turns, rates, bounds and order of a gate.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const FREE: Limits = Limits {
    take: Take::Newest,
    interval: Duration::ZERO,
    max_open: 100,
    max_open_of_one: 4,
    max_waiting: 100,
    max_sources: 100,
};

fn ms(ms: u64) -> Mono {
    Mono::default().after(Duration::from_millis(1000 + ms))
}

/// All that is to be done now, in words; submitted tickets are noted by their frames.
fn steps(gate: &mut Gate<u32, u32>, now: Mono, tickets: &mut HashMap<u32, Ticket>) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(step) = gate.poll(now) {
        said.push(match step {
            Step::Submit { ticket, source, frame } => {
                tickets.insert(frame, ticket);
                format!("ask {source}{frame}")
            }
            Step::Release { source, result, .. } => format!("give {source}{result}"),
            Step::Skip { source, frame, why: Skipped::Newer } => format!("skip {source}{frame}"),
            Step::Skip { source, frame, why: Skipped::Overloaded } => format!("drop {source}{frame}"),
        });
    }
    said
}

#[test]
fn of_a_camera_only_the_newest_frame_waits() {
    let (mut gate, mut tickets) = (Gate::new(FREE), HashMap::new());
    for frame in 1..=4 {
        gate.arrived(ms(0), "a", frame);
    }
    assert_eq!(steps(&mut gate, ms(0), &mut tickets), ["skip a1", "skip a2", "skip a3", "ask a4"]);
    gate.arrived(ms(1), "a", 5);
    gate.arrived(ms(1), "a", 6);
    assert_eq!(steps(&mut gate, ms(1), &mut tickets), ["skip a5"], "one is under way");
    assert!(gate.answered(ms(2), tickets[&4], 4));
    assert_eq!(steps(&mut gate, ms(2), &mut tickets), ["give a4", "ask a6"]);
    assert!(!gate.answered(ms(3), tickets[&4], 4), "twice");
    let counts = Counts { arrived: 6, submitted: 2, released: 1, skipped: 4, overloaded: 0 };
    assert_eq!((gate.counts(), gate.waiting(), gate.open()), (counts, 0, 1));
}

#[test]
fn cameras_take_turns_and_a_frame_is_as_new_as_its_turn() {
    let (mut gate, mut tickets) = (Gate::new(Limits { max_open: 1, ..FREE }), HashMap::new());
    for (source, frame) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("a", 5)] {
        gate.arrived(ms(0), source, frame);
    }
    assert_eq!(steps(&mut gate, ms(0), &mut tickets), ["skip a1", "skip a4", "ask a5"]);
    gate.arrived(ms(1), "a", 6);
    gate.arrived(ms(1), "b", 7);
    gate.answered(ms(2), tickets[&5], 5);
    assert_eq!(steps(&mut gate, ms(2), &mut tickets), ["skip b2", "give a5", "ask b7"], "the new one at the old place");
    gate.answered(ms(3), tickets[&7], 7);
    assert_eq!(steps(&mut gate, ms(3), &mut tickets), ["give b7", "ask c3"]);
    gate.answered(ms(4), tickets[&3], 3);
    assert_eq!(steps(&mut gate, ms(4), &mut tickets), ["give c3", "ask a6"]);
}

#[test]
fn answers_of_every_frame_leave_in_order_however_they_come() {
    let (mut gate, mut tickets) = (Gate::new(Limits { take: Take::Every, ..FREE }), HashMap::new());
    for frame in 1..=6 {
        gate.arrived(ms(0), "a", frame);
    }
    assert_eq!(steps(&mut gate, ms(0), &mut tickets), ["ask a1", "ask a2", "ask a3", "ask a4"], "four at once");
    for (frame, expected) in [(3, vec![]), (2, vec![]), (1, vec!["give a1", "give a2", "give a3", "ask a5", "ask a6"])]
    {
        gate.answered(ms(1), tickets[&frame], frame);
        assert_eq!(steps(&mut gate, ms(1), &mut tickets), expected, "{frame}");
    }
}

#[test]
fn above_the_bound_what_comes_is_dropped_but_a_quiet_source_has_its_place() {
    let limits = Limits { take: Take::Every, max_open: 1, max_waiting: 3, ..FREE };
    let (mut gate, mut tickets) = (Gate::new(limits), HashMap::new());
    gate.arrived(ms(0), "a", 1);
    assert_eq!(steps(&mut gate, ms(0), &mut tickets), ["ask a1"]);
    for frame in 2..=6 {
        gate.arrived(ms(0), "a", frame);
    }
    gate.arrived(ms(0), "b", 7);
    gate.arrived(ms(0), "b", 8);
    assert_eq!(steps(&mut gate, ms(0), &mut tickets), ["drop a5", "drop a6", "drop a4", "drop b8"]);
    gate.answered(ms(1), tickets[&1], 1);
    assert_eq!(steps(&mut gate, ms(1), &mut tickets), ["give a1", "ask a2"]);
    gate.answered(ms(1), tickets[&2], 2);
    assert_eq!(steps(&mut gate, ms(1), &mut tickets), ["give a2", "ask b7"]);
}

#[test]
fn a_source_at_its_rate_waits_for_its_time_and_then_has_its_newest_frame() {
    let limits = Limits { interval: Duration::from_millis(100), ..FREE };
    let (mut gate, mut tickets) = (Gate::new(limits), HashMap::new());
    for (at, frame, expected) in [
        (0, 1, vec!["ask a1", "give a1"]),
        (10, 2, vec!["ask a2", "give a2"]),
        (20, 3, vec![]),
        (50, 4, vec!["skip a3"]),
    ] {
        gate.arrived(ms(at), "a", frame);
        let mut said = steps(&mut gate, ms(at), &mut tickets);
        if let Some(ticket) = tickets.get(&frame) {
            gate.answered(ms(at), *ticket, frame);
            said.extend(steps(&mut gate, ms(at), &mut tickets));
        }
        assert_eq!(said, expected, "{at}");
    }
    assert_eq!(gate.next_tick(), Some(ms(100)));
    assert!(steps(&mut gate, ms(99), &mut tickets).is_empty());
    assert_eq!(steps(&mut gate, ms(100), &mut tickets), ["ask a4"]);
    assert_eq!(gate.next_tick(), None);
}

#[test]
fn of_too_many_sources_the_one_idle_longest_is_forgotten_and_none_that_is_busy() {
    let limits = Limits { max_sources: 2, ..FREE };
    let (mut gate, mut tickets) = (Gate::new(limits), HashMap::new());
    gate.arrived(ms(0), "a", 1);
    gate.arrived(ms(0), "b", 2);
    gate.arrived(ms(0), "c", 3);
    assert_eq!(steps(&mut gate, ms(0), &mut tickets), ["drop c3", "ask a1", "ask b2"]);
    gate.answered(ms(1), tickets[&2], 2);
    gate.arrived(ms(1), "c", 4);
    assert_eq!(steps(&mut gate, ms(1), &mut tickets), ["give b2", "ask c4"]);
    assert_eq!(gate.sources(), 2);
}

#[derive(Clone, Debug)]
enum Event {
    Arrived(usize),
    Answered(usize),
    Passed(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0..5_usize).prop_map(Event::Arrived),
        4 => (0..8_usize).prop_map(Event::Answered),
        1 => (1..200_u64).prop_map(Event::Passed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_comes_nothing_is_lost_or_out_of_order_or_above_a_bound(
        events in prop::collection::vec(event(), 0..200),
        newest in any::<bool>(),
        interval in prop::sample::select(&[0_u64, 50][..]),
        (max_open, max_open_of_one, max_waiting, max_sources) in (1..5_usize, 1..4_usize, 1..8_usize, 2..6_usize),
    ) {
        let take = if newest { Take::Newest } else { Take::Every };
        let interval = Duration::from_millis(interval);
        let mut gate: Gate<u32, u32> =
            Gate::new(Limits { take, interval, max_open, max_open_of_one, max_waiting, max_sources });
        let mut seen = Seen::default();
        // A source that was forgotten begins anew.
        let pace = if max_sources < 5 { Duration::ZERO } else { interval };
        let (mut now, mut frame) = (0, 0_u32);
        for event in events {
            match event {
                Event::Arrived(source) => {
                    frame += 1;
                    gate.arrived(ms(now), ["a", "b", "c", "d", "e"][source], frame);
                }
                Event::Answered(which) if !seen.open.is_empty() => {
                    let (ticket, frame, _) = seen.open.remove(which % seen.open.len());
                    prop_assert!(gate.answered(ms(now), ticket, frame));
                }
                Event::Answered(_) => {}
                Event::Passed(time) => now += time,
            }
            seen.take(&mut gate, now, pace);
            prop_assert!(gate.open() <= max_open && gate.sources() <= max_sources);
            prop_assert!(newest || gate.waiting() <= max_waiting);
            for source in ["a", "b", "c", "d", "e"] {
                let open = seen.open.iter().filter(|(_, _, name)| name == source).count();
                let most = if newest { 1 } else { max_open_of_one };
                prop_assert!(open <= most);
            }
        }
        // Once all is answered and time passes, all leaves.
        for _ in 0..400 {
            now += 100;
            for (ticket, frame, _) in std::mem::take(&mut seen.open) {
                prop_assert!(gate.answered(ms(now), ticket, frame));
            }
            seen.take(&mut gate, now, pace);
        }
        let counts = gate.counts();
        prop_assert_eq!((gate.waiting(), gate.open(), gate.next_tick()), (0, 0, None));
        prop_assert_eq!(counts.arrived, u64::from(frame));
        prop_assert_eq!(counts.arrived, counts.released + counts.skipped + counts.overloaded);
        prop_assert_eq!((counts.submitted, counts.released), (seen.released, seen.released));
        prop_assert_eq!(counts.skipped + counts.overloaded, seen.skipped);
        prop_assert!(newest || counts.skipped == 0);
    }
}

/// What came out of a gate.
#[derive(Default)]
struct Seen {
    open: Vec<(Ticket, u32, String)>,
    submitted: HashMap<String, Vec<(u32, u64)>>,
    given: HashMap<String, u32>,
    released: u64,
    skipped: u64,
}

impl Seen {
    fn take(&mut self, gate: &mut Gate<u32, u32>, now: u64, interval: Duration) {
        while let Some(step) = gate.poll(ms(now)) {
            match step {
                Step::Submit { ticket, source, frame } => {
                    let earlier = self.submitted.entry(source.to_string()).or_default();
                    assert!(earlier.last().is_none_or(|(last, _)| *last < frame), "in order");
                    // Two may come at once.
                    if let Some((_, third)) = earlier.iter().rev().nth(1) {
                        assert!(u128::from(now - third) >= interval.as_millis(), "too fast");
                    }
                    earlier.push((frame, now));
                    self.open.push((ticket, frame, source.to_string()));
                }
                Step::Release { source, result, .. } => {
                    let last = self.given.insert(source.to_string(), result);
                    assert!(last.is_none_or(|last| last < result), "out of order");
                    self.released += 1;
                }
                Step::Skip { .. } => self.skipped += 1,
            }
        }
    }
}

#[test]
fn what_somebody_keeps_is_never_skipped_and_makes_no_room_for_what_nobody_does() {
    let limits = Limits {
        take: Take::Every,
        interval: Duration::ZERO,
        max_open: 1,
        max_open_of_one: 1,
        max_waiting: 2,
        max_sources: 2,
    };
    let mut gate: Gate<u32, ()> = Gate::new(limits);
    let now = Mono::default();
    for frame in 0..10 {
        gate.kept(now, "a", frame);
    }
    for (source, frame) in [("b", 10), ("b", 11), ("b", 12), ("a", 13)] {
        gate.arrived(now, source, frame);
    }
    gate.kept(now, "c", 14);
    let (mut asked, mut skipped) = (Vec::new(), Vec::new());
    while let Some(step) = gate.poll(now) {
        match step {
            Step::Submit { ticket, frame, .. } => {
                asked.push(frame);
                gate.answered(now, ticket, ());
            }
            Step::Skip { frame, .. } => skipped.push(frame),
            Step::Release { .. } => {}
        }
    }
    assert_eq!(skipped, [12, 13], "there was room for two that nobody keeps");
    asked.sort_unstable();
    assert_eq!(asked, (0..=11).chain([14]).collect::<Vec<_>>());
    assert_eq!((gate.waiting(), gate.open()), (0, 0));
}
