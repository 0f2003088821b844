//! Whether the service opens the cameras and folders that the configuration names. A generator of systemd's (`edged-platform`)
//! reads them at boot and at each `systemctl daemon-reload`: what was written since then is not open yet. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::check::Check;

/// What the unit of the service opens, as systemd holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// `strict` closes all directories but those that are named.
    pub protect_system: String,
    /// `closed` and `strict` close all devices but those that are named.
    pub device_policy: String,
    pub devices: Vec<String>,
    pub writable: Vec<String>,
}

/// Directories that the unit always opens.
const ALWAYS: [&str; 5] = ["/var/lib/edged", "/var/cache/edged", "/run/edged", "/tmp", "/var/tmp"];
/// Where cameras are.
const CAMERAS: [&str; 2] = ["/dev/video", "/dev/v4l/"];

/// What of these files of the configuration the unit does not open; `None` if there is nothing to open, or nobody to ask.
pub fn opened(unit: Option<&Unit>, configs: &[String]) -> Option<Check> {
    let unit = unit?;
    let mut named = BTreeSet::new();
    let tables = configs.iter().filter_map(|text| text.parse::<Table>().ok());
    tables.for_each(|table| collect("", &Value::Table(table), &mut named));
    if named.is_empty() {
        return None;
    }
    let closed: Vec<&str> = named.iter().map(String::as_str).filter(|place| !unit.opens(place)).collect();
    if closed.is_empty() {
        return Some(Check::ok("unit", "the service may open the cameras and folders of its bindings"));
    }
    let what = format!("the configuration names {}, which the service may not open yet", closed.join(", "));
    let remedy =
        "`sudo systemctl daemon-reload && sudo systemctl restart edged`: systemd looks at them only then and at boot";
    Some(Check::warn("unit", what, remedy))
}

/// Cameras, and folders that files are taken from and put into: what `edged-platform` looks for.
fn collect(key: &str, value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| collect(key, value, named)),
        Value::Array(list) => list.iter().for_each(|one| collect(key, one, named)),
        Value::String(text) => {
            let is_folder = matches!(key, "folder" | "after") && text.starts_with('/') && text != "/";
            if is_folder || is_camera(text) {
                named.insert(text.clone());
            }
        }
        _ => {}
    }
}

fn is_camera(path: &str) -> bool {
    CAMERAS.iter().any(|begin| path.starts_with(begin))
}

impl Unit {
    fn opens(&self, place: &str) -> bool {
        if is_camera(place) {
            // A name below /dev/v4l is a link to one of /dev/video*: which one does not matter to the class.
            let is_open = |device: &String| device == place || device == "char-video4linux" || device == "char-*";
            return !matches!(self.device_policy.as_str(), "closed" | "strict") || self.devices.iter().any(is_open);
        }
        let open = self.writable.iter().map(|path| path.trim_start_matches(['-', '+'])).chain(ALWAYS);
        self.protect_system != "strict" || open.into_iter().any(|open| Path::new(place).starts_with(open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn closed() -> Unit {
        Unit { protect_system: "strict".into(), device_policy: "closed".into(), ..Unit::default() }
    }

    #[test]
    fn what_was_named_since_systemd_looked_is_not_open_yet() {
        let camera = "[[binding]]\ndevice = '/dev/video0'\n";
        let by_name = "[[binding]]\ndevice = '/dev/v4l/by-id/usb-cam'\n";
        let folders = "[[binding]]\nfolder = '/srv/in'\nafter = '/srv/done'\n";
        let with = |devices: &[&str], writable: &[&str]| Unit {
            devices: devices.iter().map(|&one| one.into()).collect(),
            writable: writable.iter().map(|&one| one.into()).collect(),
            ..closed()
        };
        let cases: [(Unit, &str, Option<&[&str]>); 14] = [
            (closed(), "node = 'a'", None),
            (closed(), "[[binding]]\nfolder = '/'\nafter = 'delete'\n", None),
            (closed(), "# folder = '/srv/in'\nthis is no TOML", None),
            (closed(), camera, Some(&["/dev/video0"])),
            (closed(), by_name, Some(&["/dev/v4l/by-id/usb-cam"])),
            (closed(), folders, Some(&["/srv/done", "/srv/in"])),
            (closed(), "[[binding]]\nfolder = '/var/lib/edged/inbox/a'\n", Some(&[])),
            (with(&["char-video4linux"], &[]), camera, Some(&[])),
            (with(&["char-video4linux"], &[]), by_name, Some(&[])),
            (with(&["/dev/video1"], &[]), camera, Some(&["/dev/video0"])),
            (with(&[], &["-/srv/in"]), folders, Some(&["/srv/done"])),
            (with(&[], &["-/srv"]), folders, Some(&[])),
            (with(&[], &["/srv/in2", "/srv/do"]), folders, Some(&["/srv/done", "/srv/in"])),
            // A unit of somebody's own that closes nothing.
            (Unit::default(), folders, Some(&[])),
        ];
        for (unit, config, expected) in cases {
            let check = opened(Some(&unit), &[String::new(), config.to_owned()]);
            assert_eq!(check.is_some(), expected.is_some(), "{config}: {check:?}");
            let (Some(check), Some(places)) = (check, expected) else { continue };
            assert_eq!(check.level, if places.is_empty() { Level::Ok } else { Level::Warn }, "{unit:?} {config}");
            let named = format!("names {}, which", places.join(", "));
            assert!(places.is_empty() || check.what.contains(&named), "{unit:?} {check:?}");
            assert_eq!(places.is_empty(), !check.remedy.contains("daemon-reload"), "{check:?}");
        }
        assert_eq!(opened(None, &[camera.to_owned()]), None, "edged runs outside of systemd");
    }
}
