use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::transport::mqtt::packet::Qos;

pub const BOUNDS: Bounds = Bounds {
    rows: 1000,
    bytes: 1 << 20,
    age: Duration::from_secs(3600),
    memory_bytes: 1 << 16,
    pause_connected: Duration::from_millis(50),
    pause_alone: Duration::from_secs(1),
};

fn at(ms: u64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

fn letter(topic: &str, payload: &str) -> Letter {
    let message = Outbound {
        topic: topic.into(),
        payload: payload.to_owned().into(),
        qos: Qos::AtLeastOnce,
        ..Outbound::default()
    };
    Letter { message, newest: false, made_ms: 1_000 }
}

fn newest(topic: &str, payload: &str) -> Letter {
    Letter { newest: true, ..letter(topic, payload) }
}

/// One whose disk is empty.
fn opened(bounds: Bounds) -> Outbox {
    let mut outbox = Outbox::new(bounds);
    outbox.opened(at(0), 0, Vec::new());
    outbox
}

/// Posts the one part of a request.
fn post(outbox: &mut Outbox, now: Mono, rank: Priority, letters: Vec<Letter>, job: i64) {
    outbox.expect(JobId(job), 1);
    outbox.post(now, rank, letters, Some(JobId(job)));
}

fn payload(message: &Outbound) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

fn sent(outbox: &mut Outbox, now: Mono) -> Vec<String> {
    std::iter::from_fn(|| outbox.next(now)).map(|(_, message)| payload(&message)).collect()
}

fn actions(outbox: &mut Outbox) -> Vec<Action> {
    std::iter::from_fn(|| outbox.poll()).collect()
}

#[test]
fn a_request_is_over_when_all_its_parts_are() {
    let mut outbox = opened(BOUNDS);
    outbox.connected();
    outbox.expect(JobId(1), 3);
    outbox.post(at(0), Priority::Normal, vec![letter("a", "1")], Some(JobId(1)));
    let (place, _) = outbox.next(at(0)).unwrap();
    outbox.end(place, End::Accepted);
    outbox.part_over(JobId(1));
    assert_eq!(actions(&mut outbox), []);
    outbox.post(at(0), Priority::Normal, Vec::new(), Some(JobId(1)));
    assert_eq!(actions(&mut outbox), [Action::Safe(JobId(1))]);
}

#[test]
fn what_the_broker_takes_soon_never_sees_the_disk() {
    let mut outbox = opened(BOUNDS);
    outbox.connected();
    post(&mut outbox, at(0), Priority::Normal, vec![letter("a", "1"), letter("b", "2")], 7);
    let places: Vec<Place> = std::iter::from_fn(|| outbox.next(at(1))).map(|(place, _)| place).collect();
    assert_eq!(places.len(), 2);
    outbox.end(places[0], End::Accepted);
    assert_eq!(actions(&mut outbox), [], "one of its messages is not safe");
    outbox.end(places[1], End::Accepted);
    assert_eq!(actions(&mut outbox), [Action::Safe(JobId(7))]);
    outbox.tick(at(10_000));
    assert_eq!(actions(&mut outbox), []);
    assert_eq!((outbox.level().sent, outbox.is_empty(), outbox.is_safe()), (2, true, true));
}

#[test]
fn what_it_does_not_take_goes_to_the_disk_together_and_is_then_safe() {
    let mut outbox = opened(BOUNDS);
    for n in 0..3 {
        post(&mut outbox, at(n * 100), Priority::Normal, vec![letter("a", &n.to_string())], n.try_into().unwrap());
    }
    assert_eq!(outbox.next_tick(), Some(at(1000)));
    outbox.tick(at(999));
    assert_eq!(actions(&mut outbox), []);
    outbox.tick(at(1000));
    let [Action::Write(head, content)] = &actions(&mut outbox)[..] else { panic!("not written") };
    assert_eq!((head.id, head.messages), (1, 3));
    assert_eq!(letter::read(content).unwrap().len(), 3);
    assert!(!outbox.is_safe());
    outbox.written(1);
    assert_eq!(actions(&mut outbox), [Action::Safe(JobId(0)), Action::Safe(JobId(1)), Action::Safe(JobId(2))]);
    assert_eq!((outbox.level().stored, outbox.is_safe()), (3, true));
    outbox.connected();
    assert_eq!(sent(&mut outbox, at(1001)), ["0", "1", "2"]);
    for number in 0..3 {
        outbox.end(Place { rank: 1, number }, End::Accepted);
    }
    assert_eq!(actions(&mut outbox), [Action::Remove(1)]);
}

#[test]
fn what_an_earlier_daemon_left_comes_first_says_that_it_is_late_and_leaves_out_what_was_replaced() {
    let mut before = opened(BOUNDS);
    before.post(at(0), Priority::Normal, vec![letter("a", "{\"n\":1}"), newest("plc", "old")], None);
    before.tick(at(1000));
    before.post(at(1500), Priority::Normal, vec![letter("a", "{\"n\":2}"), newest("plc", "new")], None);
    before.stop();
    before.tick(at(1500));
    let written = actions(&mut before);
    let chunks: Vec<(Head, Bytes)> = written
        .into_iter()
        .map(|action| match action {
            Action::Write(head, content) => (head, content),
            other => panic!("{other:?}"),
        })
        .collect();

    let mut after = Outbox::new(BOUNDS);
    after.connected();
    after.post(at(0), Priority::Normal, vec![letter("a", "{\"n\":3}")], None);
    assert_eq!(after.next_tick(), Some(at(3_600_000)), "nothing is written before the disk is known");
    after.opened(at(1), 0, chunks.iter().map(|(head, _)| head.clone()).collect());
    assert_eq!((after.level().rows, after.level().stored), (5, 4));
    assert_eq!(actions(&mut after), [Action::Fetch(1), Action::Fetch(2)]);
    assert!(!after.is_ready(), "what is in memory waits for what is on the disk");
    for (head, content) in &chunks {
        after.fetched(at(2), head.id, Some(content.clone()));
    }
    let sent = sent(&mut after, at(3));
    assert_eq!(sent, ["{\"historical\":true,\"n\":1}", "{\"historical\":true,\"n\":2}", "new", "{\"n\":3}"]);
    assert_eq!((after.level().replaced, after.level().late), (1, 3));
    after.tick(at(60));
    assert!(matches!(&actions(&mut after)[..], [Action::Write(head, _)] if head.id == 3), "numbers are not used again");
}

#[test]
fn only_the_newest_of_a_topic_waits_where_that_is_all_that_counts() {
    let mut outbox = opened(BOUNDS);
    post(&mut outbox, at(0), Priority::Normal, vec![newest("x", "1")], 1);
    post(&mut outbox, at(1), Priority::Normal, vec![newest("y", "2"), newest("x", "3")], 2);
    assert_eq!(
        actions(&mut outbox),
        [],
        "nor is the first request over before the message that replaced its own is safe"
    );
    outbox.connected();
    assert_eq!(sent(&mut outbox, at(2)), ["2", "3"]);
    outbox.end(Place { rank: 1, number: 2 }, End::Accepted);
    assert_eq!(actions(&mut outbox), [Action::Safe(JobId(1))]);
    // What is on its way is not called back.
    outbox.post(at(3), Priority::Normal, vec![newest("x", "4")], None);
    assert_eq!(sent(&mut outbox, at(4)), ["4"]);
    assert_eq!(outbox.level().replaced, 1);
}

#[test]
fn the_higher_rank_goes_first_and_at_the_bound_the_oldest_of_the_lowest_goes() {
    let mut outbox = opened(Bounds { rows: 8, ..BOUNDS });
    let post = |outbox: &mut Outbox, rank, name: &str| {
        outbox.post(at(0), rank, vec![letter("t", name)], None);
    };
    for n in 0..4 {
        post(&mut outbox, Priority::Low, &format!("l{n}"));
    }
    for n in 0..4 {
        post(&mut outbox, Priority::High, &format!("h{n}"));
    }
    assert_eq!(outbox.level().dropped, 0);
    post(&mut outbox, Priority::Normal, "n0");
    // Two of them were one segment.
    assert_eq!((outbox.level().dropped, outbox.level().rows), (2, 7));
    outbox.connected();
    assert_eq!(sent(&mut outbox, at(1)), ["h0", "h1", "h2", "h3", "n0", "l2", "l3"]);
}

#[test]
fn what_is_too_old_is_given_up_whatever_the_wall_clock_says() {
    let mut outbox = opened(BOUNDS);
    post(&mut outbox, at(0), Priority::Normal, vec![letter("a", "1")], 1);
    outbox.tick(at(3_599_999));
    assert_eq!(outbox.level().expired, 0);
    outbox.tick(at(3_600_000));
    assert_eq!((outbox.level().expired, outbox.is_empty()), (1, true));
    assert!(actions(&mut outbox).contains(&Action::Safe(JobId(1))));
    // One that was made in the future, or long ago, by the clock of now.
    let head = |id, made_ms| Head { id, rank: 1, made_ms, messages: 1, bytes: 10, newest: Vec::new() };
    let mut outbox = Outbox::new(BOUNDS);
    outbox.opened(at(0), 4_000_000, vec![head(1, 0), head(2, 3_900_000), head(3, i64::MAX)]);
    outbox.tick(at(0));
    assert_eq!((outbox.level().expired, outbox.level().rows), (1, 2));
}

#[test]
fn a_disk_that_takes_nothing_is_tried_again_and_the_memory_stays_bounded() {
    let mut outbox = opened(Bounds { memory_bytes: 1000, ..BOUNDS });
    let mut now = 0;
    for n in 0..200 {
        post(&mut outbox, at(now), Priority::Normal, vec![letter("t", &"x".repeat(100))], n);
        outbox.tick(at(now));
        for action in actions(&mut outbox) {
            if let Action::Write(head, _) = action {
                outbox.failed(at(now), head.id);
            }
        }
        assert!(outbox.memory <= 4000 + 200, "{} bytes", outbox.memory);
        now += 100;
    }
    assert!(outbox.level().dropped > 150 && outbox.level().stored == 0);
    assert_eq!(outbox.level().rows + outbox.level().dropped, 200);
}

#[test]
fn messages_of_qos_0_wait_for_no_connection_and_no_disk() {
    let unkept = |name: &str| {
        let mut letter = letter("t", name);
        letter.message.qos = Qos::AtMostOnce;
        letter
    };
    let mut outbox = opened(BOUNDS);
    post(&mut outbox, at(0), Priority::Normal, vec![unkept("1")], 1);
    assert_eq!((actions(&mut outbox), outbox.level().unsent), (vec![Action::Safe(JobId(1))], 1));
    outbox.connected();
    outbox.post(at(0), Priority::Normal, vec![unkept("2"), unkept("3")], None);
    let (place, _) = outbox.next(at(0)).unwrap();
    outbox.end(place, End::Accepted);
    outbox.lost();
    outbox.tick(at(5000));
    assert_eq!((actions(&mut outbox), outbox.level().unsent, outbox.is_empty()), (vec![], 2, true));
}

/// What happens to it, in any order.
#[derive(Clone, Debug)]
enum Event {
    Post {
        source: u8,
        newest: bool,
    },
    Pass(u16),
    Send(u8),
    Connect,
    Lose,
    DiskWorks,
    DiskFails,
    /// Killed and started again.
    Kill,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..4_u8, any::<bool>()).prop_map(|(source, newest)| Event::Post { source, newest }),
        4 => (0..3000_u16).prop_map(Event::Pass),
        6 => (1..5_u8).prop_map(Event::Send),
        2 => Just(Event::Connect),
        2 => Just(Event::Lose),
        4 => Just(Event::DiskWorks),
        1 => Just(Event::DiskFails),
        1 => Just(Event::Kill),
    ]
}

