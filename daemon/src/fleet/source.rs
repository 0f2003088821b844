//! Where it is said what this box is to have: `*.toml` in a directory of the operator's, and a signed list at an address, of which the
//! last good one is kept, so that it holds without a network too. A list that is damaged, older than the one before or signed
//! by nobody who is trusted changes nothing, and that is told.
//!
//! Decides what counts as said. Must not know models, jobs or topics.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use edge_wire::dto::Problem;
use reqwest::header::HeaderMap;
use reqwest::{Response, Url};
use serde::{Deserialize, Serialize};

use super::list::{self, List, MOST_BYTES, Said, Version, Wanted};
use crate::config::{FleetConfig, ModelsConfig, PullConfig};
use crate::driver::{chain, clock};
use crate::pull::address::{host, shown};
use crate::pull::client::{Client, refused, stalled};
use crate::pull::trouble::{Trouble, of_error};
use crate::store::records::sync_dir;
use crate::store::trust::{Trust, TrustError};

/// Largest signature, bytes.
const MOST_SIGNATURE: u64 = 16 << 10;
/// A list is small: a server that has not given it by then will not.
const FETCH_LIMIT: Duration = Duration::from_secs(60);
/// Files with faults that are told.
const MOST_TOLD: usize = 8;
/// Before this time no clock is believed: it lost its battery. When this was written, 2026-11-01.
const EARLIEST: Duration = Duration::from_secs(1_793_491_200);

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    config: FleetConfig,
    models: ModelsConfig,
    /// The list that was fetched last, and a second copy of it: what it forbids must not be lost with one file.
    kept: [PathBuf; 2],
    /// What each of the operator's files said when it was last without a fault.
    said: PathBuf,
    /// When each version was first read of.
    begun: PathBuf,
}

/// What a box is to have, and what was wrong with what said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    pub wanted: Vec<Order>,
    pub revoked: BTreeMap<Version, String>,
    pub problems: Vec<Problem>,
    /// Of the list that was fetched last.
    pub serial: Option<u64>,
}

/// A version that this box is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub wanted: Wanted,
    /// When its rollout began or begins, if that can be said.
    pub begins: Option<SystemTime>,
}

impl Order {
    /// How long ago the rollout of a wave began; `None` if it did not, or the clock here cannot be believed.
    pub fn since(&self, wave: Option<usize>, now: SystemTime) -> Option<Duration> {
        // Who is first and was told no time needs no clock.
        if wave == Some(0) && self.wanted.since.is_none() {
            return Some(Duration::ZERO);
        }
        self.begins.filter(|_| is_believed(now)).and_then(|begins| now.duration_since(begins).ok())
    }
}

/// Whether a clock can be right.
pub fn is_believed(now: SystemTime) -> bool {
    now >= SystemTime::UNIX_EPOCH + EARLIEST
}

/// A list as it was fetched.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    url: String,
    text: String,
    signature: String,
}

impl Places {
    pub fn new(config: &FleetConfig, models: &ModelsConfig, state_dir: &Path) -> Places {
        let dir = state_dir.join("fleet");
        Places {
            config: config.clone(),
            models: models.clone(),
            kept: [dir.join("list.json"), dir.join("list-copy.json")],
            said: dir.join("files.json"),
            begun: dir.join("begun.json"),
        }
    }

    /// What is said on this box, without asking anybody.
    pub fn known(&self) -> Desired {
        let mut problems = Vec::new();
        let kept = self.read_kept().unwrap_or_else(|why| {
            problems.push(problem("fleet list", why, "it is fetched again; look at the disk of the state directory"));
            None
        });
        self.desired(kept.map(|(_, list)| list), problems)
    }

