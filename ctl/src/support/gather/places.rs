//! Files: the configuration, what the kernel tells of the machine, and lists of edged's own files, which are not opened.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toml::Table;

use crate::calendar::Instant;
use crate::edged::text;
use crate::support::{Content, Found};

/// Most entries of all lists, and how deep they go.
const ENTRIES: usize = 10_000;
const DEPTH: u32 = 6;

/// What the kernel and the system tell: file, what it is, where it comes from.
const SYSTEM: [(&str, &str, &str); 9] = [
    ("system/os.txt", "the system", "/etc/os-release"),
    ("system/memory.txt", "memory", "/proc/meminfo"),
    ("system/processors.txt", "processors", "/proc/cpuinfo"),
    ("system/load.txt", "load", "/proc/loadavg"),
    ("system/uptime.txt", "seconds since the start", "/proc/uptime"),
    ("system/board.txt", "the board", "/proc/device-tree/model"),
    ("system/l4t.txt", "software of a Jetson", "/etc/nv_tegra_release"),
    ("system/pressure-memory.txt", "want of memory", "/proc/pressure/memory"),
    ("system/pressure-io.txt", "want of the disk", "/proc/pressure/io"),
];

/// Directories of edged's: section and key in the configuration, and what holds without one.
const OWN: [(&str, &str, &str); 6] = [
    ("paths", "state_dir", "/var/lib/edged"),
    ("paths", "runtime_dir", "/run/edged"),
    ("cache", "dir", "/var/cache/edged"),
    ("models", "dirs", "/usr/share/edged/bundles"),
    ("engine", "runtimes_dir", "/usr/local/lib/edged/onnxruntime"),
    ("engine", "providers_dir", "/usr/lib/edged/providers"),
];
/// Directories that no key names.
const ALWAYS: [&str; 2] = ["/usr/lib/edged", "/etc/edged"];

/// Notes the files of the configuration; their texts.
pub fn config(files: &[PathBuf], found: &mut Found) -> Vec<String> {
    let mut texts = Vec::new();
    for (number, path) in files.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = format!("config/{number:02}-{name}");
        let text = text(path);
        texts.extend(text.clone().ok());
        found.put(&file, "configuration, without secrets and comments", text.map(Content::Config));
    }
    texts
}

/// Notes what the system tells.
pub fn system(found: &mut Found) {
    for (file, what, path) in SYSTEM {
        found.text(file, what, text(Path::new(path)));
    }
}

/// Notes which files edged has, with sizes and times. Their content is not read.
pub fn lists(configs: &[String], found: &mut Found) {
    let tables: Vec<Table> = configs.iter().filter_map(|text| text.parse().ok()).collect();
    let mut dirs: Vec<PathBuf> = OWN.into_iter().flat_map(|row| named(&tables, row)).collect();
    dirs.extend(ALWAYS.map(PathBuf::from));
    dirs.dedup();
    let mut lines = vec!["mode bytes modified path".to_owned()];
    for dir in &dirs {
        match fs::read_dir(dir) {
            Ok(_) => list(dir, DEPTH, &mut lines),
            Err(error) => lines.push(format!("- - - {}: {error}", dir.display())),
        }
    }
    if lines.len() > ENTRIES {
        lines.push("(and more)".into());
    }
    found.text("files.txt", "which files edged has, with sizes: not what is in them", Ok(lines.join("\n") + "\n"));
}

/// What the last of the files says of a directory, or what holds without it.
fn named(tables: &[Table], (section, key, otherwise): (&str, &str, &str)) -> Vec<PathBuf> {
    let value = tables.iter().rev().find_map(|table| table.get(section)?.get(key));
    match value {
        Some(toml::Value::String(dir)) => vec![PathBuf::from(dir)],
        Some(toml::Value::Array(dirs)) => dirs.iter().filter_map(|dir| dir.as_str()).map(PathBuf::from).collect(),
        _ => vec![PathBuf::from(otherwise)],
    }
}

fn list(dir: &Path, depth: u32, lines: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).take(ENTRIES).collect();
    paths.sort();
    for path in paths {
        if lines.len() > ENTRIES {
            return;
        }
        match path.symlink_metadata() {
            Ok(meta) => {
                let modified = Instant::at(meta.mtime()).rfc3339();
                lines.push(format!("{:o} {} {modified} {}", meta.mode() & 0o7777, meta.len(), path.display()));
                if meta.is_dir() && depth > 0 {
                    list(&path, depth - 1, lines);
                }
            }
            Err(error) => lines.push(format!("- - - {}: {error}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_and_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir_all(state.join("deep")).unwrap();
        fs::write(state.join("deep/journal.db"), "hunter2").unwrap();
        std::os::unix::fs::symlink("/etc", state.join("link")).unwrap();
        let config = format!("[paths]\nstate_dir = '{}'\n", state.display());
        let mut found = Found::default();
        lists(&[config], &mut found);
        let Content::Text(text) = &found.parts[0].content else { panic!("a text") };
        assert!(text.contains("state/deep/journal.db") && text.contains(" 7 ") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("state/link\n"), "a link is listed and not followed: {text}");
    }
}
