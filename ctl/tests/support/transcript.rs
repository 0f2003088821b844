//! What the command said, run after run, compared with a file. `UPDATE_GOLDENS=1` writes the file anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::bus::PrivateBus;
use super::redact;

/// The command in the environment of one test.
pub struct Edgectl<'a> {
    bus: &'a PrivateBus,
    binary: PathBuf,
    variables: Vec<(String, String)>,
}

impl<'a> Edgectl<'a> {
    /// The binary that cargo built, on this bus.
    pub fn on(bus: &'a PrivateBus) -> Edgectl<'a> {
        Edgectl { bus, binary: env!("CARGO_BIN_EXE_edgectl").into(), variables: Vec::new() }
    }

    /// The same binary in a directory of its own, beside a daemon that gives this verdict on every configuration.
    pub fn beside_daemon(bus: &'a PrivateBus, verdict: &str, code: u8) -> Edgectl<'a> {
        use std::os::unix::fs::PermissionsExt;
        let dir = bus.path().join("bin");
        fs::create_dir_all(&dir).unwrap();
        let binary = dir.join("edgectl");
        if !binary.exists() {
            let built = env!("CARGO_BIN_EXE_edgectl");
            fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
        }
        let script = format!("#!/bin/sh\necho \"$*: {verdict}\" >&2\nexit {code}\n");
        fs::write(dir.join("edged"), script).unwrap();
        fs::set_permissions(dir.join("edged"), fs::Permissions::from_mode(0o755)).unwrap();
        Edgectl { binary, ..Edgectl::on(bus) }
    }

    /// With this variable in its environment.
    pub fn with(mut self, name: &str, value: &str) -> Edgectl<'a> {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// A command line, not run yet. Relative files are those of the test's directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("EDGED_BUS", "session")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus.address)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.bus.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it and tells how.
    pub fn tell(&self, args: &[&str]) -> String {
        self.tell_as(args, str::to_owned)
    }

    /// The same against a real daemon, without what it measured.
    pub fn tell_redacted(&self, args: &[&str]) -> String {
        self.tell_as(args, redact::volatile)
    }

    fn tell_as(&self, args: &[&str], shown: fn(&str) -> String) -> String {
        let output = self.run(args);
        let mut text = format!("$ edgectl {}\n", args.join(" "));
        for (name, stream) in [("", &output.stdout), ("stderr", &output.stderr)] {
            for line in shown(&self.redacted(&String::from_utf8_lossy(stream))).lines() {
                let mark = if name.is_empty() { "" } else { "! " };
                writeln!(text, "{mark}{line}").unwrap();
            }
        }
        writeln!(text, "[exit {}]", output.status.code().unwrap_or(-1)).unwrap();
        text
    }

    /// One after the other.
    pub fn tell_all(&self, lines: &[&[&str]]) -> Vec<String> {
        lines.iter().map(|line| self.tell(line)).collect()
    }

    /// What differs from run to run, replaced.
    fn redacted(&self, text: &str) -> String {
        let own = std::process::id();
        let uid = rustix::process::getuid().as_raw();
        text.replace(&self.bus.path().display().to_string(), "TMP")
            .replace(&format!("pid {own} (uid {uid})"), "pid PID (uid UID)")
            .replace(&format!("(uid {uid})"), "(uid UID)")
            .replace("root may do everything", "the owner of a session bus may do everything")
    }
}

/// Compares a transcript with `tests/golden/NAME.txt`.
pub fn check(name: &str, runs: &[String]) {
    let told = runs.join("\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = told.lines().zip(expected.lines()).position(|(told, expected)| told != expected);
    let line = differs.unwrap_or_else(|| told.lines().count().min(expected.lines().count()));
    assert!(
        told == expected,
        "{} differs from line {} on:\n  was      {:?}\n  expected {:?}\nUPDATE_GOLDENS=1 takes over the new text",
        path.display(),
        line + 1,
        told.lines().nth(line),
        expected.lines().nth(line),
    );
}
