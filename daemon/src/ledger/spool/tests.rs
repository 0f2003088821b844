use std::path::PathBuf;

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

const DAY: i64 = 86_400_000;
const T0: i64 = 20_000 * DAY;

fn at(ms: i64) -> Now {
    Now { wall_ms: T0 + ms, boot_ms: 1_000_000 + ms }
}

fn small() -> Bounds {
    Bounds { rows: 8, bytes: 1 << 20, age_ms: DAY, reply_age_ms: 600_000, replies: 4, reply_bytes: 1000, keep_free: 0 }
}

fn row(id: &str) -> Deferred {
    Deferred {
        received_ms: T0,
        deadline_ms: None,
        rank: Rank::Normal,
        class: "internal".into(),
        key: key(id),
        head: vec![1, 2],
        payload: Bytes::copy_from_slice(id.as_bytes()),
    }
}

fn key(id: &str) -> Key {
    Key { caller: "c".into(), request_id: id.into(), model: "m".into() }
}

struct Desk {
    spool: Spool,
    reports: mpsc::Receiver<Report>,
}

impl Desk {
    fn open(path: &Path, bounds: Bounds, now: Now) -> (Desk, Found) {
        let (sender, mut reports) = mpsc::channel(256);
        let spool = Spool::start(path, bounds, now, sender).unwrap();
        let Some(Report::Opened(found)) = reports.blocking_recv() else { panic!("not opened") };
        (Desk { spool, reports }, found)
    }

    fn next(&mut self) -> Report {
        self.reports.blocking_recv().unwrap()
    }

    fn put(&mut self, now: Now, row: Deferred) -> Report {
        self.spool.put(0, now, row).unwrap();
        self.next()
    }

