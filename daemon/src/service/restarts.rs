//! Pauses before a service that keeps ending badly starts again: a fault that lasts must not heat the box and fill the journal,
//! and one that does not must cost as little time as can be.
//!
//! The unit starts it again at once and for ever. systemd can let the pauses grow only from 254 on, and the boxes of
//! today have 249 to 252; so the daemon keeps count, in the folder of its unit that goes with the next boot.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bad ends in a row that are taken for chance: no pause.
const FREE: u32 = 2;
/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// Whoever served so long is not in a row with the ends before.
const WELL_AFTER: Duration = Duration::from_secs(600);
/// Name of the record.
const FILE: &str = "starts";

/// A life of the daemon, as its successor finds it if it did not end in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    /// Bad ends in a row before it.
    ends: u32,
    /// When it began to serve; time since boot.
    since: Duration,
}

impl Life {
    /// The life that begins at `now`, after `before` ended badly, and the pause before it.
    fn after(before: Option<Life>, now: Duration) -> (Life, Duration) {
        let ends = match before {
            None => 0,
            Some(before) if now.saturating_sub(before.since) >= WELL_AFTER => 1,
            Some(before) => before.ends.saturating_add(1),
        };
        let pause = pause(ends);
        (Life { ends, since: now + pause }, pause)
    }

    fn read(text: &str) -> Option<Life> {
        let (ends, since) = text.trim().split_once(' ')?;
        Some(Life { ends: ends.parse().ok()?, since: Duration::from_secs(since.parse().ok()?) })
    }

    fn text(self) -> String {
        format!("{} {}\n", self.ends, self.since.as_secs())
    }
}

/// How long to wait after so many bad ends in a row.
fn pause(ends: u32) -> Duration {
    match ends.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => FIRST.saturating_mul(2u32.saturating_pow(more)).min(LONGEST),
    }
}

/// The record of this life, and the pause before it.
#[derive(Debug)]
pub struct Restarts {
    path: PathBuf,
    /// How long to wait.
    pub pause: Duration,
    /// Bad ends in a row before this life.
    pub ends: u32,
}

impl Restarts {
    /// Notes in the runtime folder `dir` of the unit that a life begins, `now` since boot. A folder that takes no note
    /// costs the pauses, not the start; why is said.
    pub fn begin(dir: &Path, now: Duration) -> (Restarts, Result<(), std::io::Error>) {
        let path = dir.join(FILE);
        let before = std::fs::read_to_string(&path).ok().and_then(|text| Life::read(&text));
        let (life, pause) = Life::after(before, now);
        let noted = std::fs::write(&path, life.text());
        (Restarts { path, pause, ends: life.ends }, noted)
    }

    /// This life ends in good order.
    pub fn end_well(self) -> Result<(), std::io::Error> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn pauses_grow_to_a_minute_and_not_further() {
        let found: Vec<u64> = (0..12).map(|ends| pause(ends).as_secs()).collect();
        assert_eq!(found, [0, 0, 0, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn a_good_end_and_a_long_life_begin_the_count_again() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |now| {
            let (restarts, noted) = Restarts::begin(dir.path(), seconds(now));
            noted.unwrap();
            restarts
        };
        let found: Vec<u64> = [10, 11, 12, 13, 16].map(|now| begin(now).pause.as_secs()).into();
        assert_eq!(found, [0, 0, 0, 2, 4]);
        // It served from 20 on.
        assert_eq!(begin(619).ends, 5);
        assert_eq!(begin(627 + 600).ends, 1);
        begin(1230).end_well().unwrap();
        assert_eq!(begin(1231).ends, 0);
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing_and_a_folder_that_is_not_there_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "7", "7 ", " 7", "-1 5", "9 x", "9 99999999999999999999999", "\0\u{1}"] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(Restarts::begin(dir.path(), seconds(1)).0.ends, 0, "{text:?}");
        }
        let (restarts, noted) = Restarts::begin(&dir.path().join("gone"), seconds(1));
        assert_eq!(noted.unwrap_err().kind(), std::io::ErrorKind::NotFound);
        assert_eq!(restarts.pause, Duration::ZERO);
        restarts.end_well().unwrap();
    }

    proptest! {
        #[test]
        fn a_life_is_read_as_it_was_written(ends: u32, since in 0u64..1 << 40) {
            let life = Life { ends, since: seconds(since) };
            prop_assert_eq!(Life::read(&life.text()), Some(life));
        }

        #[test]
        fn a_service_that_ends_at_once_starts_at_most_once_a_minute_in_the_long_run(lives in prop::collection::vec(0u64..5, 20..100)) {
            let (mut before, mut now, mut pauses) = (None, Duration::ZERO, Vec::new());
            for length in lives {
                let (life, pause) = Life::after(before, now);
                pauses.push(pause);
                (before, now) = (Some(life), life.since + seconds(length));
            }
            prop_assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", pauses);
            prop_assert_eq!(pauses.last(), Some(&LONGEST));
        }
    }
}
