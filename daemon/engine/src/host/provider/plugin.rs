//! Providers that come as libraries of their own: such a library is looked at, opened, registered with the runtime under the
//! provider's name, and one of the devices that it then offers is chosen.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ort::device::Device;
use ort::environment::Environment;
use ort::memory::DeviceType;

use super::elf::{self, ElfError};
use crate::host::raw;
use crate::host::session::short_name;

/// The functions that make a library a provider.
const ENTRIES: [&std::ffi::CStr; 2] = [c"CreateEpFactories", c"ReleaseEpFactory"];

/// Why a library is not a usable provider.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error("read its library {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("its library {}", path.display())]
    Elf { path: PathBuf, source: ElfError },
    #[error("open its library {}: {why}", path.display())]
    Open { path: PathBuf, why: String },
    #[error(
        "its library {} is no execution provider, or one for another generation of ONNX Runtime: it has no function \
         {entry}",
        path.display()
    )]
    NoEntry { path: PathBuf, entry: String },
    #[error("register its library {} with ONNX Runtime", path.display())]
    Register { path: PathBuf, source: ort::Error },
    #[error("its library {} was registered", path.display())]
    Device { path: PathBuf, source: DeviceError },
}

/// Why no device of a provider can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "{name} offers no device of kind {kind} on this machine{}; all that is offered: {}",
        hint(name),
        list(offered)
    )]
    None { name: String, kind: &'static str, offered: Vec<String> },
    #[error("device {wanted} was asked for; {name} offers {count} of kind {kind}, counted from 0")]
    Number { name: String, kind: &'static str, wanted: u16, count: usize },
}

/// What is known of the reasons.
fn hint(provider: &str) -> &'static str {
    match provider {
        "openvino" => " (its library passes over processors that are not Intel's)",
        _ => "",
    }
}

fn list(offered: &[String]) -> String {
    if offered.is_empty() { "nothing".into() } else { offered.join(", ") }
}

/// A device as the runtime lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The provider, in the runtime's own words.
    pub provider: String,
    pub kind: DeviceType,
}

/// Place in the list of the device to use: of those of exactly this provider and kind, the one with this number.
pub fn choose(
    offered: &[Offered],
    provider: &str,
    kind: Option<DeviceType>,
    number: Option<u16>,
) -> Result<usize, DeviceError> {
    let fits =
        |device: &Offered| short_name(&device.provider) == provider && kind.is_none_or(|kind| kind == device.kind);
    let found: Vec<usize> = (0..).zip(offered).filter(|(_, device)| fits(device)).map(|(at, _)| at).collect();
    let (name, kind, wanted) = (provider.to_owned(), kind.map_or("any", word), number.unwrap_or(0));
    match found.get(usize::from(wanted)) {
        Some(at) => Ok(*at),
        None if found.is_empty() => {
            let offered = offered.iter().map(|device| format!("{} ({})", device.provider, word(device.kind))).collect();
            Err(DeviceError::None { name, kind, offered })
        }
        None => Err(DeviceError::Number { name, kind, wanted, count: found.len() }),
    }
}

fn word(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::CPU => "CPU",
        DeviceType::GPU => "GPU",
        DeviceType::FPGA => "FPGA",
        DeviceType::NPU => "NPU",
    }
}

/// A registered library.
#[derive(Debug)]
pub struct Plugin {
    provider: String,
    path: PathBuf,
    runtime_name: String,
    kind: Option<DeviceType>,
}

impl Plugin {
    /// Looks at the library, registers it, and makes sure that it offers the device that is wanted. The library's own code
    /// runs in here, and may crash.
    pub fn register(
        environment: &Environment,
        provider: &str,
        path: &Path,
        kind: Option<DeviceType>,
        number: Option<u16>,
    ) -> Result<Plugin, PluginError> {
        let (name, path) = (provider.to_owned(), path.to_owned());
        look(&path)?;
        open(&path)?;
        environment
            .register_ep_library(provider, &path)
            .map_err(|source| PluginError::Register { path: path.clone(), source })?;
        let offered = offered(environment);
        let at = choose(&offered, provider, kind, number)
            .map_err(|source| PluginError::Device { path: path.clone(), source })?;
        let runtime_name = offered.get(at).map(|device| device.provider.clone()).unwrap_or_default();
        Ok(Plugin { provider: name, path, runtime_name, kind })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the runtime calls the provider.
    pub fn runtime_name(&self) -> &str {
        &self.runtime_name
    }

    /// The device to make a session on.
    pub fn device<'e>(&self, environment: &'e Environment, number: Option<u16>) -> Result<Device<'e>, DeviceError> {
        let at = choose(&offered(environment), &self.provider, self.kind, number)?;
        environment.devices().nth(at).ok_or_else(|| DeviceError::None {
            name: self.provider.clone(),
            kind: self.kind.map_or("any", word),
            offered: Vec::new(),
        })
    }
}

