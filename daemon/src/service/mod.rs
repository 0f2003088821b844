//! The init system's side: logging, readiness, watchdog, signals.

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
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    match under_systemd.then(tracing_journald::layer) {
        Some(Ok(journal)) => registry.with(journal).try_init(),
        Some(Err(_)) | None => {
            let people = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
            registry.with(people.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
        }
    }
    .map_err(|error| format!("start logging: {error}"))
}

/// Tells systemd; without it this does nothing.
pub fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not told");
    }
}

/// How often the watchdog wants to be pinged: half of what the unit says.
pub fn watchdog() -> Option<(Duration, Box<dyn FnMut() + Send>)> {
    let limit = sd_notify::watchdog_enabled()?;
    Some((limit / 2, Box::new(|| notify(&[sd_notify::NotifyState::Watchdog]))))
}
