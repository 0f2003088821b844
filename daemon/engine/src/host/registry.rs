//! Which models and lanes there are. Written by loaders and by the reader, read by the reader for each request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::load_memory::own_bytes;
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
    /// A loader is at it: which load.
    Loading(u32),
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
    /// Takes the place of a model that is to be loaded by this load; `false` if it is taken.
    pub fn begin(&self, model: u16, load: u32) -> bool {
        let mut models = self.lock();
        let free = !models.contains_key(&model);
        if free {
            models.insert(model, Entry::Loading(load));
        }
        free
    }

    /// Whether somebody still waits for this load.
    pub fn awaits(&self, model: u16, load: u32) -> bool {
        matches!(self.lock().get(&model), Some(Entry::Loading(current)) if *current == load)
    }

    /// The load failed; whether anybody waits for it. A load that was given up by an unload leaves alone what a later
    /// one has made.
    pub fn abandon(&self, model: u16, load: u32) -> bool {
        let mut models = self.lock();
        let current = matches!(models.get(&model), Some(Entry::Loading(current)) if *current == load);
        if current {
            models.remove(&model);
        }
        current
    }

    /// The model can be served. Gives the lanes back if it was unloaded meanwhile or another model has their numbers.
    pub fn complete(
        &self,
        model: Arc<Model>,
        load: u32,
        first_lane: u16,
        lanes: Vec<LaneEntry>,
    ) -> Result<(), Vec<LaneEntry>> {
        let mut models = self.lock();
        let end = usize::from(first_lane) + lanes.len();
        let clash = models.values().any(|entry| match entry {
            Entry::Loaded { first_lane: first, lanes, .. } => {
                usize::from(*first) < end && usize::from(first_lane) < usize::from(*first) + lanes.len()
            }
            Entry::Loading(_) => false,
        });
        let awaited = matches!(models.get(&model.id), Some(Entry::Loading(current)) if *current == load);
        if clash || !awaited {
            return Err(lanes);
        }
        models.insert(model.id, Entry::Loaded { model, first_lane, lanes });
        Ok(())
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
        let before_bytes = own_bytes();
        let outbox = outbox.clone();
        match self.lock().remove(&model) {
            Some(Entry::Loaded { lanes, .. }) => end(lanes, move || {
                // SAFETY: the call only gives unused memory back to the system.
                unsafe { libc::malloc_trim(0) };
                outbox.send(&FromHost::Unloaded { model, before_bytes, after_bytes: own_bytes() }, &[]);
            }),
            // What was not loaded gives nothing back.
            Some(Entry::Loading(_)) | None => {
                outbox.send(&FromHost::Unloaded { model, before_bytes: 0, after_bytes: 0 }, &[]);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: u16) -> Arc<Model> {
        let (inputs, outputs) = (Vec::new(), Vec::new());
        let (batched, max_batch, max_rows) = (false, 1, i64::MAX);
        Arc::new(Model { id, inputs, outputs, batched, max_batch, max_rows, payload_bytes: 1, recipe: None })
    }

    #[test]
    fn a_load_that_was_given_up_leaves_alone_what_a_later_one_has_made() {
        let registry = Registry::default();
        assert!(registry.begin(7, 1) && !registry.begin(7, 2));
        // Load, unload, load: the loader of the first is still at it.
        registry.lock().remove(&7);
        assert!(registry.begin(7, 2));
        assert!(registry.complete(model(7), 1, 0, Vec::new()).is_err());
        assert!(!registry.abandon(7, 1), "nobody waits for it");
        assert!(registry.complete(model(7), 2, 0, Vec::new()).is_ok());
        assert!(!registry.abandon(7, 1) && registry.model(7).is_some());
    }

    #[test]
    fn a_load_that_failed_gives_its_place_back() {
        let registry = Registry::default();
        assert!(registry.begin(7, 1) && registry.abandon(7, 1) && registry.begin(7, 2));
    }
}
