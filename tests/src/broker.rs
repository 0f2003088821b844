//! A local mosquitto on a free port, with stated limits, whose sessions survive its restart; on demand with a second port
//! that takes only whom it knows.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::net::TcpSocket;

use crate::clock::{PATIENCE, eventually_blocking};
use crate::process::{Life, Process};
use crate::secrets::{Pair, Secrets};

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
    port: Port,
    second: Option<Second>,
}

/// Another port, with rules of its own.
#[derive(Debug)]
struct Second {
    port: Port,
    /// Lines of its configuration.
    lines: String,
    /// A file of settings for its TLS library.
    openssl: Option<PathBuf>,
}

impl Broker {
    /// Starts one on a free port of the loopback; its state and log are in `dir`.
    pub fn start(dir: &Path, life: Life) -> Result<Broker> {
        Broker::start_on(dir, life, Port::reserve()?)
    }

    /// Starts one on this port.
    pub fn start_on(dir: &Path, life: Life, port: Port) -> Result<Broker> {
        let process = listen(dir, life, port.number(), None)?;
        Ok(Broker { process, dir: dir.to_path_buf(), life, port, second: None })
    }

    /// Starts it again with a second port that is guarded by these secrets. Gives that port.
    pub fn guard(&mut self, secrets: Secrets) -> Result<u16> {
        self.listen_too(&guarded_lines(&secrets))
    }

    /// Starts it again with a second port on which these lines hold, or other lines on that port. Gives the port.
    pub fn listen_too(&mut self, lines: &str) -> Result<u16> {
        self.stop()?;
        let second = match self.second.take() {
            Some(second) => Second { lines: lines.into(), ..second },
            None => Second { port: Port::reserve()?, lines: lines.into(), openssl: None },
        };
        let number = second.port.number();
        self.second = Some(second);
        self.start_again()?;
        Ok(number)
    }

    /// From its next start on the second port speaks TLS up to this version: `TLSv1.2` or `TLSv1.3`.
    pub fn speak_up_to(&mut self, version: &str) -> Result<()> {
        let file = self.dir.join("openssl-broker.cnf");
        let text = "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = most\n[most]\nMaxProtocol = ";
        fs::write(&file, format!("{text}{version}\n"))?;
        self.second.as_mut().context("no second port")?.openssl = Some(file);
        Ok(())
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Stops it in an orderly way: sessions and queued messages are saved.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Starts it again on the same port with what was saved.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = listen(&self.dir, self.life, self.port(), self.second.as_ref())?;
        Ok(())
    }
}

/// A TCP port of the loopback that nobody else gets for as long as this value lives. Whoever connects to it is refused,
/// until somebody who was told its number listens there.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Bound and never listening: others may bind the same address if they ask for this very one.
    _held: TcpSocket,
}

impl Port {
    /// Takes a free one.
    pub fn reserve() -> Result<Port> {
        let held = TcpSocket::new_v4().context("make a socket")?;
        held.set_reuseaddr(true).context("share a port")?;
        held.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).context("find a free port")?;
        Ok(Port { number: held.local_addr()?.port(), _held: held })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn listen(dir: &Path, life: Life, port: u16, second: Option<&Second>) -> Result<Process> {
    let config = dir.join("mosquitto.conf");
    let text = configuration(dir, port) + &second.map(second_listener).unwrap_or_default();
    fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    let mut command = Command::new(program());
    command.arg("-c").arg(&config);
    command.envs(second.and_then(|second| second.openssl.as_ref()).map(|file| ("OPENSSL_CONF", file)));
    let mut process = Process::spawn("mosquitto", command, dir, life)?;
    eventually_blocking("the broker listens", PATIENCE, || match process.exited()? {
        Some(_) => bail!("mosquitto ended at once\n{}", process.log_tail(20)),
        None => Ok(TcpStream::connect(("127.0.0.1", port)).ok()),
    })?;
    Ok(process)
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
        "per_listener_settings true\n{user}listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
         persistence true\npersistence_location {}/\nlog_dest stderr\nlog_timestamp_format %H:%M:%S\n\
         message_size_limit {MESSAGE_LIMIT}\nmax_inflight_messages {MAX_INFLIGHT}\nmax_queued_messages {MAX_QUEUED}\n",
        dir.display()
    )
}

fn second_listener(second: &Second) -> String {
    format!("listener {} 127.0.0.1\n{}", second.port.number(), second.lines)
}

/// Only clients that have both a certificate of the authority and the password.
fn guarded_lines(secrets: &Secrets) -> String {
    format!(
        "allow_anonymous false\npassword_file {}\nrequire_certificate true\n{}",
        secrets.password_file.display(),
        tls_lines(&secrets.authority, &secrets.server),
    )
}

/// TLS with this certificate, and clients' certificates by this authority, for who shows one.
pub fn tls_lines(authority: &Pair, server: &Pair) -> String {
    format!(
        "cafile {}\ncertfile {}\nkeyfile {}\n",
        authority.certificate.display(),
        server.certificate.display(),
        server.key.display(),
    )
}