    fn stored(&mut self, now: Now, row: Deferred) -> i64 {
        match self.put(now, row) {
            Report::Stored { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self, now: Now, n: usize, wish: Wish) -> Vec<Waiting> {
        self.spool.take(0, now, n, wish).unwrap();
        match self.next() {
            Report::Taken { rows: Ok(rows), .. } => rows,
            other => panic!("{other:?}"),
        }
    }

    fn names(&mut self, now: Now, wish: Wish) -> Vec<String> {
        self.take(now, 99, wish).into_iter().map(|row| row.key.request_id).collect()
    }

    fn sweep(&mut self, now: Now) -> (Vec<String>, Level) {
        self.spool.sweep(now).unwrap();
        match self.next() {
            Report::Swept { expired, level, .. } => {
                (expired.into_iter().map(|row| row.key.request_id).collect(), level)
            }
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, id: i64, now: Now, reply: &'static [u8]) -> Report {
        self.spool.answered(id, now, Some(Bytes::from_static(reply))).unwrap();
        self.next()
    }

    fn crash(self) {
        self.spool.desk.crash();
    }
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    (dir, path)
}

#[test]
fn what_is_stored_waits_for_the_next_daemon_with_its_payload() {
    let (_dir, path) = file();
    let (mut desk, found) = Desk::open(&path, small(), at(0));
    assert_eq!(found, Found { level: Level::default(), dead: vec![], crashed: false, moved: None });
    let large: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let id = desk.stored(at(0), Deferred { payload: Bytes::from(large.clone()), ..row("a") });
    desk.crash();
    let (mut desk, found) = Desk::open(&path, small(), at(5));
    assert!(found.crashed && found.dead.is_empty());
    let level = Level { rows: 1, bytes: 700_002, oldest_ms: Some(T0), ..Level::default() };
    assert_eq!(found.level, level);
    let taken = desk.take(at(10), 5, Wish::default());
    let expected = Waiting {
        id,
        received_ms: T0,
        deadline_ms: None,
        left_ms: DAY - 10,
        rank: Rank::Normal,
        class: "internal".into(),
        key: key("a"),
        deaths: 0,
        head: vec![1, 2],
        payload_len: 700_000,
    };
    assert_eq!(taken, [expected]);
    desk.spool.fetch(id).unwrap();
    assert_eq!(desk.next(), Report::Fetched { id, payload: Ok(Some(Bytes::from(large))) });
    desk.spool.fetch(id + 1).unwrap();
    assert_eq!(desk.next(), Report::Fetched { id: id + 1, payload: Ok(None) });
}

#[test]
fn the_next_ones_come_by_priority_then_deadline_then_receipt_and_only_those_that_are_wished_for() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    let due = |id: &str, rank, deadline: Option<i64>, model: &str, class: &str| Deferred {
        rank,
        deadline_ms: deadline.map(|ms| T0 + ms),
        key: Key { model: model.into(), ..key(id) },
        class: class.into(),
        ..row(id)
    };
    for row in [
        due("low", Rank::Low, Some(5_000), "m", "public"),
        due("late", Rank::Normal, Some(9_000), "n", "public"),
        due("none", Rank::Normal, None, "m", "internal"),
        due("soon", Rank::Normal, Some(6_000), "m", "regulated"),
        due("also", Rank::Normal, Some(6_000), "n", "internal"),
        due("high", Rank::High, None, "o", "internal"),
    ] {
        desk.stored(at(0), row);
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(desk.names(at(1), Wish::default()), ["high", "soon", "also", "late", "none", "low"]);
    let models = Wish { models: Some(words(&["n", "o"])), ..Wish::default() };
    assert_eq!(desk.names(at(1), models), ["high", "also", "late"]);
    let except =
        Wish { except_models: words(&["n", "o"]), classes: Some(words(&["public", "internal"])), ..Wish::default() };
    assert_eq!(desk.names(at(1), except), ["none", "low"]);
    assert_eq!(desk.names(at(1), Wish { models: Some(vec![]), ..Wish::default() }), [""; 0]);
    let ids: Vec<i64> = desk.take(at(1), 2, Wish::default()).iter().map(|row| row.id).collect();
    let rest = Wish { except: [ids[0], ids[1] + 77].into(), ..Wish::default() };
    assert_eq!(desk.names(at(1), rest), ["soon", "also", "late", "none", "low"]);
    for id in &ids {
        desk.spool.alive(*id).unwrap();
    }
    assert_eq!(desk.names(at(2), Wish::default()), ["also", "late", "none", "low"]);
    desk.spool.back(ids[1]).unwrap();
    assert_eq!(desk.names(at(2), Wish::default()), ["soon", "also", "late", "none", "low"]);
    // What has expired is not handed out.
    assert_eq!(desk.names(at(6_500), Wish::default()), ["late", "none"]);
}

#[test]
fn a_request_that_was_out_at_two_crashes_is_dead_and_an_orderly_end_is_no_death() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    let (bad, good) = (desk.stored(at(0), row("bad")), desk.stored(at(0), row("good")));
    for (crash, deaths) in [(true, 1), (false, 1), (true, 2)] {
        for id in [bad, bad + 77] {
            desk.spool.alive(id).unwrap();
            desk.spool.fetch(id).unwrap();
            assert!(matches!(desk.next(), Report::Fetched { .. }));
        }
        if crash {
            desk.crash();
        } else {
            assert_eq!(desk.spool.close(desk.reports), []);
        }
        let (next, found) = Desk::open(&path, small(), at(9));
        desk = next;
        assert_eq!(found.crashed, crash);
        let dead: Vec<_> = found.dead.iter().map(|row| (row.id, row.deaths)).collect();
        let alive = desk.take(at(9), 9, Wish::default());
        let alive: Vec<_> = alive.iter().map(|row| (row.id, row.deaths)).collect();
        if deaths < 2 {
            assert_eq!((dead, alive), (vec![], vec![(bad, deaths), (good, 0)]));
        } else {
            assert_eq!((dead, alive), (vec![(bad, 2)], vec![(good, 0)]));
        }
    }
    assert_eq!(desk.answer(bad, at(9), b"internal"), Report::Kept { id: bad });
    desk.crash();
    assert_eq!(Desk::open(&path, small(), at(9)).1.dead, []);
}

#[test]
fn who_asks_again_gets_the_first_answer_until_its_window_is_over() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    let id = desk.stored(at(0), row("a"));
    assert_eq!(desk.put(at(1), row("a")), Report::Same { mark: 0, id });
    let other = desk.stored(at(1), Deferred { key: Key { caller: "d".into(), ..key("a") }, ..row("a") });
    assert_ne!(other, id);
    assert_eq!(desk.answer(id, at(100), b"first"), Report::Kept { id });
    let first = Bytes::from_static(b"first");
    assert_eq!(desk.answer(id, at(101), b"second"), Report::KeptBefore { id, reply: first.clone() });
    desk.crash();
    let (mut desk, found) = Desk::open(&path, small(), at(200));
    assert_eq!((found.level.rows, found.level.replies, found.level.reply_bytes), (1, 1, 5));
    assert_eq!(desk.put(at(200), row("a")), Report::Repeated { mark: 0, reply: first.clone() });
    for (ms, id, expected) in
        [(201, "a", Recalled::Answered(first)), (201, "b", Recalled::Unknown), (600_101, "a", Recalled::Unknown)]
    {
        desk.spool.recall(7, at(ms), key(id)).unwrap();
        assert_eq!(desk.next(), Report::Recalled { mark: 7, found: Ok(expected) });
    }
    // The id may be used anew, also before the old reply is swept away.
    let again = desk.stored(at(600_101), Deferred { received_ms: T0 + 600_101, ..row("a") });
    assert!(again > id);
    assert_eq!(desk.answer(again, at(600_102), b"new"), Report::Kept { id: again });
    assert_eq!(desk.sweep(at(1_300_000)).1.replies, 0);
    desk.spool.answered(other, at(1_300_000), None).unwrap();
    assert_eq!(desk.next(), Report::Kept { id: other });
    assert_eq!(desk.sweep(at(1_300_000)).1, Level::default());
}

#[test]
fn the_same_id_for_another_model_is_another_request_with_an_answer_of_its_own() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    let of = |model: &str| Key { model: model.into(), ..key("a") };
    let ids = ["m", "n"].map(|model| desk.stored(at(0), Deferred { key: of(model), ..row("a") }));
    desk.crash();
    let (mut desk, found) = Desk::open(&path, small(), at(1));
    assert_eq!(found.level.rows, 2);
    let known = |desk: &mut Desk, model| {
        desk.spool.recall(0, at(2), of(model)).unwrap();
        let Report::Recalled { found, .. } = desk.next() else { panic!("not recalled") };
        found.unwrap()
    };
    assert_eq!(desk.answer(ids[1], at(1), b"of n"), Report::Kept { id: ids[1] });
    assert_eq!(known(&mut desk, "m"), Recalled::Waits(ids[0]));
    assert_eq!(desk.answer(ids[0], at(1), b"of m"), Report::Kept { id: ids[0] });
    for (model, reply) in [("m", &b"of m"[..]), ("n", b"of n")] {
        assert_eq!(known(&mut desk, model), Recalled::Answered(Bytes::from_static(reply)));
        let repeated = Report::Repeated { mark: 0, reply: Bytes::from_static(reply) };
        assert_eq!(desk.put(at(2), Deferred { key: of(model), ..row("a") }), repeated);
    }
    assert_eq!(known(&mut desk, "o"), Recalled::Unknown);
}

