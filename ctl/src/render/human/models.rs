//! `edgectl models`: the table of all, the page of one.

use edge_wire::dto::{ModelStatus, ProviderInfo, SetupStatus, TensorInfo};

use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{bytes, count, micros, percent, span};

/// All models with their versions, and what there is to say of some; `now` is in seconds since 1970.
pub fn list(models: &[ModelStatus], simulated: bool, now: u64) -> String {
    let simulated = if simulated { super::status::SIMULATED } else { "" };
    let told = |model: &ModelStatus| {
        let label = format!("{}:{}", model.name, model.version);
        let words = [
            (!model.reason.is_empty()).then(|| format!("{label} {}: {}", model.state, model.reason)),
            (!model.probation.is_empty()).then(|| format!("{label} is on probation: {}", model.probation)),
            (!model.bad.is_empty()).then(|| format!("{label} was taken back: {}", model.bad)),
        ];
        words.into_iter().flatten().map(|words| paragraph("  ", &clean(&words))).collect::<String>()
    };
    let told: String = models.iter().map(told).collect();
    let gap = if told.is_empty() { "" } else { "\n" };
    format!("{simulated}{}{gap}{told}", versions(models, now))
}

/// One line for each version of each model; the active one of several is marked.
fn versions(models: &[ModelStatus], now: u64) -> String {
    if models.is_empty() {
        return "no models found\n".into();
    }
    let several = |model: &ModelStatus| models.iter().filter(|other| other.name == model.name).count() > 1;
    let row = |model: &ModelStatus| {
        let mark = if model.active && several(model) { "*" } else { "" };
        let taken = model.setups.iter().filter(|setup| setup.state == "ready").map(|setup| setup.memory_bytes);
        let taken = taken.fold(0, u64::saturating_add);
        vec![
            clean(&model.name),
            format!("{}{mark}", clean(&model.version)),
            clean(&model.state),
            age(&model.installed_at, now),
            clean(&providers(&model.providers)),
            if taken == 0 { "-".into() } else { bytes(taken) },
            service(model.service_us),
            model.done.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let head = [
        ("MODEL", Align::Left),
        ("VERSION", Align::Left),
        ("STATE", Align::Left),
        ("AGE", Align::Right),
        ("PROVIDER", Align::Left),
        ("MEMORY", Align::Right),
        ("SERVICE", Align::Right),
        ("DONE", Align::Right),
    ];
    table(&head, &rows)
}

/// How long a version has been there, in the largest unit that fits.
fn age(since: &str, now: u64) -> String {
    let Some(since) = seconds(since) else { return "-".into() };
    match now.saturating_sub(since) {
        seconds @ 0..=59 => format!("{seconds} s"),
        seconds @ 60..=3599 => format!("{} min", seconds / 60),
        seconds @ 3600..=86_399 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Seconds since 1970 of an RFC 3339 time in UTC. Days by the proleptic Gregorian calendar, years beginning with March
/// (H. Hinnant, days_from_civil).
fn seconds(time: &str) -> Option<u64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// One line for each model.
pub fn table_of(models: &[ModelStatus]) -> String {
    if models.is_empty() {
        return "no models found\n".into();
    }
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let head = [
        ("MODEL", Align::Left),
        ("VERSION", Align::Left),
        ("STATE", Align::Left),
        ("PROVIDER", Align::Left),
        ("SERVICE", Align::Right),
        ("WAITING", Align::Right),
        ("DONE", Align::Right),
    ];
    table(&head, &rows)
}

fn row(model: &ModelStatus) -> Vec<String> {
    vec![
        clean(&model.name),
        clean(&model.version),
        clean(&model.state),
        clean(&providers(&model.providers)),
        service(model.service_us),
        model.waiting.to_string(),
        model.done.to_string(),
    ]
}

/// Where the model really runs. Shares are shown where providers divide a graph; each of a pipeline's has a whole one.
fn providers(providers: &[ProviderInfo]) -> String {
    match providers {
        [] => "-".into(),
        all if all.iter().all(|one| one.share >= 0.9995) => {
            all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
        }
        many => many.iter().map(|one| format!("{} {}", one.name, percent(one.share))).collect::<Vec<_>>().join(", "),
    }
}

fn service(us: u64) -> String {
    if us == 0 { "not run".into() } else { micros(us) }
}

/// All about one model.
pub fn show(model: &ModelStatus, simulated: bool) -> String {
    let again = model.setups.iter().find(|setup| setup.serving && setup.state == model.state).map(retry);
    let state = format!("{}{}", model.state, again.unwrap_or_default());
    let state = if model.reason.is_empty() { state } else { format!("{state}: {}", model.reason) };
    let goldens = match model.goldens_passed {
        0 => "the bundle has no golden inputs, or they were not run".into(),
        passed => format!("{} gave the expected answer at load", count(passed.into(), "golden input")),
    };
    // A pipeline has nothing of its own: its stages are shown as models.
    let is_pipeline = model.instances == 0 && !model.providers.is_empty();
    let goldens = if is_pipeline { format!("{goldens}, in its stages") } else { goldens };
    let work = format!("{} waiting, {} done since start", model.waiting, model.done);
    let sessions = format!("{}, batches of at most {}", count(model.instances.into(), "session"), model.max_batch);
    let learnt = format!("{} for a request of cost 1, learnt on this box", micros(model.service_us));
    let learnt = if model.service_us == 0 { "not known: it has not run yet".into() } else { learnt };
    let mut fields = vec![
        ("state", state),
        ("task", model.task.clone()),
        ("licence", model.licence.clone()),
        ("variant", model.variant.clone()),
        ("provider", providers(&model.providers)),
        ("sessions", sessions),
        ("service", learnt),
        ("deadline", format!("{} unless the request names one", span(model.default_deadline_ms))),
        ("requests", work),
        ("loaded in", format!("{}{}", span(model.load_ms.into()), compiled(&model.setups))),
        ("memory", memory(&model.setups)),
        ("checked", goldens),
        ("takes", model.content_types.join(", ")),
        ("active", if model.active { "requests that name no version come here".into() } else { String::new() }),
        ("probation", model.probation.clone()),
        ("taken back", model.bad.clone()),
        ("installed", model.installed_at.clone()),
        ("signed by", signed(model)),
        ("made with", model.parts.join(", ")),
        ("used by", model.used_by.join(", ")),
        ("bundle", model.path.clone()),
    ];
    // Of what was never loaded nothing is known of sessions and answers either.
    let never_loaded = model.instances == 0 && model.load_ms == 0 && model.goldens_passed == 0;
    let left_out: &[&str] = if is_pipeline {
        &["sessions", "loaded in"]
    } else if never_loaded {
        &["provider", "sessions", "loaded in", "checked"]
    } else {
        &[]
    };
    fields.retain(|(label, text)| !(text.is_empty() || left_out.contains(label)));
    let fields: String = fields.iter().map(|(label, text)| field(label, &clean(text))).collect();
    let head = paragraph("", &clean(&format!("{} {}: {}", model.name, model.version, model.description)));
    let simulated = if simulated { super::status::SIMULATED } else { "" };
    let tensors = [tensors("INPUT", &model.inputs), tensors("OUTPUT", &model.outputs)].concat();
    format!("{head}{simulated}{fields}{}{tensors}", setups(&model.setups))
}

/// Who vouches for it.
fn signed(model: &ModelStatus) -> String {
    match (model.signed_by.as_str(), model.installed_at.is_empty()) {
        ("", true) => String::new(),
        ("", false) => "nobody".into(),
        (key, _) => format!("key {key}"),
    }
}

/// Whether what was compiled before was found, of the setup that serves.
fn compiled(setups: &[SetupStatus]) -> &'static str {
    let word = setups.iter().find(|setup| setup.serving).map_or("", |setup| setup.cache.as_str());
    match word {
        "hit" => ", from what was compiled before",
        "built" => ", compiled; the next start need not",
        "none" => ", compiled; nothing is kept of it",
        _ => "",
    }
}

/// What the setups take that are loaded, if it is known.
fn memory(setups: &[SetupStatus]) -> String {
    let loaded = setups.iter().filter(|setup| setup.state == "ready").map(|setup| setup.memory_bytes);
    match loaded.fold(0, u64::saturating_add) {
        0 => String::new(),
        taken => format!("{} taken by loading it", bytes(taken)),
    }
}

/// The ways to run it, if there is a choice.
fn setups(setups: &[SetupStatus]) -> String {
    if setups.len() < 2 {
        return String::new();
    }
    let row = |setup: &SetupStatus| {
        // Encoded and tensor requests may be served in different ways.
        let serves = match setup.serves.as_slice() {
            // The first choice of a model that is not served takes no requests.
            _ if matches!(setup.state.as_str(), "failed" | "unloaded") => String::new(),
            [only] => format!("serves {only}"),
            _ if setup.serving => "serves".into(),
            _ => String::new(),
        };
        let state = match setup.reason.as_str() {
            "" => format!("{}{}", setup.state, retry(setup)),
            reason => format!("{}{}: {reason}", setup.state, retry(setup)),
        };
        let sessions = format!("{} x {}", setup.instances, count(setup.threads.into(), "thread"));
        let mut memory = if setup.memory_bytes == 0 { String::new() } else { bytes(setup.memory_bytes) };
        if setup.device_bytes > 0 {
            memory += &format!(" + {} on the card", bytes(setup.device_bytes));
        }
        let cells = [&setup.variant, &setup.provider, &setup.precision, &sessions, &serves, &memory, &state];
        cells.map(|cell| clean(cell)).to_vec()
    };
    let head = [
        ("VARIANT", Align::Left),
        ("PROVIDER", Align::Left),
        ("PRECISION", Align::Left),
        ("SESSIONS", Align::Left),
        ("", Align::Left),
        ("MEMORY", Align::Right),
        ("STATE", Align::Left),
    ];
    format!("\n{}", table(&head, &setups.iter().map(row).collect::<Vec<_>>()))
}

/// When a setup that failed is tried again.
fn retry(setup: &SetupStatus) -> String {
    match (setup.failures, setup.retry_in_ms) {
        (0, _) => String::new(),
        (failures, 0) => format!(" ({} before)", count(failures.into(), "failure")),
        (failures, wait) => {
            let seconds = wait.div_ceil(1000);
            format!(" ({}, tried again in {})", count(failures.into(), "failure"), span(seconds * 1000))
        }
    }
}

fn tensors(title: &str, tensors: &[TensorInfo]) -> String {
    if tensors.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> =
        tensors.iter().map(|tensor| vec![clean(&tensor.name), clean(&tensor.datatype), shape(&tensor.shape)]).collect();
    format!("\n{}", table(&[(title, Align::Left), ("DATATYPE", Align::Left), ("SHAPE", Align::Left)], &rows))
}

/// `[any, 3, 48, 320]`: any size of at least one where the model leaves it open.
pub fn shape(shape: &[i64]) -> String {
    let sizes: Vec<String> = shape.iter().map(|size| if *size < 0 { "any".into() } else { size.to_string() }).collect();
    format!("[{}]", sizes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_shares_only_where_they_divide_a_graph() {
        let of = |shares: &[(&str, f64)]| {
            let info = |(name, share): &(&str, f64)| ProviderInfo { name: (*name).into(), share: *share };
            providers(&shares.iter().map(info).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), "-");
        assert_eq!(of(&[("cpu", 1.0)]), "cpu");
        assert_eq!(of(&[("cuda", 0.973), ("cpu", 0.027)]), "cuda 97.3%, cpu 2.7%");
        assert_eq!(of(&[("cpu", 1.0), ("openvino", 1.0)]), "cpu, openvino", "of a pipeline, not 200 %");
    }

    #[test]
    fn a_setup_that_serves_one_kind_of_request_says_which() {
        let setup = |kinds: &[&str]| SetupStatus {
            serving: !kinds.is_empty(),
            serves: kinds.iter().map(|&kind| kind.into()).collect(),
            ..SetupStatus::default()
        };
        let failed = SetupStatus { state: "failed".into(), ..setup(&["encoded", "tensors"]) };
        assert!(!setups(&[failed, setup(&[])]).contains("serves"), "what failed serves nobody");
        let rows = setups(&[setup(&["encoded"]), setup(&["tensors"]), setup(&[]), setup(&["encoded", "tensors"])]);
        let said: Vec<&str> = rows.lines().skip(2).map(|line| line.split_once("threads").unwrap().1.trim()).collect();
        assert_eq!(said, ["serves encoded", "serves tensors", "", "serves"]);
    }

    #[test]
    fn a_setup_that_failed_says_how_often_and_when_it_is_tried_again() {
        for (failures, retry_in_ms, expected) in [
            (0, 0, ""),
            (1, 39_001, " (1 failure, tried again in 40 s)"),
            (3, 600_000, " (3 failures, tried again in 10 min 0 s)"),
            (2, 0, " (2 failures before)"),
        ] {
            let setup = SetupStatus { failures, retry_in_ms, ..SetupStatus::default() };
            assert_eq!(retry(&setup), expected, "{setup:?}");
        }
        let (state, reason) = ("failed".to_owned(), "no device".to_owned());
        let only = SetupStatus {
            state: state.clone(),
            serving: true,
            failures: 1,
            retry_in_ms: 4000,
            ..SetupStatus::default()
        };
        let shown = show(&ModelStatus { state, reason, setups: vec![only], ..ModelStatus::default() }, false);
        assert!(shown.contains("failed (1 failure, tried again in 4 s): no device"), "{shown}");
        assert!(
            !shown.contains("golden") && !shown.contains("0 sessions"),
            "nothing is said of what never was: {shown}"
        );
    }
}
