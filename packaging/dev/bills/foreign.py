"""What is in the programs and is no crate: code in C and assembler inside crates, and Rust's standard library."""

import html
import os
import re
import subprocess
from pathlib import Path

from . import texts
from .document import Component
from .spdx import Fault


def blessing(directory):
    """SQLite has no file with its licence: it stands above its header."""
    head = (directory / "sqlite3/sqlite3.h").read_text().split("*/")[0]
    return [texts.Text("sqlite3/sqlite3.h", re.sub(r"^\W+", "", head, flags=re.M))]


def of_file(*names):
    return lambda directory: [texts.Text(name, (directory / name).read_text()) for name in names]


def defined(file, *names):
    """A version by the numbers or the text that a header defines."""
    def version(directory):
        header = (directory / file).read_text()
        found = [re.search(rf"#define\s+{name}\s+\"?([\d.]+)\"?", header) for name in names]
        if not all(found):
            raise Fault(f"{directory.name}/{file} does not define {' and '.join(names)}")
        return ".".join(one[1] for one in found)
    return version


class Foreign:
    """Code of another project inside a crate. Without a `version` of its own it is known by the crate's."""

    def __init__(self, crate, name, licence, licence_texts, version=None, cpe=None, remarks=(), left_out=(), url=None):
        self.crate, self.name, self.licence, self.texts = crate, name, licence, licence_texts
        self.version, self.cpe, self.remarks, self.left_out, self.url = version, cpe, list(remarks), left_out, url


ROWS = [
    Foreign("libsqlite3-sys", "sqlite", "blessing", blessing, defined("sqlite3/sqlite3.h", "SQLITE_VERSION"),
            "cpe:2.3:a:sqlite:sqlite:{}:*:*:*:*:*:*:*", ["C code, compiled into the programs"], url="https://sqlite.org"),
    Foreign("zstd-sys", "zstd", "BSD-3-Clause", of_file("zstd/LICENSE"),
            defined("zstd/lib/zstd.h", "ZSTD_VERSION_MAJOR", "ZSTD_VERSION_MINOR", "ZSTD_VERSION_RELEASE"),
            "cpe:2.3:a:facebook:zstandard:{}:*:*:*:*:*:*:*",
            ["C code, compiled into the programs; it may be used by BSD-3-Clause or GPL-2.0-only, and is used by the former"],
            left_out=("zstd/COPYING",), url="https://facebook.github.io/zstd"),
    Foreign("ring", "boringssl", "Apache-2.0 AND ISC", of_file("LICENSE-BoringSSL", "LICENSE-other-bits"), None, None,
            ["parts of it, in C and assembler (by OpenSSL's CRYPTOGAMS), compiled into the programs"],
            url="https://boringssl.googlesource.com/boringssl"),
    Foreign("ring", "fiat-crypto", "Apache-2.0", of_file("third_party/fiat/LICENSE"), None, None,
            ["parts of it, in C and assembler, compiled into the programs"], url="https://github.com/mit-plv/fiat-crypto"),
]

# Of the crates that Rust's own notices name, those that a program for Linux has in it.
IN_STD = {"addr2line", "adler2", "cfg-if", "compiler_builtins", "foldhash", "gimli", "hashbrown", "libc", "memchr", "miniz_oxide",
          "object", "rustc-demangle", "rustc-literal-escaper"}


def remarks(crate):
    """What is to be said of a crate beside its licence, and which of its files are not to be quoted."""
    rows = [row for row in ROWS if row.crate == crate]
    said = [f"with code of {row.name}, which is listed by itself" for row in rows]
    return said, [name for row in rows for name in row.left_out]


def inside(crate, directory):
    """The components inside a crate."""
    return [component(row, directory) for row in ROWS if row.crate == crate]


def component(row, directory):
    version = row.version(directory) if row.version else None
    name = row.name if version else f"{row.name} (as in {directory.name})"
    purl = f"pkg:generic/{row.name}@{version}" if version else None
    found = texts.complete(name, row.licence, row.texts(directory))
    return Component(row.name, version, row.licence, reference=purl or f"library:{row.name}", purl=purl, texts=found, remarks=row.remarks,
                     cpe=row.cpe.format(version) if row.cpe else None, scope="required", links=[("website", row.url)],
                     properties=[("inside", directory.name)])


def rustc(*arguments):
    command = [os.environ.get("RUSTC", "rustc"), *arguments]
    done = subprocess.run(command, cwd=texts.ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Fault(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def host():
    return re.search(r"^host: (\S+)", rustc("-vV"), re.M)[1]


def rust_version():
    return re.search(r"^release: (\S+)", rustc("-vV"), re.M)[1]


def standard_library():
    """Rust's standard library, and the crates in it, as the notices of the toolchain have them."""
    version, licence = rust_version(), "Apache-2.0 OR MIT"
    folder = Path(rustc("--print", "sysroot").strip()) / "share/doc/rust"
    own = [texts.Text(name, (folder / "licenses" / f"{name}.txt").read_text(), "the toolchain's copy")
           for name in ("Apache-2.0", "MIT", "Unicode-3.0") if (folder / "licenses" / f"{name}.txt").is_file()]
    said = ["its own code is by The Rust Project Developers (see https://thanks.rust-lang.org); core's tables of characters are "
            "Unicode-3.0, by Unicode, Inc."]
    library = Component("rust-std", version, licence, reference=f"library:rust-std@{version}", scope="required",
                        description="The standard library of Rust, linked into the programs", remarks=said,
                        texts=texts.complete("rust-std", licence, own), links=[("website", "https://www.rust-lang.org")])
    page = folder / "COPYRIGHT-library.html"
    inner = list(of_page(page.read_text())) if page.is_file() else []
    return [library, *inner], {library.reference: {crate.reference for crate in inner}}


def of_page(page):
    """The crates of Rust's page of notices."""
    for part in page.split("<h3>")[1:]:
        name, version = re.match(r"\W*(\S+?)-(\d[^<]*)</h3>", part).groups()
        if name not in IN_STD:
            continue
        licence = html.unescape(re.search(r"<b>License:</b>\s*(.*?)</p>", part)[1]).strip()
        found = re.findall(r"<summary><code>(.*?)</code></summary>\s*<pre>(.*?)</pre>", part, re.S)
        found = [texts.Text(html.unescape(file), html.unescape(text)) for file, text in found]
        # The same crate may be in the programs by itself, in another version or the same.
        yield Component(name, version, licence, reference=f"library:rust-std/{name}@{version}", purl=f"pkg:cargo/{name}@{version}",
                        scope="required", remarks=["inside Rust's standard library"], properties=[("inside", "rust-std")],
                        texts=texts.complete(f"{name} {version}", licence, found))