/// The disk, the broker and the requests around an outbox.
struct World {
    outbox: Outbox,
    now: u64,
    disk: BTreeMap<i64, (Head, Bytes)>,
    /// To be removed from the disk when it is written next.
    removals: Vec<i64>,
    /// What was promised: sequence numbers of each source whose request is over, and what came out.
    posted: HashMap<JobId, (u8, bool, u32)>,
    safe: HashSet<(u8, bool, u32)>,
    out: Vec<(u8, bool, u32)>,
    next: u32,
}

impl World {
    fn carry_out(&mut self, works: bool) {
        if works {
            for id in std::mem::take(&mut self.removals) {
                self.disk.remove(&id);
                self.outbox.removed(id);
            }
        }
        while let Some(action) = self.outbox.poll() {
            match action {
                Action::Write(head, content) if works => {
                    self.disk.insert(head.id, (head.clone(), content));
                    self.outbox.written(head.id);
                }
                Action::Write(head, _) => self.outbox.failed(at(self.now), head.id),
                Action::Fetch(id) => {
                    let content = self.disk.get(&id).map(|(_, content)| content.clone());
                    self.outbox.fetched(at(self.now), id, content);
                }
                Action::Remove(id) => self.removals.push(id),
                Action::Safe(job) => drop(self.safe.insert(self.posted[&job])),
            }
        }
    }

