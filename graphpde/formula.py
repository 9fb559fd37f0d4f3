"""Formulas in text: values in space and time, read by a whitelist and evaluated elementwise on tensors.

Text from a problem file or a command line is never executed. It is parsed to a syntax tree, every node of the tree must
be one that is listed here, and the tree is then walked with tensor operations.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphpde.errors import FormulaError
from graphpde.registry import unknown
from graphpde.typing import check_shape

Value: TypeAlias = float | Tensor

COORDINATES = ("x", "y", "z")
CONSTANTS = {"pi": math.pi, "e": math.e}
MAX_LENGTH = 1000
MAX_DEPTH = 100
MAX_PARENTHESES = 50
MAX_EXPONENT = 100.0  # a power beyond it overflows or vanishes for all but numbers near 1


class Function(NamedTuple):
    """A function of the language; ``most`` is None when it takes any number of arguments."""

    apply: Callable[..., Tensor]
    least: int = 1
    most: int | None = 1

    @property
    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.most is None:
            return f"{self.least} or more arguments"
        counts = " or ".join(str(k) for k in range(self.least, self.most + 1))
        return f"{counts} argument{'s' if self.most > 1 else ''}"


def _heaviside(x: Tensor, at_zero: Tensor | None = None) -> Tensor:
    middle = torch.full_like(x, 0.5) if at_zero is None else at_zero
    return torch.where(x == 0, middle, (x > 0).to(x.dtype))


FUNCTIONS: dict[str, Function] = {
    "sin": Function(torch.sin),
    "cos": Function(torch.cos),
    "tan": Function(torch.tan),
    "asin": Function(torch.asin),
    "acos": Function(torch.acos),
    "atan": Function(torch.atan),
    "sinh": Function(torch.sinh),
    "cosh": Function(torch.cosh),
    "tanh": Function(torch.tanh),
    "exp": Function(torch.exp),
    "log": Function(torch.log),
    "log10": Function(torch.log10),
    "sqrt": Function(torch.sqrt),
    "abs": Function(torch.abs),
    "sign": Function(torch.sign),
    "floor": Function(torch.floor),
    "ceil": Function(torch.ceil),
    "atan2": Function(torch.atan2, 2, 2),
    "hypot": Function(torch.hypot, 2, 2),
    "min": Function(lambda *parts: functools.reduce(torch.minimum, parts), 2, None),
    "max": Function(lambda *parts: functools.reduce(torch.maximum, parts), 2, None),
    "clip": Function(lambda x, low, high: torch.minimum(torch.maximum(x, low), high), 3, 3),
    "where": Function(lambda condition, yes, no: torch.where(condition != 0, yes, no), 3, 3),
    "heaviside": Function(_heaviside, 1, 2),
    "step": Function(lambda x: (x >= 0).to(x.dtype)),
}
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: lambda x: x == 0,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FOREIGN: dict[type[ast.AST], str] = {
    ast.BitXor: "the operator ^ (a power is written **)",
    ast.FloorDiv: "the operator // (write floor(a / b))",
    ast.BitAnd: "the operator & (write and)",
    ast.BitOr: "the operator | (write or)",
    ast.Invert: "the operator ~ (write not)",
}


class Formula:
    """A scalar expression in coordinates, time and parameters, called as ``formula(x, t)``.

    It has numbers, ``+ - * / ** %``, comparisons, ``and or not``, ``a if c else b`` and the functions of
    :data:`FUNCTIONS`, all elementwise. A true statement is 1, a false one 0; ``heaviside(x)`` is 1/2 at zero (a second
    argument says otherwise), ``step(x)`` is 1 there. The branch that a condition leaves out does not enter the value;
    but backward, unlike forward mode, multiplies its derivative by zero, so one that is infinite there gives nan.

    Args:
        text: the expression, at most 1000 characters; a number stands for its own text.
        names: what it may mention: x, y, z (columns of the points), t (time); any other is a parameter of the call.

    Attributes:
        text: the expression with single blanks. used: the names that it mentions, in the order of ``names``.

    Raises:
        FormulaError: it holds anything else, said with its position, or a constant part that is not finite.
    """

    def __init__(self, text: str | float, names: Sequence[str] = (*COORDINATES, "t")):
        self.names = tuple(names)
        for name in self.names:
            if not name.isidentifier() or name in CONSTANTS or name in FUNCTIONS:
                raise FormulaError(f"'{name}' cannot name a quantity in a formula: it is taken or is not an identifier")
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            text = str(text)
        if not isinstance(text, str):
            raise FormulaError(f"a formula is text or a number, got {type(text).__name__}")
        if len(text) > MAX_LENGTH:
            raise FormulaError(f"formula '{_short(text)}' has {len(text)} characters, expected at most {MAX_LENGTH}")
        self.text = " ".join(text.split())
        self._tree = _Reader(self.text, self.names).read()
        mentioned = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}
        self.used = tuple(name for name in self.names if name in mentioned)

    def __repr__(self) -> str:
        return f"Formula('{self.text}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and (self.text, self.names) == (other.text, other.names)

    def __hash__(self) -> int:
        return hash((self.text, self.names))

    @property
    def uses_time(self) -> bool:
        """Whether it mentions t."""
        return "t" in self.used

    @property
    def constant(self) -> bool:
        """Whether it mentions no name, so that it is one number everywhere."""
        return not self.used

    def __call__(self, x: Tensor, t: Value = 0.0, **parameters: Value) -> Tensor:
        """Values [*, k] at points x [*, k, d], in the dtype and on the device of x.

        ``t`` and the parameters broadcast against [*, k]: numbers, 0-d, [k], or [b, 1] for a batch of times.
        Differentiable in every argument, also by forward mode.

        Raises:
            FormulaError: a parameter is missing or unknown, or the points lack a coordinate that is mentioned.
            ShapeError: x is not [*, k, d].
        """
        x = check_shape(x, "* k d", "points of a formula")
        if not x.is_floating_point():
            x = x.to(torch.get_default_dtype())
        expected = [name for name in self.names if name not in (*COORDINATES, "t")]
        for name in parameters:
            if name not in expected:
                raise FormulaError(str(unknown(f"parameter of formula '{_short(self.text)}'", name, expected)))
        given: dict[str, Value] = {**dict(zip(COORDINATES, x.unbind(-1))), "t": t, **parameters}
        for name in self.used:
            if name not in given:
                lack = f"the points have {x.shape[-1]} coordinates" if name in COORDINATES else f"give {name}=..."
                raise FormulaError(f"formula '{_short(self.text)}' needs {name}, but got no value for it; {lack}")
        scope = _Scope(given, x)
        shape = torch.broadcast_shapes(x.shape[:-1], *[v.shape for v in given.values() if isinstance(v, Tensor)])
        # contiguous: a caller may write into what it gets
        return scope.tensor(_evaluate(self._tree, scope)).to(x.dtype).expand(shape).contiguous()


class _Scope(NamedTuple):
    """What the names mean during one evaluation; ``like`` lends numbers its dtype and device."""

    values: Mapping[str, Value]
    like: Tensor

    def tensor(self, value: Value) -> Tensor:
        """A number as 0-d tensor; a truth as 0 or 1, since a bool times a float is float32 whatever the points are."""
        if isinstance(value, Tensor):
            return value.to(self.like.dtype) if value.dtype == torch.bool else value
        return torch.as_tensor(value, dtype=self.like.dtype, device=self.like.device)


def _evaluate(node: ast.expr, scope: _Scope) -> Value:
    def tensor(part: ast.expr) -> Tensor:
        return scope.tensor(_evaluate(part, scope))

    match node:
        case ast.Constant(value=float(number)):
            return number
        case ast.Name(id=name):
            return scope.values[name]
        case ast.UnaryOp(op=op, operand=part):
            return scope.tensor(_OPERATORS[type(op)](tensor(part)))
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, scope), _evaluate(right, scope)
            return _OPERATORS[type(op)](a if isinstance(b, Tensor) else scope.tensor(a), b)
        case ast.BoolOp(op=op, values=parts):
            join = torch.logical_and if isinstance(op, ast.And) else torch.logical_or
            return scope.tensor(functools.reduce(join, [tensor(part) != 0 for part in parts]))
        case ast.Compare(left=left, ops=ops, comparators=parts):
            values = [tensor(part) for part in (left, *parts)]
            links = [_OPERATORS[type(op)](a, b) for op, a, b in zip(ops, values, values[1:])]
            return scope.tensor(functools.reduce(torch.logical_and, links))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return torch.where(tensor(test) != 0, tensor(body), tensor(orelse))
        case ast.Call(func=ast.Name(id=name), args=parts):
            return FUNCTIONS[name].apply(*[tensor(part) for part in parts])
    raise AssertionError(f"{type(node).__name__} passed the whitelist but has no meaning")


_NUMBERS = _Scope({}, torch.zeros((), dtype=torch.float64))


class _Reader:
    """Text on one line to a checked tree whose constant parts are single numbers."""

    def __init__(self, text: str, names: tuple[str, ...]):
        self.text, self.known = text, (*names, *CONSTANTS)

    def read(self) -> ast.expr:
        self._scan()
        tree = self._parse()
        stack = [(tree, 1)]
        while stack:  # no recursion before the depth is known
            node, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise self._error(f"is nested {depth} deep", node.col_offset, f"at most {MAX_DEPTH}")
            self._check(node)
            stack.extend((part, depth + 1) for part in reversed(_parts(node)))
        return self._fold(tree)

    def _scan(self) -> None:
        """What must be known before the parser sees the text."""
        if not self.text:
            raise FormulaError("formula '' is empty, expected an expression; write 0 for nothing")
        depth = 0
        for position, character in enumerate(self.text):
            if not " " <= character <= "~" or character in "#\\":
                raise self._error(f"has the character {character!r}", position, "ASCII letters, digits and operators")
            depth += (character == "(") - (character == ")")
            if depth > MAX_PARENTHESES:
                raise self._error(f"opens parenthesis {depth}", position, f"at most {MAX_PARENTHESES} in each other")

    def _parse(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what Python merely deprecates, such as "1if x", is wrong here
                return ast.parse(self.text, mode="eval").body
        except (RecursionError, MemoryError):
            raise self._error("is nested too deeply to be read", 0, f"a depth of at most {MAX_DEPTH}") from None
        except SyntaxError as error:
            position = min(max(error.offset or 1, 1), len(self.text)) - 1
            expected = "an expression such as sin(pi*x)*exp(-t)"
            raise self._error(f"cannot be read ({error.msg})", position, expected) from None

    def _check(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=(int() | float()) as number) if (
                not isinstance(number, bool) and abs(number) <= sys.float_info.max
            ):
                node.value = float(number)
            case ast.Name(id=name):
                self._check_name(name, node.col_offset)
            case ast.Call(func=ast.Name(id=name)):
                self._check_call(name, node)
            case ast.UnaryOp(op=op) | ast.BinOp(op=op):
                self._check_operators(node, [op])
            case ast.Compare(ops=ops):
                self._check_operators(node, ops)
            case ast.BoolOp() | ast.IfExp():
                pass
            case ast.Constant():
                piece = _short(self.text[node.col_offset : node.end_col_offset])
                raise self._error(f"has '{piece}'", node.col_offset, "a finite real number")
            case _:
                piece = _short(self.text[node.col_offset : node.end_col_offset])
                functions = ", ".join(sorted(FUNCTIONS))
                expected = f"numbers, operators, the names {', '.join(self.known)} and the functions {functions}"
                raise self._error(f"has '{piece}'", node.col_offset, expected)

    def _check_name(self, name: str, position: int) -> None:
        if name in self.known:
            return
        if name in FUNCTIONS:
            raise self._error(f"has '{name}' alone", position, f"{name}(...) with {FUNCTIONS[name].arity}")
        raise self._unknown("name", name, position, self.known)

    def _check_call(self, name: str, node: ast.Call) -> None:
        if name not in FUNCTIONS:
            raise self._unknown("function", name, node.col_offset, FUNCTIONS)
        function, given = FUNCTIONS[name], len(node.args)
        if node.keywords or given < function.least or given > (function.most or given):
            got = "a keyword" if node.keywords else str(given)
            raise self._error(f"calls {name} with {got}", node.col_offset, function.arity)

    def _check_operators(self, node: ast.expr, operators: Iterable[ast.AST]) -> None:
        for op in operators:
            if type(op) not in _OPERATORS:
                what = _FOREIGN.get(type(op), f"the operator {type(op).__name__}")
                raise self._error(f"has {what}", node.col_offset, "+ - * / ** %, comparisons, and, or, not")

    def _fold(self, node: ast.expr) -> ast.expr:
        """The tree with every part that mentions no quantity replaced by its value, computed in float64."""
        for field, old in ast.iter_fields(node):
            if isinstance(old, list):
                setattr(node, field, [self._fold(p) if isinstance(p, ast.expr) else p for p in old])
            elif isinstance(old, ast.expr) and field != "func":
                setattr(node, field, self._fold(old))
        if isinstance(node, ast.Name):
            return ast.copy_location(ast.Constant(CONSTANTS[node.id]), node) if node.id in CONSTANTS else node
        match node:
            case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=float(power))) if abs(power) > MAX_EXPONENT:
                raise self._error(
                    f"has the exponent {power:g}", node.right.col_offset, f"one of size at most {MAX_EXPONENT:g}"
                )
        if isinstance(node, ast.Constant) or not all(isinstance(part, ast.Constant) for part in _parts(node)):
            return node
        value = float(_evaluate(node, _NUMBERS))
        if not math.isfinite(value):
            piece = _short(self.text[node.col_offset : node.end_col_offset])
            raise self._error(f"has '{piece}' = {value}", node.col_offset, "a finite number")
        return ast.copy_location(ast.Constant(value), node)

    def _error(self, what: str, position: int, expected: str) -> FormulaError:
        return FormulaError(f"formula '{_short(self.text)}' {what} at position {position + 1}, expected {expected}")

    def _unknown(self, kind: str, name: str, position: int, known: Iterable[str]) -> FormulaError:
        sentence = unknown(kind, _short(name), known)
        return FormulaError(f"formula '{_short(self.text)}' at position {position + 1}: {sentence}")


def _parts(node: ast.expr) -> list[ast.expr]:
    """The expressions that a node is made of; the name of a function is none."""
    children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return [child for child in children if isinstance(child, ast.expr)]


def _short(text: str) -> str:
    cut = text if len(text) <= 60 else text[:57] + "..."
    return "".join(c if c.isprintable() else " " for c in cut)
