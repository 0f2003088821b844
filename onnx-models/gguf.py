"""Reads GGUF, the format of llama.cpp's models: what a file says of itself, and its tensors. Needs Python's standard library alone.

Nothing that a file says is believed before it was held against the file's size: a bad one ends with a Fault that names what is
wrong. Of the many types of tensors those are read that a bundle is made of. A block is 32 numbers that share a scale:

    F32     numbers of 4 bytes
    Q8_0    a block: a half `step`, then 32 whole numbers `q` of 8 bits with sign; the number is step * q
    Q4_1    a block: halves `step` and `least`, then 32 codes `q` of 4 bits; the number is step * q + least. The lower
            halves of the 16 bytes are the first 16 codes, the upper ones the rest

Tensors have millions of numbers, and a loop over them takes minutes. So each function here takes one byte of every block at once,
as a slice with a stride, and looks up what it stands for (bytes.translate); only scales are gone through one by one.
"""

import math
import struct
import sys
from array import array

BLOCK = 32
# Numbers of the metadata, by their type.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
# Types of tensors that are read: how many numbers in how many bytes.
KINDS = {0: ("F32", 1, 4), 3: ("Q4_1", BLOCK, 20), 8: ("Q8_0", BLOCK, 34)}
# Those that people have more often than others, to tell them what they have.
OTHERS = {1: "F16", 2: "Q4_0", 6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 30: "BF16"}
ALIGNMENT, MOST_DIMENSIONS = 32, 4

# What each byte of a Q4_1 block becomes: its lower and its upper code, times 16.
LOWER = bytes(16 * (byte & 15) for byte in range(256))
UPPER = bytes(byte & 0xf0 for byte in range(256))
# A byte with sign, moved up by 128 so that it has none.
UNSIGNED = bytes(byte ^ 0x80 for byte in range(256))


class Fault(ValueError):
    """What is wrong with a file."""


class Cursor:
    """A place in the file that moves on with what is read."""

    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, size, what):
        if size > len(self.data) - self.at:
            raise Fault(f"truncated: {what} has {size} bytes from byte {self.at} on, and the file ends at {len(self.data)}")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form, what):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form), what))[0]

    def text(self, what):
        raw = self.take(self.number("Q", f"the length of {what}"), what)
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise Fault(f"{what} is not UTF-8") from error

    def value(self, kind, what):
        if kind == TEXT:
            return self.text(what)
        if kind == LIST:
            kind, count = self.number("I", what), self.number("Q", what)
            if kind == TEXT:
                return [self.text(f"{what}, number {at}") for at in range(count)]
            if kind in NUMBERS:
                raw = self.take(count * struct.calcsize("<" + NUMBERS[kind]), what)
                return [one for one, in struct.iter_unpack("<" + NUMBERS[kind], raw)]
        if kind in NUMBERS:
            return self.number(NUMBERS[kind], what)
        raise Fault(f"{what} is of type {kind}, which is not read here")


class Tensor:
    """A tensor as it lies in the file. `shape` is in the order of ONNX: rows first, then the numbers of a row."""

    def __init__(self, name, kind, shape, raw):
        self.name, self.kind, self.shape, self.raw = name, kind, shape, raw

    def rows(self):
        size = len(self.raw) // self.shape[0]
        return [self.raw[at:at + size] for at in range(0, len(self.raw), size)]


