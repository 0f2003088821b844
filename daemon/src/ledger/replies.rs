//! Replies by who asked and by which id, written before they are published: when a daemon dies between answering and
//! acknowledging, the broker gives the request to the next one, which then gives the same bytes and runs nothing.
//!
//! Two files lie in the runtime directory (memory), so they survive a crash and not a reboot, and nothing is flushed.
//! Replies are appended to one; when it is full, or its first reply is older than the window, the other one is emptied
//! and takes over. Each write is one call that waits for nothing, so it is done where the reply is made.
//! Must not know what a reply says.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::FlockOperation;

use super::{Key, LedgerError};

/// How long a reply is kept, in milliseconds (docs/json.md, `duplicate`).
pub const WINDOW_MS: i64 = 600_000;
/// Replies in one file at most.
const MAX_REPLIES: usize = 4096;
/// Bytes of one file at most; they are memory.
const MAX_BYTES: u64 = 8 << 20;
/// A larger reply is not kept: it would push out too many others.
const MAX_REPLY: usize = 1 << 20;
const NAMES: [&str; 2] = ["replies.0", "replies.1"];

/// A reply as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub body: Bytes,
    /// Where the content of `info` begins.
    pub info_at: u32,
    /// A failure that may pass: good enough for a redelivery, but not for somebody who asks again.
    pub passing: bool,
}

/// Where a reply is.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: usize,
    offset: u64,
    len: usize,
    /// An earlier daemon gave it.
    earlier: bool,
}

#[derive(Debug)]
struct Segment {
    file: File,
    end: u64,
    count: usize,
    /// When its first and its last reply were given.
    first_ms: i64,
    last_ms: i64,
}

/// The store.
#[derive(Debug)]
pub struct Replies {
    segments: [Segment; 2],
    current: usize,
    places: HashMap<u64, Place>,
    earlier: usize,
    record: Vec<u8>,
}

impl Replies {
    /// Opens the store in `dir`, and reads what is in it. Blocks on the files: not for the loop.
    pub fn open(dir: &Path) -> Result<Replies, LedgerError> {
        std::fs::create_dir_all(dir).map_err(|source| LedgerError::Directory { path: dir.to_owned(), source })?;
        let [first, second] = NAMES.map(|name| dir.join(name));
        let ((first, in_first), (second, in_second)) = (Segment::open(first, 0)?, Segment::open(second, 1)?);
        // The file with the youngest reply is the one that was written to; for each key its reply holds.
        let current = usize::from(second.count > 0 && (first.count == 0 || second.last_ms >= first.last_ms));
        let (older, younger) = if current == 1 { (in_first, in_second) } else { (in_second, in_first) };
        let places: HashMap<u64, Place> = older.into_iter().chain(younger).collect();
        let segments = [first, second];
        Ok(Replies { segments, current, earlier: places.len(), places, record: Vec::new() })
    }

    /// Whether an earlier daemon may have answered this request.
    pub fn may_know(&self, key: &Key) -> bool {
        self.earlier > 0 && self.places.get(&hash(key)).is_some_and(|place| place.earlier)
    }

    /// Keeps a reply, unless it is too large to be worth it.
    pub fn keep(&mut self, at_ms: i64, key: &Key, reply: &Stored) -> std::io::Result<()> {
        if reply.body.len() > MAX_REPLY || !record::write(&mut self.record, at_ms, key, reply) {
            return Ok(());
        }
        let len = self.record.len();
        if self.segment().is_full(at_ms, len) {
            self.turn_over()?;
        }
        let current = self.current;
        let record = std::mem::take(&mut self.record);
        let segment = self.segment();
        let (offset, written) = (segment.end, segment.file.write_all_at(&record, segment.end));
        self.record = record;
        // Half a record at the end is overwritten by the next one, or ends the file for the next daemon.
        written?;
        self.segment().add(at_ms, len);
        let place = Place { segment: current, offset, len, earlier: false };
        if let Some(old) = self.places.insert(hash(key), place) {
            self.earlier -= usize::from(old.earlier);
        }
        Ok(())
    }