    fn desired(&self, fetched: Option<List>, mut problems: Vec<Problem>) -> Desired {
        let serial = fetched.as_ref().and_then(|list| list.serial);
        let mut lists: Vec<List> = fetched.into_iter().collect();
        lists.extend(self.local(&mut problems));
        let Said { wanted, revoked } = list::said(&lists, self.config.channel.as_deref());
        let begun = self.note_begun(&wanted).unwrap_or_else(|why| {
            problems.push(problem("fleet", why, "look at the disk of the state directory"));
            BTreeMap::new()
        });
        let order = |wanted: Wanted| {
            let first = begun.get(&label(&wanted)).and_then(|text| humantime::parse_rfc3339(text).ok());
            Order { begins: wanted.since.or(first), wanted }
        };
        Desired { wanted: wanted.into_values().map(order).collect(), revoked, problems, serial }
    }

    /// The operator's own files, in name order. One that has a fault says what it said before: a slip of a pen must not lift a
    /// ban.
    fn local(&self, problems: &mut Vec<Problem>) -> Vec<List> {
        let dir = &self.config.dir;
        let mut told = 0;
        let mut wrong = |path: &Path, why: String| {
            told += 1;
            if told <= MOST_TOLD {
                let subject = format!("fleet {}", path.display());
                let remedy = "correct it, then `edgectl models sync`; until then it says what it said before";
                problems.push(problem(&subject, why, remedy));
            }
        };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                wrong(dir, format!("cannot be read: {error}"));
                return Vec::new();
            }
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        paths.sort();
        let before = self.read_said();
        let (mut lists, mut said) = (Vec::new(), BTreeMap::new());
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = edge_engine::bundle::read_text(&path, MOST_BYTES);
            let read = text.map_err(|error| vec![error.to_string()]);
            match read.and_then(|text| list::parse(&text).map(|list| (text, list))) {
                Ok((text, list)) => {
                    said.insert(name, text);
                    lists.push(list);
                }
                Err(faults) => {
                    wrong(&path, faults.join("; "));
                    if let Some(text) = before.get(&name) {
                        lists.extend(list::parse(text));
                        said.insert(name, text.clone());
                    }
                }
            }
        }
        if said != before
            && let Err(error) = serde_json::to_vec(&said).map_err(Into::into).and_then(|text| write(&self.said, &text))
        {
            wrong(&self.said, format!("cannot be written: {error}"));
        }
        if told > MOST_TOLD {
            let more = told - MOST_TOLD;
            problems.push(problem(
                "fleet",
                format!("{more} more files have faults"),
                "correct those first that are told",
            ));
        }
        lists
    }

    /// What the files said; nothing, if that cannot be read.
    fn read_said(&self) -> BTreeMap<String, String> {
        let text = edge_engine::bundle::read_text(&self.said, 64 * MOST_BYTES).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The list that was fetched last, if it is of the address that is asked now. Its signature was proven when it came; a key that
    /// has ended since, or keys that cannot be read, do not lift what it forbids.
    fn read_kept(&self) -> Result<Option<(Kept, List)>, String> {
        let Some(url) = &self.config.url else { return Ok(None) };
        let mut fault = None;
        for path in &self.kept {
            let read = || -> Result<(Kept, List), String> {
                let text = edge_engine::bundle::read_text(path, 4 * MOST_BYTES).map_err(|error| error.to_string())?;
                let kept: Kept = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let list = list::parse(&kept.text).map_err(|faults| faults.join("; "))?;
                Ok((kept, list))
            };
            match read() {
                Ok((kept, list)) => return Ok((kept.url == *url).then_some((kept, list))),
                Err(_) if !path.exists() => {}
                Err(why) => fault = Some(format!("read {}: {why}", path.display())),
            }
        }
        fault.map_or(Ok(None), Err)
    }

    fn judge(&self, kept: &Kept) -> Result<List, String> {
        let trust = Trust::read(&self.models).map_err(|error| chain(&error))?;
        trust.judge(&kept.text, Some(&kept.signature), clock::wall()).map_err(|error| match error {
            TrustError::Other { signer } => format!(
                "the list is not taken: the signature by the key {signer} is of another text; was it signed again after the last \
                 change (`edgectl models sign LIST.toml`)?"
            ),
            error => format!("the list is not taken: {}", chain(&error)),
        })?;
        list::parse(&kept.text).map_err(|faults| format!("the list is not taken: {}", faults.join("; ")))
    }

    /// Takes what was fetched, if it is good and not older than what was there.
    fn take(&self, kept: Kept) -> Result<List, String> {
        let list = self.judge(&kept)?;
        let Some(serial) = list.serial else {
            return Err("the list is not taken: serial: takes a number that grows with each change of the list".into());
        };
        // One that cannot be read has no say; it was told before.
        if let Ok(Some((before, old))) = self.read_kept() {
            let known = old.serial.unwrap_or_default();
            if serial < known {
                return Err(format!("the list is not taken: its serial is {serial}, and {known} was here before"));
            }
            if serial == known && before.text != kept.text {
                return Err(format!("the list is not taken: it has changed, and its serial {serial} has not"));
            }
            if before.text == kept.text && before.signature == kept.signature {
                return Ok(list);
            }
        }
        let text = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
        for path in &self.kept {
            write(path, &text).map_err(|error| format!("keep the list in {}: {error}", path.display()))?;
        }
        Ok(list)
    }

    /// Notes when each version was first read of, and says when that was.
    fn note_begun(&self, wanted: &BTreeMap<String, Wanted>) -> Result<BTreeMap<String, String>, String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} {}: {error}", self.begun.display());
        let before: BTreeMap<String, String> = match edge_engine::bundle::read_text(&self.begun, MOST_BYTES) {
            // One that is damaged is made anew: a hold then counts from now.
            Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed("read", &error)),
        };
        let now = clock::wall();
        let mut begun = BTreeMap::new();
        for label in wanted.values().map(label) {
            match before.get(&label) {
                Some(at) => drop(begun.insert(label, at.clone())),
                None if is_believed(now) => {
                    begun.insert(label, humantime::format_rfc3339_seconds(now).to_string());
                }
                None => {}
            }
        }
        if begun != before {
            let text = serde_json::to_vec_pretty(&begun).map_err(|error| failed("write", &error))?;
            write(&self.begun, &text).map_err(|error| failed("write", &error))?;
        }
        Ok(begun)
    }
}

