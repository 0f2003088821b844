//! A local mosquitto on a free port, with stated limits, whose sessions survive its restart.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::clock::{PATIENCE, eventually_blocking};
use crate::process::{Life, Process};

/// Largest payload that the broker passes on; above the daemon's packet limit, so that the daemon meets such messages.
pub const MESSAGE_LIMIT: u64 = 16 << 20;
/// Messages of QoS 1 and 2 under way to one client.
pub const MAX_INFLIGHT: u32 = 200;
/// Messages that wait for one client beyond those; what does not fit is dropped by the broker.
pub const MAX_QUEUED: u32 = 20_000;

/// The running broker.
#[derive(Debug)]
pub struct Broker {
    pub process: Process,
    dir: PathBuf,
    life: Life,
    port: u16,
}

impl Broker {
    /// Starts one on a free port of the loopback; its state and log are in `dir`.
    pub fn start(dir: &Path, life: Life) -> Result<Broker> {
        // Somebody else may take the port between the look and the start: then the next one is tried.
        let mut last = None;
        for _ in 0..5 {
            match Broker::start_on(dir, life, free_port()?) {
                Ok(broker) => return Ok(broker),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no attempt was made"))).context("start mosquitto")
    }

    /// Starts one on this port.
    pub fn start_on(dir: &Path, life: Life, port: u16) -> Result<Broker> {
        let config = dir.join("mosquitto.conf");
        fs::write(&config, configuration(dir, port)).with_context(|| format!("write {}", config.display()))?;
        let mut command = Command::new(program());
        command.arg("-c").arg(&config);
        let mut process = Process::spawn("mosquitto", command, dir, life)?;
        eventually_blocking("the broker listens", PATIENCE, || match process.exited()? {
            Some(_) => bail!("mosquitto ended at once\n{}", process.log_tail(20)),
            None => Ok(TcpStream::connect(("127.0.0.1", port)).ok()),
        })?;
        Ok(Broker { process, dir: dir.to_path_buf(), life, port })
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it in an orderly way: sessions and queued messages are saved.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Starts it again on the same port with what was saved.
    pub fn start_again(&mut self) -> Result<()> {
        *self = Broker::start_on(&self.dir, self.life, self.port)?;
        Ok(())
    }
}

/// A TCP port of the loopback that nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?.local_addr()?.port())
}

/// Debian keeps it in `/usr/sbin`, which is not in everybody's `PATH`.
fn program() -> &'static str {
    let usual = "/usr/sbin/mosquitto";
    if Path::new(usual).exists() { usual } else { "mosquitto" }
}

fn configuration(dir: &Path, port: u16) -> String {
    // Started by root it would become the user `mosquitto`, who may not write here; started by others it stays.
    let user = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
    format!(
        "{user}listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
         persistence true\npersistence_location {}/\nlog_dest stderr\nlog_timestamp_format %H:%M:%S\n\
         message_size_limit {MESSAGE_LIMIT}\nmax_inflight_messages {MAX_INFLIGHT}\nmax_queued_messages {MAX_QUEUED}\n",
        dir.display()
    )
}
