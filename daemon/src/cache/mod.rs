//! What execution providers compiled, kept from one start to the next: which entry is for which load ([`key`]), whether its
//! files are what was once sealed ([`seal`]), which ones have to go ([`bound`]), and the directory of all ([`shelf`]). What is
//! taken along to boxes like this one, plans too: what such a file says ([`head`]), how it is written ([`export`]) and read
//! ([`import`]).
//!
//! [`Keeper`] is the way in: a thread of its own, because disks are slow, and the only one, so that no two loads touch the
//! directory at once. Knows nothing of hosts and setups but what is in the question.

pub mod bound;
pub mod export;
pub mod head;
pub mod import;
pub mod key;
pub mod seal;
pub mod shelf;

use std::path::PathBuf;
use std::time::Duration;

use edge_core::ModelId;
use edge_wire::dto::CacheEntry;
use edge_wire::plan::Plan;
use tokio::sync::{mpsc, oneshot};

use self::import::Staged;
use self::key::Asked;
use self::shelf::{Place, Shelf};
use crate::config::CacheConfig;

/// Questions and answers that wait: more than loads can be under way.
const WAITING: usize = 8192;

/// For whom something is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A setup by which a model is served.
    Setup(ModelId),
    /// What is being measured: one at a time.
    Trial,
}

/// Which load for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadId {
    pub holder: Holder,
    pub load: u32,
}

/// What the keeper is asked. One that cannot be answered is answered with the reason.
#[derive(Debug)]
pub enum Ask {
    /// Where a load finds what was compiled before, or where it may compile.
    Open { id: LoadId, asked: Box<Asked> },
    /// A load compiled in this place, and its answers were right.
    Keep { id: LoadId, place: Place, took: Duration },
    /// A load from this entry succeeded: did its provider take what was in it?
    Used { id: LoadId, name: String },
    /// A load that compiled there failed: was it for want of room? The place is given back.
    Failed { id: LoadId, place: Place },
    /// A load was given up; nothing is answered.
    GiveBack { place: Place },
    /// It is not on its host any more, so that its entry may go; nothing is answered.
    Release { holder: Holder },
    /// What was compiled before is not good after all; nothing is answered.
    Remove { name: String },
    /// All entries.
    List { done: oneshot::Sender<Result<Vec<CacheEntry>, String>> },
    /// Where an import may put what it reads.
    Stage { job: u64 },
    /// What an import has read goes to its place, and its plans beside.
    TakeIn { job: u64, staged: Box<Staged> },
    /// An import was given up; nothing is answered.
    DropStaged { dir: PathBuf },
    /// Entries of this model, or all.
    Clear { model: Option<String>, done: oneshot::Sender<Result<(u32, u64), String>> },
}

/// What the keeper says.
#[derive(Debug)]
pub enum Answer {
    Opened {
        id: LoadId,
        opened: Result<Opened, String>,
    },
    /// Under which name, if the provider left anything; or why not.
    Kept {
        id: LoadId,
        kept: Result<Option<String>, String>,
    },
    /// The provider did not take what was in the entry, which is removed.
    Refused {
        id: LoadId,
        name: String,
    },
    /// Whether there was room to write, and if not, why.
    Failed {
        id: LoadId,
        room: Result<(), String>,
    },
    /// An empty directory for what an import reads.
    Staged {
        job: u64,
        dir: Result<PathBuf, String>,
    },
    /// What became of an import.
    TakenIn {
        job: u64,
        taken: Box<Taken>,
    },
}

/// What is in its place now of an import.
#[derive(Debug, Default)]
pub struct Taken {
    /// Engines and plans, in words.
    pub taken: Vec<String>,
    /// What could not be put there, and why.
    pub failed: Vec<String>,
    /// The plans among them.
    pub plans: Vec<Plan>,
}

/// Where a load finds or puts what is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub dir: PathBuf,
    /// Name of the entry, if there is one.
    pub hit: Option<String>,
    /// Where to compile, if there is none.
    pub place: Option<Place>,
    /// How long it took the last time.
    pub expected: Option<Duration>,
}

/// The driver's end.
#[derive(Debug)]
pub struct Keeper {
    asks: std::sync::mpsc::SyncSender<Ask>,
    answers: mpsc::Receiver<Answer>,
}

impl Keeper {
    /// Starts the thread. Nothing is read or written before the first question.
    pub fn start(config: &CacheConfig) -> std::io::Result<Keeper> {
        let (asks, questions) = std::sync::mpsc::sync_channel(WAITING);
        let (out, answers) = mpsc::channel(WAITING);
        let mut shelf = Shelf::new(config.dir.clone(), config.max_bytes);
        std::thread::Builder::new().name("cache".into()).spawn(move || {
            while let Ok(ask) = questions.recv() {
                if let Some(answer) = answer(&mut shelf, ask)
                    && out.blocking_send(answer).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Keeper { asks, answers })
    }

    /// Asks without waiting; gives the question back if the disk is so far behind that it finds no room.
    pub fn ask(&self, ask: Ask) -> Result<(), Ask> {
        self.asks.try_send(ask).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(ask) | std::sync::mpsc::TrySendError::Disconnected(ask) => ask,
        })
    }

    /// The next answer; waits for ever if the thread is gone. Safe to cancel.
    pub async fn next(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn answer(shelf: &mut Shelf, ask: Ask) -> Option<Answer> {
    match ask {
        Ask::Open { id, asked } => Some(Answer::Opened { id, opened: shelf.open(id.holder, &asked) }),
        Ask::Keep { id, place, took } => Some(Answer::Kept { id, kept: shelf.keep(id.holder, &place, took) }),
        Ask::Used { id, name } => shelf.is_rewritten(id.holder, &name).then_some(Answer::Refused { id, name }),
        Ask::Failed { id, place } => {
            let room = shelf.room();
            shelf.give_back(&place);
            Some(Answer::Failed { id, room })
        }
        Ask::GiveBack { place } => {
            shelf.give_back(&place);
            None
        }
        Ask::Release { holder } => {
            shelf.release(holder);
            None
        }
        Ask::Remove { name } => {
            shelf.remove(&name);
            None
        }
        Ask::Stage { job } => Some(Answer::Staged { job, dir: shelf.stage(job) }),
        Ask::TakeIn { job, staged } => Some(Answer::TakenIn { job, taken: Box::new(shelf.take_in(*staged)) }),
        Ask::DropStaged { dir } => {
            shelf.drop_staged(&dir);
            None
        }
        Ask::List { done } => {
            // Whoever asked may be gone.
            drop(done.send(shelf.list()));
            None
        }
        Ask::Clear { model, done } => {
            drop(done.send(shelf.clear(model.as_deref())));
            None
        }
    }
}
