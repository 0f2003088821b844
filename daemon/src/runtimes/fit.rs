//! Whether the libraries of a runtime fit a box: pure functions of what their files say and of what the box has. Words of a "no"
//! name what is missing and where to get it.

use std::collections::{BTreeMap, BTreeSet};

use super::elf::{self, Library, Version};

/// What a box has.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// `x86_64` or `aarch64`.
    pub machine: String,
    /// Names of the libraries in the places where the loader looks.
    pub files: BTreeSet<String>,
    /// Versions that the libraries of these names offer; without an entry nobody knows.
    pub offers: BTreeMap<String, BTreeSet<String>>,
    /// `L4T 36.4.3` of a Jetson; empty elsewhere.
    pub software: String,
    /// `6.2`, if it is known.
    pub jetpack: Option<String>,
}

/// A library of the wheel.
#[derive(Clone, Debug)]
pub struct Part {
    /// File name.
    pub name: String,
    pub library: Library,
}

/// What is said of the parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Why the runtime cannot be used at all.
    pub fault: Option<String>,
    /// Why the providers of these names cannot.
    pub unusable: BTreeMap<String, String>,
}

/// Sonames that tell for which release of JetPack a library was built: name, what it is, the releases that have it.
const RELEASES: [(&str, &str, &str); 12] = [
    ("libcudart.so.11.0", "CUDA 11", "JetPack 5"),
    ("libcudart.so.12", "CUDA 12", "JetPack 6"),
    ("libcudart.so.13", "CUDA 13", "JetPack 7"),
    ("libcublas.so.11", "CUDA 11", "JetPack 5"),
    ("libcublas.so.12", "CUDA 12", "JetPack 6"),
    ("libcublas.so.13", "CUDA 13", "JetPack 7"),
    ("libcublasLt.so.12", "CUDA 12", "JetPack 6"),
    ("libcublasLt.so.13", "CUDA 13", "JetPack 7"),
    ("libcudnn.so.8", "cuDNN 8", "JetPack 5 and 6.0"),
    ("libcudnn.so.9", "cuDNN 9", "JetPack 6.1 and later"),
    ("libnvinfer.so.8", "TensorRT 8", "JetPack 5 and 6.0"),
    ("libnvinfer.so.10", "TensorRT 10", "JetPack 6.1 and later"),
];

/// How the libraries of providers are called, apart from the provider's name.
const PROVIDER: (&str, &str) = ("libonnxruntime_providers_", ".so");
/// What all providers of libraries of their own share.
const SHARED: &str = "shared";

/// The provider that a library of the wheel is for.
pub fn provider(name: &str) -> Option<&str> {
    let provider = name.strip_prefix(PROVIDER.0)?.strip_suffix(PROVIDER.1)?;
    (provider != SHARED).then_some(provider)
}

/// Judges all libraries of a wheel.
pub fn judge(parts: &[Part], here: &Here) -> Judged {
    let ours: BTreeSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let mut judged = Judged::default();
    for part in parts {
        let why = wrong(part, &ours, here);
        match (why, provider(&part.name)) {
            (Some(why), Some(provider)) => drop(judged.unusable.insert(provider.to_owned(), why)),
            (Some(why), None) => judged.fault = judged.fault.or(Some(why)),
            (None, _) => {}
        }
    }
    judged
}

/// Why a library cannot be loaded here.
fn wrong(part: &Part, ours: &BTreeSet<&str>, here: &Here) -> Option<String> {
    let Part { name, library } = part;
    let machine = elf::machine(library.machine);
    if machine != here.machine {
        return Some(format!(
            "{name} is for {machine}, this machine is {}: get the wheel whose name ends with {}.whl",
            here.machine, here.machine
        ));
    }
    let missing = library.needed.iter().filter(|need| !ours.contains(need.as_str()) && !here.files.contains(*need));
    let missing: Vec<&String> = missing.collect();
    if !missing.is_empty() {
        return Some(lacks(name, &missing, here));
    }
    let old = |want: &&Version| here.offers.get(&want.of).is_some_and(|offers| !offers.contains(&want.name));
    let mut too_new: Vec<&Version> = library.wants.iter().filter(old).collect();
    too_new.sort_by_key(|want| numbers(&want.name));
    let newest = too_new.last()?;
    Some(format!(
        "{name} needs {} of {}, this box has {}: it was built for a newer system; get a wheel built for this one{}",
        newest.name,
        newest.of,
        best(&newest.name, here.offers.get(&newest.of)),
        release(here)
    ))
}

/// The newest version of the same kind: `up to GLIBC_2.36`.
fn best(wanted: &str, offers: Option<&BTreeSet<String>>) -> String {
    let kind = |name: &str| name.rsplit_once('_').map(|(kind, _)| kind.to_owned());
    let same = offers.into_iter().flatten().filter(|name| kind(name) == kind(wanted) && !numbers(name).is_empty());
    same.max_by_key(|name| numbers(name)).map_or_else(|| "none of its kind".into(), |name| format!("up to {name}"))
}

/// `GLIBC_2.36` is 2, 36.
fn numbers(name: &str) -> Vec<u32> {
    let number = name.rsplit_once('_').map_or("", |(_, number)| number);
    number.split('.').map(str::parse).collect::<Result<_, _>>().unwrap_or_default()
}