#[test]
fn each_bound_has_a_refusal_of_its_own_with_a_hint() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, Bounds { rows: 2, bytes: 1000, ..small() }, at(0));
    let sized = |id: &str, len: usize| Deferred { payload: Bytes::from(vec![0; len]), ..row(id) };
    let expired = Deferred { deadline_ms: Some(T0 + 5), ..row("x") };
    desk.stored(at(10), sized("a", 598));
    for (row, refusal, hint) in [
        (sized("b", 999), Refusal::TooLarge { asked: 1001, bound: 1000 }, None),
        (sized("b", 399), Refusal::BytesFull { used: 600, bound: 1000, asked: 401 }, Some(5_000)),
        (expired, Refusal::Expired, None),
    ] {
        assert_eq!(refusal.retry_after_ms(), hint);
        assert_eq!(desk.put(at(10), row), Report::Refused { mark: 0, refusal });
    }
    desk.stored(at(10), sized("b", 398));
    let full = Refusal::RowsFull { bound: 2 };
    assert_eq!(full.retry_after_ms(), Some(5_000));
    assert_eq!(desk.put(at(10), sized("c", 0)), Report::Refused { mark: 0, refusal: full });
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, Bounds { keep_free: u64::MAX, ..small() }, at(0));
    let Report::Refused { refusal: Refusal::DiskFull(why), .. } = desk.put(at(0), row("a")) else { panic!("stored") };
    assert!(why.contains("kept for the rest"), "{why}");
}

