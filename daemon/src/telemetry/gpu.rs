//! NVIDIA graphics cards: who asks their management library (NVML), and when. Memory is asked by whoever loads a model;
//! everything else is asked every second, on a thread of its own, since a card that hangs holds its caller up. Boards whose
//! GPU shares the machine's memory (Jetson) have no figure of their own here, and need none.

use std::ffi::OsStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use edge_core::Mono;
use nvml_wrapper::Nvml;

use super::accelerators::Told;
use super::nvml;
use super::reading::{Absence, Reading};
use crate::driver::clock::Clock;

/// The library's name, as drivers install it.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// How often the cards are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the library is looked for where there is none: a driver may be loaded late.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// What was told longer ago is no answer any more: the library hangs.
const STALE: Duration = Duration::from_secs(10);

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
pub struct Gpus(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cards: OnceLock<Cards>,
    told: Mutex<Option<(Mono, Told)>>,
    /// The thread ends with it.
    wake: OnceLock<Sender<()>>,
}

impl Gpus {
    /// Looks for the library, and asks it from then on.
    pub fn start() -> std::io::Result<Gpus> {
        let gpus = Gpus::default();
        let (wake, woken) = channel();
        let theirs = Arc::downgrade(&gpus.0);
        let clock = Clock::start();
        std::thread::Builder::new().name("gpus".into()).spawn(move || ask(&theirs, &woken, clock))?;
        // Nobody else sets it.
        let _ = gpus.0.wake.set(wake);
        Ok(gpus)
    }

    /// Bytes that are free on a card; `None` if nobody knows, or yet.
    pub fn free_bytes(&self, card: u32) -> Option<u64> {
        self.0.cards.get()?.free_bytes(card)
    }

    /// What the cards last told. Of a library that does not answer any more only the names are left.
    pub fn told(&self, now: Mono) -> Told {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((at, mut told)) = told else { return Told::default() };
        let silent = now.since(at);
        if silent > STALE {
            silence(&mut told, silent);
        }
        told
    }
}

fn silence(told: &mut Told, since: Duration) {
    let absent = || Reading::Absent(Absence::Failed(format!("the library has not answered for {} s", since.as_secs())));
    for card in &mut told.accelerators {
        (card.load_percent, card.power_w, card.memory_free_bytes) = (absent(), absent(), absent());
    }
    told.zones.iter_mut().for_each(|zone| zone.temp_c = absent());
    told.clocks.iter_mut().for_each(|clock| clock.hz = absent());
}

