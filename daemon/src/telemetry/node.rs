//! One small file that the kernel fills anew at each read: how it is opened, kept and read, and what its errors mean. It
//! knows nothing of what stands in it.
//!
//! Nothing here waits: files are opened and read with O_NONBLOCK. On the kernel's own file systems the descriptor is kept
//! and read again from its beginning, which is cheaper than a new look-up; elsewhere (a copy of a machine) a file may be
//! replaced by another one of the same name, so it is opened each time.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::reading::{Absence, tidy};

/// File systems on which a descriptor may be kept: sysfs, proc, debugfs.
const KERNEL: [u64; 3] = [0x6265_6572, 0x9fa0, 0x6462_6720];
/// A value is a number or a few words.
const VALUE: usize = 256;
/// A longer text, such as a list of modes, ends here.
const TEXT: u64 = 256 << 10;
/// Directories are listed no further than this.
const ENTRIES: usize = 1024;

/// Why a file gave no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The driver has nothing to say now (EAGAIN, EINVAL of older ones), or said nothing.
    Asleep,
    /// There is no such file, or no device behind it any more.
    Missing,
    /// It is switched off.
    Disabled,
    /// Something else.
    Errno(Errno),
}

/// A file with one value.
#[derive(Debug)]
pub struct Node {
    path: PathBuf,
    kept: Option<OwnedFd>,
    buffer: [u8; VALUE],
}

impl Node {
    /// The file at `path`; nothing is opened yet.
    pub fn new(path: PathBuf) -> Node {
        Node { path, kept: None, buffer: [0; VALUE] }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something by that name.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Its text without blanks around it.
    pub fn text(&mut self) -> Result<&str, Fault> {
        let length = self.fill()?;
        let text = trimmed(&self.buffer[..length]);
        if text.is_empty() { Err(Fault::Asleep) } else { Ok(text) }
    }

    fn fill(&mut self) -> Result<usize, Fault> {
        match self.read() {
            // A descriptor of a device that went away says so for ever; its successor has the same name.
            Err(Errno::NODEV | Errno::NXIO) if self.kept.take().is_some() => self.read(),
            read => read,
        }
        .map_err(fault)
    }

    fn read(&mut self) -> Result<usize, Errno> {
        if let Some(kept) = &self.kept {
            return rustix::io::pread(kept, &mut self.buffer, 0);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())?;
        let length = rustix::io::read(&file, &mut self.buffer)?;
        if is_kernels(&file) {
            self.kept = Some(file);
        }
        Ok(length)
    }

    /// A finite number.
    pub fn number(&mut self) -> Result<f64, Absence> {
        let length = self.fill().map_err(|fault| self.absence(fault))?;
        let text = trimmed(&self.buffer[..length]);
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ if text.is_empty() => Err(Absence::NotYet),
            _ => Err(Absence::Failed(format!("{}: {text:?} is no number", self.path.display()))),
        }
    }

    /// A number times `unit`, if that lies within `range`; else it is a failure that names file and value.
    pub fn within(&mut self, unit: f64, range: (f64, f64)) -> Result<f64, Absence> {
        let number = self.number()?;
        let value = tidy(number * unit);
        if (range.0..=range.1).contains(&value) {
            return Ok(value);
        }
        Err(Absence::Failed(format!("{}: {number} is out of range", self.path.display())))
    }

    /// What a fault means for a value that a machine may lack.
    pub fn absence(&self, fault: Fault) -> Absence {
        match fault {
            Fault::Asleep => Absence::NotYet,
            Fault::Missing | Fault::Disabled => Absence::Unsupported,
            Fault::Errno(errno) => Absence::Failed(format!("{}: {}", self.path.display(), words(errno))),
        }
    }
}

/// The system's words for an error, without its number.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn fault(errno: Errno) -> Fault {
    match errno {
        Errno::AGAIN | Errno::INVAL => Fault::Asleep,
        Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::NOTDIR => Fault::Missing,
        Errno::NODATA => Fault::Disabled,
        other => Fault::Errno(other),
    }
}

