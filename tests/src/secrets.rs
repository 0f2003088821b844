//! Certificates and a password, made for one test: what a plant would hand to a box.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The user that the broker knows, and the password.
pub const USER: (&str, &str) = ("press-7", "open sesame");

/// A certificate with its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// All that a guarded broker and its clients need.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub authority: Pair,
    /// For the host `localhost`, and for nothing else.
    pub server: Pair,
    pub client: Pair,
    /// Of the broker: its users with their passwords, hashed.
    pub password_file: PathBuf,
}

impl Secrets {
    /// Makes them in `dir`.
    pub fn make(dir: &Path) -> Result<Secrets> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("openssl.cnf"), CONFIGURATION)?;
        let authority = certificate(dir, "authority", None)?;
        let password_file = dir.join("passwords");
        run(Command::new("mosquitto_passwd").arg("-c").arg("-b").arg(&password_file).args([USER.0, USER.1]))?;
        Ok(Secrets {
            server: certificate(dir, "server", Some(&authority))?,
            client: certificate(dir, "client", Some(&authority))?,
            authority,
            password_file,
        })
    }
}

const CONFIGURATION: &str = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\n\
    [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:localhost\n\
    [client]\nbasicConstraints = critical, CA:FALSE\n";

fn certificate(dir: &Path, role: &str, issuer: Option<&Pair>) -> Result<Pair> {
    let pair = Pair { certificate: dir.join(format!("{role}.pem")), key: dir.join(format!("{role}.key")) };
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.arg("-config").arg(dir.join("openssl.cnf")).args(["-extensions", role, "-subj", &format!("/CN={role}")]);
    command.arg("-keyout").arg(&pair.key).arg("-out").arg(&pair.certificate);
    if let Some(issuer) = issuer {
        command.arg("-CA").arg(&issuer.certificate).arg("-CAkey").arg(&issuer.key);
    }
    run(&mut command)?;
    Ok(pair)
}

fn run(command: &mut Command) -> Result<()> {
    let done = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
