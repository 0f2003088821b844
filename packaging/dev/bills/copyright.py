"""debian/copyright, in Debian's form: what is in this tree, then what the packages hold of others. What the bills say of licences is
said here in Debian's words; copyright statements and texts by the hundred stay in the notices that each package brings."""

import re
import tomllib

from . import crates, foreign, spdx, texts
from .spdx import Fault

TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
PARAGRAPHS = texts.ROOT / "packaging/dev/bills/debian-licences"
NAMES = {"MIT": "Expat", "BSD-2-Clause": "BSD-2-clause", "BSD-3-Clause": "BSD-3-clause", "blessing": "public-domain"}
# Of alternatives these are named where they are among them: all but a few offer one, and each further one is another text.
PREFERRED = {"Apache-2.0", "MIT"}
# Code of others inside a crate, and where it lies there; crates.bill calls it by its name alone.
INSIDE = {"sqlite": "vendor/libsqlite3-sys/sqlite3/*", "zstd": "vendor/zstd-sys/zstd/*", "boringssl": "vendor/ring/crypto/*",
          "fiat-crypto": "vendor/ring/third_party/fiat/*"}

HEADER = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: edged
Source: https://edged.invalid/
Comment:
 Written by packaging/dev/copyright.py; "make gen" writes it again.
 .
 What is named vendor/ is not in this source. It is the Rust code that Cargo.lock
 names, as "cargo vendor" would lay it out, and it is in the programs of the
 package edged. What is named .fetch/ is what "make fetch" brings, by versions and
 digests that onnx-models/fetch.py names: it is in the other packages.
 .
 Of alternatives, Apache-2.0 and Expat (MIT) are named where they are offered. All
 that are offered, all copyright statements and all texts of licences stand in
 /usr/share/doc/PACKAGE/third-party-notices of each package, and beside it in its
 bill of materials, PACKAGE.cdx.json.
"""
OF_NOTICES = "the authors of each; see /usr/share/doc/edged/third-party-notices"
OWN = [
    ("*", "The edged developers", "Apache-2.0", None),
    ("tests/data/outcomes.csv.zst", "LMSYS and the authors of RouteLLM", "Apache-2.0", None),
    ("daemon/src/inspect/detect/fold_table.rs", "1991-2021 Unicode, Inc.", "Unicode-3.0",
     "Made from the Unicode Character Database by packaging/dev/fold-table.py."),
    ("onnx-models/surface-flaws/golden/*", "the authors of CC0Textures", "CC0-1.0", None),
    ("onnx-models/chat-small/golden/text.txt", "Jerome K. Jerome, 1889", "public-domain-by-age",
     "From \"Three Men in a Boat\", slightly changed."),
]
# Who holds the copyright of weights is not in the manifests.
HOLDERS = {
    "character-boxes": "2022 the authors of ddddocr", "file-type": "2023-2025 Google LLC", "label-reader": "2021 RapidAI Authors",
    "part-type": "2021 Ling Evan", "speech": "2020-present Silero Team", "surface-flaws": "2021 Ling Evan\nthe authors of CC0Textures",
    "table-lines": "2021 RapidAI Authors", "text-boxes": "2020 PaddlePaddle Authors", "text-direction": "2020 PaddlePaddle Authors",
    "text-line": "2020 PaddlePaddle Authors",
}
LIBRARIES = [
    (".fetch/runtime/*", "Microsoft Corporation, and those whom its notices name", 
     "Expat and Apache-2.0 and BSD-2-clause and BSD-3-clause and MPL-2.0",
     "ONNX Runtime is Expat; the others are those of what is in it (Eigen's is MPL-2.0).\n"
     "See /usr/share/doc/edged-onnxruntime/third-party-notices."),
    (".fetch/providers/openvino/*", "Intel Corporation, and those whom its notices name", "Apache-2.0 and Expat",
     "OpenVINO and oneTBB are Apache-2.0, the provider for ONNX Runtime is Expat.\n"
     "See /usr/share/doc/edged-openvino/third-party-notices."),
]


def short(tree):
    """An expression in Debian's form. It has no parentheses: a comma ends what "or" reaches to."""
    if isinstance(tree, str):
        return NAMES.get(tree, tree)
    sign, parts = tree
    if sign == "OR":
        leaves = [part for part in parts if isinstance(part, str)]
        chosen = sorted(part for part in leaves if part in PREFERRED) or parts
        return " or ".join(dict.fromkeys(short(part) for part in chosen))
    return (", and " if any(isinstance(part, tuple) for part in parts) else " and ").join(short(part) for part in parts)


def of_crates():
    """Whose files are under which licence, of what is built for any of the targets. Of two paragraphs that a file belongs to the later
    one holds: code inside a crate comes after the crates."""
    groups = {}
    for target in TARGETS:
        for one in crates.bill(target)[1]:
            if one.texts:
                place = INSIDE.get(one.name) or f"vendor/{one.name}/*"
                groups.setdefault((one.name in INSIDE, short(spdx.parsed(one.licence))), set()).add(place)
    places = [place for group in groups.values() for place in group]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise Fault(f"{twice[0]} has two licences, by its version: bills/copyright.py cannot say that")
    return [(sorted(files), OF_NOTICES, licence, None) for (_, licence), files in sorted(groups.items())]


def of_rust():
    """The standard library with what is in it: one paragraph, for nobody builds it here."""
    trees = [spdx.parsed(one.licence) for one in foreign.standard_library()[0]]
    licences = dict.fromkeys(["Apache-2.0 or Expat", *(short(tree) for tree in trees), "Unicode-3.0"])
    return "rust-std/*", "The Rust Project Developers, and those whom the notices name", ", and ".join(licences), \
        "Rust's standard library, and the crates in it, are in the programs, too."


def of_models():
    for manifest in sorted((texts.ROOT / "onnx-models").glob("*/model.toml")):
        said, name = tomllib.loads(manifest.read_text()), manifest.parent.name
        if name not in HOLDERS:
            raise Fault(f"bills/copyright.py does not know who made the model {name}")
        licence = short(spdx.parsed(said["licence"]))
        yield f".fetch/bundles/{name}/*", HOLDERS[name], licence, said.get("source")


def paragraph(files, holders, licence, comment=None):
    """One paragraph; `files` is a pattern or several."""
    patterns = [files] if isinstance(files, str) else files
    text = "Files:" + "".join(f"\n {one}" if len(patterns) > 1 else f" {one}" for one in patterns)
    text += "\nCopyright: " + holders.replace("\n", "\n ") + f"\nLicense: {licence}\n"
    return text + ("Comment:" + "".join(f"\n {line}" for line in comment.split("\n")) + "\n" if comment else "")


def used(licences):
    """The names in expressions of Debian's form."""
    return {name for licence in licences for name in re.split(r",? and |,? or ", licence)}


def written():
    rows = [*OWN, *of_crates(), of_rust(), *LIBRARIES, *of_models()]
    known = {text.split("\n", 1)[0].removeprefix("License: "): text for text in PARAGRAPHS.read_text().strip("\n").split("\n\n")}
    names = used(licence for _, _, licence, _ in rows)
    if names - set(known):
        raise Fault(f"bills/debian-licences has no paragraph for {', '.join(sorted(names - set(known)))}")
    return "\n".join([HEADER, *(paragraph(*row) for row in rows), *(known[name] + "\n" for name in sorted(names))])
