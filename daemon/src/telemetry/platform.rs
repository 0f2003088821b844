//! What machine this is; read once.

use edge_wire::dto::Platform;

/// Board, system, cores and memory.
pub fn platform() -> Platform {
    let memory_bytes = sysinfo::System::new().map(|mut system| {
        system.refresh_memory();
        system.total_memory()
    });
    Platform {
        machine: machine(),
        architecture: std::env::consts::ARCH.into(),
        os: os_name(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cores: std::thread::available_parallelism().map_or(0, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_bytes.unwrap_or_default(),
    }
}

/// A board names itself in the device tree; a PC by its firmware, else by its processor.
fn machine() -> String {
    let read =
        |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim_matches(['\0', '\n', ' ']).to_owned());
    read("/proc/device-tree/model")
        .or_else(|| read("/sys/class/dmi/id/product_name"))
        .filter(|name| !name.is_empty())
        .or_else(|| processor(&read("/proc/cpuinfo")?))
        .unwrap_or_else(|| "unknown".into())
}

/// Name of the processor, where the kernel knows it.
pub fn processor_name() -> Option<String> {
    processor(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// Version of the graphics driver; `none` without one.
pub fn gpu_driver() -> String {
    // NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 ...
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let version = text.lines().next().and_then(|line| line.split_once("Module")).map(|(_, rest)| rest.trim());
    version.and_then(|rest| rest.split_whitespace().next()).unwrap_or("none").to_owned()
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
    }
}
