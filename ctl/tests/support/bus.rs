//! A bus of the test's own, ended with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running dbus-daemon and the directory of its socket.
pub struct PrivateBus {
    child: Child,
    pub dir: TempDir,
    pub address: String,
}

impl PrivateBus {
    /// Starts one; it listens when its address was printed.
    pub fn start() -> PrivateBus {
        PrivateBus::start_in(tempfile::tempdir().unwrap())
    }

    /// Starts one that starts a daemon by itself when somebody calls it: a script that leaves a mark and ends.
    pub fn start_with_activation(mark: &str) -> PrivateBus {
        let dir = tempfile::tempdir().unwrap();
        let services = dir.path().join("share/dbus-1/services");
        std::fs::create_dir_all(&services).unwrap();
        let name = edge_wire::names::BUS_NAME;
        let mark = dir.path().join(mark);
        let service = format!("[D-BUS Service]\nName={name}\nExec=/usr/bin/touch {}\n", mark.display());
        std::fs::write(services.join(format!("{name}.service")), service).unwrap();
        PrivateBus::start_in(dir)
    }

    fn start_in(dir: TempDir) -> PrivateBus {
        let mut child = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address=unix:path={}", dir.path().join("bus").display()))
            .env("XDG_DATA_HOME", dir.path().join("share"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon starts (package dbus-daemon)");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        assert!(address.starts_with("unix:path="), "dbus-daemon printed {address:?}");
        PrivateBus { child, dir, address }
    }

    /// Files of the test go here.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
