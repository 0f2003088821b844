//! Rules between the keys of one binding.

use std::collections::BTreeSet;
use std::path::Path;

use edge_core::Priority;

use super::super::keys::is_name;
use super::super::raw::Fault;
use super::super::records::Record;
use super::super::validate::size;
use super::*;
use crate::binding::flat::{Field, Format, Verdict};
use crate::binding::gate::Take;
use crate::binding::look::is_content_type;
use crate::binding::reference::MOST_ALLOWED;
use crate::binding::template::{Names, Safety, Variable};

/// The keys of which exactly one says where frames come from.
const SOURCES: [&str; 4] = ["topic", "folder", "snapshot", "device"];
/// Keys that have a meaning with some sources only.
const ONLY_WITH: [(&str, &[&str]); 8] = [
    ("pattern", &["folder"]),
    ("after", &["folder"]),
    ("interval_ms", &["snapshot", "device"]),
    ("credential", &["snapshot"]),
    ("ca", &["snapshot"]),
    ("width", &["device"]),
    ("height", &["device"]),
    ("reference", &["topic"]),
];
/// Keys that have a meaning with flat results only.
const ONLY_FLAT: [&str; 9] = [
    "flat.fields",
    "flat.when",
    "flat.format",
    "flat.retain",
    "stale_after_ms",
    "ok.class",
    "ok.min_score",
    "ok.min_count",
    "ok.max_count",
];

