//! `edgectl jobs`: the table of all, the line about one.

use edge_wire::dto::JobStatus;

use crate::render::table::{Align, clean, paragraph, table};
use crate::render::units::span;

/// All jobs, and why some failed.
pub fn list(jobs: &[JobStatus]) -> String {
    if jobs.is_empty() {
        return "no job runs, and none ended lately\n".into();
    }
    let head = [
        ("ID", Align::Right),
        ("OPERATION", Align::Left),
        ("MODEL", Align::Left),
        ("PHASE", Align::Left),
        ("PERCENT", Align::Right),
        ("ELAPSED", Align::Left),
        ("EXPECTED", Align::Left),
        ("STATE", Align::Left),
    ];
    let failed = jobs.iter().filter(|job| !job.last_error.is_empty());
    let errors: String = failed
        .map(|job| paragraph("  ", &clean(&format!("job {} {}: {}", job.id, job.state, job.last_error))))
        .collect();
    let gap = if errors.is_empty() { "" } else { "\n" };
    format!("{}{gap}{errors}", table(&head, &jobs.iter().map(row).collect::<Vec<_>>()))
}

fn row(job: &JobStatus) -> Vec<String> {
    vec![
        job.id.to_string(),
        clean(&job.operation),
        clean(&job.model),
        clean(or_dash(&job.phase)),
        percent(job.percent),
        span(job.elapsed_ms),
        expected(job.expected_ms),
        clean(&job.state),
    ]
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn percent(percent: i32) -> String {
    if percent < 0 { "-".into() } else { format!("{percent}%") }
}

fn expected(ms: u64) -> String {
    if ms == 0 { "-".into() } else { span(ms) }
}

/// What it is: `job 7, build of text-line:1.0.0 (fp32 on openvino)`.
fn title(job: &JobStatus) -> String {
    let detail = if job.detail.is_empty() { String::new() } else { format!(" ({})", job.detail) };
    clean(&format!("job {}, {} of {}{detail}", job.id, job.operation, job.model))
}

/// One job and how it ended, or that it runs.
pub fn one(job: &JobStatus) -> String {
    let error = if job.last_error.is_empty() { String::new() } else { format!(": {}", job.last_error) };
    paragraph("", &clean(&format!("{}: {} after {}{error}", title(job), job.state, span(job.elapsed_ms))))
}

/// What a job did, line by line, and how it ended.
pub fn ended(job: &JobStatus) -> String {
    let notes: String = job.notes.iter().map(|note| paragraph("", &clean(note))).collect();
    format!("{notes}{}", one(job))
}

/// One line for somebody who waits, without a line end.
pub fn progress(job: &JobStatus) -> String {
    let percent = if job.percent < 0 { String::new() } else { format!(" {}%", job.percent) };
    let expected = if job.expected_ms == 0 { String::new() } else { format!(" of about {}", span(job.expected_ms)) };
    format!("{}: {}{percent}, {}{expected}", title(job), clean(or_dash(&job.phase)), span(job.elapsed_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_progress_says_only_what_is_known() {
        let job = JobStatus {
            id: 7,
            operation: "build".into(),
            model: "a:1.0.0".into(),
            phase: "compiling".into(),
            percent: -1,
            elapsed_ms: 2500,
            ..JobStatus::default()
        };
        assert_eq!(progress(&job), "job 7, build of a:1.0.0: compiling, 2 s");
        let job = JobStatus { detail: "fp32 on openvino".into(), percent: 40, expected_ms: 65_000, ..job };
        let expected = "job 7, build of a:1.0.0 (fp32 on openvino): compiling 40%, 2 s of about 1 min 5 s";
        assert_eq!(progress(&job), expected);
    }
}
