#!/usr/bin/env python3
"""Writes daemon/src/inspect/detect/fold_table.rs to standard output: which characters are ASCII in another dress, and which are not seen.

The rules are those of the file's first lines. Python brings the Unicode Character Database; the one of Debian 12 (Python 3.11) has version 14.
"""

import sys
import unicodedata

VERSION = "14.0.0"
# Controls that are seen as line ends or spaces.
SEEN = {0x09, 0x0A, 0x0D, 0x85}
# What is not seen though it counts as a letter or is not assigned: fillers of Hangul, and all tags and variation selectors to come.
HIDDEN = {0x115F, 0x1160, 0x3164, 0xFFA0, *range(0xE0000, 0xE1000)}
# What no rule folds: a minus is no dash, the full stops of Chinese and Japanese are none of Unicode's forms of `.`, and two zeros in
# circles are numbers to it, not digits.
BY_NAME = {0x2212: "-", 0x3002: ".", 0xFF61: ".", 0x1F10B: "0", 0x1F10C: "0"}

HEAD = """\
//! Which characters are digits, signs and letters of ASCII in another dress, and which are not seen. Written by
//! `packaging/dev/fold-table.py` from the Unicode Character Database 14, by these rules: digits by their value, whether decimal (Nd) or
//! ornamental (in circles, in parentheses, with a full stop or comma), if they stand for one digit; spaces (Zs), dashes (Pd and U+2212),
//! characters whose compatibility form (NFKC) is one character of ASCII, and the full stops of Chinese and Japanese. Dropped is what
//! shows nothing or only decorates: controls, formats (Cf), fillers, and marks of any script (Mn, Mc, Me), which go with the character
//! before them.
"""


def is_dropped(code):
    category = unicodedata.category(chr(code))
    return category in ("Cc", "Cf", "Mn", "Mc", "Me") and code not in SEEN or code in HIDDEN


def plain(code):
    """What a character becomes, `None` if it stays."""
    char = chr(code)
    if code in BY_NAME:
        return BY_NAME[code]
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(char)
    if category in ("Zs", "Pd"):
        return " " if category == "Zs" else "-"
    form = unicodedata.normalize("NFKC", char)
    return form if len(form) == 1 and " " <= form <= "~" else None


def codes():
    """All beyond ASCII that are no halves of a pair."""
    return (code for code in range(0x80, sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)


def dropped():
    ranges = []
    for code in filter(is_dropped, codes()):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return [f"(0x{first:X}, 0x{last:X})" for first, last in ranges]


def folded():
    """Neighbours that become neighbours, or all the same, are one row."""
    rows = []
    for code in codes():
        to = None if is_dropped(code) else plain(code)
        if to is None:
            continue
        first, last, start, rises = rows[-1] if rows else (None, None, None, None)
        if last == code - 1:
            ahead = ord(to) - ord(start)
            if rises in (None, True) and ahead == code - first:
                rows[-1] = (first, code, start, True)
                continue
            if rises in (None, False) and ahead == 0:
                rows[-1] = (first, code, start, False)
                continue
        rows.append((code, code, to, None))
    quoted = {"'": "\\'", "\\": "\\\\"}
    word = {False: "false", True: "true", None: "true"}
    return [f"(0x{a:X}, 0x{b:X}, b'{quoted.get(to, to)}', {word[rises]})" for a, b, to, rises in rows]


def table(what, name, kind, rows):
    lines, line = [], "   "
    for row in rows:
        if len(line) + len(row) + 2 > 119:
            lines.append(line)
            line = "   "
        line += f" {row},"
    lines.append(line)
    return "\n".join([f"/// {what}", "#[rustfmt::skip]", f"pub const {name}: &[{kind}] = &[", *lines, "];"])


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}; the table is made from {VERSION} (Python 3.11)")
    what = "First and last code, what the first becomes, and whether the next ones become the next characters."
    print(HEAD)
    print(table(what, "FOLDED", "(u32, u32, u8, bool)", folded()))
    print()
    print(table("First and last code.", "DROPPED", "(u32, u32)", dropped()))


main()
