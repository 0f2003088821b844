//! Which neural processors the kernel's driver knows. It tells no temperature, power or clock: those are the library's to
//! tell.

use std::path::{Path, PathBuf};

use super::node;
use super::sensed::Accelerator;

const CLASS: &str = "sys/class/hailo_chardev";
const NOTE: &str = "the kernel's driver tells no temperature, clock or load; libhailort does";

/// The processors of the machine whose files are below `root`.
pub fn find(root: &Path) -> Vec<Accelerator> {
    let version = node::text(&root.join("sys/module/hailo_pci/version"))
        .or_else(|| node::text(&root.join("sys/module/hailo1x_pci/version")))
        .unwrap_or_default();
    let device = |dir: PathBuf| {
        let name = name_of(&ids(root, &dir)?);
        Some(Accelerator { note: NOTE.into(), ..Accelerator::named("npu", name, &version, "sysfs") })
    };
    node::entries(&root.join(CLASS)).into_iter().filter_map(device).collect()
}

/// `1e60:2864`: older drivers tell it; newer ones tell the place on the bus, where it stands.
fn ids(root: &Path, dir: &Path) -> Option<String> {
    let told = node::text(&dir.join("device_id"))?;
    let place = root.join("sys/bus/pci/devices").join(told.replace('/', ""));
    let hex = |file: &str| node::text(&place.join(file)).map(|id| id.trim_start_matches("0x").to_lowercase());
    match (hex("vendor"), hex("device")) {
        (Some(vendor), Some(device)) => Some(format!("{vendor}:{device}")),
        _ => Some(told.to_lowercase()),
    }
}

/// The two kinds of Hailo-8 have the same number.
fn name_of(ids: &str) -> &'static str {
    match ids {
        "1e60:2864" => "Hailo-8",
        "1e60:45c4" => "Hailo-10H",
        _ => "Hailo",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::root;
    use super::*;

    #[test]
    fn a_processor_is_known_by_either_driver() {
        for (files, expected) in [
            (
                &[
                    ("sys/class/hailo_chardev/hailo0/device_id", "1e60:2864"),
                    ("sys/module/hailo_pci/version", "4.20.0\n"),
                ][..],
                Some(("Hailo-8", "4.20.0")),
            ),
            (
                &[
                    ("sys/class/hailo_chardev/hailo0/device_id", "0001:01:00.0"),
                    ("sys/bus/pci/devices/0001:01:00.0/vendor", "0x1e60\n"),
                    ("sys/bus/pci/devices/0001:01:00.0/device", "0x45c4\n"),
                    ("sys/module/hailo1x_pci/version", "5.3.0"),
                ],
                Some(("Hailo-10H", "5.3.0")),
            ),
            (&[("sys/class/hailo_chardev/hailo0/device_id", "0001:01:00.0")], Some(("Hailo", ""))),
            (&[("sys/class/hailo_chardev/hailo0/device_id", "")], None),
            (&[], None),
        ] {
            let root = root(files);
            let found = find(root.path());
            let seen = found.first().map(|npu| (&*npu.name, &*npu.driver));
            assert_eq!(seen, expected, "{files:?}");
        }
    }
}
