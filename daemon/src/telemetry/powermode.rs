//! Power modes of a board: which there are, and the present one by name. Their numbers differ from board to board for the
//! same name, so a number alone says nothing.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use edge_wire::hardware::PowerMode;

use super::node::{self, Node};
use super::reading::Absence;
use super::sensed::PowerModes;

/// The table of the modes; a link to that of the board, if all is well.
const CONF: &str = "etc/nvpmodel.conf";
/// What the service that sets the mode set last.
const STATUS: &str = "var/lib/nvpmodel/status";
/// Modes of one board; more are left out.
const MOST: usize = 64;
/// Links that are followed.
const LINKS: usize = 8;

/// The power modes of a machine.
#[derive(Debug)]
pub struct Modes {
    root: PathBuf,
    status: Node,
    modes: Arc<[PowerMode]>,
    names: Vec<Arc<str>>,
    conf: Arc<str>,
}

impl Modes {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> Modes {
        let status = Node::new(root.join(STATUS));
        Modes { root: root.to_owned(), status, modes: Arc::default(), names: Vec::new(), conf: Arc::default() }
    }

    /// Reads the table.
    pub fn find(&mut self) {
        let conf = followed(&self.root, Path::new(CONF));
        let text = node::text(&self.root.join(&conf));
        let modes = parse(text.as_deref().unwrap_or_default());
        if *self.modes != *modes {
            self.names = modes.iter().map(|mode| mode.name.as_str().into()).collect();
            self.modes = modes.into();
        }
        let conf = if text.is_some() { Path::new("/").join(conf).display().to_string() } else { String::new() };
        if *self.conf != *conf {
            self.conf = conf.into();
        }
    }

    /// The present mode, and all of them.
    pub fn read(&mut self) -> PowerModes {
        let present = self.present();
        PowerModes { present, modes: self.modes.clone(), conf: self.conf.clone() }
    }

    fn present(&mut self) -> Result<Arc<str>, Absence> {
        let path = self.status.path().to_owned();
        let id = match self.status.text() {
            Ok(text) => mode_id(text).ok_or_else(|| format!("{}: {text:?} names no mode", path.display())),
            Err(node::Fault::Missing) if self.modes.is_empty() => return Err(Absence::Unsupported),
            // The service that sets it writes it when it has started.
            Err(node::Fault::Missing) => return Err(Absence::NotYet),
            Err(fault) => return Err(self.status.absence(fault)),
        };
        let id = id.map_err(Absence::Failed)?;
        let named = self.modes.iter().position(|mode| mode.id == id).and_then(|place| self.names.get(place));
        named.cloned().ok_or_else(|| {
            let conf = if self.conf.is_empty() { "no table of modes" } else { &self.conf };
            Absence::Failed(format!("{} says mode {id}, which {conf} does not have", path.display()))
        })
    }
}

/// The number in `pmode:0002 fmode:quiet`.
fn mode_id(status: &str) -> Option<u32> {
    let rest = status.split_whitespace().find_map(|word| word.strip_prefix("pmode:"))?;
    rest.parse().ok()
}

/// The modes of lines such as `< POWER_MODEL ID=2 NAME=15W >`, in the order of the file.
pub fn parse(conf: &str) -> Vec<PowerMode> {
    let mode = |line: &str| {
        let inner = line.trim().strip_prefix('<')?.trim_start().strip_prefix("POWER_MODEL")?;
        let inner = inner.trim_end().trim_end_matches('>');
        let value = |key: &str| inner.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        Some(PowerMode { id: value("ID")?.parse().ok()?, name: value("NAME")?.to_owned() })
    };
    let mut modes: Vec<PowerMode> = conf.lines().filter_map(mode).take(MOST).collect();
    modes.sort_by_key(|mode| mode.id);
    modes.dedup_by_key(|mode| mode.id);
    modes
}

/// Where a path below `root` leads when its links are followed as on that machine: an absolute one begins at `root`.
fn followed(root: &Path, path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(root.join(&path)) else { break };
        path = plain(&path.parent().unwrap_or(Path::new("")).join(target));
    }
    path
}

/// A path from the root of a machine, without `.` and `..`: it cannot lead out.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir => plain = PathBuf::new(),
            Component::CurDir => {}
        }
    }
    plain
}

/// A family of boards: how its name is told, the parts of the names of its tables, and modes that it never has.
struct Family {
    board: &'static str,
    tables: &'static [&'static str],
    foreign: &'static [&'static str],
}

/// More particular names first. Tables are called by the number of the module: p3767 is Orin NX (0000, 0001) and Orin Nano
/// (0003 to 0005), p3701 AGX Orin, p3834 AGX Thor.
const FAMILIES: [Family; 4] = [
    Family {
        board: "orin nano",
        tables: &["p3767_0003", "p3767_0004", "p3767_0005"],
        foreign: &["MAXN", "20W", "30W", "40W", "50W", "60W", "120W"],
    },
    Family { board: "orin nx", tables: &["p3767_0000", "p3767_0001"], foreign: &["7W", "30W", "50W", "60W", "120W"] },
    Family { board: "agx orin", tables: &["p3701", "p3730"], foreign: &["7W", "10W", "25W", "MAXN_SUPER", "120W"] },
    Family { board: "thor", tables: &["p3834"], foreign: &["7W", "10W", "15W", "25W", "30W", "MAXN_SUPER"] },
];