/// Reads all anew, the list from its address too.
pub async fn look(places: &Places, pull: &PullConfig) -> Desired {
    let Some(url) = &places.config.url else { return places.known() };
    let fetched = tokio::time::timeout(FETCH_LIMIT, fetch(url, pull)).await;
    let late = || Err(format!("{url} has not given the list within {} s", FETCH_LIMIT.as_secs()));
    match fetched.unwrap_or_else(|_| late()).and_then(|kept| places.take(kept)) {
        Ok(list) => places.desired(Some(list), Vec::new()),
        Err(why) => {
            let mut desired = places.known();
            let remedy =
                "what was known before holds; it is asked again by itself, or at once by `edgectl models sync`";
            desired.problems.push(problem("fleet list", why, remedy));
            desired
        }
    }
}

async fn fetch(address: &str, pull: &PullConfig) -> Result<Kept, String> {
    let url = Url::parse(address).map_err(|error| format!("fleet.url: {error}"))?;
    let mut signature_url = url.clone();
    signature_url.set_path(&format!("{}.minisig", url.path()));
    let client = Client::new(pull).map_err(words)?;
    let text = body(&client, &url, MOST_BYTES).await?;
    let signature = body(&client, &signature_url, MOST_SIGNATURE).await?;
    Ok(Kept { url: address.to_owned(), text, signature })
}

