"""Text as a manual page. Knows nothing of what the pages say. In text that is given, `this` is bold and *that* is italic."""

import re
from dataclasses import dataclass

BREAK = re.compile(r"(`[^`]+`|(?<![\w*])\*[A-Za-z][\w/.:-]*\*)")


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq").replace("~", "\\(ti").replace("^", "\\(ha")
    # A line that begins with a dot or an apostrophe would be a request.
    return "\\&" + text if text.startswith(".") else text


def inline(text):
    """One paragraph's text."""
    parts = []
    for part in BREAK.split(" ".join(text.split())):
        if part.startswith("`") and len(part) > 1:
            parts.append(f"\\fB{escaped(part[1:-1]).removeprefix(chr(92) + '&')}\\fR")
        elif part.startswith("*") and len(part) > 2:
            parts.append(f"\\fI{escaped(part[1:-1])}\\fR")
        elif part:
            parts.append(escaped(part))
    return "".join(parts)


def plain(text):
    """The words of a page again, without what they look like; for those who look something up in it."""
    for sign, what in (("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\(ti", "~"), ("\\(ha", "^"),
                       ("\\&", ""), ("\\e", "\\")):
        text = text.replace(sign, what)
    return text


class Page:
    """A page that grows line by line."""

    def __init__(self, name, section, version, about):
        self.lines = [f'.TH {escaped(name)} {section} "" "edged {version}" "edged"', ".SH NAME", f"{escaped(name)} \\- {escaped(about)}"]

    def section(self, title):
        self.lines.append(f".SH {title}")

    def part(self, title):
        self.lines.append(f".SS {escaped(title)}")

    def text(self, *paragraphs):
        """Paragraphs; the first one directly below a heading needs no sign."""
        for paragraph in paragraphs:
            if not self.lines[-1].startswith((".SH", ".SS")):
                self.lines.append(".PP")
            self.lines += self.sentences(paragraph)

    def item(self, term, *sentences):
        """A word and what it means; the word as text, with its signs."""
        self.lines += [".TP", inline(term)]
        for sentence in sentences:
            if sentence:
                self.lines += self.sentences(sentence)

    def file(self, path, text):
        """Where something lies, and what."""
        self.lines += [".TP", f"\\fI{escaped(path)}\\fR", *self.sentences(text)]

    def inner(self, items):
        """Words of the item before, and what each means."""
        self.lines.append(".RS")
        for term, text in items:
            self.item(term, text)
        self.lines.append(".RE")

    def block(self, text, inside=False):
        """Lines as they are: an example. `inside` belongs to the item before it."""
        self.lines += [".IP" if inside else ".PP", ".EX", *(escaped(line) for line in text.rstrip("\n").split("\n")), ".EE"]

    def see_also(self, *pages):
        self.section("SEE ALSO")
        names = [re.fullmatch(r"(\S+)\((\d)\)", page).groups() for page in pages]
        self.lines += [f".BR {escaped(name)} ({number}){',' if at + 1 < len(names) else ''}" for at, (name, number) in enumerate(names)]

    @staticmethod
    def sentences(text):
        """One sentence a line, as pages have them: what changed is seen line by line."""
        return [inline(one) for one in re.split(r"(?<=[a-z0-9)`\"*]\.) (?=[A-Z`])", " ".join(text.split())) if one]

    def __str__(self):
        return "\n".join(self.lines) + "\n"


@dataclass
class Example:
    """What is done: commands to run (with what they print, if the page says), or a file to write. The title is the paragraph before."""

    title: str
    commands: str = ""
    prints: str | None = None
    file: str = ""
    text: str = ""


def examples(page):
    """The examples of a page, in order: the blocks of its section EXAMPLES."""
    text = page.split(".SH EXAMPLES\n")[1].split("\n.SH ")[0]
    found = []
    for before, block in re.findall(r"([^\n]*)\n\.PP\n\.EX\n(.*?)\n\.EE", text, re.S):
        before, block = plain(before), plain(block) + "\n"
        if before == "prints":
            found[-1].prints = block
        elif before.startswith("The file "):
            found.append(Example(before, file=before.split()[2].rstrip(","), text=block))
        else:
            found.append(Example(before, commands=block))
    return found