#[test]
fn replies_are_bounded_and_the_oldest_goes_first() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    for name in ["a", "b", "c", "d", "e", "f"] {
        let id = desk.stored(at(0), row(name));
        desk.answer(id, at(0), &[7; 300]);
    }
    let level = desk.sweep(at(1)).1;
    assert_eq!((level.replies, level.reply_bytes), (3, 900));
    let id = desk.stored(at(0), row("large"));
    desk.answer(id, at(0), &[7; 5000]);
    assert!(matches!(desk.put(at(1), row("large")), Report::Repeated { .. }));
    assert!(matches!(desk.put(at(1), row("f")), Report::Stored { .. }));
}

#[test]
fn a_clock_that_is_set_in_this_life_neither_expires_anything_nor_keeps_it_longer() {
    for set in [-DAY, DAY, -20_000 * DAY, 365 * DAY] {
        let (_dir, path) = file();
        let (mut desk, _) = Desk::open(&path, small(), at(0));
        desk.stored(at(0), Deferred { deadline_ms: Some(T0 + 3_600_000), ..row("hour") });
        desk.stored(at(0), row("none"));
        let moved = |ms: i64| Now { wall_ms: at(ms).wall_ms + set, ..at(ms) };
        assert_eq!(desk.sweep(moved(60_000)).0, [""; 0], "{set}");
        assert_eq!(desk.take(moved(60_000), 1, Wish::default())[0].left_ms, 3_540_000, "{set}");
        desk.stored(moved(60_000), Deferred { received_ms: moved(60_000).wall_ms, ..row("new") });
        // The move is on disk, for the next life.
        desk.crash();
        let (mut desk, _) = Desk::open(&path, small(), moved(3_599_000));
        assert_eq!(desk.names(moved(3_599_000), Wish::default()), ["hour", "none", "new"], "{set}");
        assert_eq!(desk.sweep(moved(3_600_001)).0, ["hour"], "{set}");
        // Each is named once in a life.
        assert_eq!(desk.sweep(moved(DAY + 1)).0, ["none"], "{set}");
        assert_eq!(desk.sweep(moved(DAY + 60_001)).0, ["new"], "{set}");
    }
}

#[test]
fn a_sweep_says_when_the_next_one_expires_that_is_not_handed_out() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, Bounds { rows: 1000, ..small() }, at(0));
    let due = |id: &str, ms: i64| Deferred { deadline_ms: Some(T0 + ms), ..row(id) };
    let next = |desk: &mut Desk, ms: i64| {
        desk.spool.sweep(at(ms)).unwrap();
        let Report::Swept { expired, next_ms, .. } = desk.next() else { panic!("not swept") };
        (expired.len(), next_ms)
    };
    assert_eq!(next(&mut desk, 0), (0, None));
    desk.stored(at(0), due("late", 9_000));
    let soon = desk.stored(at(0), due("soon", 2_000));
    assert_eq!(next(&mut desk, 500), (0, Some(1_500)));
    desk.spool.alive(soon).unwrap();
    assert_eq!(next(&mut desk, 500), (0, Some(8_500)));
    desk.spool.back(soon).unwrap();
    assert_eq!(next(&mut desk, 2_000), (1, Some(7_000)));
    assert_eq!(next(&mut desk, 9_000), (1, None));
    for n in 0..=PAGE {
        desk.stored(at(9_000), Deferred { received_ms: T0 + 9_000, ..due(&n.to_string(), 10_000) });
    }
    assert_eq!(next(&mut desk, 10_000), (PAGE, Some(0)));
    assert_eq!(next(&mut desk, 10_000), (1, None));
}

