//! One file, one thread, bounded orders: what the spool and the ledger share.
//!
//! The thread waits for its file, then takes all orders that wait and has them carried out together, so that they share
//! one flush of the disk. A file that turns out to be corrupt while it is used is moved aside and a fresh one made, and
//! that is said. Must not know what the orders mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;

use super::LedgerError;
use super::journal::{NotTaken, Shut};
use crate::driver::chain;
use crate::driver::clock::Clock;

/// How long after a failed attempt the file is tried again: room on the disk comes back when a person makes it.
pub(super) const REOPEN_PAUSE: Duration = Duration::from_secs(2);
/// Orders that are carried out together at most.
const GROUP: usize = 256;

/// Where an unreadable file went, with the reason.
pub type Moved = Option<(PathBuf, String)>;

/// What a thread does with its file.
pub(super) trait Work: Send + 'static {
    type Order: Send + 'static;
    type Report: Send + 'static;
    /// The open file.
    type File;

    /// Opens the file and says what is in it. With `corrupt`, it was found to be so while it was used: it goes aside.
    fn open(&mut self, corrupt: Option<String>) -> Result<(Self::File, Self::Report), LedgerError>;
    /// Says that the file cannot be opened.
    fn shut(&self, shut: Shut) -> Self::Report;
    /// Answers an order while the file cannot be opened.
    fn refuse(&mut self, order: Self::Order, why: &str) -> Option<Self::Report>;
    /// How long nothing needs to be done without an order; `None` if for ever.
    fn pause(&self) -> Option<Duration>;
    /// Carries out what was ordered, perhaps nothing. An error means that the file is corrupt.
    fn carry_out(
        &mut self,
        file: &mut Self::File,
        orders: Vec<Self::Order>,
        say: &mut dyn FnMut(Self::Report),
    ) -> Result<(), String>;
    /// Notes in the file that the daemon ended in good order.
    fn close(&mut self, file: Self::File) -> rusqlite::Result<()>;
}

/// The thread's end for those who give orders.
#[derive(Debug)]
pub(super) struct Desk<O> {
    orders: SyncSender<O>,
    /// The daemon is ending in good order.
    ending: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl<O: Send + 'static> Desk<O> {
    /// Starts the thread `name` for the file at `path`; at most `waiting` orders wait for it.
    pub(super) fn start<W: Work<Order = O>>(
        work: W,
        name: &str,
        path: &Path,
        waiting: usize,
        reports: mpsc::Sender<W::Report>,
    ) -> Result<Desk<O>, LedgerError> {
        let (orders, inbox) = sync_channel(waiting);
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let thread = std::thread::Builder::new().name(name.into()).stack_size(256 << 10);
        let thread = thread.spawn(move || live(work, &inbox, &told, &reports));
        let thread = thread.map_err(|source| LedgerError::Thread { path: path.to_owned(), source })?;
        Ok(Desk { orders, ending, thread })
    }

    /// Gives an order; never waits.
    pub(super) fn order(&self, order: O) -> Result<(), NotTaken> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Behind,
            TrySendError::Disconnected(_) => NotTaken::Gone,
        })
    }

    /// Has all orders carried out, notes that the daemon ended in good order, and gives back the reports that nobody
    /// has taken yet. Blocks on the disk: not for the loop.
    pub(super) fn close<R>(self, mut reports: mpsc::Receiver<R>) -> Vec<R> {
        self.ending.store(true, Ordering::Release);
        drop(self.orders);
        let mut last = Vec::new();
        while let Some(report) = reports.blocking_recv() {
            last.push(report);
        }
        if self.thread.join().is_err() {
            tracing::error!("a thread of the ledger ended before it was closed");
        }
        last
    }

    /// Ends as a daemon that is killed does.
    #[cfg(test)]
    pub(super) fn crash(self) {
        drop(self.orders);
        self.thread.join().unwrap();
    }
}

/// The life of the thread: waits for the file, then for orders.
fn live<W: Work>(mut work: W, inbox: &Receiver<W::Order>, ending: &AtomicBool, reports: &mpsc::Sender<W::Report>) {
    let (mut said, mut corrupt) = (None, None);
    // Whoever takes the reports never waits for this thread, so this cannot wait for ever; when nobody takes them any
    // more, nobody needs them.
    let mut say = |report| drop(reports.blocking_send(report));
    loop {
        match work.open(corrupt.take()) {
            Ok((mut file, opened)) => {
                say(opened);
                said = None;
                match serve(&mut work, &mut file, inbox, &mut say) {
                    Ok(()) if ending.load(Ordering::Acquire) => return end(&mut work, file),
                    Ok(()) => return,
                    Err(why) => corrupt = Some(why),
                }
            }
            Err(error) => {
                let shut = Shut { what: chain(&error), remedy: error.remedy() };
                if said.as_ref() != Some(&shut) {
                    say(work.shut(shut.clone()));
                }
                if !refuse_orders(&mut work, inbox, &mut say, &shut.what) {
                    return;
                }
                said = Some(shut);
            }
        }
    }
}

fn end<W: Work>(work: &mut W, file: W::File) {
    if let Err(error) = work.close(file) {
        tracing::error!(error = %chain(&error), "close a file of the ledger");
    }
}

/// Refuses what is ordered until it is time to try the file again; `false` when nothing more will be ordered.
fn refuse_orders<W: Work>(
    work: &mut W,
    inbox: &Receiver<W::Order>,
    say: &mut impl FnMut(W::Report),
    why: &str,
) -> bool {
    let clock = Clock::start();
    let until = clock.now().after(REOPEN_PAUSE);
    loop {
        match inbox.recv_timeout(until.since(clock.now())) {
            Ok(order) => work.refuse(order, why).into_iter().for_each(&mut *say),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Carries out orders until there will be no more. An error means that the file is corrupt.
fn serve<W: Work>(
    work: &mut W,
    file: &mut W::File,
    inbox: &Receiver<W::Order>,
    say: &mut impl FnMut(W::Report),
) -> Result<(), String> {
    loop {
        let first = match work.pause() {
            Some(pause) => inbox.recv_timeout(pause),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(order) => {
                let orders = std::iter::once(order).chain(inbox.try_iter()).take(GROUP).collect();
                work.carry_out(file, orders, say)?;
            }
            Err(RecvTimeoutError::Timeout) => work.carry_out(file, Vec::new(), say)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// What came of an attempt to write, told apart by what follows from it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No room on the disk: it may come back.
    Full(String),
    /// The file itself is broken.
    Corrupt(String),
    /// Anything else that the disk says.
    Disk(String),
}

impl Trouble {
    pub(super) fn of(error: &rusqlite::Error) -> Trouble {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        match error.sqlite_error_code() {
            Some(DiskFull) => Trouble::Full(chain(error)),
            Some(DatabaseCorrupt | NotADatabase) => Trouble::Corrupt(chain(error)),
            _ => Trouble::Disk(chain(error)),
        }
    }

    /// Whether what was to be written is at fault, or a row that it meets, and not the disk.
    pub(super) fn is_of_the_row(error: &rusqlite::Error) -> bool {
        use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
        error.sqlite_error_code().is_none_or(|code| matches!(code, ConstraintViolation | TooBig | TypeMismatch))
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Trouble::Full(why) | Trouble::Corrupt(why) | Trouble::Disk(why) => why,
        }
    }
}
