//! The init system's side: logging, readiness, watchdog, signals.

mod journal;
pub mod power_mode;
pub mod restarts;

use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::journal::Journal;
use self::restarts::Restarts;
use crate::driver::clock::{self, Clock};

/// What a start may take after its pause, until the loop that does the work asks for more: as the unit says.
const STARTS_IN: Duration = Duration::from_secs(30);

/// Logs to the journal when standard error is connected to it, else to standard error for people. `RUST_LOG` sets the
/// detail; without it INFO, which tells a day's story in one screen.
pub fn start_logging() -> Result<(), String> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,zbus=warn,rumqttc=warn,ort=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let to_journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), std::io::stderr());
    match to_journal.then(|| Journal::connect(Clock::start())) {
        Some(Ok(journal)) => registry.with(journal).try_init(),
        Some(Err(_)) | None => {
            let people = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
            registry.with(people.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
        }
    }
    .map_err(|error| format!("start logging: {error}"))
}

/// Whether `stream` is the one that systemd connected to its journal. The variable alone says nothing: whoever is started
/// from a service inherits it, and may write to a terminal or a file of its own.
fn is_journal(variable: Option<&str>, stream: impl std::os::fd::AsFd) -> bool {
    let named = variable.and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    named.is_some() && rustix::fs::fstat(stream).ok().map(|stat| (stat.st_dev, stat.st_ino)) == named
}

/// Tells systemd; without it this does nothing.
pub fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not told");
    }
}

/// The pause that the ends before this start ask for, and the record of this life. Nothing unless systemd started this.
pub fn begin() -> Option<Restarts> {
    let dir = std::env::var_os("RUNTIME_DIRECTORY")?;
    let (restarts, noted) = Restarts::begin(std::path::Path::new(&dir), clock::boot_time());
    if let Err(error) = noted {
        tracing::warn!(%error, "this start could not be noted: pauses between starts do not grow");
    }
    Some(restarts)
}

/// Waits as long as the ends before this start ask for, and says so.
pub async fn pause(restarts: &Restarts) {
    let (pause, ends) = (restarts.pause, restarts.ends);
    if pause.is_zero() {
        return;
    }
    tracing::warn!(ends, ?pause, "it ended badly again and again: waits before it starts");
    let more = u32::try_from((pause + STARTS_IN).as_micros()).unwrap_or(u32::MAX);
    let told = format!("waits {} s: it ended badly {ends} times in a row", pause.as_secs());
    notify(&[sd_notify::NotifyState::ExtendTimeoutUsec(more), sd_notify::NotifyState::Status(&told)]);
    tokio::time::sleep(pause).await;
}

/// Notes that this life ends in good order.
pub fn end_well(restarts: Restarts) {
    if let Err(error) = restarts.end_well() {
        tracing::warn!(%error, "the good end could not be noted: the next start may wait");
    }
}

/// How often the watchdog wants to be pinged: half of what the unit says. Each ping also asks for as much time to start or to
/// stop, which takes longer than the unit says where engines are compiled or much is open.
pub fn watchdog() -> Option<(Duration, Box<dyn FnMut() + Send>)> {
    let limit = sd_notify::watchdog_enabled()?;
    let more = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    let states = [sd_notify::NotifyState::Watchdog, sd_notify::NotifyState::ExtendTimeoutUsec(more)];
    Some((limit / 2, Box::new(move || notify(&states))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_used_only_if_the_stream_is_the_one_that_it_reads() {
        let file = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        let (device, inode) = (stat.st_dev, stat.st_ino);
        assert!(is_journal(Some(&format!("{device}:{inode}")), &file));
        let others = [format!("{device}:{}", inode + 1), format!("{}:{inode}", device + 1), "8".into(), String::new()];
        assert!(!others.iter().any(|other| is_journal(Some(other), &file)));
        assert!(!is_journal(None, &file));
    }
}