    /// The reply to this key, if it is younger than the window.
    pub fn recall(&self, now_ms: i64, key: &Key) -> std::io::Result<Option<Stored>> {
        let Some(place) = self.places.get(&hash(key)) else { return Ok(None) };
        let Some(segment) = self.segments.get(place.segment) else { return Ok(None) };
        let mut bytes = vec![0; place.len];
        segment.file.read_exact_at(&mut bytes, place.offset)?;
        let Some(record) = record::read(&bytes) else { return Ok(None) };
        Ok((record.is_for(key) && record.at_ms >= now_ms - WINDOW_MS).then(|| record.stored(bytes.len(), &bytes)))
    }

    fn segment(&mut self) -> &mut Segment {
        &mut self.segments[self.current]
    }

    /// Empties the older file and makes it the current one.
    fn turn_over(&mut self) -> std::io::Result<()> {
        let next = 1 - self.current;
        self.segments[next].clear()?;
        self.places.retain(|_, place| place.segment != next);
        self.earlier = self.places.values().filter(|place| place.earlier).count();
        self.current = next;
        Ok(())
    }
}

impl Segment {
    /// Reads all that is whole in the file at `path`; what follows is cut off.
    fn open(path: PathBuf, number: usize) -> Result<(Segment, Vec<(u64, Place)>), LedgerError> {
        let failed = |source| LedgerError::File { path: path.clone(), source };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        // A second daemon would write over the replies of the first.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
        let mut bytes = Vec::new();
        (&mut file).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let mut segment = Segment { file, end: 0, count: 0, first_ms: 0, last_ms: 0 };
        let mut places = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((record, after)) = record::split(rest) {
            let len = rest.len() - after.len();
            places.push((record.hash(), Place { segment: number, offset: segment.end, len, earlier: true }));
            segment.add(record.at_ms, len);
            rest = after;
        }
        segment.file.set_len(segment.end).map_err(failed)?;
        Ok((segment, places))
    }

    fn is_full(&self, now_ms: i64, len: usize) -> bool {
        let old = self.count > 0 && self.first_ms < now_ms - WINDOW_MS;
        old || self.count >= MAX_REPLIES || self.end + len as u64 > MAX_BYTES
    }

    fn add(&mut self, at_ms: i64, len: usize) {
        if self.count == 0 {
            self.first_ms = at_ms;
        }
        self.last_ms = at_ms;
        self.count += 1;
        self.end += len as u64;
    }

    fn clear(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        (self.end, self.count) = (0, 0);
        Ok(())
    }
}

/// Replies are found by this; the key's text is compared as well, so a collision only means "not known".
fn hash(key: &Key) -> u64 {
    hash_of(&key.reply_topic, &key.request_id, &key.model)
}

fn hash_of(topic: &str, id: &str, model: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, id, model).hash(&mut hasher);
    hasher.finish()
}

/// One reply in a file: a header of fixed size, the key's three texts, the body.
mod record {
    use super::{Bytes, Key, Stored, hash_of};

    /// First bytes of every record, and the version of its form.
    const MAGIC: u32 = 0x4564_5231;
    const HEADER: usize = 34;

