use std::path::PathBuf;

use bytes::Bytes;
use rusqlite::Connection;

use super::*;
use crate::ledger::spent::Spent;
use crate::ledger::thread::Work as _;
use crate::ledger::usage::{Key, Sample, Usage};

const DAY: i64 = 86_400_000;
const T0: i64 = 20_000 * DAY;

fn at(ms: i64) -> Now {
    Now { wall_ms: T0 + ms, boot_ms: 1_000 + ms }
}

fn departure(n: i64) -> Departure {
    Departure {
        at_ms: T0 + n,
        request_id: format!("r{n}"),
        caller: "bus:1000".into(),
        model: if n % 2 == 0 { "even" } else { "odd" }.into(),
        site: format!("site{}", n % 3),
        zone: "premises".into(),
        protocol: "oip".into(),
        claimed: (n % 5 == 0).then(|| "public".into()),
        effective: "internal".into(),
        rule: "predicted_wait: 900 ms here, 300 ms there".into(),
        redacted: 0,
        bytes: 110_000,
        attempt: 1,
        kind: "first".into(),
    }
}

fn outcome(word: &str) -> Outcome {
    Outcome { ended_ms: T0 + 9, word: word.into(), reply_bytes: 800, micro_usd: None, sha256: Some([7; 32]) }
}

struct Desk {
    records: Records,
    reports: mpsc::Receiver<Report>,
}

impl Desk {
    fn open(path: &Path, now: Now) -> (Desk, Found) {
        let (sender, mut reports) = mpsc::channel(64);
        let records = Records::start(path, Retention::default(), now, sender).unwrap();
        let Some(Report::Opened(found)) = reports.blocking_recv() else { panic!("not opened") };
        (Desk { records, reports }, found)
    }

