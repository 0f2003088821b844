//! `edgectl models cache`: what providers compiled and is kept.

use edge_wire::dto::CacheEntry;

use crate::render::table::{Align, clean, paragraph, table};
use crate::render::units::{bytes, span};

/// All entries, and what they take together.
pub fn list(entries: &[CacheEntry]) -> String {
    if entries.is_empty() {
        return "nothing that was compiled is kept\n".into();
    }
    let head = [
        ("MODEL", Align::Left),
        ("PROVIDER", Align::Left),
        ("SIZE", Align::Right),
        ("BUILT", Align::Left),
        ("TOOK", Align::Right),
        ("LAST USED", Align::Left),
    ];
    let total = entries.iter().map(|entry| entry.bytes).fold(0, u64::saturating_add);
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    format!("{}\n{} in {}\n", table(&head, &rows), bytes(total), entry_count(entries.len()))
}

fn row(entry: &CacheEntry) -> Vec<String> {
    vec![
        clean(&entry.model),
        clean(&entry.provider),
        bytes(entry.bytes),
        second(&entry.built_at),
        if entry.took_ms == 0 { "-".into() } else { span(entry.took_ms) },
        if entry.in_use { "in use".into() } else { second(&entry.last_used) },
    ]
}

/// A time to the second.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((second, _)) => clean(&format!("{second}Z")),
        None if time.is_empty() => "-".into(),
        None => clean(time),
    }
}

fn entry_count(number: usize) -> String {
    match number {
        1 => "1 entry".into(),
        number => format!("{number} entries"),
    }
}

/// What clearing did.
pub fn cleared(removed: u32, freed: u64, in_use: usize) -> String {
    let removed = entry_count(usize::try_from(removed).unwrap_or(usize::MAX));
    let kept = match in_use {
        0 => String::new(),
        1 => "; 1 entry is in use and stays".into(),
        kept => format!("; {kept} entries are in use and stay"),
    };
    paragraph("", &format!("{removed} removed, {} freed{kept}", bytes(freed)))
}