/// A small text.
async fn body(client: &Client, url: &Url, most: u64) -> Result<String, String> {
    let name = shown(url);
    let (mut answer, known) = client.get(url, &HeaderMap::new(), None).await.map_err(words)?;
    if answer.status().as_u16() != 200 {
        return Err(format!("{name}: {}", words(refused(&host(url), &answer, known.as_deref()))));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(client, &mut answer, url).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > most {
            return Err(format!("{name} is larger than the {most} bytes that are taken"));
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
}

async fn chunk(client: &Client, answer: &mut Response, url: &Url) -> Result<Option<bytes::Bytes>, String> {
    let name = host(url);
    let chunk = tokio::time::timeout(client.stall(), answer.chunk()).await;
    let chunk = chunk.map_err(|_| words(stalled(&name, client.stall())))?;
    chunk.map_err(|error| words(of_error(&name, error, &crate::pull::client::now())))
}

fn words(trouble: Trouble) -> String {
    match trouble {
        Trouble::Source { why, .. } | Trouble::NoTls(why) | Trouble::End(why) => why,
        Trouble::Held => "it may not be asked now".into(),
    }
}

fn label(wanted: &Wanted) -> String {
    format!("{}:{}", wanted.name, wanted.version)
}

fn problem(subject: &str, what: String, remedy: &str) -> Problem {
    Problem { subject: subject.to_owned(), what, remedy: remedy.to_owned() }
}

/// Puts a file in place: before or after, never between.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    std::fs::create_dir_all(dir)?;
    let part = path.with_extension("new");
    let mut file = File::create(&part)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn places(dir: &Path) -> Places {
        let config =
            FleetConfig { dir: dir.join("models.d"), url: None, channel: None, every: Duration::from_secs(300) };
        std::fs::create_dir_all(&config.dir).unwrap();
        Places::new(&config, &ModelsConfig::for_tests(), dir)
    }

    #[test]
    fn a_clock_that_lost_the_time_is_not_believed_and_the_first_wave_needs_none() {
        let wanted = list::parse("[[model]]\nname = \"a\"\nversion = \"1.0.0\"").unwrap().models.remove(0);
        let begins = Some(at("2026-12-01T06:00:00Z"));
        let order = Order { wanted: wanted.clone(), begins };
        let hour = Some(Duration::from_secs(3600));
        let cases = [
            (Some(1), "2026-12-01T07:00:00Z", hour),
            (Some(1), "2026-12-01T05:00:00Z", None),
            (Some(1), "1970-01-01T07:00:00Z", None),
            (Some(0), "1970-01-01T07:00:00Z", Some(Duration::ZERO)),
        ];
        for (wave, now, since) in cases {
            assert_eq!(order.since(wave, at(now)), since, "{wave:?} {now}");
        }
        // Who was told a time waits for it, in the first wave, too.
        let told = Order { wanted: Wanted { since: begins, ..wanted }, begins };
        assert_eq!(told.since(Some(0), at("1970-01-01T07:00:00Z")), None);
        assert_eq!(told.since(Some(0), at("2026-12-01T07:00:00Z")), hour);
    }

    #[test]
    fn when_a_version_was_first_read_of_is_kept_and_a_wrong_file_says_nothing_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        assert_eq!(places.known(), Desired::default());
        let write = |name: &str, text: &str| std::fs::write(dir.path().join("models.d").join(name), text).unwrap();
        write("b.toml", "[[model]]\nname = \"a\"\nversion = \"1.0.0\"");
        write("c.toml", "[[model]]\nname = \"b\"\nversion = \"1.0.0\"\n[[model]]\nname = \"c\"\nversion = \"one\"");
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("models.d/d.toml")).unwrap();
        let known = places.known();
        assert_eq!((known.wanted.len(), known.problems.len()), (1, 2), "{known:?}");
        assert!(known.problems[0].subject.ends_with("c.toml") && known.problems[0].what.contains("model[1].version"));
        assert!(known.problems[1].what.contains("not a regular file"), "{known:?}");
        let kept = std::fs::read_to_string(dir.path().join("fleet/begun.json")).unwrap();
        std::fs::write(dir.path().join("fleet/begun.json"), kept.replace("202", "302")).unwrap();
        let begins = humantime::format_rfc3339_seconds(places.known().wanted[0].begins.unwrap()).to_string();
        assert!(begins.starts_with("302"), "it is the first time that counts: {begins}");
        write("b.toml", "");
        assert!(places.known().wanted.is_empty());
        assert_eq!(std::fs::read_to_string(dir.path().join("fleet/begun.json")).unwrap(), "{}");
    }
}