fn ask(shared: &Weak<Shared>, woken: &Receiver<()>, clock: Clock) {
    let waits = |pause| !matches!(woken.recv_timeout(pause), Err(RecvTimeoutError::Disconnected));
    let cards = loop {
        match Cards::open(LIBRARY.as_ref()) {
            Ok(cards) => break cards,
            Err(why) => tracing::debug!(%why, "no NVIDIA card is managed here"),
        }
        if !waits(LOOK_AGAIN) {
            return;
        }
    };
    match shared.upgrade() {
        Some(shared) => drop(shared.cards.set(cards)),
        None => return,
    }
    loop {
        let Some(shared) = shared.upgrade() else { return };
        if let Some(cards) = shared.cards.get() {
            let now = clock.now();
            let told = nvml::cards(&cards.0, now);
            *shared.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, told));
        }
        drop(shared);
        if !waits(INTERVAL) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;

    /// Two cards, of which the second does not answer; by the names and layouts of nvml.h.
    const FAKE: &str = r#"
        struct memory { unsigned version; unsigned long long total, reserved, free, used; };
        struct use { unsigned gpu, memory; };
        #define FIRST(handle) if (handle != (void *)1) return 15;
        int nvmlInit_v2(void) { return 0; }
        int nvmlShutdown(void) { return 0; }
        int nvmlSystemGetDriverVersion(char *text, unsigned length) { __builtin_strcpy(text, "580.95"); return 0; }
        int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned card, void **handle) {
            if (card > 1) return 2;
            *handle = (void *)(unsigned long)(card + 1);
            return 0;
        }
        int nvmlDeviceGetName(void *handle, char *text, unsigned length) { __builtin_strcpy(text, "Fake RTX"); return 0; }
        int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory *memory) {
            FIRST(handle);
            memory->total = 8ull << 30; memory->free = 3ull << 30; memory->used = 5ull << 30;
            return 0;
        }
        int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) { FIRST(handle); *celsius = 61; return 0; }
        int nvmlDeviceGetTemperatureThreshold(void *handle, int kind, unsigned *celsius) {
            FIRST(handle);
            if (kind > 1 && kind != 3) return 3;
            *celsius = kind == 0 ? 98 : kind == 1 ? 95 : 87;
            return 0;
        }
        int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) { FIRST(handle); *milliwatts = 42500; return 0; }
        int nvmlDeviceGetUtilizationRates(void *handle, struct use *use) { FIRST(handle); use->gpu = 77; return 0; }
        int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *mega) { FIRST(handle); *mega = 1200; return 0; }
        int nvmlDeviceGetMaxClockInfo(void *handle, int kind, unsigned *mega) { FIRST(handle); *mega = 2100; return 0; }
        int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons) {
            FIRST(handle); *reasons = 4; return 0;
        }
        int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, void *infos) {
            FIRST(handle); *count = 2; return 7;
        }
    "#;

    /// A library as on a Jetson: it starts, it has a card, and it supports nothing.
    const SILENT: &str = r"
        #define NO(name) int name(void) { return 3; }
        int nvmlInit_v2(void) { return 0; }
        int nvmlShutdown(void) { return 0; }
        int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned card, void **handle) { *handle = (void *)1; return card > 0 ? 2 : 0; }
        NO(nvmlSystemGetDriverVersion) NO(nvmlDeviceGetName) NO(nvmlDeviceGetMemoryInfo_v2) NO(nvmlDeviceGetTemperature)
        NO(nvmlDeviceGetTemperatureThreshold) NO(nvmlDeviceGetPowerUsage) NO(nvmlDeviceGetUtilizationRates)
        NO(nvmlDeviceGetClockInfo) NO(nvmlDeviceGetMaxClockInfo) NO(nvmlDeviceGetCurrentClocksThrottleReasons)
        NO(nvmlDeviceGetComputeRunningProcesses_v3)
    ";

    /// The library of this source; `None`, with the reason printed, where nothing can be compiled.
    fn library(dir: &Path, code: &str) -> Option<PathBuf> {
        let (source, library) = (dir.join("nvml.c"), dir.join("libnvidia-ml.so.1"));
        std::fs::write(&source, code).unwrap();
        let made = match Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output() {
            Ok(made) => made,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "cc: {error}");
                println!("SKIPPED: no C compiler: cc: {error} (make need)");
                return None;
            }
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(library)
    }

    #[test]
    fn a_card_tells_what_is_free_and_one_that_does_not_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let Some(library) = library(dir.path(), FAKE) else { return };
        let cards = Cards::open(library.as_os_str()).unwrap();
        assert_eq!([0, 1, 2].map(|card| cards.free_bytes(card)), [Some(3 << 30), None, None]);
        let gpus = Gpus::default();
        assert_eq!(gpus.free_bytes(0), None, "nobody has answered yet");
        gpus.0.cards.set(cards).unwrap();
        assert_eq!(gpus.free_bytes(0), Some(3 << 30));
    }

    #[test]
    fn a_card_tells_all_of_itself_and_one_that_is_lost_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let Some(library) = library(dir.path(), FAKE) else { return };
        let cards = Cards::open(library.as_os_str()).unwrap();
        let told = nvml::cards(&cards.0, Mono::default());
        let card = &told.accelerators[0];
        assert_eq!((&*card.name, &*card.driver, card.throttled_by.as_str()), ("Fake RTX", "580.95", "power cap"));
        let values = (card.load_percent.value(), card.power_w.value(), card.memory_free_bytes.value());
        assert_eq!(values, (Some(77.0), Some(42.5), Some(3_221_225_472.0)));
        assert_eq!(card.processes, Some(2));
        let trips: Vec<_> = told.zones[0].trips.iter().map(|trip| (trip.kind.as_str(), trip.temp_c)).collect();
        assert_eq!(trips, [("passive", 87.0), ("passive", 95.0), ("critical", 98.0)]);
        assert_eq!(told.zones[0].temp_c.value(), Some(61.0));
        assert_eq!((told.clocks[0].hz.value(), told.clocks[0].top_hz), (Some(1.2e9), Some(2.1e9)));
        let lost = told.accelerators[1].power_w.absence().unwrap().word();
        assert!(lost.starts_with("failed: "), "{lost}");
        assert!(told.zones[1].temp_c.value().is_none() && told.zones[1].trips.is_empty());
    }

    #[test]
    fn a_library_that_supports_nothing_gives_absences_and_no_failures() {
        let dir = tempfile::tempdir().unwrap();
        let Some(library) = library(dir.path(), SILENT) else { return };
        let cards = Cards::open(library.as_os_str()).unwrap();
        let told = nvml::cards(&cards.0, Mono::default());
        let card = &told.accelerators[0];
        for reading in [&card.load_percent, &card.power_w, &card.memory_free_bytes] {
            assert!(reading.is_unsupported(), "{reading:?}");
        }
        assert!(told.zones.is_empty() && told.clocks.is_empty() && card.processes.is_none());
        assert!(card.note.contains("neither load nor power nor temperature"), "{}", card.note);
    }

    #[test]
    fn what_a_library_told_long_ago_is_no_answer() {
        let gpus = Gpus::default();
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        let card = super::super::sensed::Accelerator {
            power_w: Reading::of(Ok(3.0), at(5)),
            ..super::super::sensed::Accelerator::named("gpu", "a", "1", "nvml")
        };
        *gpus.0.told.lock().unwrap() = Some((at(5), Told { accelerators: vec![card], ..Told::default() }));
        assert_eq!(gpus.told(at(15)).accelerators[0].power_w.value(), Some(3.0));
        let silent = gpus.told(at(16)).accelerators[0].power_w.absence().unwrap().word();
        assert_eq!(silent, "failed: the library has not answered for 11 s");
    }

    #[test]
    fn without_the_library_nothing_is_known_of_cards() {
        let nowhere = tempfile::tempdir().unwrap();
        assert!(Cards::open(nowhere.path().join("libnvidia-ml.so.1").as_os_str()).is_err());
    }
}
