//! What a library's file says before anything is loaded: for which machine it is, which other libraries it needs, which versions
//! of their functions it wants, and which it offers itself. Must not know whether this box has them.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{Dyn as _, FileHeader as _, SectionHeader as _};
use object::read::{ReadCache, StringTable};

/// Largest table that is read, bytes; those of real libraries are below a megabyte.
const TABLE: u64 = 16 << 20;
/// Most names of one kind that are read.
const MOST_NAMES: usize = 4096;

/// Why a file cannot be read as a library.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("open the library {0}")]
    Open(String, #[source] std::io::Error),
    #[error("{0} is no whole library: {1}")]
    Broken(String, String),
}

/// A version of functions that a library wants of another one: `GLIBC_2.38` of `libc.so.6`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub of: String,
    pub name: String,
}

/// What a library says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Library {
    /// Number of the machine that it is for.
    pub machine: u16,
    /// Names of the libraries that it needs.
    pub needed: Vec<String>,
    /// Where it has them looked for first; `$ORIGIN` stands for its own directory.
    pub places: Vec<String>,
    /// Versions that it wants of others.
    pub wants: BTreeSet<Version>,
    /// Versions that it has for others.
    pub offers: BTreeSet<String>,
}

/// Numbers of machines by their names in Rust.
const MACHINES: [(u16, &str); 4] = [(62, "x86_64"), (183, "aarch64"), (243, "riscv64"), (22, "s390x")];

/// What a machine's number is called.
pub fn machine(number: u16) -> String {
    let known = MACHINES.iter().find(|row| row.0 == number);
    known.map_or_else(|| format!("machine {number}"), |row| row.1.to_owned())
}

/// Reads a library's file.
pub fn read(path: &Path) -> Result<Library, ElfError> {
    let named = || path.display().to_string();
    let file = File::open(path).map_err(|source| ElfError::Open(named(), source))?;
    of(&ReadCache::new(file)).map_err(|what| ElfError::Broken(named(), what))
}

fn of(data: &ReadCache<File>) -> Result<Library, String> {
    let failed = |error: object::read::Error| error.to_string();
    let header = FileHeader64::<Endianness>::parse(data).map_err(|_| "no ELF file of 64 bits".to_owned())?;
    let endian = header.endian().map_err(failed)?;
    let mut library = Library { machine: header.e_machine(endian).0, ..Library::default() };
    let sections = header.sections(endian, data).map_err(failed)?;
    let small = |size: u64| if size <= TABLE { Ok(()) } else { Err(format!("a table of {size} bytes")) };
    for section in sections.iter() {
        let kind = section.sh_type(endian);
        if kind == elf::SHT_DYNAMIC {
            small(section.sh_size(endian))?;
            let Some((entries, link)) = section.dynamic(endian, data).map_err(failed)? else { continue };
            let strings = sections.strings(endian, data, link).map_err(failed)?;
            for entry in entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL).take(MOST_NAMES) {
                let tag = entry.tag(endian);
                if tag == elf::DT_NEEDED {
                    library.needed.push(text(entry.string(endian, strings).map_err(failed)?));
                } else if tag == elf::DT_RUNPATH || tag == elf::DT_RPATH {
                    let list = text(entry.string(endian, strings).map_err(failed)?);
                    library.places.extend(list.split(':').filter(|place| !place.is_empty()).map(str::to_owned));
                }
            }
        } else if kind == elf::SHT_GNU_VERNEED {
            small(section.sh_size(endian))?;
            let Some((mut needs, link)) = section.gnu_verneed(endian, data).map_err(failed)? else { continue };
            let strings: StringTable<'_, _> = sections.strings(endian, data, link).map_err(failed)?;
            while let Some((need, mut versions)) = needs.next().map_err(failed)? {
                let of = text(need.file(endian, strings).map_err(failed)?);
                while let Some(version) = versions.next().map_err(failed)? {
                    // A weak one is missed by nobody.
                    if !version.vna_flags.get(endian).contains(elf::VER_FLG_WEAK) && library.wants.len() < MOST_NAMES {
                        let name = text(version.name(endian, strings).map_err(failed)?);
                        library.wants.insert(Version { of: of.clone(), name });
                    }
                }
            }
        } else if kind == elf::SHT_GNU_VERDEF {
            small(section.sh_size(endian))?;
            let Some((mut definitions, link)) = section.gnu_verdef(endian, data).map_err(failed)? else { continue };
            let strings: StringTable<'_, _> = sections.strings(endian, data, link).map_err(failed)?;
            while let Some((_, mut names)) = definitions.next().map_err(failed)? {
                if let Some(name) = names.next().map_err(failed)?.filter(|_| library.offers.len() < MOST_NAMES) {
                    library.offers.insert(text(name.name(endian, strings).map_err(failed)?));
                }
            }
        }
    }
    Ok(library)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_needs_and_wants_is_read() {
        let this = read(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(machine(this.machine), std::env::consts::ARCH);
        assert!(this.needed.iter().any(|name| name.starts_with("libc.so.")), "{:?}", this.needed);
        let wants = |begin: &str| this.wants.iter().any(|want| want.of == "libc.so.6" && want.name.starts_with(begin));
        assert!(wants("GLIBC_2."), "{:?}", this.wants);
    }

    #[test]
    fn the_c_library_offers_its_versions() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = maps.lines().find_map(|line| line.split_whitespace().find(|word| word.ends_with("/libc.so.6")));
        let offers = read(Path::new(path.unwrap())).unwrap().offers;
        assert!(offers.iter().any(|name| name == "GLIBC_2.17" || name == "GLIBC_2.2.5"), "{offers:?}");
    }

    #[test]
    fn what_is_no_library_or_a_part_of_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.so");
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for content in [&b""[..], b"note", &[0xff; 4096], &whole[..2000]] {
            std::fs::write(&file, content).unwrap();
            assert!(read(&file).is_err(), "{} bytes", content.len());
        }
    }
}