/// Which libraries are missing, what of the same kind there is, and what to do.
fn lacks(name: &str, missing: &[&String], here: &Here) -> String {
    let one = |need: &&String| {
        let known = RELEASES.iter().find(|row| row.0 == need.as_str());
        let is = known.map_or(String::new(), |(_, what, releases)| format!(" ({what}, of {releases})"));
        let others = relatives(need, &here.files);
        let have = if others.is_empty() { String::new() } else { format!("; this box has {}", others.join(", ")) };
        format!("{need}{is}{have}")
    };
    let list: Vec<String> = missing.iter().map(one).collect();
    let remedy = match (&*here.software, here.jetpack.as_deref()) {
        ("", _) => {
            "install these versions of CUDA, cuDNN or TensorRT, or get a wheel built for those that are here".into()
        }
        (_, Some(jetpack)) => format!("get the wheel for JetPack {jetpack}, which this board has"),
        (l4t, None) => format!("get the wheel for the software of this board ({l4t})"),
    };
    format!("{name} needs {}, which this box does not have: {remedy}", list.join(" and "))
}

/// Other versions of the same library.
fn relatives(need: &str, files: &BTreeSet<String>) -> Vec<String> {
    let Some(stem) = need.find(".so").and_then(|at| need.get(..at + 3)) else { return Vec::new() };
    let dot = format!("{stem}.");
    // Names of full versions are where the short ones lead.
    let short = |name: &&String| name.matches('.').count() <= need.matches('.').count();
    files.iter().filter(|name| name.starts_with(&dot)).filter(short).cloned().collect()
}

fn release(here: &Here) -> String {
    match (&*here.software, here.jetpack.as_deref()) {
        ("", _) => String::new(),
        (_, Some(jetpack)) => format!(" (JetPack {jetpack})"),
        (l4t, None) => format!(" ({l4t})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(files: &[&str], jetpack: &str) -> Here {
        let glibc = ["GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.9", "GLIBC_PRIVATE"].map(str::to_owned);
        Here {
            machine: "aarch64".into(),
            files: files.iter().chain(&["libc.so.6"]).map(|&name| name.to_owned()).collect(),
            offers: BTreeMap::from([("libc.so.6".to_owned(), BTreeSet::from(glibc))]),
            software: if jetpack.is_empty() { String::new() } else { "L4T 36.3.0".into() },
            jetpack: (!jetpack.is_empty()).then(|| jetpack.to_owned()),
        }
    }

    fn part(name: &str, machine: u16, needed: &[&str], wants: &[&str]) -> Part {
        let want = |name: &&str| Version { of: "libc.so.6".into(), name: (*name).to_owned() };
        let needed = needed.iter().map(|&name| name.to_owned()).collect();
        let wants = wants.iter().map(want).collect();
        Part { name: name.into(), library: Library { machine, needed, wants, ..Library::default() } }
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_to_do() {
        let core =
            |machine, needed: &[&str], wants: &[&str]| vec![part("libonnxruntime.so.1.24.0", machine, needed, wants)];
        let cases: [(Vec<Part>, Here, &[&str]); 6] = [
            (core(183, &["libc.so.6"], &["GLIBC_2.17", "GLIBC_2.34"]), here(&[], "6.0"), &[]),
            (core(62, &[], &[]), here(&[], ""), &["is for x86_64, this machine is aarch64", "aarch64.whl"]),
            (core(22, &[], &[]), here(&[], ""), &["is for s390x"]),
            (
                core(183, &[], &["GLIBC_2.38", "GLIBC_2.35", "GLIBC_2.9"]),
                here(&[], "6.0"),
                &["needs GLIBC_2.38 of libc.so.6, this box has up to GLIBC_2.34", "(JetPack 6.0)"],
            ),
            (core(183, &["libodd.so.3"], &[]), here(&[], ""), &["needs libodd.so.3, which this box does not have"]),
            // Of a library whose versions nobody could read nothing is said; loading it will tell.
            (
                vec![part("libonnxruntime.so", 183, &[], &[])],
                Here { machine: "aarch64".into(), ..Here::default() },
                &[],
            ),
        ];
        for (parts, here, words) in cases {
            let fault = judge(&parts, &here).fault;
            assert_eq!(fault.is_some(), !words.is_empty(), "{fault:?}");
            let fault = fault.unwrap_or_default();
            assert!(words.iter().all(|word| fault.contains(word)), "{fault}: {words:?}");
        }
    }

    #[test]
    fn a_provider_that_lacks_its_libraries_is_unusable_alone_and_the_release_is_named() {
        let files = ["libcudart.so.12", "libcudnn.so.8", "libcudnn.so.8.9.4"];
        let parts = [
            part("libonnxruntime.so.1.24.0", 183, &["libc.so.6"], &[]),
            part("libonnxruntime_providers_shared.so", 183, &[], &[]),
            part("libonnxruntime_providers_cuda.so", 183, &["libcudart.so.12", "libcudnn.so.9"], &[]),
            part("libonnxruntime_providers_tensorrt.so", 183, &["libonnxruntime_providers_shared.so"], &[]),
        ];
        let judged = judge(&parts, &here(&files, "6.0"));
        assert_eq!(judged.fault, None);
        assert_eq!(judged.unusable.keys().collect::<Vec<_>>(), ["cuda"]);
        let said = &judged.unusable["cuda"];
        for word in [
            "libcudnn.so.9 (cuDNN 9, of JetPack 6.1 and later)",
            "this box has libcudnn.so.8,",
            "wheel for JetPack 6.0",
        ] {
            assert!(said.contains(word), "{said}");
        }
        let elsewhere = judge(&parts, &here(&files, "")).unusable["cuda"].clone();
        assert!(elsewhere.contains("install these versions of CUDA"), "{elsewhere}");
    }
}
