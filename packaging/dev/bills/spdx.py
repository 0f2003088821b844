"""Licence expressions, and which licence a text is. Pure: reads no file."""

import re


class Fault(Exception):
    """A bill cannot be made: what is missing, and what to do about it."""


# What only this licence says, of a text in lower case with single spaces. The first of two that overlap is looked for first.
MARKS = [
    ("Apache-2.0", "apache license version 2.0, january 2004"),
    ("Apache-2.0 WITH LLVM-exception", "llvm exceptions to the apache 2.0 license"),
    ("BSL-1.0", "boost software license - version 1.0"),
    ("MIT", "permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated"),
    ("Zlib", "provided 'as-is', without any express or implied warranty"),
    ("Unicode-3.0", "unicode license v3"),
    ("Unlicense", "this is free and unencumbered software released into the public domain"),
    ("CC0-1.0", "cc0 1.0 universal"),
    ("MPL-2.0", "mozilla public license version 2.0"),
    ("blessing", "the author disclaims copyright to this source code"),
]
ISC = "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"


def squeezed(text):
    """A text without what differs between copies of it: case, quotes, line breaks, comment signs."""
    text = re.sub(r"[“”‘’\"`]", "'", text.lower())
    return " ".join(re.sub(r"[*#>|]|//", " ", text).split())


def recognised(text):
    """The licences that a text gives; several if it holds several."""
    plain = squeezed(text)
    found = {name for name, mark in MARKS if squeezed(mark) in plain}
    if squeezed(ISC) in plain or "permission to use, copy, modify, and distribute this software for any purpose" in plain:
        found.add("ISC" if "provided that the above copyright notice" in plain else "0BSD")
    if "redistribution and use in source and binary forms" in plain:
        named = "neither the name" in plain or "may not be used to endorse or promote" in plain
        found.add("BSD-3-Clause" if named else "BSD-2-Clause")
        if named and plain.count("redistribution and use in source and binary forms") > 1:
            found.add("BSD-2-Clause")
    return found


def parsed(expression):
    """An expression as ("OR" | "AND", parts) or a licence. Also Cargo's old form with a slash between alternatives."""
    words = re.findall(r"\(|\)|[^\s()]+", re.sub(r"\s*/\s*", " OR ", expression))
    whole, rest = alternatives(words)
    if rest or not words:
        raise Fault(f"{expression!r} is no licence expression")
    return whole


def alternatives(words):
    return chain(words, "OR", lambda words: chain(words, "AND", one))


def chain(words, sign, operand):
    first, words = operand(words)
    parts = [first]
    while words and words[0] == sign:
        part, words = operand(words[1:])
        parts.append(part)
    return (parts[0] if len(parts) == 1 else (sign, parts)), words


def one(words):
    if not words or words[0] in (")", "OR", "AND", "WITH"):
        raise Fault(f"a licence is missing before {' '.join(words) or 'the end'!r}")
    if words[0] == "(":
        inner, words = alternatives(words[1:])
        if not words or words[0] != ")":
            raise Fault("a parenthesis is not closed")
        return inner, words[1:]
    if len(words) > 2 and words[1] == "WITH":
        return f"{words[0]} WITH {words[2]}", words[3:]
    return words[0], words[1:]


def written(tree, inside=False):
    """The expression in SPDX's form."""
    if isinstance(tree, str):
        return tree
    sign, parts = tree
    text = f" {sign} ".join(written(part, True) for part in parts)
    return f"({text})" if inside else text


def lacking(tree, found, at_hand=lambda licence: True):
    """The licences whose texts have to be added to those that were found: of alternatives one whose texts are at hand, with the
    fewest, and of those the first."""
    if isinstance(tree, str):
        return [] if tree in found else [tree]
    sign, parts = tree
    each = [lacking(part, found, at_hand) for part in parts]
    if sign == "OR":
        return min(each, key=lambda names: (sum(not at_hand(name) for name in names), len(names)))
    return list(dict.fromkeys(name for names in each for name in names))
