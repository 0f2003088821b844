//! `edgectl bindings`: what each of them did, then what it is for and what is wrong with it.

use edge_wire::dto::BindingStatus;

use crate::render::table::{Align, clean, paragraph, table};

/// All bindings.
pub fn list(bindings: &[BindingStatus]) -> String {
    if bindings.is_empty() {
        return "no binding: the daemon found no [[binding]] when it started; one that was added since needs a restart\n".into();
    }
    let head = [
        ("BINDING", Align::Left),
        ("RECEIVED", Align::Right),
        ("ANSWERED", Align::Right),
        ("FAILED", Align::Right),
        ("SKIPPED", Align::Right),
        ("DROPPED", Align::Right),
        ("WAITING", Align::Right),
        ("LAST", Align::Left),
    ];
    let rows: Vec<Vec<String>> = bindings.iter().map(row).collect();
    let about: String = bindings.iter().map(about).collect();
    format!("{}\n{about}", table(&head, &rows))
}

fn row(binding: &BindingStatus) -> Vec<String> {
    vec![
        clean(&binding.name),
        binding.received.to_string(),
        binding.done.to_string(),
        binding.failed.to_string(),
        binding.skipped.to_string(),
        binding.overloaded.to_string(),
        (binding.waiting + binding.open).to_string(),
        last(binding),
    ]
}

/// When the last frame was answered, and how long that took.
fn last(binding: &BindingStatus) -> String {
    if binding.last_at.is_empty() {
        return "-".into();
    }
    let tenths = binding.last_age_us.div_ceil(100);
    clean(&format!("{} after {}.{} ms", binding.last_at, tenths / 10, tenths % 10))
}

fn about(binding: &BindingStatus) -> String {
    let mut text = paragraph("", &clean(&binding.words));
    let mut note = |what: String| text.push_str(&paragraph("  ", &clean(&what)));
    if !binding.problem.is_empty() {
        note(format!("wrong now: {}", binding.problem));
    }
    if !binding.last_error.is_empty() {
        note(format!("last failure: {}: {}", binding.last_error_code, binding.last_error));
    }
    if binding.circular > 0 {
        note(format!(
            "{} messages had come round in a circle and were not taken: look which bridge or binding sends its answers back",
            binding.circular
        ));
    }
    if binding.retained > 0 {
        note(format!("{} messages that the broker kept from an earlier time were not taken", binding.retained));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_binding_has_a_row_and_what_is_wrong_stands_under_its_words() {
        let quiet =
            BindingStatus { name: "gate".into(), words: "binding \"gate\" takes files.".into(), ..Default::default() };
        let busy = BindingStatus {
            name: "line".into(),
            words: "binding \"line\" takes topics.".into(),
            received: 7,
            done: 4,
            failed: 1,
            skipped: 2,
            circular: 3,
            last_at: "2026-11-28T10:00:00Z".into(),
            last_age_us: 12_340,
            last_error_code: "too_large".into(),
            last_error: "payload: 9 bytes".into(),
            ..Default::default()
        };
        let text = list(&[quiet, busy]);
        // The last column is wrapped below itself.
        assert!(text.contains("2026-11-28T10:00:00Z\n") && text.contains("after 12.4 ms\n"), "{text}");
        assert!(text.contains("last failure: too_large: payload: 9 bytes"), "{text}");
        assert!(text.contains("3 messages had come round in a circle"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("gate") && line.ends_with('-')).count(), 1, "{text}");
        assert!(list(&[]).starts_with("no binding"));
    }
}
