//! Memory that the service may still take: what the machine has left, or its control group if that is less. The files are
//! the kernel's own: reading them waits for nothing.

use std::path::{Path, PathBuf};

/// Bytes that may still be taken; `None` where the kernel does not say.
pub fn available_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(mem_available);
    let groups = read("/proc/self/cgroup");
    let group = groups.and_then(|text| group_free(Path::new("/sys/fs/cgroup"), &text));
    machine.into_iter().chain(group).min()
}

/// `MemAvailable` of `/proc/meminfo`, bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Names of the files of a control group, which differ from version to version.
struct Names {
    limit: &'static str,
    used: &'static str,
    /// The line of `memory.stat` with the pages of files that the kernel drops first.
    cached: &'static str,
}

const V2: Names = Names { limit: "memory.max", used: "memory.current", cached: "inactive_file" };
const V1: Names =
    Names { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", cached: "total_inactive_file" };

/// What the control groups of this process have left, the tightest of those above it included: `root` is where they are
/// mounted, `text` is `/proc/self/cgroup`. `None` without a limit.
fn group_free(root: &Path, text: &str) -> Option<u64> {
    let line = |wanted: &dyn Fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(number, controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let walk = |mount: PathBuf, path: String, names: &Names| {
        let group = mount.join(path);
        group.ancestors().take_while(|dir| dir.starts_with(&mount)).filter_map(|dir| free_of(dir, names)).min()
    };
    // Both may be there: then the older one has the memory.
    let first = line(&|_, controllers| controllers.split(',').any(|name| name == "memory"));
    match first {
        Some(path) => walk(root.join("memory"), path, &V1),
        None => walk(root.to_owned(), line(&|number, controllers| number == "0" && controllers.is_empty())?, &V2),
    }
}

/// What one group has left; `None` if it has no limit.
fn free_of(dir: &Path, names: &Names) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
    // The word `max`, or (the older version) a number beyond every machine, is none.
    let limit: u64 = read(names.limit)?.trim().parse().ok().filter(|limit| *limit < 1 << 60)?;
    let used: u64 = read(names.used)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(names.cached)?.strip_prefix(' ')?.trim().parse().ok());
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        assert_eq!(mem_available("MemTotal:  8 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        for nonsense in ["", "MemAvailable: 12", "MemAvailable: x kB", "MemFree: 1 kB"] {
            assert_eq!(mem_available(nonsense), None, "{nonsense}");
        }
        assert!(available_bytes().is_some());
    }

    #[test]
    fn the_tightest_group_above_counts_without_what_can_be_dropped() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                ("system/edged/memory.max", "max\n"),
                ("system/edged/memory.current", "10\n"),
                ("system/memory.max", "1000\n"),
                ("system/memory.current", "700\n"),
                ("system/memory.stat", "anon 1\ninactive_file 200\nfile 9\n"),
                ("memory.max", "5000\n"),
                ("memory.current", "700\n"),
            ],
        );
        assert_eq!(group_free(dir.path(), "0::/system/edged\n"), Some(500));
        assert_eq!(group_free(dir.path(), "0::/\n"), Some(4300));
        assert_eq!(group_free(dir.path(), "0::/elsewhere\n"), Some(4300));
        assert_eq!(group_free(dir.path(), "nonsense"), None);
    }

    #[test]
    fn the_older_version_is_read_where_it_has_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                ("memory/system/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/system/memory.usage_in_bytes", "10\n"),
                ("memory/memory.limit_in_bytes", "1000\n"),
                ("memory/memory.usage_in_bytes", "600\n"),
                ("memory/memory.stat", "inactive_file 3\ntotal_inactive_file 100\n"),
            ],
        );
        assert_eq!(group_free(dir.path(), "4:cpu,memory:/system\n0::/\n"), Some(500));
    }
}
