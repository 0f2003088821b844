//! Random runs of a session between a broker, a driver and two stores: every request ends once.

use proptest::prelude::*;

use super::*;

/// What can happen next in a random run.
#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive { qos: Qos, named: bool, deferrable: bool },
    Reply(usize),
    Store(usize),
    Acknowledge,
    Lose,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let qos = prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)];
    prop_oneof![
        4 => (qos, any::<bool>(), any::<bool>()).prop_map(|(qos, named, deferrable)| Step::Arrive { qos, named, deferrable }),
        3 => any::<usize>().prop_map(Step::Reply),
        3 => any::<usize>().prop_map(Step::Store),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::Lose),
        2 => (0_u64..80).prop_map(Step::Pass),
    ]
}

/// A broker, a driver and two stores around a session.
struct World {
    session: Session,
    now: u64,
    next_packet: u16,
    /// Messages that the broker has sent and that are not acknowledged, in order.
    unacknowledged: Vec<Arrival>,
    running: Vec<JobId>,
    writing: Vec<JobId>,
    keeping: Vec<JobId>,
    asked: Vec<JobId>,
    /// Packets of ours that the broker has not answered.
    received: Vec<ToBroker>,
    taken: usize,
    over: usize,
}

impl World {
    fn new() -> World {
        World {
            session: session(),
            now: 0,
            next_packet: 0,
            unacknowledged: Vec::new(),
            running: Vec::new(),
            writing: Vec::new(),
            keeping: Vec::new(),
            asked: Vec::new(),
            received: Vec::new(),
            taken: 0,
            over: 0,
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        match self.session.arrived(at(self.now), arrival.clone()) {
            Taken::New(_) => self.taken += 1,
            Taken::Known => {}
            Taken::Left(Why::Full | Why::Heavy) => {
                let refused = Arrival { refused: true, ..arrival };
                let job = new(self.session.arrived(at(self.now), refused));
                self.taken += 1;
                self.session.replied(at(self.now), job, reply(Qos::AtMostOnce), false);
            }
            Taken::Left(Why::Stopping) => panic!("not stopping"),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Arrive { qos, named, deferrable } => {
                self.next_packet += 1;
                let id = self.next_packet.to_string();
                let arrival = Arrival { deferrable, ..request(self.next_packet, qos, named.then_some(id.as_str())) };
                if qos != Qos::AtMostOnce {
                    self.unacknowledged.push(arrival.clone());
                }
                self.deliver(arrival);
            }
            Step::Reply(which) if !self.running.is_empty() => {
                let job = self.running.swap_remove(which % self.running.len());
                let qos = if job.0 % 3 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                self.session.replied(at(self.now), job, reply(qos), true);
            }
            Step::Store(which) => {
                if let Some(job) = self.writing.pop() {
                    if which % 5 == 0 { self.session.write_failed(job) } else { self.session.written(job) }
                }
                if let Some(job) = self.keeping.pop() {
                    self.session.kept(job);
                }
                if let Some(job) = self.asked.pop() {
                    self.session.recalled(at(self.now), job, (which % 2 == 0).then(|| reply(Qos::AtLeastOnce)));
                }
            }
            Step::Acknowledge if !self.received.is_empty() => match self.received.remove(0) {
                ToBroker::Publish { packet_id, message, .. } if message.qos == Qos::AtLeastOnce => {
                    self.session.puback(at(self.now), packet_id, Answer::Taken);
                }
                ToBroker::Publish { packet_id, message, .. } if message.qos == Qos::ExactlyOnce => {
                    self.session.pubrec(at(self.now), packet_id, Answer::Taken);
                }
                ToBroker::PubRel(packet_id) => self.session.pubcomp(at(self.now), packet_id),
                _ => {}
            },
            Step::Lose => {
                self.session.lost();
                self.received.clear();
                self.session.connected(at(self.now), granted(true));
                for arrival in self.unacknowledged.clone() {
                    self.deliver(again(arrival));
                }
            }
            Step::Pass(ms) => {
                self.now += ms;
                self.session.tick(at(self.now));
            }
            Step::Reply(_) | Step::Acknowledge => {}
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Run { job, .. } => self.running.push(job),
                Action::Refuse(job) => self.session.replied(at(self.now), job, reply(Qos::AtLeastOnce), false),
                Action::Recall { job, .. } => self.asked.push(job),
                Action::Keep { job, .. } => self.keeping.push(job),
                Action::Write { job, .. } => self.writing.push(job),
                Action::Forget(_) => self.over += 1,
                Action::Remove(_)
                | Action::Note { .. }
                | Action::Reconnect
                | Action::OrderRefused(_)
                | Action::Posted(_)
                | Action::Outbox(_) => {}
            }
        }
        while let Some(packet) = self.session.poll_packet(at(self.now)) {
            match packet {
                ToBroker::PubAck(id) | ToBroker::PubRec(id) => {
                    let first = self.unacknowledged.remove(0);
                    assert_eq!(first.packet_id, id, "out of order");
                    if first.qos == Qos::ExactlyOnce {
                        self.session.pubrel(id);
                    }
                }
                other => self.received.push(other),
            }
        }
        let numbers = self.session.numbers();
        assert!(numbers.journaled <= limits().journal_rows);
        assert!(self.session.acks.len() <= limits().inflight + 200);
    }

    /// Lets everything come to its end.
    fn run_dry(&mut self) {
        for round in 0..10_000 {
            let idle = self.running.is_empty()
                && self.writing.is_empty()
                && self.keeping.is_empty()
                && self.asked.is_empty()
                && self.received.is_empty();
            if idle && self.session.is_drained() {
                return;
            }
            self.take(Step::Store(1));
            self.take(Step::Reply(0));
            self.take(Step::Acknowledge);
            assert!(round < 9_999, "{:?}", self.session);
        }
    }
}

proptest! {
    #[test]
    fn every_request_ends_once_and_is_acknowledged_in_order(steps in proptest::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.run_dry();
        prop_assert_eq!(world.taken, world.over);
        prop_assert!(world.unacknowledged.is_empty());
        prop_assert!(world.session.jobs.is_empty() && world.session.by_key.is_empty());
        prop_assert_eq!((world.session.rows, world.session.row_bytes, world.session.unowed), (0, 0, 0));
    }
}