#[test]
fn over_a_restart_the_wall_clock_counts_and_running_time_bounds_what_it_says() {
    let (_dir, path) = file();
    let hour = Deferred { deadline_ms: Some(T0 + 3_600_000), ..row("hour") };
    // The box was off for a night.
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    desk.stored(at(0), hour.clone());
    desk.crash();
    let (mut desk, _) = Desk::open(&path, small(), Now { wall_ms: T0 + 30_000_000, boot_ms: 5 });
    assert_eq!(desk.sweep(Now { wall_ms: T0 + 30_000_000, boot_ms: 5 }).0, ["hour"]);
    // It comes back with a clock of 1970, again and again: it waits for its span of running time and no more.
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    desk.stored(at(0), hour);
    let mut ran = 0;
    loop {
        let _last = desk.spool.close(desk.reports);
        let (next, _) = Desk::open(&path, small(), Now { wall_ms: 0, boot_ms: 5 });
        desk = next;
        if desk.names(Now { wall_ms: 0, boot_ms: 5 }, Wish::default()).is_empty() {
            break;
        }
        ran += 600_000;
        desk.sweep(Now { wall_ms: 600_000, boot_ms: 600_005 });
    }
    assert_eq!(ran, 3_600_000);
}

#[test]
fn a_full_disk_is_a_named_refusal_and_what_waits_can_be_read_and_answered_later() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    let id = desk.stored(at(0), row("a"));
    desk.crash();
    // The same worker, without its thread: the disk is the number of pages that the file may have.
    let mut work = work::Worker::new(path, small(), at(0), Arc::default());
    let (mut file, _) = crate::ledger::thread::Work::open(&mut work, None).unwrap();
    let mut told = Vec::new();
    let mut carry = |file: &mut _, orders: Vec<Order>| {
        crate::ledger::thread::Work::carry_out(&mut work, file, orders, &mut |report| told.push(report)).unwrap();
        std::mem::take(&mut told)
    };
    let put = |id: &str, len: usize| Order::Put {
        mark: 1,
        now: at(0),
        row: Box::new(Deferred { payload: Bytes::from(vec![1; len]), ..row(id) }),
    };
    file.limit_pages(16);
    let told = carry(&mut file, vec![put("large", 300_000), put("small", 10)]);
    assert!(matches!(&told[0], Report::Failing(why) if why.contains("full")), "{told:?}");
    let refused = |report: &Report| matches!(report, Report::Refused { refusal: Refusal::DiskFull(_), .. });
    assert!(refused(&told[1]), "{told:?}");
    // A smaller one of the same group has room.
    assert!(matches!(told[2..], [Report::Works, Report::Stored { .. }]), "{told:?}");
    file.limit_pages(1);
    let told = carry(&mut file, vec![put("b", 30_000), Order::Fetch(id)]);
    assert!(matches!(&told[..], [Report::Failing(_), no, Report::Fetched { payload: Ok(Some(_)), .. }] if refused(no)));
    // An answer that does not fit is told, known at once, and kept as soon as there is room.
    let reply = Bytes::from(vec![5; 40_000]);
    let told = carry(&mut file, vec![Order::Answered { id, now: at(1), reply: Some(reply.clone()) }]);
    assert!(matches!(&told[..], [Report::NotKept { .. }]), "{told:?}");
    let told = carry(&mut file, vec![put("a", 1), Order::Take { mark: 0, now: at(1), n: 9, wish: Wish::default() }]);
    assert!(told.iter().any(|report| *report == Report::Repeated { mark: 1, reply: reply.clone() }), "{told:?}");
    file.limit_pages(1 << 20);
    let told = carry(&mut file, vec![]);
    assert!(matches!(&told[..], [Report::Works, Report::Kept { .. }] | [Report::Kept { .. }]), "{told:?}");
    let recall = Order::Recall { mark: 2, now: at(2), of: key("a") };
    let told = carry(&mut file, vec![recall]);
    assert_eq!(told, [Report::Recalled { mark: 2, found: Ok(Recalled::Answered(reply)) }]);
}

