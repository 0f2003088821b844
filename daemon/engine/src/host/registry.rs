//! Which models and lanes there are. Written by loaders and by the reader, read by the reader for each request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::model::Model;
use super::outbox::Outbox;
use super::post::Post;
use crate::protocol::FromHost;

/// One lane and its thread.
pub struct LaneEntry {
    pub post: Arc<Post>,
    pub thread: JoinHandle<()>,
}

enum Entry {
    /// A loader is at it.
    Loading,
    Loaded {
        model: Arc<Model>,
        first_lane: u16,
        lanes: Vec<LaneEntry>,
    },
}

/// All models and lanes.
#[derive(Default)]
pub struct Registry(Mutex<HashMap<u16, Entry>>);

impl Registry {
    /// Takes the place of a model that is to be loaded; `false` if it is taken.
    pub fn begin(&self, model: u16) -> bool {
        let mut models = self.lock();
        let free = !models.contains_key(&model);
        if free {
            models.insert(model, Entry::Loading);
        }
        free
    }

    /// The load failed.
    pub fn abandon(&self, model: u16) {
        self.lock().remove(&model);
    }

    /// The model can be served. Gives the lanes back if it was unloaded meanwhile or another model has their numbers.
    pub fn complete(&self, model: Arc<Model>, first_lane: u16, lanes: Vec<LaneEntry>) -> Result<(), Vec<LaneEntry>> {
        let mut models = self.lock();
        let end = usize::from(first_lane) + lanes.len();
        let clash = models.values().any(|entry| match entry {
            Entry::Loaded { first_lane: first, lanes, .. } => {
                usize::from(*first) < end && usize::from(first_lane) < usize::from(*first) + lanes.len()
            }
            Entry::Loading => false,
        });
        match models.get_mut(&model.id) {
            Some(entry @ Entry::Loading) if !clash => {
                *entry = Entry::Loaded { model, first_lane, lanes };
                Ok(())
            }
            _ => Err(lanes),
        }
    }

    /// A loaded model.
    pub fn model(&self, id: u16) -> Option<Arc<Model>> {
        match self.lock().get(&id) {
            Some(Entry::Loaded { model, .. }) => Some(model.clone()),
            _ => None,
        }
    }

    /// Stops a request wherever it runs.
    pub fn discard(&self, id: u64) {
        for entry in self.lock().values() {
            if let Entry::Loaded { lanes, .. } = entry {
                lanes.iter().for_each(|lane| lane.post.discard(id));
            }
        }
    }

    /// Forgets a model. `Unloaded` is said when its lanes have ended.
    pub fn unload(&self, model: u16, outbox: &Outbox) {
        let lanes = match self.lock().remove(&model) {
            Some(Entry::Loaded { lanes, .. }) => lanes,
            Some(Entry::Loading) | None => Vec::new(),
        };
        let outbox = outbox.clone();
        end(lanes, move || outbox.send(&FromHost::Unloaded { model }, &[]));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes lanes, and calls `then` when their threads have ended.
pub fn end(lanes: Vec<LaneEntry>, then: impl FnOnce() + Send + 'static) {
    lanes.iter().for_each(|lane| lane.post.close());
    let wait = move || {
        for lane in lanes {
            let _ = lane.thread.join();
        }
        then();
    };
    if let Err(error) = std::thread::Builder::new().name("unload".into()).spawn(wait) {
        // The lanes end all the same; only the word about it is missing, and the daemon asks again.
        tracing::error!(%error, "start a thread");
    }
}
