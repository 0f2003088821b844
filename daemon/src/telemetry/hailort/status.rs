//! The words of libhailort without its structures: status codes and what they mean here, versions, what a device says of
//! itself. Plain values; opens and calls nothing.

use std::path::PathBuf;

/// Why a library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("open {}: {why}", path.display())]
    Open { path: PathBuf, why: String },
    #[error("{} is no libhailort: it has no {name}", path.display())]
    Symbol { path: PathBuf, name: String },
    #[error("{} does not tell its version: {status}", path.display())]
    Version { path: PathBuf, status: Status },
    #[error("too new: libhailort {major}.{minor} is not known to this version of edged ({})", path.display())]
    TooNew { path: PathBuf, major: u32, minor: u32 },
    #[error("too old: libhailort {major}.{minor} is not known to this version of edged ({})", path.display())]
    TooOld { path: PathBuf, major: u32, minor: u32 },
}

/// Anything but success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (status {code})")]
pub struct Status {
    /// `hailo_status`.
    pub code: i32,
    /// The library's words for it.
    pub message: String,
}

impl Status {
    const UNSUPPORTED: [i32; 3] = [7, 48, 79];
    const IN_USE: [i32; 3] = [73, 74, 97];
    /// Invalid driver version, invalid response of the driver, unknown request to the driver.
    const MISMATCH: [i32; 3] = [76, 85, 86];
    const FILE: i32 = 13;

    /// The device or its board cannot do it.
    pub fn is_unsupported(&self) -> bool {
        Status::UNSUPPORTED.contains(&self.code)
    }

    /// Another program has the device, or it is not to be had for a moment.
    pub fn is_in_use(&self) -> bool {
        Status::IN_USE.contains(&self.code)
    }

    /// Driver and library are not of the same version.
    pub fn is_mismatch(&self) -> bool {
        Status::MISMATCH.contains(&self.code)
    }

    /// A file could not be opened.
    pub fn is_file(&self) -> bool {
        self.code == Status::FILE
    }
}

/// Of a library or a firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `hailo_device_architecture_t`.
    pub architecture: i32,
    /// What its maker calls it.
    pub name: String,
    /// Version of its firmware.
    pub firmware: Version,
}

/// A step of the firmware against heat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Where it begins, degrees Celsius.
    pub at_c: f32,
    /// Where it ends, degrees Celsius.
    pub until_c: f32,
}

/// What the firmware does against heat and current.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// It takes more current than it may.
    pub over_current: bool,
    /// 0 green, 1 orange, 2 red.
    pub zone: u8,
    /// Its step; -1 for none.
    pub level: i8,
    /// The steps.
    pub levels: [Level; 4],
    /// Where it warns.
    pub orange: Level,
    /// Where it stops.
    pub red: Level,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_means_one_thing_at_most() {
        for (code, unsupported, in_use, mismatch, file) in [
            (7, true, false, false, false),
            (13, false, false, false, true),
            (36, false, false, false, false),
            (48, true, false, false, false),
            (73, false, true, false, false),
            (74, false, true, false, false),
            (76, false, false, true, false),
            (79, true, false, false, false),
            (85, false, false, true, false),
            (86, false, false, true, false),
            (97, false, true, false, false),
        ] {
            let status = Status { code, message: String::new() };
            let told = (status.is_unsupported(), status.is_in_use(), status.is_mismatch(), status.is_file());
            assert_eq!(told, (unsupported, in_use, mismatch, file), "{code}");
        }
    }
}
