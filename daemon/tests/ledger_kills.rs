//! The ledger against kill -9 and a really full disk: a child process of this binary orders and says what it was told,
//! and whatever it was told must be true when it is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use bytes::Bytes;
use edged::ledger::audit::{AuditQuery, Departure};
use edged::ledger::records::{Answer, Query, Records, Report as Told, Retention};
use edged::ledger::spool::{Bounds, Deferred, Key, Rank, Recalled, Refusal, Report, Spool, Waiting, Wish};
use edged::ledger::time::Now;
use tokio::sync::mpsc;

/// What the child is to do, where, and in which of its lives.
const ROLE: &str = "EDGE_LEDGER_ROLE";
const PLACE: &str = "EDGE_LEDGER_PLACE";
const LIFE: &str = "EDGE_LEDGER_LIFE";
/// How often it is killed, unless `KILLS` says otherwise.
const KILLS: u64 = 200;
/// The longest that a child lives.
const LONGEST_MS: u64 = 120;
/// A child of which nothing is heard for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const NOW: Now = Now { wall_ms: 1_728_000_000_000, boot_ms: 1_000 };

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn payload(name: &str) -> Bytes {
    let seed: u64 = name.bytes().map(u64::from).sum();
    let len = usize::try_from(Dice(seed).roll(200_000)).unwrap();
    name.bytes().cycle().take(len).collect()
}

fn key(name: &str) -> Key {
    Key { caller: "c".into(), request_id: name.into(), model: "m".into() }
}

fn row(name: &str) -> Deferred {
    Deferred {
        received_ms: NOW.wall_ms,
        deadline_ms: None,
        rank: Rank::Normal,
        class: "internal".into(),
        key: key(name),
        head: vec![1; 30],
        payload: payload(name),
    }
}

fn departure(name: &str) -> Departure {
    Departure {
        at_ms: NOW.wall_ms,
        request_id: name.into(),
        caller: "c".into(),
        model: "m".into(),
        site: "s".into(),
        zone: "premises".into(),
        protocol: "oip".into(),
        claimed: None,
        effective: "internal".into(),
        rule: "r".into(),
        redacted: 0,
        bytes: 1,
        attempt: 1,
        kind: "first".into(),
    }
}

fn bounds(keep_free: u64) -> Bounds {
    Bounds { keep_free, reply_age_ms: 1 << 40, age_ms: 1 << 40, replies: 1_000_000, ..Bounds::default() }
}

struct Open {
    spool: Spool,
    reports: mpsc::Receiver<Report>,
    dead: Vec<Waiting>,
    rows: u64,
}

fn open_spool(dir: &Path, keep_free: u64) -> Open {
    let (sender, mut reports) = mpsc::channel(64);
    let spool = Spool::start(&dir.join("spool.db"), bounds(keep_free), NOW, sender).unwrap();
    match reports.blocking_recv() {
        Some(Report::Opened(found)) => {
            assert_eq!(found.moved, None);
            Open { spool, reports, dead: found.dead, rows: found.level.rows }
        }
        other => panic!("{other:?}"),
    }
}

fn open_records(dir: &Path) -> (Records, mpsc::Receiver<Told>) {
    let (sender, mut reports) = mpsc::channel(64);
    let records = Records::start(&dir.join("ledger.db"), Retention::default(), NOW, sender).unwrap();
    match reports.blocking_recv() {
        Some(Told::Opened(found)) => assert_eq!(found.moved, None),
        other => panic!("{other:?}"),
    }
    (records, reports)
}

impl Open {
    fn next(&mut self) -> Report {
        self.reports.blocking_recv().unwrap()
    }

