//! The real daemon on a test's bus, ended with the test.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::bus::PrivateBus;

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `edged --session`.
pub struct Daemon {
    child: Child,
    config: PathBuf,
}

impl Daemon {
    /// Starts it with this configuration, besides node and directories; it is ready when this returns.
    pub fn start(bus: &PrivateBus, arguments: &[&str], config: &str) -> Daemon {
        let dir = bus.path();
        for name in ["state", "run"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let file = dir.join("edged.toml");
        let at = dir.display();
        let text = format!(
            "node = \"press-7\"\n[paths]\nstate_dir = \"{at}/state\"\nruntime_dir = \"{at}/run\"\n[cache]\ndir = \"{at}/cache\"\n{config}\n"
        );
        fs::write(&file, text).unwrap();
        let notices = dir.join("notify");
        let socket = UnixDatagram::bind(&notices).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = fs::File::create(dir.join("edged.log")).unwrap();
        let child = Command::new(binary())
            .args(["--session", "--config"])
            .arg(&file)
            .args(arguments)
            .env_clear()
            .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
            .env("NOTIFY_SOCKET", &notices)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Daemon { child, config: file };
        let mut notice = [0; 4096];
        loop {
            match socket.recv(&mut notice) {
                Ok(length) if notice[..length].starts_with(b"READY=1") => return daemon,
                Ok(_) => {}
                Err(error) => panic!("edged is not ready: {error}\n{}", daemon.log()),
            }
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.config.with_file_name("edged.log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon that was built together with the command. Cargo names only the binaries of the package under test.
fn binary() -> PathBuf {
    let edged = Path::new(env!("CARGO_BIN_EXE_edgectl")).with_file_name("edged");
    assert!(edged.is_file(), "no {}: build it first with `make build` or `cargo build -p edged`", edged.display());
    edged
}
