//! Archives that are good, and every way in which one can be bad.

use std::convert::Infallible;

use super::*;

/// A bundle of two files in a directory of its own, packed.
struct Packed {
    dir: tempfile::TempDir,
}

const MODEL: &[u8] = b"weights";

impl Packed {
    fn new() -> Packed {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("b");
        std::fs::create_dir_all(bundle.join("golden")).unwrap();
        std::fs::write(bundle.join("model.onnx"), MODEL).unwrap();
        std::fs::write(bundle.join("golden/a.json"), "{}").unwrap();
        std::fs::write(bundle.join(MANIFEST), manifest(&[("model.onnx", MODEL), ("golden/a.json", b"{}")])).unwrap();
        std::fs::write(bundle.join(SIGNATURE), "signed").unwrap();
        Packed { dir }
    }

    fn bundle(&self) -> Bundle {
        edge_engine::bundle::open(&self.dir.path().join("b")).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        stream(&self.bundle(), Vec::new()).unwrap()
    }

    /// Unpacks into a fresh directory; the error in words.
    fn unpacked(&self, archive: &[u8]) -> Result<PathBuf, String> {
        let out = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        match unpack(archive, &out, |_| Ok::<(), Infallible>(())) {
            Ok(_) => Ok(out),
            Err(error) => Err(crate::driver::chain(&error)),
        }
    }
}

fn manifest(files: &[(&str, &[u8])]) -> String {
    let mut text = String::from(
        "name = \"b\"\nversion = \"1.0.0\"\ntask = \"tensors\"\nlicence = \"MIT\"\ndescription = \"x\"\ndeadline_ms = 1\n\
         [limits]\npayload_bytes = 1\n[[variant]]\nname = \"v\"\nfile = \"model.onnx\"\nproviders = [\"cpu\"]\nthreads = 1\n\
         instances = 1\n",
    );
    for (path, content) in files {
        let sha256 = edge_engine::bundle::digest(&mut &content[..]).unwrap();
        text.push_str(&format!(
            "[[file]]\npath = \"{path}\"\nbytes = {}\nsha256 = \"{sha256}\"\n",
            content.len().max(1)
        ));
    }
    text
}

/// One entry of a hand-made archive.
struct Entry<'a> {
    name: &'a str,
    kind: tar::EntryType,
    content: &'a [u8],
    /// What its header says of its size, if not the truth.
    size: Option<u64>,
}

fn plain<'a>(name: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry { name, kind: tar::EntryType::Regular, content, size: None }
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        // As they come: the checks of the library that writes are not those of an attacker.
        header.as_old_mut().name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_size(entry.size.unwrap_or(entry.content.len() as u64));
        header.set_mode(0o644);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(entry.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    zstd::encode_all(&tar[..], 3).unwrap()
}

#[test]
fn a_bundle_comes_out_as_it_went_in_and_always_as_the_same_bytes() {
    let packed = Packed::new();
    let bytes = packed.bytes();
    assert_eq!(bytes, packed.bytes());
    let out = packed.unpacked(&bytes).unwrap();
    for name in [MANIFEST, SIGNATURE, "model.onnx", "golden/a.json"] {
        assert_eq!(std::fs::read(out.join(name)).unwrap(), std::fs::read(packed.bundle().dir().join(name)).unwrap());
    }
    edge_engine::bundle::verify(&edge_engine::bundle::open(&out).unwrap()).unwrap();
    let file = packed.dir.path().join("b-1.0.0.edgemodel");
    let written = pack(&packed.bundle(), &file).unwrap();
    assert_eq!((written, std::fs::read(&file).unwrap()), (bytes.len() as u64, bytes));
}