    fn recall(&mut self, name: &str) -> Recalled {
        self.spool.recall(0, NOW, key(name)).unwrap();
        match self.next() {
            Report::Recalled { found, .. } => found.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&mut self, id: i64) -> Option<Bytes> {
        self.spool.fetch(id).unwrap();
        match self.next() {
            Report::Fetched { payload, .. } => payload.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, name: &str) -> Report {
        self.spool.put(0, NOW, row(name)).unwrap();
        self.next()
    }
}

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let (Ok(role), Ok(place)) = (std::env::var(ROLE), std::env::var(PLACE)) else { return };
    let dir = PathBuf::from(place);
    match role.as_str() {
        "killed" => work_until_killed(&dir, &std::env::var(LIFE).unwrap()),
        "full" => fill_the_disk(&dir),
        other => panic!("{other}"),
    }
}

fn work_until_killed(dir: &Path, life: &str) {
    let (mut open, (records, mut told)) = (open_spool(dir, 0), open_records(dir));
    let mut dice = Dice(life.parse().unwrap());
    let answer = |open: &mut Open, waiting: &Waiting| {
        let reply = format!("{life}-{}", waiting.key.request_id);
        open.spool.answered(waiting.id, NOW, Some(Bytes::from(reply.clone()))).unwrap();
        match open.next() {
            Report::Kept { id } if id == waiting.id => say(&format!("kept {} {reply}", waiting.key.request_id)),
            other => panic!("{other:?}"),
        }
    };
    for dead in std::mem::take(&mut open.dead) {
        answer(&mut open, &dead);
    }
    for n in 0.. {
        let name = format!("{life}.{n}");
        say(&format!("put {name}"));
        match open.put(&name) {
            Report::Stored { id, .. } => say(&format!("stored {name} {id}")),
            other => panic!("{other:?}"),
        }
        records.intend(0, departure(&name)).unwrap();
        match told.blocking_recv() {
            Some(Told::Intended { .. }) => say(&format!("left {name}")),
            other => panic!("{other:?}"),
        }
        if n > 0 && dice.roll(3) == 0 {
            // Somebody asks again.
            let name = format!("{life}.{}", dice.roll(n));
            match open.put(&name) {
                Report::Same { .. } => {}
                Report::Repeated { reply, .. } => say(&format!("kept {name} {}", str::from_utf8(&reply).unwrap())),
                other => panic!("{other:?}"),
            }
        }
        open.spool.take(0, NOW, 3, Wish::default()).unwrap();
        let Report::Taken { rows, .. } = open.next() else { panic!("not taken") };
        for waiting in rows.unwrap() {
            open.spool.alive(waiting.id).unwrap();
            assert_eq!(open.fetch(waiting.id), Some(payload(&waiting.key.request_id)));
            say(&format!("out {}", waiting.key.request_id));
            if dice.roll(4) > 0 {
                answer(&mut open, &waiting);
            } else {
                open.spool.back(waiting.id).unwrap();
            }
        }
    }
}

fn start(role: &str, dir: &Path, life: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(PLACE, dir).env(LIFE, life.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a child said before it was killed, which is after `lives` from its first word on.
fn said_until_killed(mut child: Child, lives: Duration) -> Vec<String> {
    let (sender, lines) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        // A last line without its end was not said.
        out.split(b'\n').map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut said = Vec::new();
    let word = |line: Vec<u8>| String::from_utf8(line).unwrap().strip_prefix('@').map(str::to_owned);
    while said.is_empty() {
        said.extend(word(lines.recv_timeout(PATIENCE).unwrap()));
    }
    // Nobody sends on this one: it only tells when the time is over.
    let (_nobody, never) = channel::<()>();
    assert_eq!(never.recv_timeout(lives), Err(RecvTimeoutError::Timeout));
    child.kill().unwrap();
    reader.join().unwrap();
    let status = child.wait().unwrap();
    let mut noise = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut noise).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{noise}");
    said.extend(lines.try_iter().filter_map(word));
    said
}

/// What must be true.
#[derive(Default)]
struct Book {
    /// Put, and perhaps on disk.
    put: BTreeSet<String>,
    /// Told to be on disk, with its id.
    stored: BTreeMap<String, i64>,
    answered: BTreeMap<String, String>,
    left: BTreeSet<String>,
    outs: u64,
}

impl Book {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["put", name] => {
                self.put.insert(name.into());
            }
            ["stored", name, id] => {
                assert_eq!(self.stored.insert(name.into(), id.parse().unwrap()), None, "{name} stored twice");
            }
            ["kept", name, reply] => self.is_answered(name, reply),
            ["left", name] => {
                self.left.insert(name.into());
            }
            ["out", name] => {
                assert!(!self.answered.contains_key(name), "{name} was handed out after it was answered");
                self.outs += 1;
            }
            _ => panic!("{line}"),
        }
    }

    fn is_answered(&mut self, name: &str, reply: &str) {
        let before = self.answered.entry(name.into()).or_insert_with(|| reply.into());
        assert_eq!(before, reply, "two answers to {name}");
    }

