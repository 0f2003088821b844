"""The types of Structured Text, which value fits which, and the two blocks of its standard library that are used here. Must not know
a program.
"""

WHOLE = {"BYTE": (0, 255), "INT": (-2**15, 2**15 - 1), "UINT": (0, 2**16 - 1), "DINT": (-2**31, 2**31 - 1), "UDINT": (0, 2**32 - 1)}
REALS = ("REAL", "LREAL")
# What one type may become by itself.
WIDER = {("INT", "DINT"), ("UINT", "UDINT"), ("UINT", "DINT"), ("REAL", "LREAL")}


class Fault(Exception):
    """What a PLC would refuse to load, or would stop at."""


class Leave(Exception):
    """EXIT: out of the innermost loop."""


class Return(Exception):
    """RETURN: out of the function or block."""


class Array:
    """The type of an array."""

    def __init__(self, low, high, of):
        self.low, self.high, self.of = low, high, of

    def __eq__(self, other):
        return isinstance(other, Array) and vars(self) == vars(other)

    def fresh(self):
        return [0] * (self.high - self.low + 1)


class Ton:
    """The timer of the standard: Q once IN was true for PT."""

    variables = {"in": ("BOOL", "input"), "pt": ("TIME", "input"), "q": ("BOOL", "output"), "et": ("TIME", "output")}

    def __init__(self):
        self.frame = {"in": False, "pt": 0, "q": False, "et": 0}
        self.since = None

    def run(self, now):
        if not self.frame["in"]:
            self.since = None
        elif self.since is None:
            self.since = now
        elapsed = 0 if self.since is None else now - self.since
        self.frame["et"] = min(elapsed, self.frame["pt"])
        self.frame["q"] = self.since is not None and elapsed >= self.frame["pt"]


class RisingEdge:
    """R_TRIG of the standard: Q in the call in which CLK became true."""

    variables = {"clk": ("BOOL", "input"), "q": ("BOOL", "output")}

    def __init__(self):
        self.frame = {"clk": False, "q": False}
        self.before = False

    def run(self, _now):
        self.frame["q"] = self.frame["clk"] and not self.before
        self.before = self.frame["clk"]


def is_string(kind):
    return isinstance(kind, str) and kind.startswith("STRING")


def checked(kind, value):
    """The value as a variable of that type holds it."""
    if kind in WHOLE and not WHOLE[kind][0] <= value <= WHOLE[kind][1]:
        raise Fault(f"{value} is no {kind}")
    if is_string(kind) and "[" in kind:
        return value[:int(kind[7:-1])]
    return value


def fits(target, kind):
    """Whether a value of `kind` may be given to a variable of type `target`."""
    if target == kind or (kind, target) in WIDER or (is_string(target) and is_string(kind)):
        return True
    return (kind == "#whole" and (target in WHOLE or target in REALS)) or (kind == "#real" and target in REALS)


def joined(left, right, what):
    """The type of two operands."""
    for kind, other in ((left, right), (right, left)):
        if fits(kind, other):
            return kind
    raise Fault(f"{what} takes two of one type, not {left} and {right}")