    fn send(&mut self) {
        let Some((place, message)) = self.outbox.next(at(self.now)) else { return };
        let mut parts = message.topic.split('/').map(|part| part.parse::<u32>().unwrap());
        let (source, newest, number) = (parts.next().unwrap(), parts.next().unwrap(), parts.next());
        let number = number.unwrap_or_else(|| payload(&message).parse().unwrap());
        self.out.push((u8::try_from(source).unwrap(), newest == 1, number));
        self.outbox.end(place, End::Accepted);
    }
}

proptest! {
    #[test]
    fn what_was_said_to_be_safe_comes_out_in_the_order_of_its_source(events in prop::collection::vec(event(), 0..200)) {
        let disk_failed = events.iter().any(|event| matches!(event, Event::DiskFails));
        let (outbox, posted) = (opened(BOUNDS), HashMap::new());
        let mut world = World {
            outbox, now: 0, disk: BTreeMap::new(), removals: Vec::new(), posted, safe: HashSet::new(), out: Vec::new(),
            next: 0,
        };
        for event in events {
            match event {
                Event::Post { source, newest } => {
                    world.next += 1;
                    let number = world.next;
                    // The topic of those that replace each other is one for the source.
                    let topic = if newest { format!("{source}/1") } else { format!("{source}/0/{number}") };
                    let letter = Letter { newest, ..letter(&topic, &number.to_string()) };
                    let job = JobId(number.into());
                    world.posted.insert(job, (source, newest, number));
                    world.outbox.expect(job, 1);
                    world.outbox.post(at(world.now), Priority::ALL[usize::from(source % 3)], vec![letter], Some(job));
                }
                Event::Pass(ms) => {
                    world.now += u64::from(ms);
                    world.outbox.tick(at(world.now));
                }
                Event::Send(count) => (0..count).for_each(|_| if world.outbox.connected { world.send() }),
                Event::Connect => world.outbox.connected(),
                Event::Lose => world.outbox.lost(),
                Event::DiskWorks => world.carry_out(true),
                Event::DiskFails => world.carry_out(false),
                Event::Kill => {
                    // What was ordered before is carried out or not.
                    world.removals.clear();
                    world.outbox = Outbox::new(BOUNDS);
                    let heads = world.disk.values().map(|(head, _)| head.clone()).collect();
                    world.outbox.opened(at(world.now), 0, heads);
                }
            }
        }
        world.outbox.stop();
        world.now += 5000;
        world.outbox.connected();
        for _ in 0..50 {
            world.now += 2000;
            world.outbox.tick(at(world.now));
            world.carry_out(true);
            while world.outbox.is_ready() {
                world.send();
                world.carry_out(true);
            }
        }
        prop_assert!(world.outbox.is_empty() && world.disk.is_empty(), "{:?}", world.outbox.level());
        let out: HashSet<_> = world.out.iter().copied().collect();
        for (source, newest, number) in &world.safe {
            let newer = || world.out.iter().any(|(of, replaces, n)| of == source && *replaces && n >= number);
            prop_assert!(out.contains(&(*source, *newest, *number)) || (*newest && newer()), "{source} {number} is lost");
        }
        // First appearances are in order; a kill may bring some again. A disk that fails keeps no order of what it did not take.
        for source in 0..4 {
            for newest in [false, true] {
                let mut seen = HashSet::new();
                let of = world.out.iter().filter(|(of, replaces, n)| (*of, *replaces) == (source, newest) && seen.insert(*n));
                let numbers: Vec<u32> = of.map(|(_, _, n)| *n).collect();
                prop_assert!(numbers.is_sorted() || (newest && disk_failed), "{numbers:?}");
            }
        }
    }
}