/// Reads one binding, and gathers what is to be said of it.
pub struct Reader<'a> {
    record: &'a Record,
    around: &'a Around<'a>,
    pub faults: Vec<Fault>,
    pub unseen: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(record: &'a Record, around: &'a Around<'a>) -> Reader<'a> {
        Reader { record, around, faults: Vec::new(), unseen: Vec::new() }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(self.record.fault(key, message.into()));
    }

    /// The binding; `None` if something of it cannot be told, of which there is a fault then.
    pub fn binding(&mut self) -> Option<BindingConfig> {
        let record = self.record;
        for key in ["name", "model"] {
            self.faults.extend(record.missing(key));
        }
        self.stray();
        let source = self.source();
        let payload = self.payload();
        let reference = self.reference();
        // A source that is not known has as many wildcards as anybody names.
        let names = source.as_ref().map(names).unwrap_or_else(|| Names::new(9, true));
        let source_name =
            record.text("source_name").map(|text| self.template("source_name", &text, &names, Safety::Topic));
        let names = names.and(Variable::Source);
        let result = record.text("result").unwrap_or_default();
        let result = self.template("result", &result, &names, Safety::Topic);
        let flat = self.flat(&names);
        if let (Some(source), Some(flat)) = (&source, &flat) {
            self.tells_apart(source, source_name.as_ref().and_then(Option::as_ref), &flat.topic);
        }
        let limits = source.as_ref().map(|source| self.limits(source, &payload, reference.is_some()));
        Some(BindingConfig {
            name: record.name.clone()?,
            model: record.text("model")?,
            version: record.text("version"),
            source: source?,
            payload,
            reference,
            limits: limits?,
            deadline: record.is_set("deadline_ms").then(|| Duration::from_millis(record.int("deadline_ms"))),
            data_class: record.text("data_class").and_then(|word| DataClass::from_word(&word)),
            priority: record.text("priority").and_then(|word| Priority::from_word(&word)).unwrap_or_default(),
            source_name: source_name.flatten(),
            result: result?,
            qos: u8::try_from(record.int("qos")).unwrap_or(1),
            retain: record.flag("retain"),
            last: record.flag("last"),
            flat,
        })
    }

    /// Keys that say nothing of such a binding.
    fn stray(&mut self) {
        let record = self.record;
        for (key, sources) in ONLY_WITH {
            if record.was_given(key) && !sources.iter().any(|source| record.was_given(source)) {
                let sources: Vec<String> = sources.iter().map(|source| format!("`{source}`")).collect();
                self.fault(key, format!("set without {}", sources.join(" or ")));
            }
        }
        for key in ONLY_FLAT {
            if record.was_given(key) && !record.was_given("flat.topic") {
                self.fault(key, "set without `flat.topic`, and so for nobody");
            }
        }
    }

    fn source(&mut self) -> Option<Source> {
        let record = self.record;
        let given: Vec<&str> = SOURCES.into_iter().filter(|key| record.was_given(key)).collect();
        match given.as_slice() {
            ["topic"] => self.topic().map(Source::Topic),
            ["folder"] => self.folder().map(Source::Folder),
            ["snapshot"] => self.snapshot().map(Source::Snapshot),
            ["device"] => self.device().map(Source::Device),
            [] => {
                self.fault("", "has no source: takes one of `topic`, `folder`, `snapshot` and `device`");
                None
            }
            several => {
                let several: Vec<String> = several.iter().map(|key| format!("`{key}`")).collect();
                let text = format!("has {}: takes one of them; make a binding of each", several.join(" and "));
                self.fault("", text);
                None
            }
        }
    }

    fn topic(&mut self) -> Option<Filter> {
        let text = self.record.text("topic")?;
        match Filter::parse(&text) {
            Ok(filter) => Some(filter),
            Err(fault) => {
                self.fault("topic", format!("{text:?} is no topic filter: {fault}"));
                None
            }
        }
    }

    fn folder(&mut self) -> Option<Folder> {
        let dir = PathBuf::from(self.record.text("folder")?);
        if !dir.is_absolute() {
            self.fault("folder", format!("{} is not accepted: takes an absolute path", dir.display()));
        }
        let pattern = self.record.text("pattern").unwrap_or_default();
        let glob = Glob::parse(&pattern);
        if glob.is_none() {
            self.fault("pattern", format!("{pattern:?} is no pattern: takes a file name with at most 8 `*`"));
        }
        let after = match self.record.text("after").unwrap_or_default().as_str() {
            "delete" => After::Delete,
            "keep" => After::Keep,
            path if Path::new(path).is_absolute() && Path::new(path) != dir => After::Move(path.into()),
            other => {
                let takes = "takes \"delete\", \"keep\" or the absolute path of another directory";
                self.fault("after", format!("{other:?} is not accepted: {takes}"));
                After::Keep
            }
        };
        Some(Folder { dir, pattern: glob?, after })
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        let record = self.record;
        let text = record.text("snapshot")?;
        let credential = self.secret();
        let ca = self.file("ca");
        let url = match Url::parse(&text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) => None,
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                self.fault("snapshot", "it has a user or password, which belong into the file of `credential`");
                return None;
            }
            Ok(url) if url.fragment().is_some() || url.port() == Some(0) => None,
            Ok(url) => Some(url),
            Err(_) => None,
        };
        if url.is_none() {
            let takes = "takes http://HOST/PATH or https://HOST/PATH, with a port and a query if it has them";
            self.fault("snapshot", format!("it is no address of a picture: {takes}"));
        }
        if url.as_ref().is_some_and(|url| url.scheme() == "http") && record.was_given("ca") {
            self.fault("ca", "set, but the `snapshot` is without TLS: takes an https:// address");
        }
        let interval = if record.is_set("interval_ms") { record.int("interval_ms") } else { 1000 };
        Some(Snapshot { url: url?, credential, ca, interval: Duration::from_millis(interval) })
    }

    fn device(&mut self) -> Option<Device> {
        let record = self.record;
        let text = record.text("device")?;
        if !is_camera(&text) {
            let takes = "takes /dev/videoN, or a name below /dev/v4l/by-id/ or /dev/v4l/by-path/";
            self.fault("device", format!("{text:?} is no camera: {takes}"));
        }
        let pixels = |key: &str| u32::try_from(record.int(key)).unwrap_or(u32::MAX);
        let interval = record.is_set("interval_ms").then(|| Duration::from_millis(record.int("interval_ms")));
        Some(Device { path: text.into(), interval, width: pixels("width"), height: pixels("height") })
    }

    fn payload(&mut self) -> Payload {
        match self.record.text("payload").unwrap_or_default() {
            word if word == "auto" => Payload::Auto,
            text if is_content_type(&text) => Payload::Type(text.to_ascii_lowercase()),
            text => {
                self.fault(
                    "payload",
                    format!("{text:?} is not accepted: takes \"auto\" or a content type as image/jpeg"),
                );
                Payload::Auto
            }
        }
    }

    fn reference(&mut self) -> Option<Allow> {
        if !self.record.was_given("reference") {
            return None;
        }
        let (texts, mut allow) = (self.record.texts("reference"), Allow::default());
        if self.record.is_set("reference") && !(1..=MOST_ALLOWED).contains(&texts.len()) {
            self.fault("reference", format!("it lists {}: takes 1 to {MOST_ALLOWED} entries", texts.len()));
        }
        for fault in texts.iter().filter_map(|text| allow.add(text).err()).collect::<Vec<_>>() {
            self.fault("reference", fault.to_string());
        }
        Some(allow)
    }

    fn template(&mut self, key: &str, text: &str, names: &Names, safety: Safety) -> Option<Template> {
        match Template::parse(text, names, safety) {
            Ok(template) => Some(template),
            Err(fault) => {
                self.fault(key, format!("{text:?} is no template: {fault}"));
                None
            }
        }
    }

    fn flat(&mut self, names: &Names) -> Option<Flat> {
        let record = self.record;
        let text = record.text("flat.topic")?;
        let topic = self.template("flat.topic", &text, &names.clone().and(Variable::Field), Safety::Tag);
        let fields: BTreeSet<Field> =
            record.texts("flat.fields").iter().filter_map(|word| Field::from_word(word)).collect();
        if fields.is_empty() && (record.is_set("flat.fields") || !record.was_given("flat.fields")) {
            self.fault("flat.fields", "it is empty: takes at least one value, or leave `flat.topic` out");
        }
        if let Some(topic) = &topic {
            if !topic.names(Variable::Field) && fields.len() > 1 {
                self.fault(
                    "flat.topic",
                    format!("{text:?} gives {} values one topic: takes {{field}} in it", fields.len()),
                );
            }
            let prefix = self.around.mqtt.map(|mqtt| mqtt.prefix.as_str()).unwrap_or_default();
            if topic.names(Variable::Prefix) && !prefix.is_empty() && !prefix.split('/').all(tag::is_name) {
                let takes = "takes letters, digits, `_` and `-` between slashes, or a template without {prefix}";
                self.fault("flat.topic", format!("`mqtt.prefix` {prefix:?} is no part of a tag path: {takes}"));
            }
        }
        let verdict = self.verdict();
        let rules = Rules {
            fields: fields.into_iter().collect(),
            format: if record.text("flat.format").as_deref() == Some("json") { Format::Json } else { Format::Plain },
            on_change: record.text("flat.when").as_deref() != Some("always"),
            stale_after: record.is_set("stale_after_ms").then(|| Duration::from_millis(record.int("stale_after_ms"))),
            verdict,
        };
        Some(Flat { topic: topic?, retain: record.flag("flat.retain"), rules })
    }

    /// Values of two sources on one topic would be read as those of one.
    fn tells_apart(&mut self, source: &Source, source_name: Option<&Template>, topic: &Template) {
        let of_name = match (source_name, source) {
            (Some(template), _) => template.captures(),
            (None, Source::Topic(filter)) => (1..=filter.wildcards()).collect(),
            (None, _) => BTreeSet::new(),
        };
        let named = topic.captures();
        let missing: Vec<String> = of_name.difference(&named).map(|number| format!("{{{number}}}")).collect();
        if !missing.is_empty() && !topic.names(Variable::Source) {
            let (text, missing) = (topic.as_str(), missing.join(" and "));
            let takes = format!("takes {{source}} or {missing} in it");
            self.fault("flat.topic", format!("{text:?} gives the values of all sources the same topics: {takes}"));
        }
        // What has changed is known by source.
        if let Some(number) = named.difference(&of_name).next() {
            let takes = format!("takes a template without it, or a `source_name` with {{{number}}}");
            let text = format!("{:?} has {{{number}}}, which is no part of the source's name: {takes}", topic.as_str());
            self.fault("flat.topic", text);
        }
    }

    fn verdict(&mut self) -> Verdict {
        let record = self.record;
        let count = |key: &str| record.is_set(key).then(|| record.int(key));
        let verdict = Verdict {
            classes: record.texts("ok.class"),
            min_score: record.is_set("ok.min_score").then(|| record.number("ok.min_score")),
            min_count: count("ok.min_count"),
            max_count: count("ok.max_count"),
        };
        if record.is_set("ok.class") && verdict.classes.is_empty() {
            self.fault("ok.class", "an empty list matches nothing: leave the key out to match any");
        }
        if let (Some(least), Some(most)) = (verdict.min_count, verdict.max_count)
            && least > most
        {
            self.fault("ok.min_count", format!("{least} is above `ok.max_count` ({most}): takes at most that"));
        }
        verdict
    }

    fn limits(&mut self, source: &Source, payload: &Payload, by_name: bool) -> Limits {
        let record = self.record;
        let is_picture = !matches!(payload, Payload::Type(named) if !named.starts_with("image/"));
        let take = match record.text("take").as_deref() {
            Some("newest") => Take::Newest,
            Some("every") => Take::Every,
            _ if matches!(source, Source::Folder(_)) || by_name || !is_picture => Take::Every,
            _ => Take::Newest,
        };
        // A file that is skipped would wait for ever, or be lost.
        if take == Take::Newest && matches!(source, Source::Folder(_)) {
            self.fault("take", "\"newest\" is not accepted with `folder`: takes \"every\"");
        }
        if take == Take::Newest && record.was_given("max_waiting") {
            self.fault("max_waiting", "set, but with `take = \"newest\"` one frame of each source waits");
        }
        let usual = if take == Take::Newest { 2 } else { 16 };
        let open = if record.is_set("max_in_flight") { size(record.int("max_in_flight")) } else { usual };
        let rate = record.is_set("rate_per_s").then(|| record.number("rate_per_s"));
        Limits {
            take,
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)).unwrap_or_default(),
            max_open: open,
            max_open_of_one: if take == Take::Newest { 1 } else { open },
            max_waiting: size(record.int("max_waiting")),
            max_sources: size(record.int("max_sources")),
        }
    }

    /// The file that a key names.
    fn file(&mut self, key: &'static str) -> Option<PathBuf> {
        let found = files::locate(self.around.machine, &self.record.text(key)?);
        if let Some(fault) = found.fault {
            self.fault(key, fault);
        }
        if found.is_unseen {
            self.unseen.push(self.record.place(key));
        }
        Some(found.path)
    }

    /// The file of the secret. What is neither a name nor a path may be the secret itself, and is never shown.
    fn secret(&mut self) -> Option<PathBuf> {
        const KEY: &str = "credential";
        let name = self.record.text(KEY)?;
        if !name.starts_with('/') && !is_name(&name) {
            let takes = "takes the name of a systemd credential, or the path of a file; never the secret itself";
            self.fault(KEY, format!("it is neither a name nor an absolute path: {takes}"));
            return None;
        }
        let path = self.file(KEY)?;
        if let Some(fault) = files::open_to_all(self.around.machine, &name) {
            self.fault(KEY, fault);
        }
        if let Some(fault) = (self.around.machine.secret)(&path, files::Secret::Proxy) {
            self.fault(KEY, fault);
        }
        Some(path)
    }
}

fn names(source: &Source) -> Names {
    match source {
        Source::Topic(filter) => Names::of(filter),
        Source::Folder(folder) => Names::new(folder.pattern.wildcards(), false),
        Source::Snapshot(_) | Source::Device(_) => Names::new(0, false),
    }
}

/// Whether the path is one that the kernel or udev gives cameras.
fn is_camera(path: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = |text: &str| !text.is_empty() && !text.contains('/') && text != "." && text != "..";
    path.strip_prefix("/dev/video").is_some_and(number)
        || ["/dev/v4l/by-id/", "/dev/v4l/by-path/"].iter().any(|dir| path.strip_prefix(dir).is_some_and(name))
}
