//! Keys and signatures in the form of minisign: `minisign -V -p KEY.pub -m model.toml` proves what was signed here, and what
//! `minisign -S` signs is taken. Signed is the manifest, which has the digest of every other file; of what a box exported of
//! its cache, the head of that file.

use std::io::{BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use edge_engine::bundle;
use edge_wire::bring::Written;
use minisign::{KeyPair, PublicKey, SecretKeyBox, SignatureBox};

use super::goldens::write;
use super::{BringError, file};
use crate::cache::head::Head;
use crate::driver::clock;
use crate::fleet::list;
use crate::store::archive::{self, ArchiveError, Packing, Promise as _};

/// The signature's file, beside the manifest.
pub const SIGNATURE: &str = "model.toml.minisig";
/// Largest key file; real ones have a few hundred bytes.
const MOST_BYTES: u64 = 64 << 10;

/// Makes a pair of keys: `NAME.key`, which only its owner can read, and `NAME.pub`, for the `keys.d` of every box. Neither is
/// ever overwritten. With a password, which is asked for on the terminal, the secret key is encrypted.
pub fn keygen(name: &Path, password: bool) -> Result<Written, BringError> {
    let (secret_path, public_path) = (ending(name, "key"), ending(name, "pub"));
    for path in [&secret_path, &public_path] {
        if path.symlink_metadata().is_ok() {
            return Err(BringError::Usage(format!(
                "{} is there already, and a key is never overwritten",
                path.display()
            )));
        }
    }
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| BringError::Key { what, source }
    };
    let pair = match password {
        true => {
            at_the_terminal(|| KeyPair::generate_encrypted_keypair(None))?.map_err(failed("make an encrypted key"))?
        }
        false => KeyPair::generate_unencrypted_keypair().map_err(failed("make a key"))?,
    };
    let secret = pair.sk.to_box(None).map_err(failed("write the secret key"))?.into_string();
    let public = pair.pk.to_box().map_err(failed("write the public key"))?.into_string();
    let mut options = std::fs::File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut out = options.open(&secret_path).map_err(file("make", &secret_path))?;
    out.write_all(secret.as_bytes()).map_err(file("write", &secret_path))?;
    write(&public_path, public.as_bytes())?;
    let mut remarks = Vec::new();
    if !password {
        remarks.push(format!("{} is not encrypted: whoever reads it can sign", secret_path.display()));
    }
    Ok(Written {
        path: secret_path.display().to_string(),
        bytes: 0,
        key: number(pair.pk.keynum()),
        public: pair.pk.to_base64(),
        remarks,
    })
}

/// Signs the bundle in a directory, a list of what boxes are to have (`*.toml`), or what a box exported.
pub fn sign(what: &Path, key: &Path) -> Result<Written, BringError> {
    match what.extension() {
        Some(end) if end == "toml" && what.is_file() => sign_list(what, key),
        _ if what.is_file() => sign_export(what, key),
        _ => sign_bundle(what, key),
    }
}

/// Signs a list, which must be one.
fn sign_list(path: &Path, key: &Path) -> Result<Written, BringError> {
    let text = bundle::read_text(path, list::MOST_BYTES).map_err(file("read the list", path))?;
    list::parse(&text).map_err(|faults| BringError::Usage(format!("{}: {}", path.display(), faults.join("; "))))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let to = path.with_file_name(format!("{name}.minisig"));
    let (signed, key) = signature(text.as_bytes(), &format!("file:{name}"), key)?;
    write(&to, signed.as_bytes())?;
    Ok(Written { path: to.display().to_string(), bytes: signed.len() as u64, key, ..Written::default() })
}

/// Signs a bundle, whose files must be as its manifest says.
fn sign_bundle(dir: &Path, key: &Path) -> Result<Written, BringError> {
    let opened = bundle::open(dir)?;
    bundle::verify(&opened)?;
    let path = dir.join(bundle::MANIFEST);
    let signed = std::fs::read(&path).map_err(file("read", &path))?;
    let manifest = opened.manifest();
    let of = format!("file:{}\tbundle:{}:{}", bundle::MANIFEST, manifest.name, manifest.version);
    let (text, key) = signature(&signed, &of, key)?;
    let to = dir.join(SIGNATURE);
    write(&to, text.as_bytes())?;
    Ok(Written { path: to.display().to_string(), bytes: text.len() as u64, key, ..Written::default() })
}

