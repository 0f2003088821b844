//! The form for people: aligned, calm, 80 columns. May change from release to release; scripts use `--json`.

pub mod bench;
pub mod bindings;
pub mod bring;
pub mod cache;
pub mod checks;
pub mod eval;
pub mod governor;
pub mod hardware;
pub mod infer;
pub mod jobs;
pub mod learn;
pub mod models;
pub mod plan;
pub mod route;
pub mod runtime;
pub mod sites;
pub mod status;
pub mod support;
pub mod trace;
pub mod usage;
pub mod versions;

use edge_wire::dto::Status;

use crate::failure::Failure;
use crate::render::table::{clean, paragraph};
use crate::render::units::count;

/// A failure for stderr: what is wrong, then what to do.
pub fn failure(failure: &Failure) -> String {
    let message = failure.to_string();
    let mut faults = message.lines();
    let mut text = format!("edgectl: {}\n", clean(faults.next().unwrap_or_default()));
    // Further faults of a file stand below the first, one a line.
    text.extend(faults.map(|fault| format!("  {}\n", clean(fault))));
    if let Some(remedy) = failure.remedy() {
        text.push_str(&paragraph("  try: ", &clean(&remedy)));
    }
    if let Failure::Refused { info: Some(info), .. } = failure {
        text.push_str(&paragraph("  see: ", &clean(&format!("`edgectl trace {}`", info.request_id))));
    }
    text
}

/// Whether requests are taken, and what is under way.
pub fn flow(status: &Status) -> String {
    let reason = if status.reason.is_empty() { String::new() } else { format!(" ({})", status.reason) };
    let waiting = count(status.waiting.into(), "request");
    paragraph("", &clean(&format!("{}{reason}: {waiting} waiting, {} running", status.state, status.running)))
}

/// The device is held: for what, what still runs on it, and how that ends.
pub fn holding(status: &Status, why: &str) -> String {
    let held = format!("held: {why}; {} still running, {} waiting; Ctrl-C lets go", status.running, status.waiting);
    paragraph("", &clean(&held))
}

/// The device is no longer held.
pub fn released(why: &str, after: std::time::Duration) -> String {
    paragraph("", &clean(&format!("let go after {}: {why}", super::units::duration(after))))
}

/// Keys whose new values wait for a restart, if there are any.
fn pending(status: &Status) -> Option<String> {
    let keys = &status.config_pending;
    (!keys.is_empty()).then(|| format!("{} (needs a restart: `systemctl restart edged`)", keys.join(", ")))
}

/// A reload that went well.
pub fn reloaded(status: &Status) -> String {
    let files =
        if status.config_files.is_empty() { "built-in defaults".into() } else { status.config_files.join(", ") };
    let mut text = paragraph("", &clean(&format!("configuration read again: {files}")));
    if let Some(pending) = pending(status) {
        text.push_str(&paragraph("", &clean(&format!("not taken over: {pending}"))));
    }
    text + &flow(status)
}
