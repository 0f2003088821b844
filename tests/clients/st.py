"""Runs Structured Text of IEC 61131-3: blark's grammar parses it, this compiles what it found into Python functions and calls them
cycle by cycle. Must not know what a program is for, nor the clock: whoever calls gives the time.

It is stricter than most PLCs, so that what runs here runs there: unknown names, a value of another type (only what cannot lose
anything is converted by itself), writing to an input, a number that would wrap, and an index outside its array are errors, and
AND and OR evaluate both of their sides. Covered is what docs/mqtt/structured-text uses; anything else is an error, too.
"""

import re

from blark import parse_source_code
from blark import transform as tree

from st_body import Body
from st_kinds import REALS, WHOLE, Array, Fault, Return, RisingEdge, Ton, checked, is_string

__all__ = ["Array", "Fault", "Plc", "Ton", "checked", "is_string", "parse", "tree"]


class Block:
    """A FUNCTION, FUNCTION_BLOCK or PROGRAM: its variables, and its body once that was compiled."""

    def __init__(self, node, result=None):
        self.name, self.node, self.result = str(node.name), node, result
        self.variables, self.initial, self.body = {}, {}, None
        if result:
            self.variables[self.name.lower()] = (result, "result")


class Instance:
    """One of a FUNCTION_BLOCK or PROGRAM, with what it remembers."""

    def __init__(self, plc, block):
        self.plc, self.variables, self.body = plc, block.variables, block
        self.frame = {name: plc.fresh(kind, block.initial.get(name)) for name, (kind, _) in block.variables.items()}

    def run(self, _now):
        self.plc.execute(self.body.body, self.frame)


def parse(text):
    """What source text declares; takes seconds for a hundred lines, and the result can be pickled."""
    return list(parse_source_code(text).transform().items)


class Plc:
    """What parsed sources declare, ready to run. `native` are blocks in Python, by name: classes like Ton."""

    def __init__(self, items, native=None):
        self.now, self.enums, self.constants, self.blocks = 0, {}, {}, {}
        self.native = {"ton": Ton, "r_trig": RisingEdge} | {name.lower(): block for name, block in (native or {}).items()}
        for item in items:
            self.declare(item)
        for block in self.blocks.values():
            self.variables(block)
        for block in self.blocks.values():
            block.body = Body(self, block).statements(block.node.body)

    def declare(self, item):
        if isinstance(item, tree.DataTypeDeclaration):
            name, values = str(item.declaration.name), item.declaration.init.spec.values
            self.enums[name.lower()] = name
            self.constants.update({str(value.name).lower(): (name, number) for number, value in enumerate(values)})
        elif isinstance(item, tree.Function):
            self.blocks[str(item.name).lower()] = Block(item, self.kind(item.return_type))
        elif isinstance(item, (tree.FunctionBlock, tree.Program)):
            self.blocks[str(item.name).lower()] = Block(item)
        else:
            raise Fault(f"{type(item).__name__} is not covered")

    def kind(self, spec):
        """The type that a declaration names."""
        if isinstance(spec, (tree.TypeInitialization, tree.ArrayTypeInitialization)):
            return self.kind(spec.spec)
        if isinstance(spec, tree.ArraySpecification):
            (bounds,) = spec.subranges
            return Array(int(str(bounds.start)), int(str(bounds.stop)), self.kind(spec.type))
        if isinstance(spec, (tree.SimpleSpecification, tree.IndirectSimpleSpecification)):
            return self.kind(spec.type)
        word = str(getattr(spec, "type_name", spec))
        if isinstance(spec, tree.StringTypeSpecification) or word.upper() == "STRING":
            length = getattr(spec, "length", None)
            return f"STRING[{re.search(r'[0-9]+', str(length)).group()}]" if length else "STRING[80]"
        for known in (word.upper(), self.enums.get(word.lower())):
            if known in WHOLE or known in REALS or known in ("BOOL", "TIME") or known in self.enums.values():
                return known
        if word.lower() in self.blocks or word.lower() in self.native:
            return ("block", word.lower())
        raise Fault(f"there is no type {word}")

    def variables(self, block):
        roles = {tree.InputDeclarations: "input", tree.OutputDeclarations: "output", tree.InputOutputDeclarations: "in_out"}
        for group in block.node.declarations:
            role = roles.get(type(group), "own")
            # What the source says of the group, such as VAR CONSTANT or VAR RETAIN.
            attributes = str(getattr(group, "attrs", "")).lower()
            role = next((word for word in ("constant", "retain") if word in attributes), role)
            for item in group.items:
                kind = self.kind(item.init)
                for variable in item.variables:
                    name = str(getattr(variable, "variable", variable).name).lower()
                    if name in block.variables or name in self.constants:
                        raise Fault(f"{block.name}: {name} is declared twice")
                    block.variables[name] = (kind, role)
                    value = getattr(item.init, "value", None)
                    if value is not None:
                        block.initial[name] = Body(self, block).give(kind, value, f"{block.name}.{name}")({})

    def fresh(self, kind, initial=None):
        if initial is not None:
            return initial
        if isinstance(kind, Array):
            return kind.fresh()
        if isinstance(kind, tuple):
            return self.native[kind[1]]() if kind[1] in self.native else Instance(self, self.blocks[kind[1]])
        return "" if is_string(kind) else False if kind == "BOOL" else 0.0 if kind in REALS else 0

    def instance(self, name):
        return Instance(self, self.blocks[name.lower()])

    @staticmethod
    def execute(body, frame):
        try:
            body(frame)
        except Return:
            pass
