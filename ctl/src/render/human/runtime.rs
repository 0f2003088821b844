//! ONNX Runtimes that were installed from wheels, for people.

use edge_wire::dto::EngineStatus;
use edge_wire::runtime::{InstalledRuntime, ProviderTrial, RuntimeChange, Runtimes};

use crate::render::table::{Align, clean, paragraph, table};
use crate::render::units::bytes;

/// What the package's runtime is called.
const PACKAGED: &str = "the package's";

/// All of them, and the one that serves without them.
pub fn list(runtimes: &Runtimes, serving: Option<&EngineStatus>) -> String {
    let head = [
        ("RUNTIME", Align::Left),
        ("IS", Align::Left),
        ("SIZE", Align::Right),
        ("INSTALLED", Align::Left),
        ("PROVIDERS", Align::Left),
    ];
    let row = |runtime: &InstalledRuntime| {
        let is = match (runtime.current, runtime.previous) {
            (true, _) => "current",
            (_, true) => "before",
            _ => "",
        };
        let at = runtime.installed_at.get(..10).unwrap_or_default();
        vec![clean(&runtime.id), is.into(), bytes(runtime.bytes), clean(at), clean(&providers(&runtime.providers))]
    };
    let mut out = match runtimes.installed.is_empty() {
        true => paragraph("", &format!("none is installed in {}", clean(&runtimes.dir))),
        false => table(&head, &runtimes.installed.iter().map(row).collect::<Vec<_>>()),
    };
    for runtime in &runtimes.installed {
        for failed in runtime.providers.iter().filter(|provider| !provider.registers) {
            let first = format!("{} without {}: ", clean(&runtime.id), clean(&failed.name));
            out.push_str(&paragraph(&first, &clean(&failed.why)));
        }
    }
    out.push('\n');
    let otherwise = if runtimes.otherwise.is_empty() { "there is none" } else { &runtimes.otherwise };
    let mark = if runtimes.installed.iter().any(|runtime| runtime.current) { "" } else { ", which is current" };
    out.push_str(&paragraph(&format!("{PACKAGED}{mark}: "), &clean(otherwise)));
    if !runtimes.configured.is_empty() {
        let what = format!("{}: no installed one is used", clean(&runtimes.configured));
        out.push_str(&paragraph("named by `engine.library`: ", &what));
    }
    if let Some(engine) = serving.filter(|engine| !engine.library.is_empty()) {
        out.push_str(&paragraph(
            "edged uses: ",
            &clean(&format!("ONNX Runtime {}, {}", engine.version, engine.library)),
        ));
    }
    out
}

/// What was done, and what came of it.
pub fn change(change: &RuntimeChange) -> String {
    let runtime = match change.id.as_str() {
        "" => "the package's runtime".to_owned(),
        id => format!("{} (ONNX Runtime {})", clean(id), clean(&change.version)),
    };
    let has =
        if change.providers.is_empty() { String::new() } else { format!(", {}", clean(&providers(&change.providers))) };
    let serving =
        if change.serving.is_empty() { String::new() } else { format!("; edged serves with it{}", ready(change)) };
    let first = match change.outcome.as_str() {
        "checked" => format!("{runtime} works here{has}; nothing was installed"),
        "installed" => format!("{runtime} is installed and current{has}{serving}"),
        "already_current" => format!("{runtime} is the current one already{has}{serving}"),
        "rolled_back" => format!("{runtime} is current again{serving}"),
        "removed" => format!("{} is removed", clean(&change.id)),
        _ => taken_back(change, &runtime),
    };
    let mut out = paragraph("", &first);
    for id in change.removed.iter().filter(|id| change.outcome != "removed" || **id != change.id) {
        out.push_str(&paragraph("", &format!("{} is removed", clean(id))));
    }
    for remark in &change.remarks {
        out.push_str(&paragraph("note: ", &clean(remark)));
    }
    out
}

fn taken_back(change: &RuntimeChange, runtime: &str) -> String {
    let current = if change.current.is_empty() { "the package's runtime" } else { &change.current };
    let serves = match change.serving.as_str() {
        "" => String::new(),
        version => format!(", and edged serves with ONNX Runtime {version}"),
    };
    let current = clean(&format!("{current} is current as before{serves}"));
    format!("{runtime} was taken back: {}. {current}", clean(&change.reason))
}

/// Which models showed that it works.
fn ready(change: &RuntimeChange) -> String {
    match change.models_ready.as_slice() {
        [] => String::new(),
        models => format!(", and these models are ready: {}", clean(&models.join(", "))),
    }
}

/// `tensorrt, cuda, cpu`; those that do not register with a word.
fn providers(trials: &[ProviderTrial]) -> String {
    let one =
        |trial: &ProviderTrial| if trial.registers { trial.name.clone() } else { format!("{} (not here)", trial.name) };
    trials.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(name: &str, why: &str) -> ProviderTrial {
        ProviderTrial { name: name.into(), registers: why.is_empty(), why: why.into() }
    }

    #[test]
    fn runtimes_are_listed_with_what_of_them_does_not_work() {
        let runtime = InstalledRuntime {
            id: "1.24.0-0123abcd".into(),
            bytes: 3 << 20,
            installed_at: "2026-11-29T10:00:00Z".into(),
            providers: vec![trial("cuda", ""), trial("tensorrt", "needs libnvinfer.so.10"), trial("cpu", "")],
            current: true,
            ..InstalledRuntime::default()
        };
        let runtimes = Runtimes {
            dir: "/d".into(),
            installed: vec![runtime],
            otherwise: "/p.so".into(),
            configured: String::new(),
        };
        let text = list(&runtimes, None);
        for words in ["current  3.0 MiB  2026-11-29", "cuda, tensorrt (not here), cpu", "without tensorrt: needs libnv"]
        {
            assert!(text.contains(words), "{text}");
        }
        assert!(text.contains("the package's: /p.so"), "{text}");
        let none = list(&Runtimes { dir: "/d".into(), ..Runtimes::default() }, None);
        assert!(none.contains("none is installed in /d") && none.contains("which is current: there is none"), "{none}");
    }

    #[test]
    fn what_was_taken_back_says_why_and_what_serves() {
        let taken = RuntimeChange {
            outcome: "taken_back".into(),
            id: "1.24.0-aa".into(),
            version: "1.24.0".into(),
            reason: "add:1.0.0 fails with it: no".into(),
            serving: "1.22.0".into(),
            removed: vec!["1.24.0-aa".into()],
            ..RuntimeChange::default()
        };
        let text = change(&taken).split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = "1.24.0-aa (ONNX Runtime 1.24.0) was taken back: add:1.0.0 fails with it: no. the package's runtime is current \
                        as before, and edged serves with ONNX Runtime 1.22.0 1.24.0-aa is removed";
        assert_eq!(text, expected);
    }
}
