//! Memory of NVIDIA graphics cards, as their management library (NVML) tells it. Boards whose GPU shares the machine's
//! memory (Jetson) have no figure of its own here, and need none: the machine's holds for them.

use std::ffi::OsStr;
use std::sync::{Arc, OnceLock};

use nvml_wrapper::Nvml;

/// The library's name, as drivers install it.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The cards of a machine.
#[derive(Debug)]
pub struct Cards(Nvml);

impl Cards {
    /// Those that the library at this place, or of this name, manages.
    fn open(library: &OsStr) -> Result<Cards, String> {
        Nvml::builder().lib_path(library).init().map(Cards).map_err(|error| error.to_string())
    }

    /// Bytes that are free on a card, by its number in the order of the bus; `None` if it does not tell.
    fn free_bytes(&self, card: u32) -> Option<u64> {
        let memory = self.0.device_by_index(card).and_then(|card| card.memory_info());
        match memory {
            Ok(memory) => Some(memory.free),
            Err(error) => {
                tracing::debug!(card, %error, "the card does not tell its memory");
                None
            }
        }
    }
}

/// The cards, once the library has answered: that may take seconds, and nothing waits for it.
#[derive(Clone, Debug, Default)]
pub struct Gpus(Arc<OnceLock<Cards>>);

impl Gpus {
    /// Looks for the library.
    pub fn start() -> std::io::Result<Gpus> {
        let gpus = Gpus::default();
        let theirs = gpus.clone();
        std::thread::Builder::new().name("gpus".into()).spawn(move || match Cards::open(LIBRARY.as_ref()) {
            Ok(cards) => drop(theirs.0.set(cards)),
            Err(why) => tracing::debug!(%why, "no NVIDIA card is managed here"),
        })?;
        Ok(gpus)
    }

    /// Bytes that are free on a card; `None` if nobody knows, or yet.
    pub fn free_bytes(&self, card: u32) -> Option<u64> {
        self.0.get()?.free_bytes(card)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Two cards, of which the second does not answer; by the names and layouts of nvml.h.
    const FAKE: &str = r#"
        struct memory { unsigned version; unsigned long long total, reserved, free, used; };
        int nvmlInit_v2(void) { return 0; }
        int nvmlShutdown(void) { return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned card, void **handle) {
            if (card > 1) return 2;
            *handle = (void *)(unsigned long)(card + 1);
            return 0;
        }
        int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory *memory) {
            if (handle != (void *)1) return 15;
            memory->total = 8ull << 30; memory->free = 3ull << 30; memory->used = 5ull << 30;
            return 0;
        }
    "#;

    #[test]
    fn a_card_tells_what_is_free_and_one_that_does_not_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("nvml.c"), dir.path().join("libnvidia-ml.so.1"));
        std::fs::write(&source, FAKE).unwrap();
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "cc: {error}");
                return println!("SKIPPED: no C compiler: cc: {error} (make need)");
            }
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let cards = Cards::open(library.as_os_str()).unwrap();
        assert_eq!([0, 1, 2].map(|card| cards.free_bytes(card)), [Some(3 << 30), None, None]);
        let gpus = Gpus::default();
        assert_eq!(gpus.free_bytes(0), None, "nobody has answered yet");
        gpus.0.set(cards).unwrap();
        assert_eq!(gpus.free_bytes(0), Some(3 << 30));
    }

    #[test]
    fn without_the_library_nothing_is_known_of_cards() {
        let nowhere = tempfile::tempdir().unwrap();
        assert!(Cards::open(nowhere.path().join("libnvidia-ml.so.1").as_os_str()).is_err());
    }
}
