//! The interface `Manager`: the daemon itself.

use edge_wire::dict::PlatformDict;
use edge_wire::dto::Status;
use edge_wire::names::{INTERFACE_VERSION, action};
use tokio::io::AsyncReadExt as _;
use zbus::interface;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;

use super::authorize::Access;
use super::door::Door;
use super::error::{No, internal};
use crate::driver::trace::KEPT;
use crate::handle::{Handle, Message};
use crate::request::Failure;
use crate::transport::options;

/// The interface on one connection.
#[derive(Debug)]
pub struct Manager(pub Door);

impl Manager {
    /// Signals what changed between two states.
    pub async fn announce(&self, old: &Status, new: &Status, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
        if old.state != new.state {
            self.state_changed(emitter).await?;
        }
        if old.reason != new.reason {
            self.reason_changed(emitter).await?;
        }
        Ok(())
    }

    async fn command(&self, call: &Header<'_>, action: &'static str, message: Message) -> Result<(), No> {
        let _place = self.0.open(call, Access::Change { action, call }).await?;
        Ok(self.0.service.handle.send(message).await?)
    }
}

#[interface(name = "org.edged.Edge1.Manager")]
impl Manager {
    /// Takes nothing new and finishes what was accepted; returns at once, State tells when it is done.
    async fn drain(&self, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        self.command(&header, action::DRAIN, Message::Drain).await
    }

    /// Takes requests again.
    async fn resume(&self, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        self.command(&header, action::RESUME, Message::Resume).await
    }

    /// Reserves the device: nothing is run on it until the descriptor that this gives, and every copy of it, is closed. why is
    /// shown to whoever wonders.
    #[zbus(out_args("hold"))]
    async fn hold(&self, why: String, #[zbus(header)] header: Header<'_>) -> Result<zbus::OwnedFd, No> {
        let _place = self.0.open(&header, Access::Change { action: action::HOLD, call: &header }).await?;
        let (ours, theirs) = hold_pair()?;
        let handle = self.0.service.handle.clone();
        let id = handle.ask(|done| Message::Hold { why, done }).await??;
        tokio::spawn(release_at_end(handle, ours, id));
        Ok(theirs.into())
    }

    /// Reads the policy part of the configuration again; fails with every fault if there is one.
    async fn reload(&self, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        let access = Access::Change { action: action::RELOAD, call: &header };
        let _place = self.0.open(&header, access).await?;
        let read = self.0.service.handle.ask(|done| Message::Reload { done }).await?;
        Ok(read.map_err(Failure::invalid)?)
    }

    /// The whole state as JSON, for tools; its keys are stable.
    #[zbus(out_args("json"))]
    async fn describe(&self, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let status = self.0.service.handle.ask(|done| Message::Status { done }).await?;
        Ok(json(&*status)?)
    }

    /// What happened to a request and when, as JSON.
    #[zbus(out_args("json"))]
    async fn trace(&self, request_id: String, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let request_id = options::known_id(request_id)?;
        let id = request_id.clone();
        let found = self.0.service.handle.ask(|found| Message::Trace { request_id: id, found }).await?;
        let trace = found.ok_or_else(|| {
            Failure::invalid(format!(
                "request_id: no trace of \"{request_id}\": the last {KEPT} settled requests since the start are kept"
            ))
        })?;
        Ok(json(&trace)?)
    }

    /// Package version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        self.0.status().version.clone()
    }

    /// Version of these interfaces; grows with each addition.
    #[zbus(property(emits_changed_signal = "const"))]
    fn interface_version(&self) -> u32 {
        INTERFACE_VERSION
    }

    /// What machine this is: machine, architecture, os, kernel, cores, memory_bytes.
    #[zbus(property(emits_changed_signal = "const"))]
    fn platform(&self) -> PlatformDict<'static> {
        PlatformDict::from(self.0.status().platform.clone())
    }

    /// starting, serving, degraded, draining or drained.
    #[zbus(property)]
    fn state(&self) -> String {
        self.0.status().state.clone()
    }

    /// Why, in one line.
    #[zbus(property)]
    fn reason(&self) -> String {
        self.0.status().reason.clone()
    }
}

/// Two ends of a line: ours tells when theirs was closed.
fn hold_pair() -> Result<(tokio::net::UnixStream, std::os::fd::OwnedFd), Failure> {
    let failed = |error: std::io::Error| internal(format!("make a line for the hold: {error}"));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    Ok((tokio::net::UnixStream::from_std(ours).map_err(failed)?, theirs.into()))
}

/// Lets go of the device when the other end is closed. What is written there means nothing.
async fn release_at_end(handle: Handle, mut ours: tokio::net::UnixStream, id: u64) {
    let mut ignored = [0; 64];
    while !matches!(ours.read(&mut ignored).await, Ok(0) | Err(_)) {}
    if handle.send(Message::Release { id }).await.is_err() {
        tracing::debug!(id, "the daemon ended before the hold");
    }
}

/// A record as JSON.
pub(super) fn json<T: serde::Serialize>(record: &T) -> Result<String, Failure> {
    serde_json::to_string(record).map_err(|error| internal(format!("write a record as JSON: {error}")))
}
