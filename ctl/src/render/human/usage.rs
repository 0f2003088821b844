//! `edgectl usage` and `edgectl audit`: what was served, and what left the device. Rows are long and not wrapped, for grep.

use edge_wire::sites::{AuditEntry, UsageRow};

use crate::render::table::{Align, clean, table};
use crate::render::units::{bytes, count, digits, millis, usd};

/// One line for each request that left the device, the newest first; `is_narrowed` if not all of them were asked for.
pub fn audit(entries: &[AuditEntry], limit: u32, is_narrowed: bool) -> String {
    if entries.is_empty() {
        let what = if is_narrowed { "nothing that was asked for" } else { "nothing" };
        return format!("{what} left the device\n");
    }
    let head = [
        ("AT", Align::Left),
        ("SITE", Align::Left),
        ("ZONE", Align::Left),
        ("CLASS", Align::Left),
        ("MODEL", Align::Left),
        ("WHY", Align::Left),
        ("BYTES", Align::Right),
        ("TOOK", Align::Right),
        ("USD", Align::Right),
        ("OUTCOME", Align::Left),
        ("CALLER", Align::Left),
        ("REQUEST", Align::Left),
    ];
    let mut text = table(&head, &entries.iter().map(departure).collect::<Vec<_>>());
    if u32::try_from(entries.len()).is_ok_and(|shown| shown == limit) {
        text.push_str(&format!("the newest {limit}; there may be more: --limit, --since\n"));
    }
    text
}

fn departure(entry: &AuditEntry) -> Vec<String> {
    let took = if entry.outcome == "open" { "-".into() } else { millis(entry.took_ms) };
    let cells = [
        second(&entry.at),
        entry.site.clone(),
        entry.zone.clone(),
        class(entry),
        entry.model.clone(),
        why(entry),
        bytes(entry.bytes),
        took,
        usd(entry.cost_usd),
        entry.outcome.clone(),
        who(&entry.caller),
        entry.request_id.clone(),
    ];
    cells.iter().map(|cell| clean(cell)).collect()
}

/// The class that held, and what the caller said where that is another.
fn class(entry: &AuditEntry) -> String {
    let AuditEntry { data_class, claimed, .. } = entry;
    if claimed.is_empty() || claimed == data_class {
        data_class.clone()
    } else {
        format!("{data_class} (of {claimed})")
    }
}

/// Why, by which rules, and what was taken out first.
fn why(entry: &AuditEntry) -> String {
    let mut why = entry.reason.clone();
    if entry.attempt > 1 {
        why.push_str(&format!(", attempt {}", entry.attempt));
    }
    if !entry.rules.is_empty() {
        why.push_str(&format!(", rules {}", entry.rules));
    }
    if !entry.redacted.is_empty() {
        why.push_str(&format!(", taken out: {}", entry.redacted));
    }
    why
}

/// Who asked, in one word, so that the row stays one line: `bus:1000` of `bus :1.42 (uid 1000)`, `mqtt:TOPIC` of `mqtt TOPIC`. These are the
/// words that `route explain --source` takes.
fn who(caller: &str) -> String {
    let uid = caller.split_once("(uid ").and_then(|(_, rest)| rest.split(')').next());
    uid.map_or_else(|| caller.replace(' ', ":"), |uid| format!("bus:{uid}"))
}

/// A time to the second, shorter to read: `2026-11-28 10:00:00`.
fn second(at: &str) -> String {
    at.get(..19).map_or_else(|| at.to_owned(), |at| at.replace('T', " "))
}