#[test]
fn a_corrupt_spool_is_moved_aside_and_a_newer_one_is_refused_and_kept() {
    let (_dir, path) = file();
    std::fs::write(&path, [9; 4096]).unwrap();
    let (mut desk, found) = Desk::open(&path, small(), at(0));
    assert!(found.moved.unwrap().1.contains("not a database"));
    desk.stored(at(0), row("a"));
    desk.crash();
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version=7").unwrap();
    let (sender, mut reports) = mpsc::channel(8);
    let spool = Spool::start(&path, small(), at(0), sender).unwrap();
    let Some(Report::Shut(shut)) = reports.blocking_recv() else { panic!("opened a newer file") };
    assert_eq!(shut.what, "spool.db has schema 7, this edged knows 3");
    assert!(shut.remedy.contains("newer edged"));
    spool.put(3, at(0), row("b")).unwrap();
    let Some(Report::Refused { mark: 3, refusal: Refusal::Shut(why) }) = reports.blocking_recv() else {
        panic!("not refused")
    };
    assert!(why.contains("schema 7"), "{why}");
    assert_eq!(spool.close(reports), []);
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version=3").unwrap();
    assert_eq!(Desk::open(&path, small(), at(0)).1.level.rows, 1);
}

#[test]
fn a_file_that_breaks_while_it_is_used_is_moved_aside_and_the_spool_serves_on() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    let id = desk.stored(at(0), Deferred { payload: Bytes::from(vec![3; 600_000]), ..row("a") });
    let _last = desk.spool.close(desk.reports);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first pages hold the schema and the small tables; the payload's follow.
    let len = bytes.len();
    bytes[40_960..len].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let (mut desk, found) = Desk::open(&path, small(), at(0));
    assert_eq!((found.level.rows, found.moved), (1, None));
    desk.spool.fetch(id).unwrap();
    let report = desk.next();
    assert!(matches!(report, Report::Fetched { payload: Err(_), .. }), "{report:?}");
    let Report::Opened(found) = desk.next() else { panic!("not opened again") };
    assert!(found.moved.unwrap().1.contains("malformed"));
    assert_eq!(found.level.rows, 0);
    desk.stored(at(0), row("b"));
}

