//! The folder in which a technician drops bundles: looked into now and then, its files installed one after the other. When one
//! is taken, and what becomes of it, is the core's to say; the store's thread does it.
//!
//! It is listed every few seconds and not watched by the kernel (inotify): that costs next to nothing, holds for folders on
//! sticks and network disks too, which tell of no change, and a file has to be looked at twice anyway to see that nobody is
//! still copying it.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::time::Duration;

use edge_core::Mono;
use edge_core::inbox::{Dropped, End, Fate, newest_first};
use edge_wire::dto::Problem;

use super::super::jobs::Operation;
use super::super::{Driver, State};
use super::files::A_BUNDLE;
use super::{Install, MOST_INSTALLS};
use crate::handle::Activate;
use crate::store::Found;
use crate::store::inbox::{ENDING, Seen, Taken, shown};
use crate::store::install::Watched;
use crate::store::keeper::{Ask, Failed};

/// Who installs what lies there, in the history.
const INBOX: &str = "inbox";
/// Pause between two looks: one listing of a folder that is empty, mostly.
const EVERY: Duration = Duration::from_secs(5);

/// A file that waits, or could not be moved.
struct Waiting {
    dropped: Dropped,
    /// What was said of it last.
    told: String,
    /// Why it could not be moved or removed.
    stuck: Option<String>,
}

/// A file that is being installed.
struct Taking {
    /// Number of its job.
    job: u64,
    name: OsString,
    /// It has been waited for long enough, should it end too early.
    waited: bool,
}

/// What is known of the folder.
#[derive(Default)]
pub(super) struct Inbox {
    /// By name; as many as one look tells of.
    files: BTreeMap<OsString, Waiting>,
    /// Those that are taken next, as of the last look.
    due: VecDeque<OsString>,
    /// The one that is being installed.
    taking: Option<Taking>,
    /// The one that is being removed or put aside.
    settling: bool,
    /// The store's thread was asked what lies there.
    looking: bool,
    /// It was looked at in this life before.
    looked: bool,
    next_look: Mono,
    refused: Vec<(String, String)>,
    more: usize,
    fault: Option<String>,
}

impl Inbox {
    fn is_busy(&self) -> bool {
        self.taking.is_some() || self.settling
    }
}

impl Driver {
    /// Whether the folder is looked after now, and nothing of it is under way.
    fn may_look_into_inbox(&self) -> bool {
        let has_one = self.config.models.inbox.is_some() && self.outside.store.is_some();
        // Which versions there are must be known first: it decides which of them is activated.
        has_one && !self.bundles_open && self.state == State::Serving && !self.versions.inbox.is_busy()
    }

    /// When the folder is to be looked into next.
    pub(super) fn inbox_due(&self) -> Option<Mono> {
        (self.may_look_into_inbox() && !self.versions.inbox.looking).then_some(self.versions.inbox.next_look)
    }

    /// Often: looks into the folder when it is time, and takes the next file.
    pub(super) fn look_after_inbox(&mut self) {
        if !self.may_look_into_inbox() {
            return;
        }
        self.take_dropped();
        let inbox = &self.versions.inbox;
        if inbox.is_busy() || inbox.looking || inbox.next_look > self.now {
            return;
        }
        // A store that has too much to do is asked at the next look.
        let asked = self.outside.store.as_ref().is_some_and(|store| store.ask(Ask::LookIn).is_ok());
        self.versions.inbox.looking = asked;
        self.versions.inbox.next_look = self.now.after(EVERY);
    }

    /// Somebody wants it looked at now: whatever was in the way may be out of it.
    pub(in super::super) fn look_into_inbox(&mut self) {
        let inbox = &mut self.versions.inbox;
        inbox.next_look = self.now;
        inbox.files.values_mut().for_each(|file| file.dropped.afresh());
    }

