//! `edgectl support-bundle`: all that this box tells of edged, as one file without secrets. Works without a daemon, which is when
//! it is needed most.

use std::io;
use std::path::{Path, PathBuf};

use crate::calendar::Instant;
use crate::cli::{Common, SupportArgs};
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json};
use crate::support::names::Kind;
use crate::support::{self, Clean, Content, Found, Listed, Manifest, archive, gather};

/// Of the manifest's form.
const FORMAT: u32 = 1;
/// What a box is called whose name is hidden.
const HIDDEN: &str = "box";

pub async fn run(common: &Common, args: &SupportArgs) -> Result<Answer, Failure> {
    use std::io::IsTerminal as _;
    if args.stdout && (common.json || io::stdout().is_terminal()) {
        let why = if common.json { "--json takes the same place" } else { "it is a terminal: lead it into a file" };
        return Err(Failure::usage(format!("--stdout: {why}")));
    }
    if let Some(path) = args.file.as_deref() {
        archive::replaceable(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        free_or_forced(path, args.force)?;
    }
    let now = clock::unix_seconds();
    out::progress("asking edged and the system");
    let found = gather::all(common, args.config.config.clone()).await?;
    let node = node(&found);
    let (secrets, mut names) = found.learn();
    names.learn(Kind::Node, &node);
    names.learn(Kind::Node, &host());
    let shown = args.hide_names.then_some(&names);
    let (mut parts, missing) = support::redacted(found, &secrets, shown);
    let manifest = |parts: &[Clean]| Manifest {
        format: FORMAT,
        made_at: at(now).rfc3339(),
        edgectl: env!("CARGO_PKG_VERSION").into(),
        node: if args.hide_names { HIDDEN.into() } else { node.clone() },
        names_hidden: args.hide_names,
        redaction: support::sentences(args.hide_names),
        parts: parts.iter().map(listed).collect(),
        missing: missing.clone(),
    };
    let label = label(&manifest(&[]).node, now);
    let most = usize::try_from(args.max_mib << 20).unwrap_or(usize::MAX);
    let packed = loop {
        let record = json::record(&manifest(&parts));
        let first = Clean { file: "manifest.json".into(), what: String::new(), bytes: record.into_bytes() };
        let all: Vec<Clean> = std::iter::once(first).chain(parts.iter().cloned()).collect();
        let packed = archive::packed(&label, now, &all).map_err(|error| Failure::local(format!("pack: {error}")))?;
        if packed.len() <= most {
            break packed;
        }
        if !support::cut(&mut parts) {
            let what = format!("it has {} bytes, more than --max-mib {} allows", packed.len(), args.max_mib);
            return Err(Failure::usage(what));
        }
    };
    let manifest = manifest(&parts);
    if args.stdout {
        out::bytes(&packed)?;
        let notes = human::support::told("standard output", packed.len(), &manifest);
        return Ok(Answer::done(String::new()).noting(notes));
    }
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{label}.tar.gz")));
    free_or_forced(&path, args.force)?;
    archive::write(&path, &packed, args.force).map_err(|error| failed(&path, &error))?;
    let text = match common.json {
        true => json::bundled(&path, packed.len(), &manifest),
        false => human::support::told(&path.display().to_string(), packed.len(), &manifest),
    };
    Ok(Answer::done(text).ending(Exit::Done))
}

fn listed(part: &Clean) -> Listed {
    Listed { file: part.file.clone(), what: part.what.clone(), bytes: part.bytes.len() as u64 }
}

fn free_or_forced(path: &Path, force: bool) -> Result<(), Failure> {
    if force { Ok(()) } else { free(path) }
}

fn free(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(Failure::usage(format!("{} is there already: another name, or --force", path.display()))),
        Err(_) => Ok(()),
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} is there already: another name, or --force", path.display()))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::local(format!(
            "write {}: {error}: nothing is left of it; write it to another disk, or by --stdout over ssh",
            path.display()
        )),
        _ => Failure::local(format!("write {}: {error}", path.display())),
    }
}

/// The name of the box, as the daemon says; else that of the machine.
fn node(found: &Found) -> String {
    let of_status = found.parts.iter().filter(|part| part.file == "status.json").find_map(|part| match &part.content {
        Content::Document(status) => status.get("node")?.as_str().map(str::to_owned),
        _ => None,
    });
    of_status.filter(|node| !node.is_empty()).unwrap_or_else(host)
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { HIDDEN.into() } else { name.into() }
}

fn at(unix_seconds: u64) -> Instant {
    Instant::at(i64::try_from(unix_seconds).unwrap_or(i64::MAX))
}

/// `edged-support-press-7-20261129T101500Z`: the name of the file, and of the directory in it.
fn label(node: &str, now: u64) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() || "-_".contains(char) { char } else { '-' };
    let node: String = node.chars().take(64).map(plain).collect();
    let time: String = at(now).rfc3339().chars().filter(|char| char.is_ascii_alphanumeric()).collect();
    format!("edged-support-{node}-{time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_after_box_and_time() {
        assert_eq!(label("press/7", 1_795_861_800), "edged-support-press-7-20261128T103000Z");
        let mut found = Found::default();
        assert_eq!(node(&found), host());
        found.record("status.json", "", Ok(serde_json::json!({"node": "press-7"})));
        assert_eq!(node(&found), "press-7");
    }
}
