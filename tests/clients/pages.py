"""Takes the examples out of a page of docs/mqtt, and compares what they print with what the page shows. Must not know how they are
run.

A fenced block is, by the word behind its fence:

    sh           commands, run by one shell for the whole page, in order
    text         right behind such a block: what it prints
    LANG FILE    the contents of FILE, which lies beside the commands when they run

Everything else is for the reader alone. In what is printed, `...` stands for the rest of a line, and for any lines where it is
a line of its own. Times, made-up ids and the last digits of scores differ from run to run: both sides are folded.
"""

import difflib
import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^```([^`]*)$")

# What differs between runs or machines, and what stands for it. Order matters: words come before the digits in them.
FOLDS = [
    (re.compile(r'"((?:queue|compute|total)_us)":\d+'), r'"\1":N'),
    (re.compile(r'"((?:received_|completed_)?at|time)":"[^"]*"'), r'"\1":"TIME"'),
    (re.compile(r'"(provider|variant)":"[^"]*"'), r'"\1":"WORD"'),
    # The first request to a model finds nothing measured.
    (re.compile(r'"reason":"(?:feasible|unmeasured)"'), '"reason":"feasible"'),
    # Where a power rail is known.
    (re.compile(r',"energy_mj":[0-9.]+'), ""),
    (re.compile(r"\b[mr]1[0-9a-f]{9,}(?:-\w+)?-\d+\b"), "ID"),
    (re.compile(r"\b\d+(?:\.\d+)? ms\b"), "N ms"),
    (re.compile(r"(\d\.\d{2})\d+"), r"\1"),
]


@dataclass
class Block:
    """One fenced block: the words behind its fence, its text, and the line of the page where it begins."""

    words: list
    text: str
    line: int


@dataclass
class Step:
    """What is done: commands to run (with what they print, if the page says), or a file to write."""

    line: int
    commands: str = ""
    prints: str | None = None
    file: str = ""
    text: str = field(default="", repr=False)


def blocks(page):
    """The fenced blocks of a page, in order."""
    found, words, lines, begin = [], None, [], 0
    for number, line in enumerate(page.splitlines(), 1):
        fence = FENCE.match(line)
        if words is None and fence:
            words, lines, begin = fence.group(1).split(), [], number
        elif words is not None and line == "```":
            found.append(Block(words, "".join(f"{line}\n" for line in lines), begin))
            words = None
        elif words is not None:
            lines.append(line)
    if words is not None:
        raise ValueError(f"line {begin}: this block has no end")
    return found


def steps(page):
    """What the page asks for, in order."""
    found, before = [], None
    for block in blocks(page):
        if block.words == ["sh"]:
            found.append(Step(block.line, commands=block.text))
        elif block.words == ["text"] and before and before.words == ["sh"]:
            found[-1].prints = block.text
        elif len(block.words) == 2:
            found.append(Step(block.line, file=block.words[1], text=block.text))
        before = block
    return found


def fold(text):
    """The text without what differs from run to run."""
    for pattern, word in FOLDS:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def line_matches(shown, printed):
    if "..." not in shown:
        return shown == printed
    return re.fullmatch(".*".join(re.escape(part) for part in shown.split("...")), printed) is not None


def matches(shown, printed):
    """Whether folded lines are what the page shows."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(matches(shown[1:], printed[skip:]) for skip in range(len(printed) + 1))
    return bool(printed) and line_matches(shown[0], printed[0]) and matches(shown[1:], printed[1:])


def difference(shown, printed):
    """Nothing, or a diff for people: what the page shows against what was printed."""
    shown, printed = fold(shown), fold(printed)
    if matches(shown, printed):
        return ""
    return "\n".join(difflib.unified_diff(broken(shown), broken(printed), "the page shows", "was printed", lineterm="", n=3))


def broken(lines):
    """Lines of JSON, one key to a line: so that one sees which one differs."""
    return [part for line in lines for part in re.sub(r',(?=")', ",\n  ", line).split("\n")]


def updated(page, printed):
    """The page with what the commands printed, by the line of their block."""
    found, lines = blocks(page), page.splitlines()
    # From the end, so that the lines before stay where they are.
    for block, shown in reversed(list(zip(found, found[1:]))):
        if block.line in printed and shown.words == ["text"]:
            lines[shown.line:shown.line + shown.text.count("\n")] = printed[block.line].splitlines()
    return "\n".join(lines) + "\n"
