"""What Rust files say of the shape of a TOML file: structs and enums with their comments, types and defaults as serde is told
them, and the range that each rule names for a key. Reads the form that rustfmt gives; what it cannot read is a fault."""

import re
from dataclasses import dataclass, field

from .source import Fault, comment

ITEM = re.compile(r"^pub (struct|enum) (\w+) \{$", re.M)
FIELD = re.compile(r"^(?:pub )?(\w+): (.+),$")
# What serde makes of the type itself; told when all types are known.
UNSET = "unset"
WRAPPED = re.compile(r"^(Option|Vec)<(.+)>$")


@dataclass
class Key:
    """One key of a table."""

    name: str
    kind: str
    text: str
    # None: it must be there. Otherwise what it is without being there, as TOML writes it; empty: nothing.
    default: str | None = None


@dataclass
class Word:
    """One value of an enum; with keys of its own, if it is a kind of table."""

    name: str
    text: str
    inner: str = ""
    keys: list = field(default_factory=list)
    is_default: bool = False


@dataclass
class Record:
    name: str
    text: str
    keys: list = field(default_factory=list)
    words: list = field(default_factory=list)


class Sources:
    """The records of some files, by name."""

    def __init__(self, texts):
        self.text = "\n".join(texts)
        self.records = {}
        for found in ITEM.finditer(self.text):
            above = self.text[:found.start()].rstrip("\n").split("\n")
            body = self.text[found.end():].split("\n}\n")[0].split("\n")[1:]
            record = Record(found.group(2), comment(above))
            (self.struct if found.group(1) == "struct" else self.enum)(record, above, body)
            self.records[record.name] = record
        # An enum may stand behind the struct that uses it.
        for key in (key for record in self.records.values() for key in (*record.keys, *(key for word in record.words for key in word.keys))):
            key.default = self.empty(key.kind) if key.default == UNSET else key.default

    def struct(self, record, _, body):
        for at, line in enumerate(body):
            if line.startswith("    pub "):
                record.keys.append(self.key(line.strip(), body[:at]))

    def enum(self, record, above, body):
        style = next((found.group(1) for line in above[-4:] if (found := re.search(r'rename_all = "(\w+(?:-\w+)?)"', line))), "")
        for at, line in enumerate(body):
            found = re.match(r"^    ([A-Z]\w*)(?:\((\w+)\))?( \{)?,?$", line)
            if not found:
                continue
            word = Word(case(found.group(1), style), comment(body[:at]), found.group(2) or "", is_default="#[default]" in body[at - 1])
            if found.group(3):
                inside = "\n".join(body[at + 1:]).split("\n    },")[0].split("\n")
                word.keys = [self.key(row.strip(), inside[:place]) for place, row in enumerate(inside) if FIELD.match(row.strip())]
            record.words.append(word)

    def key(self, line, before):
        name, kind = FIELD.match(line).groups()
        told = comment(before)
        optional = WRAPPED.match(kind)
        if optional and optional.group(1) == "Option":
            return Key(name, optional.group(2), told, "")
        attribute = next((found for row in reversed(before[-1:]) if (found := re.match(r'\s*#\[serde\(default(?: = "(\w+)::(\w+)")?\)\]', row))), None)
        if not attribute:
            return Key(name, kind, told)
        return Key(name, kind, told, self.function(*attribute.groups()) if attribute.group(1) else UNSET)

    def function(self, owner, name):
        """What a function gives that has one expression."""
        bodies = re.findall(rf"\nimpl {owner} \{{\n(.*?)\n\}}\n", self.text, re.S)
        found = re.search(rf"fn {name}\(\) -> [^{{]+\{{\s*([^{{}};]+(?:;[^{{}};]+)?)\s*\}}", "\n".join(bodies))
        if not found:
            raise Fault(f"what is {owner}::{name}()?")
        value = found.group(1).strip().replace("_", "")
        many = re.match(r"^\[(.+); (\d+)\]$", value)
        number = lambda text: re.sub(r"\.0$", "", text)  # noqa: E731
        return "[" + ", ".join([number(many.group(1))] * int(many.group(2))) + "]" if many else number(value)

    def empty(self, kind):
        """What serde makes of a type whose key is absent."""
        if kind.startswith("["):
            return "[0, 0, 0]"
        if kind in self.records and self.records[kind].words:
            return f'"{next(word.name for word in self.records[kind].words if word.is_default)}"'
        return {"bool": "false", "f32": "0", "f64": "0", "u8": "0", "u32": "0"}.get(kind, "")


def case(name, style):
    words = re.findall(r"[A-Z][a-z0-9]*", name)
    return {"kebab-case": "-".join(words).lower(), "lowercase": name.lower()}.get(style, name)


def balanced(text, begin):
    """What stands between the parenthesis that opens right before `begin` and the one that closes it, divided at its commas."""
    depth, parts, start, inside = 0, [], begin, ""
    for at in range(begin, len(text)):
        letter = text[at]
        if inside:
            inside = "" if letter == '"' and text[at - 1] != "\\" else inside
        elif letter == '"':
            inside = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}" and depth:
            depth -= 1
        elif letter == ")":
            return [part for part in (*parts, text[start:at].strip()) if part]
        elif letter == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    raise Fault("a call of faults.unless has no end")


def literal(text):
    """The value of a text in the source."""
    return re.sub(r"\\\n\s*", "", text[1:-1]).replace('\\"', '"')


def rules(text):
    """(function, key as the rule writes it, what is accepted) of every rule of a file."""
    constants = {name: literal(value) for name, value in re.findall(r'^const (\w+): &str = ("(?:[^"\\]|\\.|\\\n)*");', text, re.M)}
    production = text.split("#[cfg(test)]")[0]
    for found in re.finditer(r"faults\.unless\(", production):
        function = re.findall(r"\nfn (\w+)\(|\npub fn (\w+)\(", production[:found.start()])[-1]
        _, key, accepted = balanced(production, found.end())
        name = re.search(r'"((?:[^"\\]|\\.)*)"', key)
        said = literal(accepted) if accepted.startswith('"') else constants.get(accepted)
        said = said or (literal(inner.group(1)) if (inner := re.match(r'^&format!\(("(?:[^"\\]|\\.)*")\)$', accepted)) else None)
        yield function[0] or function[1], name.group(1) if name else key, said
