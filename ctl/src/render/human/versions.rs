//! Versions of models, for people.

use edge_wire::dto::{FleetModel, ModelStatus, Problem, Status};
use edge_wire::history::HistoryEntry;

use crate::render::table::{Align, clean, paragraph, table};

/// What became of a version that was installed or activated.
pub fn settled(model: &ModelStatus) -> String {
    let label = clean(&format!("{}:{}", model.name, model.version));
    match (model.active, model.probation.as_str()) {
        (true, "") => format!("{label} is active\n"),
        (true, probation) => format!("{label} is active, on probation: {}\n", clean(probation)),
        (false, _) => format!("{label} is installed, and not active: `edgectl models activate {label}`\n"),
    }
}

/// Whether something is wrong with the lists themselves.
pub fn is_of_lists(problem: &Problem) -> bool {
    problem.subject == "fleet list" || problem.subject == "fleet" || problem.subject.starts_with("fleet /")
}

/// What a box is to have, and what it does about it.
pub fn fleet(status: &Status) -> String {
    let (fleet, node) = (&status.fleet, &status.node);
    let mut told = String::new();
    if !fleet.revoked.is_empty() {
        told = paragraph("revoked: ", &clean(&fleet.revoked.join(", ")));
    }
    // Of models each row says why.
    for problem in status.problems.iter().filter(|problem| is_of_lists(problem)) {
        told.push_str(&paragraph(&format!("{}: ", clean(&problem.subject)), &clean(&problem.what)));
    }
    if fleet.models.is_empty() && told.is_empty() {
        return "no list says what this box is to have: see `fleet.dir` and `fleet.url` in edged.toml(5)\n".into();
    }
    if fleet.models.is_empty() {
        return told;
    }
    let mut place = format!("{} stands at {:.2} % of its fleet", clean(node), fleet.place_percent);
    if !fleet.channel.is_empty() {
        place.push_str(&format!(", channel {}", clean(&fleet.channel)));
    }
    if fleet.serial > 0 {
        place.push_str(&format!(", list {}", fleet.serial));
    }
    let head = [("MODEL", Align::Left), ("STATE", Align::Left), ("WAVE", Align::Left), ("WHY", Align::Left)];
    let row = |model: &FleetModel| {
        let wave = if model.wave == 0 { "none".to_owned() } else { format!("{} of {}", model.wave, model.waves) };
        let label = clean(&format!("{}:{}", model.name, model.version));
        vec![label, clean(&model.phase.replace('_', " ")), wave, clean(&model.reason)]
    };
    let rows: Vec<Vec<String>> = fleet.models.iter().map(row).collect();
    let gap = if told.is_empty() { "" } else { "\n" };
    format!("{place}\n\n{}{gap}{told}", table(&head, &rows))
}

/// Every deed, the last one last.
pub fn history(entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return "nothing was installed, activated or removed here\n".into();
    }
    let head = [
        ("WHEN", Align::Left),
        ("WHAT", Align::Left),
        ("MODEL", Align::Left),
        ("RESULT", Align::Left),
        ("WHO", Align::Left),
    ];
    let row = |entry: &HistoryEntry| {
        let second = entry.at.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
        vec![clean(&second), clean(&entry.what), clean(&entry.model), clean(&entry.result), clean(&entry.who)]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let mut lines: Vec<String> = table(&head, &rows).lines().map(str::to_owned).collect();
    let mut out = lines.remove(0);
    out.push('\n');
    for (line, entry) in lines.iter().zip(entries) {
        out.push_str(line);
        out.push('\n');
        if !entry.detail.is_empty() {
            out.push_str(&paragraph("    ", &clean(&entry.detail)));
        }
    }
    out
}