/// One line for each model, site and verdict, and the sum.
pub fn usage(rows: &[UsageRow]) -> String {
    if rows.is_empty() {
        return "nothing was served in this time\n".into();
    }
    let is_stepped = rows.iter().any(|row| row.span_s > 0);
    let mut head = vec![
        ("MODEL", Align::Left),
        ("SITE", Align::Left),
        ("VERDICT", Align::Left),
        ("REQUESTS", Align::Right),
        ("FAILED", Align::Right),
        ("TOKENS IN", Align::Right),
        ("OUT", Align::Right),
        ("SENT", Align::Right),
        ("P50", Align::Right),
        ("P95", Align::Right),
        ("P99", Align::Right),
        ("USD", Align::Right),
        ("JOULES", Align::Right),
    ];
    if is_stepped {
        head.insert(0, ("FROM", Align::Left));
    }
    let cells = rows.iter().map(|row| {
        let mut cells = served(row);
        if is_stepped {
            cells.insert(0, from(row));
        }
        cells
    });
    table(&head, &cells.collect::<Vec<_>>()) + &sum(rows)
}

fn served(row: &UsageRow) -> Vec<String> {
    let number = |number: u64| if number == 0 { "-".into() } else { number.to_string() };
    // What had no result took no time that says anything.
    let time = |ms: f64| if ms > 0.0 { millis(ms) } else { "-".into() };
    vec![
        clean(or_dash(&row.model)),
        clean(or_dash(&row.site)),
        clean(&row.verdict),
        row.count.to_string(),
        number(row.failed),
        number(row.input_tokens),
        number(row.output_tokens),
        if row.sent_bytes == 0 { "-".into() } else { bytes(row.sent_bytes) },
        time(row.p50_ms),
        time(row.p95_ms),
        time(row.p99_ms),
        if row.cost_usd == 0.0 { "-".into() } else { usd(row.cost_usd) },
        if row.energy_j == 0.0 { "-".into() } else { digits(row.energy_j) },
    ]
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// When the row begins: a day, or to the minute.
fn from(row: &UsageRow) -> String {
    const DAY_S: u64 = 86_400;
    let length = if row.span_s >= DAY_S { 10 } else { 16 };
    clean(&row.from.get(..length).map_or_else(|| row.from.clone(), |from| from.replace('T', " ")))
}

fn sum(rows: &[UsageRow]) -> String {
    let whole = |of: fn(&UsageRow) -> u64| rows.iter().map(of).fold(0, u64::saturating_add);
    let part = |of: fn(&UsageRow) -> f64| rows.iter().map(of).sum::<f64>();
    let mut text = format!("{}, {} failed", count(whole(|row| row.count), "request"), whole(|row| row.failed));
    let (cost, energy) = (part(|row| row.cost_usd), part(|row| row.energy_j));
    if cost > 0.0 {
        text.push_str(&format!(", {} USD", usd(cost)));
    }
    if energy > 0.0 {
        text.push_str(&format!(", {} J here", digits(energy)));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_shown_beside_the_class_that_held_only_where_they_differ() {
        let entry = |claimed: &str| AuditEntry {
            data_class: "internal".into(),
            claimed: claimed.into(),
            ..AuditEntry::default()
        };
        assert_eq!(class(&entry("")), "internal");
        assert_eq!(class(&entry("internal")), "internal");
        assert_eq!(class(&entry("public")), "internal (of public)");
    }

    #[test]
    fn a_caller_is_one_word() {
        assert_eq!(who("bus :1.42 (uid 1000)"), "bus:1000");
        assert_eq!(who("mqtt edge/a/result/chat"), "mqtt:edge/a/result/chat");
        assert_eq!(who(""), "");
    }

    #[test]
    fn only_a_full_page_says_that_there_may_be_more() {
        let entries = vec![AuditEntry::default(); 2];
        assert!(audit(&entries, 2, false).contains("the newest 2"));
        assert!(!audit(&entries, 3, false).contains("the newest"));
        assert_eq!(audit(&[], 100, false), "nothing left the device\n");
        assert_eq!(audit(&[], 100, true), "nothing that was asked for left the device\n");
    }

    #[test]
    fn a_row_begins_with_its_day_or_its_minute() {
        let at = |span_s| from(&UsageRow { from: "2026-11-28T10:07:00.000000Z".into(), span_s, ..UsageRow::default() });
        assert_eq!(at(86_400), "2026-11-28");
        assert_eq!(at(3600), "2026-11-28 10:07");
    }
}
