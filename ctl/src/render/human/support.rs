//! What is in a support bundle, for whoever is to mail it.

use crate::render::table::{Align, clean, paragraph, table};
use crate::render::units::bytes;
use crate::support::{Listed, Manifest, Missing};

/// Where it is, what is in it and what is not, and what was done to it.
pub fn told(place: &str, size: usize, manifest: &Manifest) -> String {
    let mut out = paragraph("", &clean(&format!("{place}: {}", bytes(size as u64))));
    out.push('\n');
    let head = [("PART", Align::Left), ("SIZE", Align::Right), ("WHAT", Align::Left)];
    let row = |part: &Listed| vec![clean(&part.file), bytes(part.bytes), clean(&part.what)];
    out.push_str(&table(&head, &manifest.parts.iter().map(row).collect::<Vec<_>>()));
    if !manifest.missing.is_empty() {
        out.push_str("\nNot in it:\n");
        for Missing { file, why } in &manifest.missing {
            out.push_str(&paragraph(&format!("  {}: ", clean(file)), &clean(why)));
        }
    }
    out.push('\n');
    for sentence in &manifest.redaction {
        out.push_str(&paragraph("- ", sentence));
    }
    out.push_str("\nNothing was sent anywhere. Look into it before you mail it: `tar -xzf FILE`.\n");
    out
}
