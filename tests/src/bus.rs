//! A private D-Bus daemon with stated limits: those of Debian's system bus for sizes and descriptors, those of its
//! session bus for open calls, so that one client may have many under way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::clock::{PATIENCE, eventually_blocking};
use crate::places;
use crate::process::{Life, Process};

/// Largest message that the bus takes.
pub const MAX_MESSAGE: u64 = 32 << 20;
/// Most descriptors that it takes with one message.
pub const MAX_FDS: usize = 16;

/// The running bus.
#[derive(Debug)]
pub struct Bus {
    pub process: Process,
    socket: PathBuf,
}

impl Bus {
    /// Starts one whose socket and log are in `dir`.
    pub fn start(dir: &Path, life: Life) -> Result<Bus> {
        let socket = places::socket(dir, "bus");
        let config = dir.join("bus.conf");
        // A socket left by a bus that was killed would be in the way.
        fs::remove_file(&socket).ok();
        fs::write(&config, configuration(&socket)).with_context(|| format!("write {}", config.display()))?;
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--nopidfile").arg(format!("--config-file={}", config.display()));
        let mut process = Process::spawn("dbus-daemon", command, dir, life)?;
        eventually_blocking("the private bus listens", PATIENCE, || match process.exited()? {
            Some(_) => anyhow::bail!("dbus-daemon ended at once\n{}", process.log_tail(20)),
            None => Ok(std::os::unix::net::UnixStream::connect(&socket).ok()),
        })?;
        Ok(Bus { process, socket })
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What `DBUS_SESSION_BUS_ADDRESS` is to be.
    pub fn address(&self) -> String {
        address(&self.socket)
    }

    /// A client connection.
    pub async fn connect(&self) -> Result<zbus::Connection> {
        connect(&self.address()).await
    }
}

/// A client connection to the bus at `address`.
pub async fn connect(address: &str) -> Result<zbus::Connection> {
    zbus::connection::Builder::address(address)
        .build()
        .await
        .with_context(|| format!("connect to the bus at {address}"))
}

fn address(socket: &Path) -> String {
    format!("unix:path={}", socket.display())
}

fn configuration(socket: &Path) -> String {
    let limits = [
        ("max_message_size", MAX_MESSAGE),
        ("max_incoming_bytes", 127 << 20),
        ("max_outgoing_bytes", 127 << 20),
        ("max_message_unix_fds", MAX_FDS as u64),
        ("max_incoming_unix_fds", 64),
        ("max_outgoing_unix_fds", 64),
        ("max_completed_connections", 2048),
        ("max_connections_per_user", 2048),
        ("max_replies_per_connection", 50_000),
    ]
    .map(|(name, value)| format!("  <limit name=\"{name}\">{value}</limit>\n"))
    .concat();
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n  <type>session</type>\n  \
         <listen>{}</listen>\n  <auth>EXTERNAL</auth>\n  <policy context=\"default\">\n    \
         <allow send_destination=\"*\" eavesdrop=\"true\"/>\n    <allow eavesdrop=\"true\"/>\n    <allow own=\"*\"/>\n  \
         </policy>\n{limits}</busconfig>\n",
        address(socket)
    )
}
