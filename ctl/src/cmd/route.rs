//! `edgectl route explain` and `edgectl route replay`; `edgectl route learn` has a file of its own.

use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::path::Path;

use zbus::Variant;

use crate::cli::{Common, ExplainArgs, ReplayArgs, RouteCommand};
use crate::client::{Client, Options};
use crate::clock;
use crate::failure::Failure;
use crate::out::Answer;
use crate::payload;
use crate::profile::{self, Given, Profile};
use crate::render::{human, json};

/// The most of a text that is sent to be looked into: more than a daemon looks into, and less than a bus carries.
const TEXT_LIMIT: u64 = 16 << 20;
/// No profile is longer; its text is sent over the bus.
const PROFILE_LIMIT: u64 = TEXT_LIMIT;

pub async fn run(common: &Common, command: &RouteCommand) -> Result<Answer, Failure> {
    match command {
        RouteCommand::Explain(args) => explain(common, args).await,
        RouteCommand::Replay(args) => replay(common, args).await,
        RouteCommand::Learn(args) => super::learn::run(common, args).await,
    }
}

async fn explain(common: &Common, args: &ExplainArgs) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    let status = client.status().await?;
    let mut read = match args.file.as_deref() {
        Some(file) if is_profile(file) => Read { profile: profile_of(file)?, ..Read::default() },
        Some(file) => payload_of(file, args.content_type.as_deref())?,
        None => Read::default(),
    };
    settings(args, &mut read.profile);
    let mut profile = read.profile;
    let model = profile.take_model().ok_or_else(|| {
        Failure::usage("which model is meant? name it with --model, in the profile, or in the body of a chat")
    })?;
    let explanation = client.explain(&model, &profile.options()).await?;
    let text = match common.json {
        true => json::record(&explanation),
        false => human::route::explanation(&explanation, &status.node),
    };
    Ok(read.notes.into_iter().fold(Answer::done(text), Answer::noting))
}

/// What a file says of a request, and what is to be said beside the answer.
#[derive(Default)]
struct Read {
    profile: Profile,
    notes: Vec<String>,
}

fn is_profile(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn profile_of(file: &Path) -> Result<Profile, Failure> {
    let cannot = |why: String| Failure::usage(format!("read {}: {why}", file.display()));
    let payload = payload::open(file)?;
    if payload::size(&payload.fd).map_err(|error| cannot(error.to_string()))? > PROFILE_LIMIT {
        return Err(cannot(format!("more than {} MiB", PROFILE_LIMIT >> 20)));
    }
    let text = payload::content(&payload.fd).map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|error| cannot(error.to_string()))?;
    Profile::read(&text).map_err(|faults| {
        let lines: Vec<String> = faults.lines().map(|fault| format!("{}: {fault}", file.display())).collect();
        Failure::usage(lines.join("\n"))
    })
}

/// Size, type and, where it is one, text of a payload.
fn payload_of(file: &Path, content_type: Option<&str>) -> Result<Read, Failure> {
    let cannot = |error: io::Error| Failure::usage(format!("read {}: {error}", file.display()));
    let payload = payload::open(file)?;
    let bytes = payload::size(&payload.fd).map_err(cannot)?;
    let content_type = content_type.unwrap_or(payload.content_type);
    let mut read = Read::default();
    read.profile.set(("bytes", Given::Whole(bytes)));
    read.profile.text("content_type", content_type);
    if !is_text(content_type) {
        return Ok(read);
    }
    let bytes_read = payload::beginning(&payload.fd, TEXT_LIMIT).map_err(cannot)?;
    // The daemon reads what is no UTF-8 in its own way; a bus carries only UTF-8.
    let text = String::from_utf8_lossy(&bytes_read).into_owned();
    if bytes > TEXT_LIMIT {
        let note = format!("edgectl: only the first {} MiB of the text were told to the daemon", TEXT_LIMIT >> 20);
        read.notes.push(note);
    }
    if let Some(model) = profile::model_of_chat(&text) {
        read.profile.text("model", model);
    }
    // No text of the bus has one.
    read.profile.text("text", text.replace('\0', "\u{fffd}"));
    Ok(read)
}

fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/") || essence == payload::JSON
}

/// What the command line says, over what the file does.
fn settings(args: &ExplainArgs, profile: &mut Profile) {
    let mut text = |key, word: Option<&str>| {
        if let Some(word) = word {
            profile.text(key, word);
        }
    };
    text("model", args.model.as_deref());
    text("content_type", args.content_type.as_deref());
    text("data_class", args.class.map(|class| class.as_str()));
    text("priority", args.priority.map(|priority| priority.as_str()));
    text("source", args.source.as_deref());
    if let Some(deadline) = args.deadline {
        let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        profile.set(("deadline_ms", Given::Whole(ms)));
    }
    if args.deferrable {
        profile.set(("deferrable", Given::Truth(true)));
    }
    for setting in &args.set {
        profile.set(setting.clone());
    }
}

async fn replay(common: &Common, args: &ReplayArgs) -> Result<Answer, Failure> {
    let policy = policy(&args.policy)?;
    let client: Client = super::connect(common).await?;
    // A daemon that is too old for this command is told apart from one that has no records.
    client.status().await?;
    let since = args.since.as_ref().map(|since| since.resolve(clock::unix_seconds()).rfc3339());
    let options: Options<'_> = since.map(|since| ("since", Variant::from(since))).into_iter().collect();
    let replay = client.replay(policy, &options).await?;
    Ok(Answer::done(if common.json { json::record(&replay) } else { human::route::replay(&replay) }))
}

/// The file itself, which the daemon reads from where it stands: at its beginning.
fn policy(path: &Path) -> Result<OwnedFd, Failure> {
    let cannot = |error: io::Error| Failure::usage(format!("read {}: {error}", path.display()));
    if path == Path::new("-") {
        let mut copy = payload::memfd(io::stdin().lock()).map_err(cannot)?;
        copy.rewind().map_err(cannot)?;
        return Ok(copy.into());
    }
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(Failure::usage(format!("read {}: it is a directory", path.display())));
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_tells_its_size_and_type_and_only_a_text_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            let mut profile = payload_of(&path, None).unwrap().profile;
            let model = profile.take_model();
            let mut told: Vec<String> = profile.options().iter().map(|(key, value)| format!("{key}={value}")).collect();
            told.sort();
            (model, told.join(" "))
        };
        let cases = [
            ("a.png", &b"\x89PNG\r\n\x1a\n secret"[..], None, "bytes=uint64 15 content_type=\"image/png\""),
            ("a.txt", b"hello\0", None, "bytes=uint64 6 content_type=\"text/plain\" text=\"hello\u{fffd}\""),
            ("a.bin", b"hello", None, "bytes=uint64 5 content_type=\"application/octet-stream\""),
        ];
        for (name, content, model, expected) in cases {
            assert_eq!(at(name, content), (model, expected.to_owned()), "{name}");
        }
        let (model, told) = at("chat.json", br#"{"model": "chat", "messages": []}"#);
        assert_eq!(model.as_deref(), Some("chat"));
        assert!(told.contains("text=") && told.contains("application/json"), "{told}");
    }

    #[test]
    fn the_faults_of_a_profile_name_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("night.toml");
        std::fs::write(&path, "colour = 1\nbytes = -1\n").unwrap();
        let faults = profile_of(&path).unwrap_err().to_string();
        assert_eq!(faults.lines().filter(|line| line.contains("night.toml: ")).count(), 2, "{faults}");
    }
}