    fn check(&mut self, dir: &Path) {
        let mut open = open_spool(dir, 0);
        let mut waits = 0;
        for name in self.put.clone() {
            match open.recall(&name) {
                Recalled::Unknown => assert!(!self.stored.contains_key(&name), "{name} is lost"),
                Recalled::Answered(reply) => self.is_answered(&name, str::from_utf8(&reply).unwrap()),
                Recalled::Waits(id) => {
                    assert!(!self.answered.contains_key(&name), "{name} was answered and waits");
                    assert_eq!(*self.stored.entry(name.clone()).or_insert(id), id);
                    assert_eq!(open.fetch(id), Some(payload(&name)));
                    waits += 1;
                }
            }
        }
        assert_eq!(open.rows, waits, "a row that nobody knows");
        assert_eq!(open.spool.close(open.reports), []);
        let (records, mut told) = open_records(dir);
        records.ask(0, Query::Audit(AuditQuery { limit: 1000, ..AuditQuery::default() })).unwrap();
        let Some(Told::Answered { answer: Ok(Answer::Audit(found)), .. }) = told.blocking_recv() else {
            panic!("no audit")
        };
        let rows: BTreeSet<String> = found.rows.into_iter().map(|row| row.departure.request_id).collect();
        // The last life's are among the last thousand.
        for name in std::mem::take(&mut self.left) {
            assert!(rows.contains(&name), "{name} left without a trace");
        }
        assert_eq!(records.close(told), []);
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_or_answered_otherwise_when_the_daemon_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let (mut book, mut dice) = (Book::default(), Dice(7));
    for life in 0..kills {
        let child = start("killed", dir.path(), life);
        let lives = Duration::from_micros(dice.roll(LONGEST_MS * 1000));
        said_until_killed(child, lives).iter().for_each(|line| book.hear(line));
        book.check(dir.path());
    }
    let (stored, answered) = (book.stored.len(), book.answered.len());
    println!("{kills} kills: {stored} stored, {} handed out, {answered} answered; none lost, none differs", book.outs);
    assert!(stored > 0 && answered > 0);
}

/// Takes what room is left.
fn fill(dir: &Path) {
    let mut more = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("more")).unwrap();
    while more.write_all(&[1; 4096]).is_ok() {}
}

fn fill_the_disk(dir: &Path) {
    let (mut open, (records, mut told)) = (open_spool(dir, 0), open_records(dir));
    std::fs::write(dir.join("filler"), vec![1; 600_000]).unwrap();
    let mut stored = Vec::new();
    let mut intended = 0;
    let refusal = loop {
        let name = stored.len().to_string();
        match open.put(&name) {
            Report::Stored { id, .. } => stored.push((name, id)),
            Report::Refused { refusal, .. } => break refusal,
            Report::Failing(_) | Report::Works => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refusal, Refusal::DiskFull(_)), "{refusal:?}");
    assert!(!stored.is_empty());
    // The rest of the room: the spool left it.
    fill(dir);
    let why = loop {
        records.intend(0, departure("a")).unwrap();
        match told.blocking_recv() {
            Some(Told::Intended { .. }) => intended += 1,
            Some(Told::NotIntended { why, .. }) => break why,
            Some(Told::Failing(_) | Told::Works { .. }) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(why.contains("full"), "{why}");
    // Reading works, also for the next daemon.
    for life in 0..2 {
        for (name, id) in &stored {
            open.spool.fetch(*id).unwrap();
            let found = std::iter::repeat_with(|| open.next()).find_map(|report| match report {
                Report::Fetched { payload, .. } => Some(payload.unwrap()),
                Report::Failing(_) => None,
                other => panic!("{other:?}"),
            });
            assert_eq!(found.flatten(), Some(payload(name)));
        }
        if life == 0 {
            open.spool.close(open.reports);
            fill(dir);
            open = open_spool(dir, 0);
            assert_eq!(open.rows, u64::try_from(stored.len()).unwrap());
        }
    }
    for name in ["filler", "more"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    loop {
        match open.put("later") {
            Report::Stored { .. } => break,
            // The disk was looked at again.
            Report::Works | Report::Failing(_) | Report::Opened(_) => {}
            Report::Same { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    loop {
        records.intend(0, departure("later")).unwrap();
        match told.blocking_recv() {
            Some(Told::Intended { .. }) => break,
            Some(Told::NotIntended { .. } | Told::Works { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    say(&format!("full after {} requests and {intended} departures", stored.len()));
}

#[test]
fn a_disk_that_is_really_full_is_told_by_name_and_used_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    // A disk of its own, seen by the child alone.
    let script = "mount -t tmpfs -o size=3m tmpfs \"$0\" || exit 77; exec \"$1\" child --exact --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(dir.path()).arg(program);
    let done = command.env(ROLE, "full").env(PLACE, dir.path()).output();
    let done = match done {
        Ok(done) => done,
        Err(error) => return println!("SKIPPED: no name space of mounts can be had here ({error})"),
    };
    let (out, noise) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !out.contains("running 1 test") {
        return println!("SKIPPED: no name space of mounts can be had here ({})", noise.trim());
    }
    assert!(done.status.success() && out.contains("@full after"), "{out} {noise}");
}
