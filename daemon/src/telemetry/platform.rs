//! What machine this is; read once. Files are read below a root, which is that of the machine itself but for copies of
//! other machines; what such a copy does not have is told of the machine that this runs on.

use std::path::Path;

use edge_wire::dto::Platform;

use super::{node, system};

const HERE: &str = "/";

/// Board, system, cores and memory.
pub fn platform(root: &Path) -> Platform {
    let memory_bytes = system::memory_bytes(root).or_else(|| system::memory_bytes(Path::new(HERE)));
    let os_release = read(root, "etc/os-release").or_else(|| read(Path::new(HERE), "etc/os-release"));
    Platform {
        machine: machine(root),
        architecture: std::env::consts::ARCH.into(),
        os: os_name(&os_release.unwrap_or_default()),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cores: std::thread::available_parallelism().map_or(0, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_bytes.unwrap_or_default(),
    }
}

fn read(root: &Path, path: &str) -> Option<String> {
    node::text(&root.join(path))
}

/// A board names itself in the device tree; a PC by its firmware, else by its processor.
pub(super) fn machine(root: &Path) -> String {
    let name = |root: &Path| {
        read(root, "proc/device-tree/model")
            .or_else(|| read(root, "sys/class/dmi/id/product_name"))
            .or_else(|| processor(&read(root, "proc/cpuinfo")?))
    };
    name(root).or_else(|| name(Path::new(HERE))).unwrap_or_else(|| "unknown".into())
}

/// Name of the processor, where the kernel knows it.
pub fn processor_name() -> Option<String> {
    processor(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// The instructions of the processor that code is compiled for, in the kernel's words, in name order.
pub fn processor_features() -> String {
    features(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// Instructions for vectors and matrices, on either kind of processor; the rest of what a kernel lists differs from one
/// kernel to the next.
const FEATURES: [&str; 16] = [
    "sse", "ssse", "avx", "amx", "fma", "f16c", "bmi", "vnni", "asimd", "neon", "sve", "sme", "bf16", "i8mm", "fphp",
    "vfp",
];

fn features(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let words = line.and_then(|line| line.split_once(':')).map_or("", |(_, words)| words);
    let counts = |word: &&str| FEATURES.iter().any(|begin| word.starts_with(begin));
    let mut words: Vec<&str> = words.split_whitespace().filter(counts).collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

/// The software of a Jetson board, such as `L4T 36.4.3`; empty elsewhere. What was measured holds for it.
pub fn board_software(root: &Path) -> String {
    l4t(&read(root, "etc/nv_tegra_release").unwrap_or_default())
}

/// The same for people: with the release of JetPack that it belongs to, as far as that is known.
pub(super) fn software(root: &Path) -> String {
    let l4t = board_software(root);
    match jetpack_of(&l4t) {
        Some(jetpack) => format!("{l4t} (JetPack {jetpack})"),
        None => l4t,
    }
}

/// The release of JetPack that a board's software belongs to, as far as that is known.
pub fn jetpack_of(software: &str) -> Option<&'static str> {
    jetpack(software.strip_prefix("L4T ").unwrap_or_default())
}

/// Releases of the board's software and the JetPack each is in; a release that is not listed belongs to that of its number.
const JETPACKS: [(&str, &str); 17] = [
    ("38.4", "7.1"),
    ("38.2", "7.0"),
    ("36.4.4", "6.2.1"),
    ("36.4.3", "6.2"),
    ("36.4.0", "6.1"),
    ("36.3.0", "6.0"),
    ("35.6.0", "5.1.4"),
    ("35.5.0", "5.1.3"),
    ("35.4.1", "5.1.2"),
    ("35.3.1", "5.1.1"),
    ("35.2.1", "5.1"),
    ("35.1.0", "5.0.2"),
    ("38", "7"),
    ("36", "6"),
    ("35", "5"),
    ("34", "5"),
    ("32", "4"),
];

fn jetpack(l4t: &str) -> Option<&'static str> {
    let begins = |release: &str| l4t.strip_prefix(release).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    JETPACKS.iter().find(|(release, _)| begins(release)).map(|(_, jetpack)| *jetpack)
}

fn l4t(release: &str) -> String {
    let word = |before: &str, after: &[char]| {
        let rest = release.lines().next()?.split_once(before)?.1;
        rest.split(after).next().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty())
    };
    match (word("# R", &[' ', '(']), word("REVISION:", &[','])) {
        (Some(release), Some(revision)) => format!("L4T {release}.{revision}"),
        _ => String::new(),
    }
}

/// Version of the graphics driver; `none` without one.
pub fn gpu_driver() -> String {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    driver_version(&text).unwrap_or("none").to_owned()
}

/// The first word of the driver's own line that is a version: what stands before it differs by kind of driver.
fn driver_version(text: &str) -> Option<&str> {
    let is_version = |word: &&str| {
        word.contains('.')
            && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.lines().next()?.split_whitespace().find(is_version)
}

/// Names of the graphics cards that NVIDIA's driver has, in the order of the bus, separated by commas; empty without any.
pub fn graphics_names() -> String {
    let entries = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut places: Vec<_> = entries.map(|entry| entry.path().join("information")).collect();
    places.sort();
    let texts = places.iter().map(|place| std::fs::read_to_string(place).unwrap_or_default());
    texts.filter_map(|text| graphics_name(&text).map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

fn graphics_name(information: &str) -> Option<&str> {
    let value = information.lines().find_map(|line| line.strip_prefix("Model:"))?.trim();
    (!value.is_empty()).then_some(value)
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn os_name(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "unknown".into(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_usual_files() {
        assert_eq!(
            os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(os_name(""), "unknown");
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\n").as_deref(), Some("AMD EPYC"));
        assert_eq!(graphics_name("Model: \t\t NVIDIA H200\nIRQ:   \t\t 41\n"), Some("NVIDIA H200"));
        assert_eq!(graphics_name("Model: \n"), None);
    }

    #[test]
    fn what_code_is_compiled_for_is_told_and_what_a_kernel_adds_is_not() {
        let cpuinfo = "processor\t: 0\nflags\t\t: fpu avx2 sse4_2 avx2 md_clear arch_capabilities\n";
        assert_eq!(features(cpuinfo), "avx2 sse4_2");
        assert_eq!(features("Features\t: fp asimd evtstrm aes asimdhp\n"), "asimd asimdhp");
        assert_eq!(features(""), "");
        let line = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\nx";
        assert_eq!(l4t(line), "L4T 36.4.3");
        assert_eq!((l4t(""), l4t("# R36")), (String::new(), String::new()));
    }

    #[test]
    fn a_board_tells_its_name_and_software_below_the_root() {
        let root = super::super::testing::root(&[
            ("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0"),
            ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n"),
            ("etc/os-release", "PRETTY_NAME=\"Ubuntu 22.04.5 LTS\"\n"),
            ("proc/meminfo", "MemTotal: 8 kB\n"),
        ]);
        let seen = platform(root.path());
        let expected = ("NVIDIA Jetson Orin Nano Developer Kit", "Ubuntu 22.04.5 LTS", 8192);
        assert_eq!((seen.machine.as_str(), seen.os.as_str(), seen.memory_bytes), expected);
        assert_eq!(board_software(root.path()), "L4T 36.4.3");
        assert_eq!(software(root.path()), "L4T 36.4.3 (JetPack 6.2)");
        assert_eq!(
            [jetpack("36.5.0"), jetpack("35.4.1"), jetpack("40.1"), jetpack("")],
            [Some("6"), Some("5.1.2"), None, None]
        );
    }

    #[test]
    fn the_version_of_the_driver_is_read_whichever_kind_it_is() {
        let cases = [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  12.2.0\n",
                Some("535.104.05"),
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (root@box)\nGCC 13.2",
                Some("580.159.04"),
            ),
            ("GCC version:  gcc\nNVRM 1.2", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(driver_version(text), expected, "{text}");
        }
    }
}