/// Why the table of the modes is not that of this board, if it is not: by the name of the file, or by modes that the board
/// does not have. A board or a table that is not known says nothing.
pub fn board_mismatch(model: &str, conf: &str, modes: &[PowerMode]) -> Option<String> {
    // Some boards say `Jetson AGX Orin`, others `NVIDIA Orin Nano Developer Kit`.
    let model_name = model.to_lowercase();
    let family = FAMILIES.iter().find(|family| model_name.contains(family.board))?;
    let file = conf.rsplit('/').next().unwrap_or_default();
    let is_named = |family: &Family| family.tables.iter().any(|table| file.contains(table));
    if let Some(other) = FAMILIES.iter().find(|other| is_named(other))
        && !is_named(family)
    {
        return Some(format!("{conf} is the table of another board ({}), and this is {model}", other.board));
    }
    let foreign = modes.iter().find(|mode| family.foreign.contains(&mode.name.as_str()))?;
    Some(format!("{conf} has the mode {}, which {model} does not have", foreign.name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{link, root, write};
    use super::*;

    const NANO: &str = "# comment\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n<POWER_MODEL ID=1 NAME=7W>\n\
                        < PM_CONFIG DEFAULT=0 >\n< POWER_MODEL ID=x NAME=bad >\n";

    fn modes(names: &[&str]) -> Vec<PowerMode> {
        let mode = |(id, name): (usize, &&str)| PowerMode { id: u32::try_from(id).unwrap(), name: (*name).into() };
        names.iter().enumerate().map(mode).collect()
    }

    fn read(root: &Path) -> PowerModes {
        let mut modes = Modes::new(root);
        modes.find();
        modes.read()
    }

    #[test]
    fn the_present_mode_is_told_by_name() {
        let root = root(&[("etc/nvpmodel/nvpmodel_p3767_0003.conf", NANO)]);
        assert_eq!(read(root.path()).present, Err(Absence::Unsupported));
        link(root.path(), "etc/nvpmodel.conf", "/etc/nvpmodel/nvpmodel_p3767_0003.conf");
        assert_eq!(read(root.path()).present, Err(Absence::NotYet));
        for (status, expected) in [
            ("pmode:0001 fmode:quiet", Ok("7W")),
            ("fmode:quiet pmode:0000", Ok("15W")),
            ("pmode:0009", Err("says mode 9, which /etc/nvpmodel/nvpmodel_p3767_0003.conf does not have")),
            ("pmode:", Err("status: \"pmode:\" names no mode")),
            ("", Err("not_yet")),
        ] {
            write(root.path(), STATUS, status);
            let found = read(root.path());
            assert_eq!(found.modes[..], modes(&["15W", "7W"])[..]);
            assert_eq!(&*found.conf, "/etc/nvpmodel/nvpmodel_p3767_0003.conf");
            match (found.present, expected) {
                (Ok(name), expected) => assert_eq!(Ok(&*name), expected),
                (Err(absence), Err(why)) => assert!(absence.word().ends_with(why), "{}", absence.word()),
                (Err(absence), Ok(_)) => panic!("{status}: {absence:?}"),
            }
        }
    }

    #[test]
    fn links_never_lead_out_of_the_machine() {
        let root = root(&[("etc/x", "1")]);
        link(root.path(), "etc/nvpmodel.conf", "../../../../etc/x");
        assert_eq!(followed(root.path(), Path::new(CONF)), Path::new("etc/x"));
        link(root.path(), "etc/loop", "loop");
        assert_eq!(followed(root.path(), Path::new("etc/loop")), Path::new("etc/loop"));
    }

    #[test]
    fn a_table_of_another_board_is_noticed() {
        let nano = "NVIDIA Jetson Orin Nano Developer Kit";
        let nx = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit";
        let agx = "Jetson AGX Orin Developer Kit";
        let thor = "NVIDIA Jetson AGX Thor Developer Kit";
        for (model, conf, names, fits) in [
            (nano, "/etc/nvpmodel.conf", &["15W", "7W"][..], true),
            (nano, "/etc/nvpmodel/nvpmodel_p3767_0003_super.conf", &["15W", "25W", "MAXN_SUPER", "7W"], true),
            (nano, "/etc/nvpmodel/nvpmodel_p3767_0000.conf", &["MAXN", "10W", "15W", "25W"], false),
            (nano, "/etc/nvpmodel.conf", &["MAXN", "10W", "15W", "25W"], false),
            (nx, "/etc/nvpmodel/nvpmodel_p3767_0000.conf", &["MAXN", "10W", "15W", "25W"], true),
            (nx, "/etc/nvpmodel.conf", &["MAXN", "15W", "30W", "50W"], false),
            (agx, "/etc/nvpmodel.conf", &["MAXN", "15W", "30W", "50W"], true),
            (agx, "/etc/nvpmodel/nvpmodel_p3834_0008.conf", &["MAXN", "120W"], false),
            (thor, "/etc/nvpmodel/nvpmodel_p3834_0008.conf", &["MAXN", "120W"], true),
            ("Raspberry Pi 5", "/etc/nvpmodel.conf", &["7W", "MAXN"], true),
            (nano, "", &[], true),
        ] {
            let found = board_mismatch(model, conf, &modes(names));
            assert_eq!(found.is_none(), fits, "{model} {conf}: {found:?}");
        }
    }
}