/// A file as the first version of the daemon left it.
const V1: &str = "
    CREATE TABLE request (
        id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, deadline_ms INTEGER,
        due_ms INTEGER NOT NULL, due_ran_ms INTEGER NOT NULL, rank INTEGER NOT NULL, class TEXT NOT NULL,
        model TEXT NOT NULL, caller TEXT NOT NULL, request_id TEXT NOT NULL, deaths INTEGER NOT NULL,
        alive INTEGER NOT NULL, payload_len INTEGER NOT NULL, head BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX request_key ON request (caller, request_id);
    CREATE INDEX request_turn ON request (rank, due_ms, id, due_ran_ms, deaths, model, class);
    CREATE TABLE piece (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE reply (
        id INTEGER PRIMARY KEY, caller TEXT NOT NULL, request_id TEXT NOT NULL, due_ms INTEGER NOT NULL,
        due_ran_ms INTEGER NOT NULL, bytes BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX reply_key ON reply (caller, request_id);
    CREATE TABLE life (clean INTEGER NOT NULL, ran_ms INTEGER NOT NULL) STRICT;
    INSERT INTO life VALUES (0, 5000);
    INSERT INTO request VALUES (41, 1728000000000, NULL, 1728086400000, 86400000, 1, 'internal', 'm', 'c', 'a', 1, 1,
        6, x'0102');
    INSERT INTO piece VALUES (2686976, x'616263'), (2686977, x'646566');
    INSERT INTO reply VALUES (40, 'c', 'z', 1728000600000, 600000, x'7a');
    PRAGMA user_version=1;";

#[test]
fn a_file_of_version_1_is_served() {
    let (_dir, path) = file();
    Connection::open(&path).unwrap().execute_batch(V1).unwrap();
    let (mut desk, found) = Desk::open(&path, small(), at(0));
    assert!(found.crashed && found.moved.is_none());
    assert_eq!(found.dead.iter().map(|row| (row.id, row.deaths)).collect::<Vec<_>>(), [(41, 2)]);
    desk.spool.fetch(41).unwrap();
    assert_eq!(desk.next(), Report::Fetched { id: 41, payload: Ok(Some(Bytes::from_static(b"abcdef"))) });
    assert_eq!(desk.put(at(0), row("z")), Report::Repeated { mark: 0, reply: Bytes::from_static(b"z") });
    assert_eq!(desk.put(at(0), row("a")), Report::Same { mark: 0, id: 41 });
    let other = Deferred { key: Key { model: "n".into(), ..key("a") }, ..row("a") };
    assert_eq!(desk.stored(at(0), other), 42);
    assert_eq!(desk.answer(41, at(1), b"internal"), Report::Kept { id: 41 });
    assert_eq!(desk.put(at(1), row("a")), Report::Repeated { mark: 0, reply: Bytes::from_static(b"internal") });
}

#[test]
fn of_a_file_of_version_1_no_class_is_believed_that_it_wrote_of_all_that_was_put_off_at_once() {
    let (_dir, path) = file();
    let more = "UPDATE request SET deaths = 0, alive = 0;
        INSERT INTO request VALUES (42, 1728000000000, NULL, 1728086400000, 86400000, 1, 'regulated', 'm', 'c', 'b', 0, 0, 0, x'');";
    Connection::open(&path).unwrap().execute_batch(&format!("{V1}{more}")).unwrap();
    let classes = |desk: &mut Desk| {
        let rows = desk.take(at(0), 9, Wish::default()).into_iter();
        rows.map(|row| (row.key.request_id, row.class)).collect::<Vec<_>>()
    };
    let of = |id: &str, class: &str| (id.to_owned(), class.to_owned());
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    assert_eq!(classes(&mut desk), [of("a", "internal"), of("b", "")]);
    desk.stored(at(0), Deferred { class: "regulated".into(), ..row("new") });
    desk.crash();
    let (mut desk, _) = Desk::open(&path, small(), at(0));
    assert_eq!(classes(&mut desk), [of("a", "internal"), of("b", ""), of("new", "regulated")]);
}

#[test]
fn the_space_of_a_past_flood_is_given_back_by_and_by() {
    let (_dir, path) = file();
    let (mut desk, _) = Desk::open(&path, Bounds { bytes: 1 << 30, ..small() }, at(0));
    for name in ["a", "b"] {
        let id = desk.stored(at(0), Deferred { payload: Bytes::from(vec![7; 5_000_000]), ..row(name) });
        assert_eq!(desk.answer(id, at(0), b"done"), Report::Kept { id });
    }
    let pages = |path: &Path| {
        // The number of pages stands in the header of the file; it is written when the log is folded in.
        let bytes = std::fs::read(path).unwrap();
        u32::from_be_bytes(bytes[28..32].try_into().unwrap())
    };
    for _ in 0..5 {
        desk.sweep(at(1));
    }
    assert_eq!(desk.spool.close(desk.reports), []);
    assert!((1..1_000).contains(&pages(&path)), "{}", pages(&path));
}

#[test]
fn too_much_on_the_way_is_behind_and_one_alone_always_goes() {
    let (_dir, path) = file();
    let (desk, _) = Desk::open(&path, small(), at(0));
    desk.spool.on_the_way.store(WAITING_BYTES - 1, Ordering::Release);
    assert_eq!(
        desk.spool.put(0, at(0), Deferred { payload: Bytes::from(vec![0; 2]), ..row("a") }),
        Err(NotTaken::Behind)
    );
    assert_eq!(desk.spool.on_the_way.load(Ordering::Acquire), WAITING_BYTES - 1);
    desk.spool.on_the_way.store(0, Ordering::Release);
    let all = usize::try_from(WAITING_BYTES).unwrap() + 1;
    assert_eq!(desk.spool.put(0, at(0), Deferred { payload: Bytes::from(vec![0; all]), ..row("a") }), Ok(()));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Alive(u8),
    Back(u8),
    Answer(u8, u8),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20_u8, any::<u8>()).prop_map(|(id, rank)| Step::Put(id, rank)),
        2 => any::<u8>().prop_map(Step::Alive),
        1 => any::<u8>().prop_map(Step::Back),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(id, reply)| Step::Answer(id, reply)),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is ordered in whatever turn: a row is there from its `Stored` to its `Kept`, and an id has one answer.
    #[test]
    fn nothing_is_lost_and_no_id_gets_two_answers(steps in proptest::collection::vec(step(), 1..60)) {
        let (_dir, path) = file();
        let bounds = Bounds { replies: 100, ..small() };
        let (mut desk, _) = Desk::open(&path, bounds.clone(), at(0));
        // By name: the id of what waits, or the answer.
        let mut known: std::collections::BTreeMap<String, Result<i64, u8>> = std::collections::BTreeMap::new();
        for step in steps {
            let waits: Vec<(String, i64)> =
                known.iter().filter_map(|(name, state)| state.ok().map(|id| (name.clone(), id))).collect();
            let pick = |n: u8| (!waits.is_empty()).then(|| waits[usize::from(n) % waits.len()].clone());
            match step {
                Step::Put(n, rank) => {
                    let rank = [Rank::High, Rank::Normal, Rank::Low][usize::from(rank % 3)];
                    let name = n.to_string();
                    let report = desk.put(at(0), Deferred { rank, ..row(&name) });
                    match known.get(&name) {
                        Some(Ok(id)) => prop_assert_eq!(report, Report::Same { mark: 0, id: *id }),
                        Some(Err(reply)) => {
                            let reply = Bytes::copy_from_slice(&[*reply]);
                            prop_assert_eq!(report, Report::Repeated { mark: 0, reply });
                        }
                        None if waits.len() >= 8 => {
                            let refused = matches!(report, Report::Refused { refusal: Refusal::RowsFull { .. }, .. });
                            prop_assert!(refused);
                        }
                        None => {
                            let Report::Stored { id, .. } = report else { panic!("{report:?}") };
                            known.insert(name, Ok(id));
                        }
                    }
                }
                Step::Alive(n) => if let Some((_, id)) = pick(n) { desk.spool.alive(id).unwrap() },
                Step::Back(n) => if let Some((_, id)) = pick(n) { desk.spool.back(id).unwrap() },
                Step::Answer(n, reply) => if let Some((name, id)) = pick(n) {
                    desk.spool.answered(id, at(0), Some(Bytes::copy_from_slice(&[reply]))).unwrap();
                    prop_assert_eq!(desk.next(), Report::Kept { id });
                    known.insert(name, Err(reply));
                },
                Step::Crash => {
                    desk.crash();
                    let (next, found) = Desk::open(&path, bounds.clone(), at(0));
                    desk = next;
                    prop_assert_eq!(found.level.rows, u64::try_from(waits.len()).unwrap());
                    prop_assert_eq!(found.level.replies, u64::try_from(known.len() - waits.len()).unwrap());
                    for (_, id) in waits {
                        desk.spool.fetch(id).unwrap();
                        let fetched = matches!(desk.next(), Report::Fetched { payload: Ok(Some(_)), .. });
                        prop_assert!(fetched);
                    }
                }
            }
        }
    }
}