fn is_kernels(file: &OwnedFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| KERNEL.contains(&kind)))
}

/// The text of bytes that need not be text: up to the first that is none, without blanks around it.
fn trimmed(bytes: &[u8]) -> &str {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0')
}

/// The text of a file that is read once in a while, without blanks around it; `None` if it has none. It waits for nothing.
pub fn text(path: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    fs::File::from(file).take(TEXT).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A finite number that is read once in a while.
pub fn number(path: &Path) -> Option<f64> {
    text(path)?.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// What is in a directory, by name; numbers at the end of names count as numbers.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).take(ENTRIES).collect();
    paths.sort_by_cached_key(|path| numbered(&name(path)));
    paths
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `hwmon10` as `("hwmon", 10)`.
fn numbered(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (stem.to_owned(), name[stem.len()..].parse().unwrap_or(0))
}

/// Directories of `/sys/class/hwmon` below `root` with the name that each has in its file `name`. Their numbers differ from
/// one start of the machine to the next.
pub fn hwmons(root: &Path) -> Vec<(String, PathBuf)> {
    let dirs = entries(&root.join("sys/class/hwmon")).into_iter();
    dirs.filter_map(|dir| Some((text(&dir.join("name"))?, dir))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_and_does_not_say_has_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("number"), " 42\n").unwrap();
        fs::write(at("empty"), "\n").unwrap();
        fs::write(at("word"), "on\n").unwrap();
        fs::write(at("huge"), "1e30").unwrap();
        fs::write(at("endless"), "1e999").unwrap();
        fs::write(at("bytes"), [0xff, 0xfe]).unwrap();
        fs::create_dir(at("dir")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let read = |name: &str| Node::new(at(name)).number();
        assert_eq!(read("number"), Ok(42.0));
        assert_eq!(read("huge"), Ok(1e30));
        assert_eq!(read("empty"), Err(Absence::NotYet));
        assert_eq!(read("bytes"), Err(Absence::NotYet));
        assert_eq!(read("missing"), Err(Absence::Unsupported));
        assert_eq!(read("dangling"), Err(Absence::Unsupported));
        let why = |name: &str| read(name).unwrap_err().word();
        assert!(why("word").ends_with("word: \"on\" is no number"), "{}", why("word"));
        assert!(why("endless").contains("is no number"), "{}", why("endless"));
        assert!(why("dir").ends_with("dir: Is a directory"), "{}", why("dir"));
        assert!(Node::new(at("huge")).within(1.0, (0.0, 1e6)).unwrap_err().word().ends_with("is out of range"));
    }

    #[test]
    fn a_pipe_that_nobody_fills_is_asleep_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("temp");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut node = Node::new(path.clone());
        assert_eq!(node.text(), Err(Fault::Asleep), "nobody has it open");
        let held = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert_eq!(node.text(), Err(Fault::Asleep));
        assert_eq!(text(&path), None);
        drop(held);
    }

    #[test]
    fn a_file_that_is_replaced_is_read_anew_and_one_of_the_kernel_is_kept_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        fs::write(&path, "1").unwrap();
        let mut node = Node::new(path.clone());
        assert_eq!(node.number(), Ok(1.0));
        fs::write(dir.path().join("new"), "2").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(node.number(), Ok(2.0));
        let mut load = Node::new("/proc/loadavg".into());
        assert!(load.text().is_ok());
        assert!(load.kept.is_some() && load.text().is_ok());
    }

    #[test]
    fn numbers_in_names_are_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["hwmon10", "hwmon9", "hwmon0", "x"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let names: Vec<String> = entries(dir.path()).iter().map(|path| name(path)).collect();
        assert_eq!(names, ["hwmon0", "hwmon9", "hwmon10", "x"]);
        assert!(entries(&dir.path().join("nowhere")).is_empty());
    }
}