/// Signs what a box exported, in its place; every file of it must be as its head says.
fn sign_export(path: &Path, key: &Path) -> Result<Written, BringError> {
    let from = std::fs::File::open(path).map_err(file("open", path))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Beside it: there is room for as much again where it was put.
    let room = Room(path.with_file_name(format!(".{name}.{}.unpacked", std::process::id())));
    std::fs::create_dir(&room.0).map_err(file("make", &room.0))?;
    let unpacked = archive::unpack_as(BufReader::new(from), &room.0, |_: &archive::Announced<'_, Head>| {
        Ok::<(), std::convert::Infallible>(())
    })?;
    let head = room.0.join(Head::FILE);
    let signed = std::fs::read(&head).map_err(file("read", &head))?;
    let of = format!("file:{}\texport of:{}", Head::FILE, unpacked.node.replace(['\t', '\n'], " "));
    let (text, key) = signature(&signed, &of, key)?;
    let bytes = archive::whole(path, |out| {
        let mut packing = Packing::begin(out)?;
        for (name, text) in [(Head::FILE, signed.as_slice()), (Head::SIGNATURE, text.as_bytes())] {
            packing.add(name, text.len() as u64, text).map_err(ArchiveError::Write)?;
        }
        for entry in &unpacked.files {
            let from = room.0.join(&entry.path);
            let failed = |source| ArchiveError::File { what: "pack", path: from.clone(), source };
            let opened = std::fs::File::open(&from).map_err(failed)?;
            packing.add(&entry.path, entry.bytes, BufReader::new(opened)).map_err(failed)?;
        }
        packing.finish()
    })?;
    Ok(Written { path: path.display().to_string(), bytes, key, ..Written::default() })
}

/// A directory that goes away with this value.
struct Room(PathBuf);

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed has a name of its own, beside the file that it was made of.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The signature of `signed` with the key in this file, and the key's number. `of` says of what it is, in the comment that is
/// signed too.
fn signature(signed: &[u8], of: &str, key: &Path) -> Result<(String, String), BringError> {
    let text = bundle::read_text(key, MOST_BYTES).map_err(file("read the key", key))?;
    let failed = |source| BringError::Key { what: format!("use the key {}", key.display()), source };
    let secret = SecretKeyBox::from_string(&text).map_err(failed)?;
    // One that has no password is told by its form, and asked for none.
    let secret = match secret.clone().into_unencrypted_secret_key() {
        Ok(secret) => secret,
        Err(_) => at_the_terminal(|| secret.into_secret_key(None))?.map_err(failed)?,
    };
    let public = PublicKey::from_secret_key(&secret).map_err(failed)?;
    let trusted = format!("timestamp:{}\t{of}", clock::unix_seconds());
    let signature = minisign::sign(Some(&public), &secret, signed, Some(&trusted), None).map_err(failed)?;
    Ok((signature.into_string(), number(public.keynum())))
}

/// Does what asks for a password. The library asks on standard output, which is for the record of what was done, so that is
/// the terminal meanwhile.
fn at_the_terminal<T>(work: impl FnOnce() -> T) -> Result<T, BringError> {
    let path = Path::new("/dev/tty");
    let terminal = std::fs::File::options().read(true).write(true).open(path).map_err(|error| {
        BringError::Usage(format!(
            "a password has to be asked for on a terminal, and there is none ({error}): run this on one, or use a key that \
             `edgectl models keygen --no-password` made"
        ))
    })?;
    let failed = |errno: rustix::io::Errno| file("use", path)(errno.into());
    let record = rustix::io::dup(std::io::stdout()).map_err(failed)?;
    rustix::stdio::dup2_stdout(&terminal).map_err(failed)?;
    let done = work();
    rustix::stdio::dup2_stdout(&record).map_err(failed)?;
    Ok(done)
}

/// Number of the key that a signature file names; empty if it is none.
pub fn signer(text: &str) -> String {
    SignatureBox::from_string(text).map(|signature| number(signature.keynum())).unwrap_or_default()
}

/// As minisign writes it: the number's eight bytes from the last to the first.
fn number(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

fn ending(name: &Path, ending: &str) -> std::path::PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("site");
        let made = keygen(&name, false).unwrap();
        assert_eq!((made.key.len(), made.public.starts_with("RW")), (16, true));
        let mode = std::fs::metadata(dir.path().join("site.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let public = std::fs::read_to_string(dir.path().join("site.pub")).unwrap();
        assert!(public.contains(&made.public) && public.contains(&made.key), "{public}");
        assert!(keygen(&name, false).unwrap_err().to_string().contains("never overwritten"));
    }
}
