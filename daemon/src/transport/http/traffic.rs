//! What was answered, by route and status. Both are words of this program, so that no caller can make the table grow.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A route by its path, or `other`; and a status.
pub type Kind = (&'static str, u16);

/// Answers since the start.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<BTreeMap<Kind, u64>>);

impl Traffic {
    pub fn answered(&self, route: &'static str, status: u16) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((route, status)).or_default() += 1;
    }

    pub fn counted(&self) -> BTreeMap<Kind, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
