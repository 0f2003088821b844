//! The proxy of a job. It has a signal of the same name as a request has, so it stands in a module of its own.

use zbus::proxy;

use super::Options;

/// Long work of the daemon: one job that runs, or that ended lately.
#[proxy(interface = "org.edged.Edge1.Job", default_service = "org.edged.Edge1", assume_defaults = false)]
pub trait Job {
    /// Gives it up; returns when that is under way, `Completed` tells of its end.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn cancel(&self, options: &Options<'_>) -> zbus::Result<()>;

    /// `build` or `tune`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn operation(&self) -> zbus::Result<String>;

    /// The model that it is about, as `name:version`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn model(&self) -> zbus::Result<String>;

    /// What of the model: a variant and its provider, or nothing.
    #[zbus(property(emits_changed_signal = "const"))]
    fn detail(&self) -> zbus::Result<String>;

    /// What it does now.
    #[zbus(property)]
    fn phase(&self) -> zbus::Result<String>;

    /// Percent (-1 where nobody knows), what it does now, and the depth of that, which is always 1.
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<(i32, String, i32)>;

    /// Since it began, in milliseconds; of an ended one, how long it took.
    #[zbus(property(emits_changed_signal = "false"))]
    fn elapsed_ms(&self) -> zbus::Result<u64>;

    /// How long the last one like it took, in milliseconds; 0 where there was none.
    #[zbus(property)]
    fn expected_ms(&self) -> zbus::Result<u64>;

    /// `running`, `done`, `failed` or `cancelled`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Why it failed; empty otherwise.
    #[zbus(property)]
    fn last_error(&self) -> zbus::Result<String>;

    /// It ended: 0 done, 1 failed, 2 cancelled.
    #[zbus(signal)]
    fn completed(&self, result: i32) -> zbus::Result<()>;
}