    pub(super) struct Record<'a> {
        pub(super) at_ms: i64,
        info_at: u32,
        passing: bool,
        topic: &'a str,
        id: &'a str,
        model: &'a str,
        body_len: usize,
    }

    impl Record<'_> {
        pub(super) fn hash(&self) -> u64 {
            hash_of(self.topic, self.id, self.model)
        }

        pub(super) fn is_for(&self, key: &Key) -> bool {
            self.topic == key.reply_topic && self.id == key.request_id && self.model == key.model
        }

        /// The reply, out of the `bytes` that end with it.
        pub(super) fn stored(&self, end: usize, bytes: &[u8]) -> Stored {
            let body = bytes.get(end - self.body_len..end).unwrap_or_default();
            Stored { body: Bytes::copy_from_slice(body), info_at: self.info_at, passing: self.passing }
        }
    }

    /// Puts a record together. `false` if a part is larger than the form can say.
    pub(super) fn write(out: &mut Vec<u8>, at_ms: i64, key: &Key, reply: &Stored) -> bool {
        let lengths = [&key.reply_topic, &key.request_id, &key.model].map(|text| u16::try_from(text.len()));
        let ([Ok(topic), Ok(id), Ok(model)], Ok(body)) = (lengths, u32::try_from(reply.body.len())) else {
            return false;
        };
        out.clear();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&at_ms.to_le_bytes());
        out.extend_from_slice(&reply.info_at.to_le_bytes());
        out.extend_from_slice(&body.to_le_bytes());
        for len in [topic, id, model] {
            out.extend_from_slice(&len.to_le_bytes());
        }
        debug_assert_eq!(out.len(), HEADER);
        out.extend_from_slice(key.reply_topic.as_bytes());
        out.extend_from_slice(key.request_id.as_bytes());
        out.extend_from_slice(key.model.as_bytes());
        out.push(reply.passing.into());
        out.extend_from_slice(&reply.body);
        let check = check(out.get(12..).unwrap_or_default());
        if let Some(place) = out.get_mut(4..12) {
            place.copy_from_slice(&check.to_le_bytes());
        }
        true
    }

    /// The record at the start of `bytes`, if it is whole, and what follows it.
    pub(super) fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
        let magic = u32::from_le_bytes(*bytes.first_chunk()?);
        let stated = u64::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
        let at_ms = i64::from_le_bytes(*bytes.get(12..)?.first_chunk()?);
        let info_at = u32::from_le_bytes(*bytes.get(20..)?.first_chunk()?);
        let body_len = usize::try_from(u32::from_le_bytes(*bytes.get(24..)?.first_chunk()?)).ok()?;
        let len = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
        let (topic, id, model) = (len(28)?, len(30)?, len(32)?);
        let end = HEADER + topic + id + model + 1 + body_len;
        let (whole, rest) = bytes.split_at_checked(end)?;
        if magic != MAGIC || stated != check(whole.get(12..)?) {
            return None;
        }
        let (topic, more) = whole.get(HEADER..)?.split_at_checked(topic)?;
        let (id, more) = more.split_at_checked(id)?;
        let (model, more) = more.split_at_checked(model)?;
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let passing = *more.first()? != 0;
        let (topic, id, model) = (text(topic)?, text(id)?, text(model)?);
        Some((Record { at_ms, info_at, passing, topic, id, model, body_len }, rest))
    }

    /// The record that `bytes` are.
    pub(super) fn read(bytes: &[u8]) -> Option<Record<'_>> {
        split(bytes).and_then(|(record, rest)| rest.is_empty().then_some(record))
    }

    /// FNV-1a over words: enough to tell a torn write from a whole one.
    fn check(bytes: &[u8]) -> u64 {
        const PRIME: u64 = 0x0100_0000_01b3;
        let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(23);
        let (words, tail) = bytes.as_chunks::<8>();
        let sum = words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, word| mix(sum, u64::from_le_bytes(*word)));
        tail.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Key {
        Key { reply_topic: "edge/r".into(), request_id: id.into(), model: "m".into() }
    }

    fn stored(body: &[u8]) -> Stored {
        Stored { body: Bytes::copy_from_slice(body), info_at: 3, passing: true }
    }

    fn open(dir: &tempfile::TempDir) -> Replies {
        Replies::open(dir.path()).unwrap()
    }

    #[test]
    fn a_reply_is_known_to_the_next_daemon_by_its_whole_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut replies = open(&dir);
        assert!(!replies.may_know(&key("a")));
        replies.keep(1000, &key("a"), &stored(b"{}")).unwrap();
        assert!(!replies.may_know(&key("a")));
        assert_eq!(replies.recall(1000, &key("a")).unwrap(), Some(stored(b"{}")));
        drop(replies);

        let replies = open(&dir);
        assert!(replies.may_know(&key("a")) && !replies.may_know(&key("b")));
        let cases = [(key("a"), 1000 + WINDOW_MS, true), (key("a"), 1001 + WINDOW_MS, false), (key("b"), 1000, false)];
        for (key, now, known) in cases {
            assert_eq!(replies.recall(now, &key).unwrap(), known.then(|| stored(b"{}")));
        }
        let other = Key { model: "n".into(), ..key("a") };
        assert_eq!(replies.recall(1000, &other).unwrap(), None);
    }

    #[test]
    fn a_write_that_was_cut_short_loses_itself_and_nothing_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut replies = open(&dir);
        for id in ["a", "b"] {
            replies.keep(5, &key(id), &stored(id.as_bytes())).unwrap();
        }
        drop(replies);
        let path = dir.path().join(NAMES[0]);
        let whole = std::fs::read(&path).unwrap();
        let half = whole.len() / 2;
        for cut in half..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut replies = open(&dir);
            assert!(replies.may_know(&key("a")) && !replies.may_know(&key("b")), "{cut}");
            replies.keep(6, &key("c"), &stored(b"c")).unwrap();
            assert_eq!(replies.recall(6, &key("c")).unwrap(), Some(stored(b"c")));
            assert_eq!(replies.recall(6, &key("a")).unwrap(), Some(stored(b"a")));
        }
        let mut turned = whole.clone();
        *turned.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &turned).unwrap();
        assert!(!open(&dir).may_know(&key("b")));
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        assert!(!open(&dir).may_know(&key("a")));
    }

    #[test]
    fn the_store_is_bounded_in_age_number_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut replies = open(&dir);
        for n in 0..MAX_REPLIES * 3 {
            replies.keep(0, &key(&n.to_string()), &stored(b"{}")).unwrap();
        }
        assert_eq!(replies.places.len(), MAX_REPLIES * 2);
        let last = (MAX_REPLIES * 3 - 1).to_string();
        assert!(replies.recall(0, &key(&last)).unwrap().is_some() && replies.recall(0, &key("0")).unwrap().is_none());

        let mut later = WINDOW_MS + 1;
        replies.keep(later, &key("late"), &stored(b"{}")).unwrap();
        later += WINDOW_MS + 1;
        replies.keep(later, &key("later"), &stored(b"{}")).unwrap();
        assert_eq!(replies.places.len(), 2);

        for n in 0..40 {
            replies.keep(later, &key(&format!("big{n}")), &stored(&vec![0; MAX_REPLY])).unwrap();
        }
        let sizes = NAMES.map(|name| std::fs::metadata(dir.path().join(name)).unwrap().len());
        assert!(sizes.iter().all(|size| *size <= MAX_BYTES), "{sizes:?}");
        replies.keep(later, &key("huge"), &stored(&vec![0; MAX_REPLY + 1])).unwrap();
        assert_eq!(replies.recall(later, &key("huge")).unwrap(), None);
    }

    #[test]
    fn the_younger_reply_to_a_key_holds_whichever_file_it_is_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut replies = open(&dir);
        replies.keep(0, &key("a"), &stored(b"1")).unwrap();
        replies.keep(1, &key("a"), &stored(b"2")).unwrap();
        assert_eq!(replies.recall(1, &key("a")).unwrap(), Some(stored(b"2")));
        for turn in 0..4 {
            replies.turn_over().unwrap();
            replies.keep(turn + 2, &key("a"), &stored(&[turn.to_le_bytes()[0]])).unwrap();
            drop(replies);
            replies = open(&dir);
            assert_eq!(replies.recall(9, &key("a")).unwrap(), Some(stored(&[turn.to_le_bytes()[0]])));
        }
        assert_eq!(replies.earlier, 1);
        replies.keep(9, &key("a"), &stored(b"new")).unwrap();
        assert_eq!((replies.earlier, replies.may_know(&key("a"))), (0, false));
    }

    #[test]
    fn the_files_are_for_the_daemon_alone_and_a_second_daemon_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let _replies = open(&dir);
        for name in NAMES {
            assert_eq!(std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(matches!(Replies::open(dir.path()), Err(LedgerError::File { .. })));
    }
}
