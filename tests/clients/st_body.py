"""Compiles the statements and expressions of Structured Text into Python functions, with the types checked: a part of st.py, which
has the declarations.
"""

import operator
import re

from blark import transform as tree

from st_kinds import REALS, WHOLE, Array, Fault, Leave, Return, checked, fits, is_string, joined

ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul}
COMPARISONS = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


class Body:
    """Compiles the statements and expressions of one block: each becomes a function of the block's variables."""

    def __init__(self, plc, block):
        self.plc, self.block = plc, block

    # Statements.

    def statements(self, listed):
        steps = [self.statement(one) for one in getattr(listed, "statements", listed) or []]

        def run(frame):
            for step in steps:
                step(frame)
        return run

    def statement(self, node):
        handler = getattr(self, "do_" + type(node).__name__, None)
        if not handler:
            raise Fault(f"{self.block.name}: {type(node).__name__} is not covered: {node}")
        return handler(node)

    def do_AssignmentStatement(self, node):
        (target,) = node.variables
        kind, put = self.target(target)
        value = self.give(kind, node.expression, str(node))
        return lambda frame: put(frame, value(frame))

    def do_IfStatement(self, node):
        branches = [(self.truth(node.if_expression), self.statements(node.statements))]
        branches += [(self.truth(other.if_expression), self.statements(other.statements)) for other in node.else_ifs]
        otherwise = self.statements(node.else_clause.statements if node.else_clause else [])

        def run(frame):
            for condition, body in branches:
                if condition(frame):
                    return body(frame)
            return otherwise(frame)
        return run

    def do_CaseStatement(self, node):
        kind, value = self.expression(node.expression)
        table = {}
        for case in node.cases:
            body = self.statements(case.statements)
            table.update({self.give(kind, match, str(match))({}): body for match in case.matches})
        otherwise = self.statements(node.else_clause.statements if node.else_clause else [])
        return lambda frame: table.get(value(frame), otherwise)(frame)

    def do_ForStatement(self, node):
        kind, put = self.target(node.control)
        first, last = (self.give(kind, bound, str(node)) for bound in (node.from_, node.to))
        if node.step is not None:
            raise Fault(f"{self.block.name}: BY is not covered")
        body = self.statements(node.statements)

        def run(frame):
            try:
                for number in range(first(frame), last(frame) + 1):
                    put(frame, number)
                    body(frame)
            except Leave:
                pass
        return run

    def do_WhileStatement(self, node):
        condition, body = self.truth(node.expression), self.statements(node.statements)

        def run(frame):
            try:
                while condition(frame):
                    body(frame)
            except Leave:
                pass
        return run

    def do_ExitStatement(self, _node):
        return self.raising(Leave)

    def do_ReturnStatement(self, _node):
        return self.raising(Return)

    @staticmethod
    def raising(what):
        def run(_frame):
            raise what
        return run

    def do_FunctionCallStatement(self, node):
        name = str(node.name).lower()
        kind, _ = self.variable(name)
        if not isinstance(kind, tuple):
            raise Fault(f"{self.block.name}: {name} cannot be called")
        variables = self.variables_of(kind)
        inputs, results = [], []
        for parameter in node.parameters:
            inner = str(parameter.name).lower()
            what, role = variables.get(inner) or self.unknown(inner)
            if isinstance(parameter, tree.OutputParameterAssignment):
                results.append((inner, self.target(parameter.value)[1]))
            elif role not in ("input", "in_out"):
                raise Fault(f"{name}.{inner} is no input")
            else:
                inputs.append((inner, self.give(what, parameter.value, f"{name}.{inner}")))
        missing = {inner for inner, (_, role) in variables.items() if role == "in_out"} - {inner for inner, _ in inputs}
        if missing:
            raise Fault(f"{name} is called without {', '.join(sorted(missing))}")

        def run(frame):
            called = frame[name]
            for inner, value in inputs:
                called.frame[inner] = value(frame)
            called.run(self.plc.now)
            for inner, put in results:
                put(frame, called.frame[inner])
        return run

    # Expressions: a type, and a function that gives the value.

    def give(self, target, node, where):
        """The function for a value that is to become one of type `target`."""
        kind, value = self.expression(node)
        if not fits(target, kind):
            raise Fault(f"{self.block.name}: {where}: {kind} is given, {target} is taken")
        if kind == "#whole":
            number = checked(target, value({}))
            return lambda _frame: float(number) if target in REALS else number
        return value if isinstance(target, (Array, tuple)) else lambda frame: checked(target, value(frame))

    def truth(self, node):
        return self.give("BOOL", node, str(node))

    def expression(self, node):
        handler = getattr(self, "of_" + type(node).__name__, None)
        if not handler:
            raise Fault(f"{self.block.name}: {type(node).__name__} is not covered: {node}")
        return handler(node)

    def of_Integer(self, node):
        number = int(str(node.value))
        return "#whole", lambda _frame: number

    def of_Real(self, node):
        number = float(str(node.value))
        return "#real", lambda _frame: number

    def of_Boolean(self, node):
        truth = str(node.value).upper() == "TRUE"
        return "BOOL", lambda _frame: truth

    def of_String(self, node):
        text = re.sub(r"\$(['$])", r"\1", str(node.value)[1:-1])
        return "STRING", lambda _frame: text

    def of_Duration(self, node):
        parts = {"days": 86400000, "hours": 3600000, "minutes": 60000, "seconds": 1000, "milliseconds": 1}
        total = sum(int(str(getattr(node, part) or 0)) * scale for part, scale in parts.items())
        return "TIME", lambda _frame: total

    def of_ParenthesizedExpression(self, node):
        return self.expression(node.expr)

    def of_SimpleVariable(self, node):
        name = str(node.name).lower()
        if name in self.plc.constants:
            kind, number = self.plc.constants[name]
            return kind, lambda _frame: number
        kind, _ = self.variable(name)
        return kind, lambda frame: frame[name]

    of_EnumeratedValue = of_SimpleVariable

    def of_MultiElementVariable(self, node):
        name, kind, element = self.element(node)
        if isinstance(element, str):
            return self.variables_of(kind)[element][0], lambda frame: frame[name].frame[element]
        return kind.of, lambda frame: frame[name][element(frame)]

    def of_UnaryOperation(self, node):
        kind, value = self.expression(node.expr)
        if str(node.op).upper() == "NOT":
            truth = self.truth(node.expr)
            return "BOOL", lambda frame: not truth(frame)
        if kind in ("#whole", "#real"):
            number = -value({})
            return kind, lambda _frame: number
        return kind, lambda frame: checked(kind, -value(frame))

    def of_BinaryOperation(self, node):
        word = str(node.op).upper()
        if word in ("AND", "OR"):
            left, right = self.truth(node.left), self.truth(node.right)
            # Both sides, always: the standard promises nothing else.
            return "BOOL", (lambda frame: left(frame) & right(frame)) if word == "AND" else (lambda frame: left(frame) | right(frame))
        kind = joined(self.expression(node.left)[0], self.expression(node.right)[0], f"{self.block.name}: {node}")
        if kind in ("#whole", "#real"):
            left, right = self.expression(node.left)[1], self.expression(node.right)[1]
        else:
            left, right = (self.give(kind, side, str(node)) for side in (node.left, node.right))
        if word in COMPARISONS:
            compare = COMPARISONS[word]
            return "BOOL", lambda frame: compare(left(frame), right(frame))
        if kind not in WHOLE and kind not in REALS and kind not in ("#whole", "#real"):
            raise Fault(f"{self.block.name}: {node}: there is no {word} for {kind}")
        compute = ARITHMETIC.get(word) or (operator.mod if word == "MOD" else self.division(kind))
        return kind, lambda frame: checked(kind, compute(left(frame), right(frame)))

    @staticmethod
    def division(kind):
        if kind in REALS or kind == "#real":
            return operator.truediv
        # Towards zero, as PLCs do.
        return lambda left, right: int(left / right) if left < 0 or right < 0 else left // right

    def of_FunctionCall(self, node):
        name = str(node.name).lower()
        arguments = [parameter.value for parameter in node.parameters]
        if name in self.plc.blocks:
            return self.call(self.plc.blocks[name], arguments)
        return self.standard(name, arguments)

    def call(self, block, arguments):
        taken = [(name, kind) for name, (kind, role) in block.variables.items() if role in ("input", "in_out")]
        if not block.result or len(taken) != len(arguments):
            raise Fault(f"{self.block.name}: {block.name} is a function of {len(taken)} values, called with {len(arguments)}")
        values = [(name, self.give(kind, value, f"{block.name}.{name}")) for (name, kind), value in zip(taken, arguments)]
        given = {name for name, _ in values}
        others = [(name, kind) for name, (kind, _) in block.variables.items() if name not in given]
        result = block.name.lower()

        def run(frame):
            inner = {name: self.plc.fresh(kind, block.initial.get(name)) for name, kind in others}
            inner.update({name: value(frame) for name, value in values})
            self.plc.execute(block.body, inner)
            return inner[result]
        return block.result, run

    def standard(self, name, arguments):
        """Functions of the standard that are used here."""
        if name == "concat":
            parts = [self.give("STRING", part, name) for part in arguments]
            return "STRING", lambda frame: "".join(part(frame) for part in parts)
        if name == "len":
            (text,) = (self.give("STRING", part, name) for part in arguments)
            return "INT", lambda frame: len(text(frame))
        if name == "find":
            text, part = (self.give("STRING", value, name) for value in arguments)
            return "INT", lambda frame: text(frame).find(part(frame)) + 1 if part(frame) else 0
        if name == "mid":
            text = self.give("STRING", arguments[0], name)
            length, place = (self.give("INT", value, name) for value in arguments[1:])
            return "STRING", lambda frame: text(frame)[place(frame) - 1:place(frame) - 1 + length(frame)]
        return self.conversion(name, arguments)

    def conversion(self, name, arguments):
        words = [word.upper() for word in name.split("_to_")]
        if len(words) != 2 or words[0] not in (*WHOLE, *REALS) or words[1] not in (*WHOLE, *REALS, "TIME", "STRING"):
            raise Fault(f"{self.block.name}: there is no function {name}")
        source, target = words
        (value,) = (self.give(source, one, name) for one in arguments)
        if target == "STRING":
            return target, lambda frame: str(value(frame))
        if target in REALS:
            return target, lambda frame: float(value(frame))
        return target, lambda frame: checked(target, round(value(frame)))

    # Variables.

    def unknown(self, name):
        raise Fault(f"{self.block.name}: there is no {name}")

    def variable(self, name):
        return self.block.variables.get(name) or self.unknown(name)

    def variables_of(self, kind):
        return (self.plc.native.get(kind[1]) or self.plc.blocks[kind[1]]).variables

    def element(self, node):
        """An element of an array (its variable, type and the function for its place) or of a block (and the element's name)."""
        name = str(node.name).lower()
        kind, _ = self.variable(name)
        (part,) = node.elements
        if isinstance(part, tree.FieldSelector):
            field = str(part.field).lower()
            if not isinstance(kind, tuple) or field not in self.variables_of(kind):
                raise Fault(f"{self.block.name}: there is no {name}.{field}")
            return name, kind, field
        (subscript,) = part.subscripts
        index_kind, index = self.expression(subscript)
        if not isinstance(kind, Array) or index_kind not in (*WHOLE, "#whole"):
            raise Fault(f"{self.block.name}: {node}: an array takes a whole number")

        def place(frame):
            number = index(frame)
            if not kind.low <= number <= kind.high:
                raise Fault(f"{self.block.name}: {name}[{number}]: it has {kind.low} to {kind.high}")
            return number - kind.low
        return name, kind, place

    def target(self, node):
        """The type of what is assigned to, and the function that puts a value there."""
        if isinstance(node, tree.MultiElementVariable):
            name, kind, place = self.element(node)
            if isinstance(place, str):
                raise Fault(f"{self.block.name}: {node} is written from outside of its block")

            def put_element(frame, value):
                frame[name][place(frame)] = value
            return kind.of, put_element
        name = str(node.name).lower()
        kind, role = self.variable(name)
        if role in ("input", "constant") or isinstance(kind, (Array, tuple)):
            raise Fault(f"{self.block.name}: {name} cannot be assigned to")

        def put(frame, value):
            frame[name] = value
        return kind, put
