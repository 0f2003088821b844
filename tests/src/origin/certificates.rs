//! An authority and certificates of servers, made for one test by the openssl command.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::secrets::Pair;

/// The names that a server's certificate holds for.
pub const NAMES: &str = "DNS:localhost, DNS:models.plant, IP:127.0.0.1";

/// When a certificate begins to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Today,
    /// In the year 2090: to a box whose clock is right that looks like a clock that stands far behind.
    Later,
}

/// An authority in `dir`.
pub fn authority(dir: &Path) -> Result<Pair> {
    fs::create_dir_all(dir)?;
    let at = dir.display();
    fs::write(dir.join("index.txt"), "")?;
    fs::write(
        dir.join("openssl.cnf"),
        format!(
            "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n\
             [authority]\nbasicConstraints = critical, CA:TRUE\n\
             [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = {NAMES}\n\
             [ca]\ndefault_ca = this\n[this]\ndatabase = {at}/index.txt\nnew_certs_dir = {at}\nrand_serial = yes\n\
             default_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = supplied\n"
        ),
    )?;
    let pair = Pair { certificate: dir.join("authority.pem"), key: dir.join("authority.key") };
    let mut command = request(dir, "authority", &pair);
    run(command.args(["-x509", "-days", "40000", "-extensions", "authority"]).arg("-out").arg(&pair.certificate))?;
    Ok(pair)
}

/// A server's certificate by the authority of `dir`.
pub fn server(dir: &Path, authority: &Pair, from: From) -> Result<Pair> {
    let name = format!("server-{from:?}");
    let pair = Pair { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    let wish = dir.join(format!("{name}.csr"));
    run(request(dir, &name, &pair).arg("-out").arg(&wish))?;
    let mut command = Command::new("openssl");
    command.args(["ca", "-batch", "-notext", "-extensions", "server", "-config"]).arg(dir.join("openssl.cnf"));
    command.arg("-cert").arg(&authority.certificate).arg("-keyfile").arg(&authority.key);
    command.arg("-in").arg(&wish).arg("-out").arg(&pair.certificate);
    match from {
        From::Today => command.args(["-days", "2"]),
        From::Later => command.args(["-startdate", "20900101000000Z", "-enddate", "20910101000000Z"]),
    };
    run(&mut command)?;
    Ok(pair)
}

fn request(dir: &Path, name: &str, pair: &Pair) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-subj", &format!("/CN={name}"), "-config"]).arg(dir.join("openssl.cnf"));
    command.arg("-keyout").arg(&pair.key);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let done = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
