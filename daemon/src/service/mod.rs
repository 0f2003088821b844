//! The init system's side: logging, readiness, watchdog, signals.

pub mod power_mode;

use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs to the journal when standard error is connected to it, else to standard error for people. `RUST_LOG` sets the
/// detail; without it INFO, which tells a day's story in one screen.
pub fn start_logging() -> Result<(), String> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,zbus=warn,rumqttc=warn,ort=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    match is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), std::io::stderr()).then(tracing_journald::layer) {
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
