//! Certificates and a password, made for one test: what a plant would hand to a box.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
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

/// Writes a secret to a file that only its owner may open: the daemon takes no other.
pub fn keep(path: &Path, secret: &str) -> Result<()> {
    fs::write(path, secret)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

/// A certificate by this authority for `localhost` that ends in so many seconds, or ended so many before.
pub fn ending(dir: &Path, authority: &Pair, name: &str, seconds: i64) -> Result<Pair> {
    let at = dir.join(format!("{name}.d"));
    fs::create_dir_all(&at)?;
    fs::write(at.join("index.txt"), "")?;
    let place = at.display();
    fs::write(
        at.join("openssl.cnf"),
        format!(
            "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n\
             [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:localhost\n\
             [ca]\ndefault_ca = this\n[this]\ndatabase = {place}/index.txt\nnew_certs_dir = {place}\nrand_serial = yes\n\
             default_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = supplied\n"
        ),
    )?;
    let pair = Pair { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    let wish = at.join("wish.csr");
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-subj", &format!("/CN={name}"), "-config"]).arg(at.join("openssl.cnf"));
    run(command.arg("-keyout").arg(&pair.key).arg("-out").arg(&wish))?;
    let mut command = Command::new("openssl");
    command.args(["ca", "-batch", "-notext", "-extensions", "server", "-config"]).arg(at.join("openssl.cnf"));
    command.arg("-cert").arg(&authority.certificate).arg("-keyfile").arg(&authority.key);
    command.args(["-startdate", "20200101000000Z", "-enddate", &utc(seconds)?]);
    run(command.arg("-in").arg(&wish).arg("-out").arg(&pair.certificate))?;
    Ok(pair)
}

/// The pin of a certificate's key, as openssl and its digest tools make it.
pub fn pin(certificate: &Path) -> Result<String> {
    let steps = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | \
                 openssl dgst -sha256 -binary | base64";
    let done = Command::new("sh").args(["-c", steps]).arg(certificate).output().context("run sh")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(format!("sha256/{}", String::from_utf8(done.stdout)?.trim()))
}

/// So many seconds from now, as certificates have it.
fn utc(seconds: i64) -> Result<String> {
    let done = Command::new("date").args(["-u", "-d", &format!("{seconds} seconds"), "+%Y%m%d%H%M%SZ"]).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
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
