//! What a compiled model depends on besides the model and the runtime: which provider this is, and which device. Both are
//! read from files and from what the runtime lists; the texts are compared with earlier ones and shown to people.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Digest of a provider's library and of what lies beside it: its bytes, and names and sizes of its neighbours, which it
/// may open. Reading the neighbours' bytes would take seconds at each start.
pub fn digest(library: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(library)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    let mut beside: Vec<(String, u64)> = Vec::new();
    for entry in fs::read_dir(library.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let size = fs::metadata(entry.path()).map_or(0, |metadata| metadata.len());
        beside.push((entry.file_name().to_string_lossy().into_owned(), size));
    }
    beside.sort();
    for (name, size) in beside {
        hash.update(format!("\n{name} {size}"));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where a machine says what it is.
pub struct Machine {
    /// `/proc/cpuinfo`.
    pub processors: String,
    /// `/proc/device-tree/model`.
    pub board: String,
    /// `/proc/driver/nvidia/gpus/*/information`, in name order.
    pub graphics: Vec<String>,
}

impl Machine {
    /// This one. What cannot be read is empty: not every machine has it.
    pub fn this() -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let entries = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
        let mut places: Vec<_> = entries.map(|entry| entry.path().join("information")).collect();
        places.sort();
        let graphics = places.iter().map(|place| fs::read_to_string(place).unwrap_or_default()).collect();
        Machine { processors: text("/proc/cpuinfo"), board: text("/proc/device-tree/model"), graphics }
    }

    /// Name of the processor, of the board where processors have none, or `unknown processor`.
    pub fn processor(&self) -> String {
        let named = field(&self.processors, "model name").or_else(|| board(&self.board));
        named.unwrap_or_else(|| "unknown processor".into())
    }

    /// Name of a graphics processor, of the board where it is a part of that, or what the runtime says of it.
    pub fn graphics(&self, number: u16, said: &str) -> String {
        let named = self.graphics.get(usize::from(number)).and_then(|text| field(text, "Model"));
        named.or_else(|| board(&self.board)).unwrap_or_else(|| said.to_owned())
    }
}

/// A value in a text of lines `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| line.split_once(':'));
    let value = values.find(|(key, _)| key.trim() == name)?.1.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn board(text: &str) -> Option<String> {
    let name = text.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(processors: &str, board: &str, graphics: &[&str]) -> Machine {
        let graphics = graphics.iter().map(|&text| text.to_owned()).collect();
        Machine { processors: processors.into(), board: board.into(), graphics }
    }

    #[test]
    fn a_device_has_the_name_that_the_machine_gives_it_or_that_of_its_board() {
        let x86 = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5-7300U CPU @ 2.60GHz\nmodel name\t: another\n";
        let gpus = ["Model: \t\t NVIDIA RTX A2000\nIRQ: 44\n", "Model: \t\t NVIDIA T4\n"];
        let (server, orin) = (machine(x86, "", &gpus), machine("processor\t: 0\n", "NVIDIA Jetson Orin NX\0", &[]));
        let cases = [
            (server.processor(), "Intel(R) Core(TM) i5-7300U CPU @ 2.60GHz"),
            (server.graphics(1, "vendor 10de"), "NVIDIA T4"),
            (server.graphics(2, "vendor 10de"), "vendor 10de"),
            (orin.processor(), "NVIDIA Jetson Orin NX"),
            (orin.graphics(0, "vendor 10de"), "NVIDIA Jetson Orin NX"),
            (machine("", "", &[]).processor(), "unknown processor"),
        ];
        for (name, expected) in cases {
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn a_library_has_another_digest_when_it_or_its_neighbours_change() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("plugin.so");
        fs::write(&library, "one").unwrap();
        let first = digest(&library).unwrap();
        assert_eq!(first, digest(&library).unwrap());
        fs::write(dir.path().join("libother.so"), "12").unwrap();
        let second = digest(&library).unwrap();
        fs::write(dir.path().join("libother.so"), "123").unwrap();
        let third = digest(&library).unwrap();
        fs::write(&library, "two").unwrap();
        let all = [first, second, third, digest(&library).unwrap()];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{all:?}");
    }
}