    fn intend(&mut self, n: i64) -> Ticket {
        self.records.intend(3, departure(n)).unwrap();
        match self.reports.blocking_recv() {
            Some(Report::Intended { mark: 3, ticket }) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, query: Query) -> Answer {
        self.records.ask(4, query).unwrap();
        match self.reports.blocking_recv() {
            Some(Report::Answered { mark: 4, answer: Ok(answer) }) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn audit(&mut self, query: AuditQuery) -> AuditAnswer {
        match self.ask(Query::Audit(query)) {
            Answer::Audit(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    (dir, path)
}

const ALL: AuditQuery = AuditQuery {
    since_ms: None,
    until_ms: None,
    site: None,
    model: None,
    class: None,
    request_id: None,
    before: None,
    limit: 1000,
};

#[test]
fn a_departure_that_has_its_ticket_outlives_the_daemon_and_so_does_what_was_reserved_for_it() {
    let (_dir, path) = file();
    let (mut desk, found) = Desk::open(&path, at(0));
    assert!(!found.crashed && found.moved.is_none());
    let mut spent = Spent::start(found.spent, at(0));
    let (_, entry) = spent.reserve(at(0), "site1", 250);
    desk.records.spend(entry).unwrap();
    let ticket = desk.intend(1);
    desk.records.desk.crash();
    let (mut desk, found) = Desk::open(&path, at(5));
    assert!(found.crashed);
    assert_eq!(Spent::start(found.spent, at(5)).today(at(5), "site1"), 250);
    let rows = desk.audit(ALL.clone()).rows;
    assert_eq!(rows, [audit::Audited { id: ticket.0, departure: departure(1), outcome: None }]);
    // An outcome may come at any time, and an orderly end loses none.
    desk.records.outcome(ticket, outcome("done")).unwrap();
    assert_eq!(desk.records.close(desk.reports), []);
    let (mut desk, found) = Desk::open(&path, at(9));
    assert!(!found.crashed);
    assert_eq!(desk.audit(ALL.clone()).rows[0].outcome, Some(outcome("done")));
}

#[test]
fn the_audit_is_read_newest_first_by_site_model_class_and_time_in_pages() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, at(0));
    for n in 0..30 {
        desk.intend(n);
    }
    let mut ids = |query: AuditQuery| {
        let answer = desk.audit(query);
        let rows: Vec<_> = answer.rows.into_iter().map(|row| row.departure.request_id).collect();
        (rows, answer.next)
    };
    let names = |ns: &[i64]| ns.iter().map(|n| format!("r{n}")).collect::<Vec<_>>();
    let some = |word: &str| Some(word.to_owned());
    let cases = [
        (AuditQuery { site: some("site1"), model: some("even"), ..ALL }, names(&[28, 22, 16, 10, 4])),
        (AuditQuery { since_ms: Some(T0 + 10), until_ms: Some(T0 + 12), ..ALL }, names(&[11, 10])),
        (AuditQuery { class: some("public"), ..ALL }, names(&[])),
        (AuditQuery { request_id: some("r7"), class: some("internal"), ..ALL }, names(&[7])),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(query), (expected, None));
    }
    let (first, next) = ids(AuditQuery { limit: 20, ..ALL });
    assert_eq!((first.len(), first[0].as_str()), (20, "r29"));
    let (second, next) = ids(AuditQuery { limit: 20, before: next, ..ALL });
    assert_eq!((second.len(), second[0].as_str(), next), (10, "r9", None));
}

#[test]
fn usage_and_decisions_are_kept_in_company_and_answered() {
    let (_dir, path) = file();
    let (desk, _) = Desk::open(&path, at(0));
    let mut usage = Usage::default();
    for n in 0..5 {
        let sample = Sample { ok: n != 2, total_us: Some(1000), ..Sample::default() };
        usage.add(T0, Key { model: "m", site: "s", verdict: "local" }, &sample);
        let record = Bytes::from(vec![n]);
        let decision = Decision { at_ms: T0 + i64::from(n), model: "m".into(), weight: 1, record };
        desk.records.decision(decision).unwrap();
    }
    desk.records.usage(usage.take()).unwrap();
    desk.records.tick(at(1)).unwrap();
    assert_eq!(desk.records.close(desk.reports), []);
    let (mut desk, _) = Desk::open(&path, at(2));
    let Answer::Decisions(found) = desk.ask(Query::Decisions(DecisionQuery::default())) else { panic!("no decisions") };
    assert_eq!(found.rows.iter().map(|row| row.record[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let query =
        UsageQuery { from_ms: 0, to_ms: i64::MAX, by_model: true, by_site: true, by_verdict: true, each_ms: None };
    let Answer::Usage(found) = desk.ask(Query::Usage(query)) else { panic!("no usage") };
    let [line] = &found.lines[..] else { panic!("{found:?}") };
    assert_eq!((line.tally.ok, line.tally.failed, line.verdict.as_deref()), (4, 1, Some("local")));
    assert!(line.tally.latency.quantile(500).unwrap().abs_diff(1000) <= 32);
}

#[test]
fn what_is_too_old_or_too_much_goes_and_a_clock_that_jumps_takes_nothing_of_this_life() {
    let (_dir, path) = file();
    let keep = Retention { audit: audit::Retention { days: 10, rows: 5 }, ..Retention::default() };
    let mut work = work::Worker::new(path.clone(), keep, at(0));
    let (mut file, _) = work.open(None).unwrap();
    let mut carry = |orders: Vec<Order>| {
        let mut told = Vec::new();
        work.carry_out(&mut file, orders, &mut |report| told.push(report)).unwrap();
        told
    };
    let intend = |n| Order::Intend { mark: 0, row: Box::new(departure(n)) };
    let rows = |told: Vec<Report>| match &told[..] {
        [Report::Answered { answer: Ok(Answer::Audit(answer)), .. }] => answer.rows.len(),
        other => panic!("{other:?}"),
    };
    let ask = || Order::Ask { mark: 0, query: Query::Audit(ALL.clone()) };
    carry((0..4).map(intend).collect());
    // The clock was in 1970's stead a year ahead.
    carry(vec![Order::Tick(Now { wall_ms: T0 + 365 * DAY, boot_ms: 1_060 })]);
    assert_eq!(rows(carry(vec![ask()])), 4);
    carry((4..9).map(intend).collect());
    carry(vec![Order::Tick(at(120))]);
    assert_eq!(rows(carry(vec![ask()])), 5);
    drop(file);
    let mut work = work::Worker::new(path, keep, at(0));
    let (mut file, _) = work.open(None).unwrap();
    let mut told = Vec::new();
    work.carry_out(&mut file, vec![Order::Tick(at(11 * DAY))], &mut |report| told.push(report)).unwrap();
    work.carry_out(&mut file, vec![ask()], &mut |report| told.push(report)).unwrap();
    assert_eq!(rows(told), 0);
}

#[test]
fn a_full_disk_refuses_departures_by_name_and_keeps_the_rest_for_later() {
    let (_dir, path) = file();
    let mut work = work::Worker::new(path, Retention::default(), at(0));
    let (mut file, _) = work.open(None).unwrap();
    let mut carry = |file: &mut _, orders: Vec<Order>| {
        let mut told = Vec::new();
        work.carry_out(file, orders, &mut |report| told.push(report)).unwrap();
        told
    };
    let intend = |n| Order::Intend { mark: 9, row: Box::new(departure(n)) };
    assert!(matches!(carry(&mut file, vec![intend(1)])[..], [Report::Intended { mark: 9, .. }]));
    file.limit_pages(1);
    let spend = |day| {
        let spent = 5;
        Order::Spend(spent::Entry { day, site: "s".into(), spent, reserved: 0, today: day, ran_ms: 0 })
    };
    let many: Vec<Order> = (2..200).map(intend).collect();
    let told = carry(&mut file, std::iter::once(spend(20_000)).chain(many).collect());
    assert!(matches!(&told[0], Report::Failing(why) if why.contains("full")), "{told:?}");
    assert!(matches!(&told[1], Report::NotIntended { mark: 9, why } if why.contains("full")));
    assert_eq!(told.len(), 199);
    let ask = Order::Ask { mark: 4, query: Query::Audit(ALL.clone()) };
    let told = carry(&mut file, vec![ask]);
    assert!(matches!(&told[..], [Report::Answered { answer: Ok(Answer::Audit(found)), .. }] if found.rows.len() == 1));
    file.limit_pages(1 << 20);
    let told = carry(&mut file, vec![intend(2)]);
    assert!(matches!(told[..], [Report::Works { lost: 0 }, Report::Intended { .. }]), "{told:?}");
    work.close(file).unwrap();
    let (_, Report::Opened(found)) = work.open(None).unwrap() else { panic!("not opened") };
    assert_eq!((found.spent.day, found.spent.sites), (20_000, vec![("s".to_owned(), 5)]));
}

#[test]
fn a_file_of_each_earlier_step_is_upgraded_and_a_newer_one_refused() {
    for version in 0..=work::STEPS.len() {
        let (_dir, path) = file();
        let connection = Connection::open(&path).unwrap();
        for step in &work::STEPS[..version] {
            connection.execute_batch(step).unwrap();
        }
        if version > 0 {
            let row = "INSERT INTO audit (at_ms, request_id, caller, model, site, zone, protocol, effective, rule,
                 redacted, bytes, sha256, attempt, kind)
                 VALUES (1, 'old', 'c', 'm', 's', 'cloud', 'openai', 'public', 'r', 0, 5, zeroblob(32), 1, 'first')";
            connection.execute_batch(row).unwrap();
        }
        connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        drop(connection);
        let (mut desk, found) = Desk::open(&path, at(0));
        assert!(found.moved.is_none());
        assert_eq!(desk.audit(ALL.clone()).rows.len(), usize::from(version > 0));
        desk.intend(1);
    }
    let (_dir, path) = file();
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version=7").unwrap();
    let (sender, mut reports) = mpsc::channel(8);
    let records = Records::start(&path, Retention::default(), at(0), sender).unwrap();
    let Some(Report::Shut(shut)) = reports.blocking_recv() else { panic!("opened a newer file") };
    assert_eq!(shut.what, "ledger.db has schema 7, this edged knows 5");
    records.intend(1, departure(1)).unwrap();
    assert!(matches!(reports.blocking_recv(), Some(Report::NotIntended { mark: 1, .. })));
    assert_eq!(records.close(reports), []);
}

#[test]
fn questions_are_bounded_and_answered_in_slices() {
    let (_dir, path) = file();
    let mut work = work::Worker::new(path, Retention::default(), at(0));
    let (mut file, _) = work.open(None).unwrap();
    let intend = |n| Order::Intend { mark: 0, row: Box::new(departure(n)) };
    let mut told = Vec::new();
    let mut carry = |orders: Vec<Order>| {
        work.carry_out(&mut file, orders, &mut |report| told.push(report)).unwrap();
        std::mem::take(&mut told)
    };
    carry((0..9_000).map(intend).collect());
    let ask =
        |mark| Order::Ask { mark, query: Query::Audit(AuditQuery { request_id: Some("r1".into()), ..ALL.clone() }) };
    let told = carry((0..20).map(ask).collect());
    assert_eq!(told.len(), 4);
    assert!(matches!(&told[0], Report::Answered { mark: 16, answer: Err(why) } if why.contains("16 questions")));
    // A departure does not wait for the question, which does not see it any more.
    assert!(matches!(carry(vec![intend(1)])[..], [Report::Intended { .. }]));
    let told = carry(vec![]);
    assert!(
        matches!(&told[..], [Report::Answered { mark: 0, answer: Ok(Answer::Audit(found)) }] if found.rows.len() == 1)
    );
}