    /// What lies there.
    pub(super) fn seen_in_inbox(&mut self, seen: Result<Seen, String>) {
        let (now, inbox) = (self.now, &mut self.versions.inbox);
        let first = !inbox.looked;
        (inbox.looking, inbox.looked) = (false, true);
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => {
                if inbox.fault.as_ref() != Some(&why) {
                    tracing::error!(%why, "the inbox cannot be read");
                }
                inbox.fault = Some(why);
                return;
            }
        };
        (inbox.fault, inbox.refused, inbox.more) = (None, seen.refused, seen.more);
        let mut files = BTreeMap::new();
        for lying in seen.lying {
            let mut file = inbox.files.remove(&lying.name).unwrap_or_else(|| Waiting {
                dropped: Dropped::new(now, lying.stamp, first),
                told: String::new(),
                stuck: None,
            });
            file.dropped.seen(now, lying.stamp);
            files.insert(lying.name, file);
        }
        let due = files.iter().filter(|(_, file)| file.dropped.is_due(now)).map(|(name, _)| name.clone());
        let mut due: Vec<OsString> = due.collect();
        let stem = |name: &OsString| name.to_string_lossy().trim_end_matches(ENDING).to_owned();
        due.sort_by(|a, b| newest_first(&stem(a), &stem(b)));
        (inbox.due, inbox.files) = (due.into(), files);
    }

    fn take_dropped(&mut self) {
        if self.versions.installs.len() >= MOST_INSTALLS {
            return;
        }
        let Some(name) = self.versions.inbox.due.pop_front() else { return };
        let waited = self.versions.inbox.files.get(&name).is_some_and(|file| file.dropped.has_waited(self.now));
        let (file, watched) = (shown(&name), Watched::default());
        let job = self.jobs.begin(self.now, Operation::Install, A_BUNDLE.into(), file.clone(), None);
        self.jobs.phase(job, "checking and unpacking", None);
        let beside = self.beside(None);
        let take = |id| Ask::Take { id, name: name.clone(), watched: watched.clone(), beside };
        if let Err(failure) = self.ask_store_as(job.0, take) {
            self.jobs.finish(self.now, job, Err(failure.message));
            // At the next look.
            return;
        }
        let (who, how) = (INBOX.to_owned(), Activate::default());
        let install = Install { watched, activate: None, how, who, file: Some(file), quiet: false };
        self.versions.installs.insert(job.0, install);
        self.versions.inbox.taking = Some(Taking { job: job.0, name, waited });
    }

    /// The store's thread has tried a file: that is noted, and then the file goes, is put aside, or stays.
    pub(super) fn dropped_taken(&mut self, id: u64, result: Result<(Box<Found>, bool), Failed>, taken: Taken) {
        let now = self.now;
        let inbox = &mut self.versions.inbox;
        let Some(Taking { name, waited, .. }) = inbox.taking.take_if(|taking| taking.job == id) else { return };
        let why = match &result {
            Err(Failed::Why(why)) => why.clone(),
            Ok(_) | Err(Failed::Cancelled) => String::new(),
        };
        let fate = taken.end.fate(waited);
        // What is said once of a file need not be said again each time it is tried.
        let mut quiet = fate == Fate::Keep && taken.end == End::Cut;
        if let Some(file) = inbox.files.get_mut(&name) {
            quiet |= fate == Fate::Keep && !why.is_empty() && file.told == why;
            file.dropped.ended(now, taken.end);
            file.told.clone_from(&why);
        }
        if let Some(install) = self.versions.installs.get_mut(&id) {
            install.quiet = quiet;
        }
        self.installed(id, result);
        if fate == Fate::Keep {
            return self.dropped_over();
        }
        self.versions.inbox.settling = true;
        let settle = Ask::Settle { name: name.clone(), taken: taken.stamp, fate, why };
        if self.outside.store.as_ref().is_none_or(|store| store.ask(settle).is_err()) {
            self.dropped_settled(name, Some("the store of models has too much to do".into()));
        }
    }

    /// A file went, was put aside, or could not be.
    pub(super) fn dropped_settled(&mut self, name: OsString, stuck: Option<String>) {
        let inbox = &mut self.versions.inbox;
        inbox.settling = false;
        match stuck {
            None => drop(inbox.files.remove(&name)),
            Some(stuck) => {
                tracing::error!(file = %shown(&name), why = %stuck, "a file stays in the inbox");
                if let Some(file) = inbox.files.get_mut(&name) {
                    file.stuck = Some(stuck);
                }
            }
        }
        self.dropped_over();
    }

    /// When all that was due is done, what was put aside is told of, and what came meanwhile is taken.
    fn dropped_over(&mut self) {
        if self.versions.inbox.due.is_empty() {
            self.versions.inbox.next_look = self.now;
        }
    }

    /// What a technician has to know of the folder.
    pub(super) fn inbox_problems(&self) -> Vec<Problem> {
        let inbox = &self.versions.inbox;
        let problem = |what: String, remedy: &str| Problem { subject: "inbox".into(), what, remedy: remedy.into() };
        let mut problems: Vec<Problem> = Vec::new();
        if let Some(why) = &inbox.fault {
            problems
                .push(problem(why.clone(), "give it to the user edged, or set `models.inbox`; then `edgectl reload`"));
        }
        for (name, file) in &inbox.files {
            let name = shown(name);
            if let Some(stuck) = &file.stuck {
                let done = if file.told.is_empty() { "it is installed" } else { file.told.as_str() };
                problems.push(problem(format!("{name}: {done}; {stuck}"), "remove the file by hand"));
            } else if file.dropped.end() == Some(End::Hindered) {
                problems.push(problem(
                    format!("{name} waits: {}", file.told),
                    "put that right: it is tried again by itself, or at once after `edgectl reload`",
                ));
            }
        }
        for (name, why) in &inbox.refused {
            problems.push(problem(format!("{name}: {why}"), "remove that file, and drop one that is right"));
        }
        if inbox.more > 0 {
            problems.push(problem(format!("{} more files were refused", inbox.more), "look into the folder"));
        }
        problems
    }
}
