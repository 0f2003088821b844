//! What loading a model takes of the host's memory: how much that grew meanwhile. Loads that are under way at once cannot be
//! told apart by the system, so what grew is shared among them by the size of their files. Must not know sessions.

use std::sync::{Mutex, PoisonError};

use crate::bundle;
use crate::protocol::LoadModel;

/// A load that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    number: u64,
    /// Bytes of its files.
    files: u64,
    /// Bytes of the files of other loads that were under way with it at any time.
    beside: u64,
    /// Memory of the host when it began, bytes.
    before: u64,
}

impl Load {
    /// What it takes, bytes, now that the host has so much.
    fn takes(self, now: u64) -> u64 {
        let grown = u128::from(now.saturating_sub(self.before));
        let all = u128::from(self.files.saturating_add(self.beside)).max(1);
        let own = if self.beside == 0 { grown } else { grown * u128::from(self.files) / all };
        u64::try_from(own).unwrap_or(u64::MAX).max(self.files)
    }
}

#[derive(Debug, Default)]
struct Loads {
    under_way: Vec<Load>,
    next: u64,
}

impl Loads {
    fn begin(&mut self, files: u64, before: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        let beside = self.under_way.iter().map(|load| load.files).fold(0, u64::saturating_add);
        self.under_way.iter_mut().for_each(|load| load.beside = load.beside.saturating_add(files));
        self.under_way.push(Load { number, files, beside, before });
        number
    }

    fn end(&mut self, number: u64) -> Option<Load> {
        let at = self.under_way.iter().position(|load| load.number == number)?;
        Some(self.under_way.swap_remove(at))
    }
}

/// The loads that are under way, at most one for each loader. Shared by them.
#[derive(Debug, Default)]
pub struct LoadMemory(Mutex<Loads>);

impl LoadMemory {
    /// A load begins; its number.
    pub fn begin(&self, request: &LoadModel) -> u64 {
        let (files, before) = (files(request), own_bytes());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).begin(files, before)
    }

    /// It has ended: what it takes, bytes.
    pub fn end(&self, number: u64) -> u64 {
        let now = own_bytes();
        let load = self.0.lock().unwrap_or_else(PoisonError::into_inner).end(number);
        load.map_or(0, |load| load.takes(now))
    }
}

/// Size of the files that are loaded, bytes; 0 if they cannot be told, which the load itself will say.
fn files(request: &LoadModel) -> u64 {
    let bytes =
        |found: bundle::Bundle| found.manifest().model_bytes(&request.setup.variant).saturating_add(found.part_bytes());
    bundle::open_with(&request.bundle, &request.parts).map_or(0, bytes)
}

/// Resident memory of this process without what it shares with files, bytes; 0 if the system does not say.
pub fn own_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    own_pages(&statm).unwrap_or(0) * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Resident pages less shared ones, of the text of `statm`.
fn own_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_grew_is_the_loads_own_or_shared_by_the_size_of_files() {
        let mut loads = Loads::default();
        let alone = loads.begin(10 * MIB, 100 * MIB);
        assert_eq!(loads.end(alone).map(|load| load.takes(140 * MIB)), Some(40 * MIB));

        let large = loads.begin(30 * MIB, 100 * MIB);
        let small = loads.begin(10 * MIB, 110 * MIB);
        assert_eq!(loads.end(small).map(|load| load.takes(190 * MIB)), Some(20 * MIB));
        assert_eq!(loads.end(large).map(|load| load.takes(200 * MIB)), Some(75 * MIB));
        assert_eq!(loads.end(large), None);
    }

    #[test]
    fn a_load_never_takes_less_than_its_files() {
        let mut loads = Loads::default();
        let load = loads.begin(10 * MIB, 100 * MIB);
        assert_eq!(loads.end(load).map(|load| load.takes(90 * MIB)), Some(10 * MIB));
        let unknown = loads.begin(0, 100 * MIB);
        assert_eq!(loads.end(unknown).map(|load| load.takes(101 * MIB)), Some(MIB));
    }

    #[test]
    fn own_memory_is_what_is_resident_and_not_shared() {
        assert_eq!(own_pages("9000 300 120 5 0 800 0\n"), Some(180));
        for nonsense in ["", "1", "1 2", "1 x 3"] {
            assert_eq!(own_pages(nonsense), None, "{nonsense}");
        }
        assert!(own_bytes() > 0);
    }
}
