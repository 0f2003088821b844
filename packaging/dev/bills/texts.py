"""Licence texts: where they are found, and the notices that hold each once."""

import os
import re
from pathlib import Path

from . import spdx
from .spdx import Fault

ROOT = Path(__file__).resolve().parents[3]
COMMON = Path("/usr/share/common-licenses")
# Names of files with licences or what has to be told, in any case of letters.
NAMES = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense|patents)([-._].*)?$", re.I)
# Beside the code that is built lie tests and tools with licences of their own.
SKIPPED = {"tests", "test", "testdata", "benches", "examples", "fuzz", "docs", ".git", "target"}
MOST_BYTES = 1 << 20
RULE = "=" * 100


class Text:
    """A text with what is said of where it comes from; empty if it comes from the component itself."""

    def __init__(self, name, text, origin=""):
        self.name, self.origin = name, origin
        lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\f", "\n").expandtabs().strip("\n").split("\n")]
        self.text = "\n".join(lines)

    def key(self):
        return spdx.squeezed(self.text)


def of_directory(directory, left_out=()):
    """The texts below a directory, by path."""
    texts = []
    for place, folders, files in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if folder not in SKIPPED)
        for file in sorted(files):
            path = Path(place) / file
            name = path.relative_to(directory).as_posix()
            code = path.suffix in (".rs", ".py", ".toml", ".c", ".h", ".pl")
            if NAMES.match(file) and not code and name not in left_out and path.stat().st_size <= MOST_BYTES:
                texts.append(Text(name, path.read_text(encoding="utf-8", errors="replace")))
    return texts


def standard(licence):
    """The text of a licence for what brings none, or nothing: the tree's own copy, else Debian's."""
    if licence == "Apache-2.0":
        return Text(licence, (ROOT / "LICENSE").read_text(), "it brings no text; this is the licence's own")
    if (COMMON / licence).is_file():
        return Text(licence, (COMMON / licence).read_text(), f"it brings no text; this is {COMMON / licence}")
    return None


def complete(who, expression, texts):
    """The texts of a component, with those that its licence needs and that it does not bring."""
    found = set().union(*(spdx.recognised(text.text) for text in texts)) if texts else set()
    try:
        needed = spdx.lacking(spdx.parsed(expression), found, standard)
    except Fault as fault:
        raise Fault(f"{who}: {fault}") from fault
    missing = [licence for licence in needed if not standard(licence)]
    if missing:
        raise Fault(f"{who}: there is no text of the licence {missing[0]}, neither with it nor here")
    return texts + [standard(licence) for licence in needed]


def notices(title, introduction, components):
    """The whole file: the components with the numbers of their texts, then each text once."""
    numbers, shared = {}, []
    for component in components:
        for text in component.texts:
            if text.key() not in numbers:
                numbers[text.key()] = len(shared)
                shared.append((text, []))
            users = shared[numbers[text.key()]][1]
            if component.label() not in users:
                users.append(component.label())
    parts = [title, "", *introduction, "", RULE, ""]
    for component in components:
        places = ", ".join(dict.fromkeys(str(numbers[text.key()] + 1) for text in component.texts))
        parts.append(f"{component.label()}: {component.licence} [{places}]" if places else f"{component.label()}: {component.licence}")
        parts += [f"    {line}" for line in component.remarks]
        parts += [f"    {text.name}: {text.origin}" for text in component.texts if text.origin]
    for number, (text, users) in enumerate(shared, 1):
        parts += ["", RULE, f"[{number}] of {', '.join(users)}", "", text.text]
    return "\n".join(parts) + "\n"