class File:
    """A whole file: `metadata` by key, `tensors` by name."""

    def __init__(self, data):
        cursor = Cursor(data)
        if (magic := bytes(cursor.take(4, "the file's first word"))) != b"GGUF":
            raise Fault(f"not a GGUF file: it begins with {magic!r}")
        if (version := cursor.number("I", "the version")) not in (2, 3):
            raise Fault(f"version {version} of GGUF; 2 and 3 are read here, in little-endian order")
        tensors, keys = (cursor.number("Q", what) for what in ("the number of tensors", "the number of keys"))
        self.metadata = {}
        for at in range(keys):
            key = cursor.text(f"key number {at}")
            if key in self.metadata:
                raise Fault(f"key {key} stands there twice")
            self.metadata[key] = cursor.value(cursor.number("I", key), key)
        rows = [self.described(cursor, at) for at in range(tensors)]
        alignment = self.fact("general.alignment", int, ALIGNMENT)
        if alignment < 1:
            raise Fault(f"general.alignment is {alignment}")
        begin, self.tensors = -(-cursor.at // alignment) * alignment, {}
        for name, kind, shape, size, offset in rows:
            if name in self.tensors:
                raise Fault(f"tensor {name} stands there twice")
            if begin + offset + size > len(cursor.data):
                raise Fault(f"truncated: tensor {name} has {size} bytes from byte {begin + offset} on, "
                            f"and the file ends at {len(cursor.data)}")
            self.tensors[name] = Tensor(name, kind, shape, cursor.data[begin + offset:begin + offset + size])

    @staticmethod
    def described(cursor, at):
        name = cursor.text(f"the name of tensor number {at}")
        count = cursor.number("I", f"tensor {name}")
        if not 1 <= count <= MOST_DIMENSIONS:
            raise Fault(f"tensor {name} has {count} dimensions, not 1 to {MOST_DIMENSIONS}")
        shape = [cursor.number("Q", f"the shape of tensor {name}") for _ in range(count)][::-1]
        number, offset = cursor.number("I", f"tensor {name}"), cursor.number("Q", f"tensor {name}")
        if number not in KINDS:
            called = f" ({OTHERS[number]})" if number in OTHERS else ""
            raise Fault(f"tensor {name} is of type {number}{called}; read here are "
                        + ", ".join(kind for kind, *_ in KINDS.values()))
        kind, numbers, size = KINDS[number]
        total = math.prod(shape)
        # Python's whole numbers do not run over; those of who reads the model may.
        if not 0 < total < 1 << 40:
            raise Fault(f"tensor {name} has the shape {shape}, which no tensor has")
        if shape[-1] % numbers:
            raise Fault(f"tensor {name} has rows of {shape[-1]}, and {kind} comes in blocks of {numbers}")
        return name, kind, shape, total // numbers * size, offset

    def fact(self, key, kind, otherwise=None):
        """A value of the metadata, which has to be there unless `otherwise` says what holds without."""
        if key not in self.metadata and otherwise is not None:
            return otherwise
        if key not in self.metadata:
            raise Fault(f"the metadata has no {key}")
        value = self.metadata[key]
        # A yes or no counts as a whole number in Python.
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise Fault(f"{key} is {value!r:.40}, not of the type {kind.__name__}")
        return value

    def tensor(self, name, kind, shape):
        """A tensor that has to be there, and to be just this."""
        if name not in self.tensors:
            raise Fault(f"there is no tensor {name}")
        found = self.tensors[name]
        if (found.kind, found.shape) != (kind, shape):
            raise Fault(f"tensor {name} is {found.kind} {found.shape}, not {kind} {shape}")
        return found


def floats(values):
    """Numbers as FP32 in little-endian order."""
    numbers = array("f", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def halves(raw, at, size):
    """The half at byte `at` of every block of `size` bytes."""
    joined = bytearray(2 * (len(raw) // size))
    joined[0::2], joined[1::2] = raw[at::size], raw[at + 1::size]
    found = struct.unpack(f"<{len(joined) // 2}e", joined)
    # No sum of halves is too large for Python's numbers, so this one is finite if all of them are.
    if not math.isfinite(sum(found)):
        raise Fault("a scale is not a finite number")
    return found


def wide(raw):
    """Blocks of Q4_1 as codes of 8 bits, scales, zero points: a number is scale * (code - zero point).

    A zero point is a whole number, and `least` is none in steps of Q4_1: rounded, it costs a fifth of a model's perplexity. So
    codes are 16 times as large and scales a sixteenth: `least` is then met within a 32nd of a step.
    """
    count = len(raw) // 20
    codes, step, least = bytearray(BLOCK * count), halves(raw, 0, 20), halves(raw, 2, 20)
    for at in range(16):
        pairs = raw[4 + at::20]
        codes[at::BLOCK], codes[at + 16::BLOCK] = pairs.translate(LOWER), pairs.translate(UPPER)
    zeros = [round(-16 * low / one) if one else 256 if low else 0 for one, low in zip(step, least)]
    if min(zeros) < 0 or max(zeros) > 255:
        raise Fault("a block without a number at or near 0, which a zero point of 8 bits cannot tell")
    return bytes(codes), floats([one / 16 for one in step]), bytes(zeros)


def eight(raw):
    """Blocks of Q8_0 as codes of 8 bits, whose zero point is 128, and scales."""
    codes = bytearray(BLOCK * (len(raw) // 34))
    for at in range(BLOCK):
        codes[at::BLOCK] = raw[2 + at::34].translate(UNSIGNED)
    return bytes(codes), floats(halves(raw, 0, 34))


def numbers(raw, kind):
    """Blocks as an array of what they stand for."""
    size = {"Q4_1": 20, "Q8_0": 34}[kind]
    found, step = array("f", bytes(4 * BLOCK * (len(raw) // size))), halves(raw, 0, size)
    if kind == "Q8_0":
        for at in range(BLOCK):
            codes = raw[2 + at::size].translate(UNSIGNED)
            found[at::BLOCK] = array("f", [one * (code - 128) for code, one in zip(codes, step)])
        return found
    least = halves(raw, 2, size)
    for at in range(16):
        pairs = raw[4 + at::size]
        found[at::BLOCK] = array("f", [one * (pair & 15) + low for pair, one, low in zip(pairs, step, least)])
        found[at + 16::BLOCK] = array("f", [one * (pair >> 4) + low for pair, one, low in zip(pairs, step, least)])
    return found
