//! Prepared payloads, by the id of their request, until they run or are discarded. Bounded in number and in bytes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lane::told;
use crate::fault::host_error;
use crate::media::Prepared;
use crate::protocol::{ErrorKind, HostError};

/// Most requests in the store.
const MAX_ENTRIES: usize = 4096;
/// Most bytes in the store.
const MAX_BYTES: usize = 256 << 20;

enum Entry {
    /// Being decoded.
    Promised,
    Here(Prepared),
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<u64, Entry>,
    bytes: usize,
}

/// Shared by the reader, the preparing threads and the lanes.
#[derive(Default)]
pub struct Store(Mutex<Shelf>);

impl Store {
    /// Keeps a place for `id`. Fails if all are taken.
    pub fn promise(&self, id: u64) -> Result<(), HostError> {
        let mut shelf = self.lock();
        if shelf.entries.len() >= MAX_ENTRIES {
            return Err(full());
        }
        shelf.entries.insert(id, Entry::Promised);
        Ok(())
    }

    /// Whether `id` still has its place.
    pub fn wants(&self, id: u64) -> bool {
        self.lock().entries.contains_key(&id)
    }

    /// Puts what was prepared in its place, unless it was discarded meanwhile.
    pub fn keep(&self, id: u64, prepared: Prepared) -> Result<(), HostError> {
        let mut shelf = self.lock();
        let bytes = shelf.bytes + prepared.bytes();
        let Some(entry) = shelf.entries.get_mut(&id) else { return Err(told()) };
        if bytes > MAX_BYTES {
            shelf.entries.remove(&id);
            return Err(full());
        }
        *entry = Entry::Here(prepared);
        shelf.bytes = bytes;
        Ok(())
    }

    /// Takes out what is there; a request runs once.
    pub fn take(&self, id: u64) -> Result<Prepared, HostError> {
        let mut shelf = self.lock();
        match shelf.entries.remove(&id) {
            Some(Entry::Here(prepared)) => {
                shelf.bytes = shelf.bytes.saturating_sub(prepared.bytes());
                Ok(prepared)
            }
            _ => Err(host_error(ErrorKind::Runtime, "nothing is prepared for this request")),
        }
    }

    /// Forgets `id`.
    pub fn discard(&self, id: u64) {
        let _ = self.take(id);
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn full() -> HostError {
    let message = format!("more than {MAX_ENTRIES} requests or {MAX_BYTES} bytes are prepared and wait to run");
    host_error(ErrorKind::Full, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_discarded_while_it_was_decoded_is_not_kept() {
        let store = Store::default();
        store.promise(7).unwrap();
        store.discard(7);
        let error = store.keep(7, Prepared::Answer("{}".into())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Stopped);
        assert!(store.take(7).is_err());
    }

    #[test]
    fn a_prepared_payload_is_taken_once() {
        let store = Store::default();
        store.promise(7).unwrap();
        store.keep(7, Prepared::Answer("{}".into())).unwrap();
        assert!(store.take(7).is_ok());
        assert_eq!(store.take(7).err().unwrap().message, "nothing is prepared for this request");
    }

    #[test]
    fn the_store_is_bounded() {
        let store = Store::default();
        for id in 0..MAX_ENTRIES as u64 {
            store.promise(id).unwrap();
        }
        assert_eq!(store.promise(u64::MAX).unwrap_err().kind, ErrorKind::Full);
    }
}
