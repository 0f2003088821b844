//! Who may have another connection: a bound for all, and half of it for one caller, so that nobody alone can keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A user, by the credentials of the socket.
    User(u32),
    /// Some program of this box: a port does not tell whose.
    Port,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// This caller has its share.
    Caller,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Peer, usize>,
    turned_away_all: u64,
    turned_away_caller: u64,
}

/// Connections that are open.
#[derive(Clone, Debug)]
pub struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

/// How many are open, and how many found no place since the start: as all were taken, and as their caller had its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub open: usize,
    pub turned_away_all: u64,
    pub turned_away_caller: u64,
}

impl Places {
    /// At most `most` at once.
    pub fn new(most: usize) -> Places {
        Places { most, taken: Arc::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection of `peer`.
    pub fn take(&self, peer: Peer) -> Result<Place, Full> {
        let mut taken = self.taken();
        let own = taken.by.get(&peer).copied().unwrap_or_default();
        if own >= (self.most / 2).max(1) {
            taken.turned_away_caller += 1;
            return Err(Full::Caller);
        }
        if taken.all >= self.most {
            taken.turned_away_all += 1;
            return Err(Full::All);
        }
        taken.all += 1;
        taken.by.insert(peer, own + 1);
        Ok(Place { places: self.clone(), peer })
    }

    pub fn counted(&self) -> Counted {
        let taken = self.taken();
        let (turned_away_all, turned_away_caller) = (taken.turned_away_all, taken.turned_away_caller);
        Counted { open: taken.all, turned_away_all, turned_away_caller }
    }
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    pub peer: Peer,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by.get_mut(&self.peer) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_has_half_and_places_come_back() {
        let places = Places::new(4);
        let mut held = vec![places.take(Peer::User(7)).unwrap(), places.take(Peer::User(7)).unwrap()];
        assert_eq!(places.take(Peer::User(7)).unwrap_err(), Full::Caller);
        held.push(places.take(Peer::Port).unwrap());
        held.push(places.take(Peer::User(8)).unwrap());
        assert_eq!(places.take(Peer::User(9)).unwrap_err(), Full::All);
        assert_eq!(places.counted(), Counted { open: 4, turned_away_all: 1, turned_away_caller: 1 });
        held.clear();
        assert_eq!(places.counted().open, 0);
        assert!(places.taken().by.is_empty());
        assert!(places.take(Peer::User(7)).is_ok());
    }
}
