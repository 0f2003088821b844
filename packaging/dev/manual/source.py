"""What the pages are made of: tables of Markdown, and the text of Rust files. Knows nothing of any page."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent


class Fault(Exception):
    """Something that a page would have to say is not where it should be, or is new and nobody has explained it."""


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def version():
    return re.search(r'^version = "([^"]+)"', read("Cargo.toml"), re.M).group(1)


def table(path, first, *more):
    """Rows of the table in a Markdown file whose header begins with these words; as text, without links."""
    rows, inside = [], False
    for line in read(path).split("\n"):
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if inside and not cells:
            return rows
        if inside and not line.startswith("|---"):
            rows.append([unlinked(cell) for cell in cells])
        inside = inside or cells[:1 + len(more)] == [first, *more]
    raise Fault(f"{path}: no table with the header {first}")


def unlinked(text):
    """Without links, and without what only points there."""
    text = re.sub(r"[,;:]? (?:see )?\[(?:Asking again|Who goes first|the words)\]\([^)]*\)", "", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def comment(lines):
    """The text of the `///` lines right above a place, the last of these lines the nearest; attributes between them do not end it."""
    text = []
    for line in reversed(lines):
        line = line.strip()
        if line.startswith("///"):
            text.insert(0, line[3:].strip())
        elif not line.startswith("#["):
            break
    return " ".join(text)