#[test]
fn the_judge_is_asked_before_anything_is_written() {
    #[derive(Debug, thiserror::Error)]
    #[error("nobody known")]
    struct Nobody;
    let packed = Packed::new();
    let out = tempfile::tempdir().unwrap();
    let error = unpack(&packed.bytes()[..], out.path(), |announced| {
        assert_eq!((announced.manifest.name.as_str(), announced.signature), ("b", Some("signed")));
        assert!(announced.bytes() > 9);
        Err(Nobody)
    });
    assert_eq!(error.unwrap_err().to_string(), "nobody known");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn a_hand_made_archive_is_taken_if_it_holds_the_same() {
    let packed = Packed::new();
    let text = std::fs::read(packed.bundle().dir().join(MANIFEST)).unwrap();
    let directory = Entry { name: "./golden/", kind: tar::EntryType::Directory, content: b"", size: None };
    let entries =
        [plain("./model.toml", &text), directory, plain("./golden/a.json", b"{}"), plain("./model.onnx", MODEL)];
    packed.unpacked(&archive(&entries)).unwrap();
}

#[test]
fn every_bad_archive_is_refused_by_name_and_writes_nothing_outside() {
    let packed = Packed::new();
    let text = std::fs::read(packed.bundle().dir().join(MANIFEST)).unwrap();
    let head = || plain(MANIFEST, &text);
    let link = |name, kind| Entry { name, kind, content: b"", size: None };
    let outside = manifest(&[("../evil", b"x")]);
    let clash = manifest(&[("model.onnx", MODEL), ("Model.onnx", MODEL)]);
    let huge = Entry { name: MANIFEST, kind: tar::EntryType::Regular, content: b"", size: Some(2 << 20) };
    let cases: Vec<(Vec<Entry<'_>>, &str)> = vec![
        (vec![], "the archive is empty"),
        (vec![plain("model.onnx", MODEL), head()], "begins with \"model.onnx\"; it must begin with model.toml"),
        (vec![plain(MANIFEST, b"name = ")], "the archive's model.toml: not TOML: line 1"),
        (vec![plain(MANIFEST, b"\xff\xfe")], "read the archive"),
        (vec![plain(MANIFEST, outside.as_bytes())], "file[0].path: must be a relative path inside the bundle"),
        (vec![plain(MANIFEST, clash.as_bytes())], "file[1].path: must be a relative path inside the bundle"),
        (vec![huge], "model.toml has 2097152 bytes, at most 1048576 are taken"),
        (vec![head(), plain("../evil", b"x")], "../evil: the manifest does not name this file"),
        (vec![head(), plain("/etc/passwd", b"x")], "/etc/passwd: the manifest does not name this file"),
        (vec![head(), plain("more.onnx", b"x")], "more.onnx: the manifest does not name this file"),
        (vec![head(), head()], "model.toml: stands in the archive twice"),
        (
            vec![head(), plain("model.onnx", MODEL), plain("model.onnx", MODEL)],
            "model.onnx: stands in the archive twice",
        ),
        (
            vec![head(), plain("model.onnx", MODEL), plain(SIGNATURE, b"x")],
            "model.toml.minisig: must come right behind model.toml",
        ),
        (vec![head(), plain("MODEL.ONNX", MODEL)], "MODEL.ONNX: the manifest does not name this file"),
        (vec![head(), plain("model.onnx", b"weight")], "model.onnx: 6 bytes, the manifest promises 7"),
        (vec![head(), plain("model.onnx", b"weighed")], "model.onnx has sha256 "),
        (vec![head(), plain("model.onnx", MODEL)], "ends without golden/a.json"),
        (vec![head(), link("model.onnx", tar::EntryType::Symlink)], "model.onnx: a link: only files are taken"),
        (vec![head(), link("model.onnx", tar::EntryType::Link)], "model.onnx: a link: only files are taken"),
        (vec![head(), link("model.onnx", tar::EntryType::Char)], "model.onnx: a device: only files are taken"),
        (vec![head(), link("model.onnx", tar::EntryType::Block)], "model.onnx: a device: only files are taken"),
        (vec![head(), link("model.onnx", tar::EntryType::Fifo)], "model.onnx: a pipe: only files are taken"),
        (vec![head(), link("model.onnx", tar::EntryType::GNUSparse)], "model.onnx: a file with holes"),
        (vec![head(), link("x", tar::EntryType::GNULongName)], "x: an extension of the form"),
        (vec![link("x", tar::EntryType::XGlobalHeader)], "x: an extension of the form"),
    ];
    for (entries, expected) in cases {
        let said = packed.unpacked(&archive(&entries)).unwrap_err();
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
    assert!(!packed.dir.path().join("evil").exists());
}

#[test]
fn an_archive_that_is_cut_or_changed_anywhere_is_refused() {
    let packed = Packed::new();
    let whole = packed.bytes();
    for end in 0..whole.len() {
        packed.unpacked(&whole[..end]).unwrap_err();
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x20;
        // A changed byte that is of no account (in a header of zstd, say) may pass, but what comes out is what was promised.
        if let Ok(out) = packed.unpacked(&changed) {
            edge_engine::bundle::verify(&edge_engine::bundle::open(&out).unwrap()).unwrap();
        }
    }
    assert!(packed.unpacked(b"PK\x03\x04 a zip").unwrap_err().contains("read the archive"));
}

#[test]
fn an_archive_cannot_swell() {
    let packed = Packed::new();
    let text = std::fs::read(packed.bundle().dir().join(MANIFEST)).unwrap();
    // A gibibyte of zeros in a few kilobytes: behind a file that promises seven bytes, and in a directory's name.
    let zeros = vec![0; 64 << 20];
    for entries in [
        vec![plain(MANIFEST, &text), plain("model.onnx", &zeros)],
        vec![
            plain(MANIFEST, &text),
            Entry { name: "x", kind: tar::EntryType::GNULongName, content: &zeros, size: None },
        ],
    ] {
        let bomb = archive(&entries);
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        packed.unpacked(&bomb).unwrap_err();
    }
    // A window that would take a quarter of a gibibyte of memory.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(28).unwrap();
    encoder.long_distance_matching(true).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(300 << 20), &mut encoder).unwrap();
    let said = packed.unpacked(&encoder.finish().unwrap()).unwrap_err();
    assert!(said.contains("read the archive"), "{said}");
}