/// The device of the CPU provider. A runtime that has other providers' libraries takes one of theirs for a session that names
/// no device.
pub fn cpu(environment: &Environment) -> Option<Device<'_>> {
    environment.devices().find(|device| device.ep().is_ok_and(|name| name == CPU))
}

/// The runtime's own word.
const CPU: &str = "CPUExecutionProvider";

fn offered(environment: &Environment) -> Vec<Offered> {
    let device = |device: Device<'_>| Offered {
        provider: device.ep().unwrap_or_default().to_owned(),
        kind: device.hardware_device().ty(),
    };
    environment.devices().map(device).collect()
}

/// Judges the file by its first bytes.
fn look(path: &Path) -> Result<(), PluginError> {
    let failed = |source| PluginError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("not a regular file")));
    }
    let mut head = Vec::with_capacity(elf::HEAD);
    File::open(path).map_err(failed)?.take(elf::HEAD as u64).read_to_end(&mut head).map_err(failed)?;
    elf::check(&head, metadata.len(), std::env::consts::ARCH)
        .map_err(|source| PluginError::Elf { path: path.to_owned(), source })
}

/// Opens the library for good and makes sure of its functions: the runtime would only say that something is missing.
fn open(path: &Path) -> Result<(), PluginError> {
    let library = raw::open_library(path).map_err(|why| PluginError::Open { path: path.to_owned(), why })?;
    match ENTRIES.iter().find(|entry| !library.has(entry)) {
        None => Ok(()),
        Some(entry) => {
            let entry = entry.to_string_lossy().into_owned();
            Err(PluginError::NoEntry { path: path.to_owned(), entry })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_of_exactly_this_provider_and_kind_is_chosen() {
        let device = |provider: &str, kind| Offered { provider: format!("{provider}ExecutionProvider"), kind };
        let mut auto = device("OpenVINO", DeviceType::CPU);
        auto.provider.push_str(".AUTO");
        let offered = [
            device("CPU", DeviceType::CPU),
            auto,
            device("OpenVINO", DeviceType::GPU),
            device("OpenVINO", DeviceType::CPU),
            device("NvTensorRTRTX", DeviceType::GPU),
            device("NvTensorRTRTX", DeviceType::GPU),
        ];
        let (cpu, gpu) = (Some(DeviceType::CPU), Some(DeviceType::GPU));
        let cases = [
            ("openvino", cpu, None, Ok(3)),
            ("openvino", gpu, Some(0), Ok(2)),
            ("openvino", None, None, Ok(2)),
            ("tensorrt-rtx", gpu, Some(1), Ok(5)),
            ("openvino", cpu, Some(1), Err("device 1 was asked for; openvino offers 1 of kind CPU, counted from 0")),
            (
                "openvino",
                Some(DeviceType::NPU),
                None,
                Err("openvino offers no device of kind NPU on this machine (its"),
            ),
            (
                "abacus",
                None,
                None,
                Err("abacus offers no device of kind any on this machine; all that is offered: CPUE"),
            ),
        ];
        for (provider, kind, number, expected) in cases {
            match (choose(&offered, provider, kind, number), expected) {
                (Ok(at), expected) => assert_eq!(Ok(at), expected),
                (Err(error), Err(said)) => assert!(error.to_string().starts_with(said), "{error}"),
                (Err(error), Ok(at)) => panic!("{error} instead of {at}"),
            }
        }
        let nothing = choose(&[], "openvino", cpu, None).unwrap_err();
        assert!(nothing.to_string().ends_with("all that is offered: nothing"), "{nothing}");
    }
}
