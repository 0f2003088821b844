//! `[routing]` and `[detect]`: how places are compared, what is tried next, what is kept of it, and which personal data
//! are looked for. Must not know sites or rules.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use edge_core::fallback::{Failure, Fallbacks, Step, Steps};
use edge_core::policy::Routing;
use edge_core::{DataClass, Objective, Ratio};
use sha2::{Digest, Sha256};

use super::raw::Values;
use crate::inspect::detect::Detectors;

/// Kinds of personal data that are known without a pattern.
pub use crate::inspect::detect::kind::BUILT_IN as DETECTORS;

/// What `[routing]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutingConfig {
    /// What the core knows of it.
    pub core: Routing,
    /// Of requests of which no rule says one.
    pub objective: Objective,
    /// Bytes that wait on the disk at most.
    pub defer_max_bytes: u64,
    pub audit: Audit,
    /// How long an audit row is kept.
    pub audit_kept: Duration,
    /// How long usage is kept.
    pub usage_kept: Duration,
    /// Decisions that are kept.
    pub decisions_max_rows: u64,
    /// File of the learnt model that rates texts.
    pub difficulty_model: Option<PathBuf>,
}

/// Whether a request may leave when that cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// Never.
    Required,
    /// All the same.
    BestEffort,
}

/// What `[detect]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectConfig {
    pub enabled: bool,
    /// To each of [`DETECTORS`] the class of a text that it finds something in.
    pub classes: BTreeMap<String, DataClass>,
    /// Regular expressions by their names.
    pub patterns: BTreeMap<String, String>,
    /// By those names the class of a text that one is found in.
    pub pattern_classes: BTreeMap<String, DataClass>,
    /// Freest class of what is no text; `None`: nothing follows.
    pub not_text: Option<DataClass>,
}

/// What `[routing]` says; `machine_id` makes boxes differ in when they come back to a site.
pub fn routing(values: &mut Values, machine_id: &str) -> RoutingConfig {
    let word = |key: &str| values.text(key).unwrap_or_default();
    let core = Routing {
        sure: Ratio::new(values.number("routing.sure")).unwrap_or(Ratio::NEARLY_ALL),
        fallbacks: Failure::ALL.into_iter().fold(Fallbacks::default(), |table, failure| {
            table.with(failure, steps(values, &format!("routing.fallback.{}", failure.as_str())))
        }),
        defer_after: Duration::from_millis(values.int("routing.defer_after_ms")),
        max_deferred: values.int("routing.defer_max_rows"),
        max_wait: Duration::from_secs(values.int("routing.defer_max_age_h") * 3600),
        probe_every: Duration::from_secs(values.int("routing.probe_every_s")),
        seed: seed(machine_id),
    };
    let routing = RoutingConfig {
        core,
        objective: Objective::from_word(&word("routing.objective")).unwrap_or_default(),
        defer_max_bytes: values.int("routing.defer_max_mib") << 20,
        audit: if word("routing.audit") == "best_effort" { Audit::BestEffort } else { Audit::Required },
        audit_kept: days(values.int("routing.audit_days")),
        usage_kept: days(values.int("routing.usage_days")),
        decisions_max_rows: values.int("routing.decisions_max_rows"),
        difficulty_model: values.text("routing.difficulty_model").map(PathBuf::from),
    };
    for failure in Failure::ALL {
        let key = format!("routing.fallback.{}", failure.as_str());
        if has_twice(&values.texts(&key)) {
            values
                .fault_at(&key, "has a step twice: takes each of \"site\", \"here\" and \"wait\" at most once".into());
        }
    }
    routing
}

/// What `[detect]` says.
pub fn detect(values: &mut Values) -> DetectConfig {
    let class = |word: &str| DataClass::from_word(word).unwrap_or(DataClass::Regulated);
    let text = |key: &str| values.text(key).unwrap_or_default();
    let one = |(name, list): (String, Vec<String>)| Some((name, list.into_iter().next()?));
    let patterns: BTreeMap<String, String> = values.by_name("detect.patterns").into_iter().filter_map(one).collect();
    let words = values.by_name("detect.pattern_classes").into_iter().filter_map(one);
    let detect = DetectConfig {
        enabled: values.flag("detect.enabled"),
        classes: DETECTORS.map(|name| (name.to_owned(), class(&text(&format!("detect.classes.{name}"))))).into(),
        pattern_classes: words.map(|(name, word)| (name, class(&word))).collect(),
        not_text: values.text("detect.not_text").map(|word| class(&word)),
        patterns,
    };
    for fault in Detectors::new(&detect.patterns).err().into_iter().flatten() {
        let what = match fault.key.strip_prefix("patterns.") {
            Some(name) => format!("{name:?}: {}", fault.what),
            None => fault.what,
        };
        values.fault_at("detect.patterns", what);
    }
    for name in detect.pattern_classes.keys().filter(|name| !detect.patterns.contains_key(*name)) {
        values.fault_at("detect.pattern_classes", format!("{name:?} is none of `detect.patterns`"));
    }
    detect
}

fn steps(values: &Values, key: &str) -> Steps {
    let mut steps = Steps::default();
    let words = values.texts(key);
    for (place, word) in steps.iter_mut().zip(words) {
        *place = Step::from_word(&word);
    }
    steps
}

fn has_twice(words: &[String]) -> bool {
    words.iter().enumerate().any(|(place, word)| words.iter().take(place).any(|earlier| earlier == word))
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

/// Hashed, so that it tells nothing of the machine's id.
fn seed(machine_id: &str) -> u64 {
    let digest = Sha256::digest(format!("edged routing {machine_id}"));
    digest.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}
