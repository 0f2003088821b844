//! Whether this machine has a graphics processor that ONNX Runtime has providers for, driver or not: a board of NVIDIA's by its
//! device tree, a card by what its driver or the bus shows. Read once, below a root. Must not know what is installed for it.

use std::path::Path;

use super::node;

/// NVIDIA's number on the PCI bus.
const VENDOR: &str = "0x10de";
/// Classes of display controllers there begin with it.
const DISPLAY: &str = "0x03";
/// Most devices of a bus that are looked at.
const DEVICES: usize = 1024;

/// What it is called; `None` if there is none.
pub fn graphics(root: &Path) -> Option<String> {
    board(root).or_else(|| card(root).then(|| "an NVIDIA graphics card".to_owned()))
}

fn board(root: &Path) -> Option<String> {
    let model = node::text(&root.join("proc/device-tree/model")).unwrap_or_default();
    // Names divided by zero bytes, of which reading a text keeps what is before the first.
    let compatible = std::fs::read(root.join("proc/device-tree/compatible")).unwrap_or_default();
    let is_tegra = compatible.split(|byte| *byte == 0).any(|name| name.starts_with(b"nvidia,tegra"));
    match (is_tegra || model.contains("Jetson"), model.is_empty()) {
        (false, _) => None,
        (true, true) => Some("an NVIDIA board".to_owned()),
        (true, false) => Some(model),
    }
}

fn card(root: &Path) -> bool {
    let has_driver = root.join("dev/nvidiactl").exists() || root.join("dev/nvidia0").exists();
    has_driver || on_the_bus(root)
}

fn on_the_bus(root: &Path) -> bool {
    let devices = std::fs::read_dir(root.join("sys/bus/pci/devices")).into_iter().flatten().flatten();
    devices.take(DEVICES).any(|device| {
        let is = |file: &str, begin: &str| {
            node::text(&device.path().join(file)).is_some_and(|text| text.trim().starts_with(begin))
        };
        is("vendor", VENDOR) && is("class", DISPLAY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a machine: path, content.
    type Files<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn a_board_or_card_is_told_by_what_the_kernel_shows() {
        let cases: [(Files<'_>, Option<&str>); 7] = [
            (&[], None),
            (&[("proc/device-tree/model", "Raspberry Pi 5\0")], None),
            (&[("proc/device-tree/model", "NVIDIA Jetson Orin NX\0")], Some("NVIDIA Jetson Orin NX")),
            (&[("proc/device-tree/compatible", "maker,box\0nvidia,tegra234\0")], Some("an NVIDIA board")),
            (&[("dev/nvidia0", "")], Some("an NVIDIA graphics card")),
            (
                &[("sys/bus/pci/devices/0/vendor", "0x10de\n"), ("sys/bus/pci/devices/0/class", "0x030200\n")],
                Some("an NVIDIA graphics card"),
            ),
            // Sound of such a card, and the card of another maker.
            (
                &[
                    ("sys/bus/pci/devices/0/vendor", "0x10de\n"),
                    ("sys/bus/pci/devices/0/class", "0x040300\n"),
                    ("sys/bus/pci/devices/1/vendor", "0x1002\n"),
                    ("sys/bus/pci/devices/1/class", "0x030000\n"),
                ],
                None,
            ),
        ];
        for (files, expected) in cases {
            let root = super::super::testing::root(files);
            assert_eq!(graphics(root.path()).as_deref(), expected, "{files:?}");
        }
    }
}
