"""Numbers in files that Python's pickle wrote, read as data: a stack machine that knows arrays and nothing else.

A pickle is a program, and unpickling runs it: whoever wrote the file chooses what is called. Here its instructions are
only listed (``pickletools``) and interpreted by this module, which never looks a name up: the names below stand for
our own constructors of arrays, sparse matrices and dictionaries, and every other name, or a call of anything else, is
refused. Enough for the Planetoid files (protocol 2, Python 2) and for the same kinds of objects written today.

What is nested deeply, or holds itself, is never hashed, compared or printed: keys are numbers and text, names are text.
"""

from __future__ import annotations

import math
import operator
import pickletools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np


class Unreadable(ValueError):
    """The bytes are no pickle of numbers; one sentence without the file's name."""


class Csr(NamedTuple):
    """A sparse matrix by rows, checked: shape, data [e], indices [e], indptr [rows + 1]."""

    shape: tuple[int, int]
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row, column, value), each [e]."""
        row = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        return row, self.indices.astype(np.int64), self.data


def read_pickled(content: bytes) -> Any:
    """The object in a pickle: numbers, text, lists, tuples, dictionaries, numpy arrays of numbers, :class:`Csr`.

    Raises:
        Unreadable: it is cut, no pickle, or names anything else; nothing of it has been run.
    """
    try:
        return _Machine(2 * len(content)).run(content)
    except Unreadable:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
        raise Unreadable(f"it is cut or damaged ({type(error).__name__})") from error


class _Named:
    """A name of the list below: stands for a constructor of ours and is never looked up."""

    def __init__(self, kind: str):
        self.kind = kind


class _Made:
    """An array, a type of numbers or a matrix, whose value comes with its state."""

    def __init__(self, kind: str, code: str = ""):
        self.kind, self.code, self.value = kind, code, None


_NAMES = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")},
    **{(f"scipy.sparse.{module}", "csr_matrix"): "csr" for module in ("csr", "_csr")},
    ("collections", "defaultdict"): "defaultdict",
    **{(module, kind): kind for module in ("__builtin__", "builtins") for kind in ("list", "dict", "bytes")},
    ("_codecs", "encode"): "bytes",
}

_TYPES = re.compile(r"[<>|=]?[biuf][1248]")
_MARK = object()


class _Machine:
    """The stack and the memory of one reading, which makes at most ``room`` bytes of arrays."""

    def __init__(self, room: int) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.room = room

    def run(self, content: bytes) -> Any:
        for instruction, argument, _ in pickletools.genops(content):
            name = instruction.name
            if name == "STOP":
                (result,) = self.stack
                return _value(result)
            if name in _PUSHES:
                self.stack.append(argument)
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise Unreadable(f"it holds the instruction {name}, which no array or list needs")
        raise Unreadable("it has no end")

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise Unreadable("it is cut or damaged (no mark)")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def put(self, key: Any) -> None:
        self.memory[int(key)] = self.stack[-1]

    def name(self, full: Any) -> None:
        module, _, name = full.partition(" ")
        self.push_name(module, name)

    def stack_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push_name(_as(str, module), _as(str, name))

    def push_name(self, module: str, name: str) -> None:
        kind = _NAMES.get((module, name))
        if kind is None:
            shown = "".join(letter for letter in f"{module}.{name}"[:80] if letter.isprintable())
            raise Unreadable(
                f"it names '{shown}', which is neither an array nor a list: such a file could run anything"
            )
        self.stack.append(_Named(kind))

    def call(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Named) or not isinstance(arguments, tuple):
            raise Unreadable("it calls what it has built itself")
        self.stack.append(self.kept(_constructed(called.kind, arguments)))

    def build(self, _: Any) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, _Made) or made.value is not None:
            raise Unreadable("it gives a state to something that has none")
        made.value = self.kept(_STATES[made.kind](made, state))

    def kept(self, value: Any) -> Any:
        """The value, if there is room for what it copies: the same bytes can be asked for any number of times."""
        self.room -= value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes) else 0
        if self.room < 0:
            raise Unreadable("it makes more numbers than a file of its size can hold")
        return value

    def extend(self, _: Any) -> None:
        items = self.since_mark()
        _as(list, self.stack[-1]).extend(items)

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        _as(list, self.stack[-1]).append(item)

    def set_items(self, _: Any) -> None:
        items = self.since_mark()
        self.fill(zip(items[::2], items[1::2], strict=True))

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.fill([(key, value)])

    def fill(self, items: Iterable[tuple[Any, Any]]) -> None:
        into = _as(dict, self.stack[-1])
        for key, value in items:
            if type(key) is not int and type(key) is not str:
                raise Unreadable("it holds a dictionary whose keys are neither whole numbers nor text")
            into[key] = value

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise Unreadable("it is cut or damaged (empty stack)")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)


_PUSHES = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8",
})  # fmt: skip

_Step = Callable[[_Machine, Any], Any]
_STEPS: dict[str, _Step] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.stack.append(_MARK),
    "NONE": lambda m, a: m.stack.append(None),
    "NEWTRUE": lambda m, a: m.stack.append(True),
    "NEWFALSE": lambda m, a: m.stack.append(False),
    "EMPTY_LIST": lambda m, a: m.stack.append([]),
    "EMPTY_DICT": lambda m, a: m.stack.append({}),
    "EMPTY_TUPLE": lambda m, a: m.stack.append(()),
    "LIST": lambda m, a: m.stack.append(m.since_mark()),
    "TUPLE": lambda m, a: m.stack.append(tuple(m.since_mark())),
    "TUPLE1": lambda m, a: m.tuple_of(1),
    "TUPLE2": lambda m, a: m.tuple_of(2),
    "TUPLE3": lambda m, a: m.tuple_of(3),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, a: m.put(len(m.memory)),
    "GET": lambda m, a: m.stack.append(m.memory[int(a)]),
    "BINGET": lambda m, a: m.stack.append(m.memory[a]),
    "LONG_BINGET": lambda m, a: m.stack.append(m.memory[a]),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
}


def _as(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise Unreadable(f"it is cut or damaged (no {kind.__name__} where one is needed)")
    return value


def _constructed(kind: str, arguments: tuple[Any, ...]) -> Any:
    """What one of the known names makes of its arguments; states come later."""
    if kind in ("array", "csr"):
        return _Made(kind)
    if kind == "dtype":
        code = _as(str, arguments[0])
        if not _TYPES.fullmatch(code):
            raise Unreadable(f"it holds values of type '{code[:20]}', expected numbers")
        return _Made(kind, code)
    if kind in ("defaultdict", "dict"):
        return {}
    if kind == "list" and not arguments:
        return []
    if kind == "bytes" and not arguments:
        return b""
    if kind == "bytes" and len(arguments) == 2 and arguments[1] == "latin1":
        encoded: bytes = _as(str, arguments[0]).encode("latin-1")
        return encoded
    raise Unreadable(f"it makes a {kind} in a way that no array needs")


def _value(made: Any) -> Any:
    """The value of what was made, or the thing itself where it is plain."""
    if isinstance(made, _Named):
        raise Unreadable("it holds a bare name where a value should be")
    if isinstance(made, _Made):
        if made.value is None:
            raise Unreadable("it is cut or damaged (an array without a state)")
        return made.value
    return made


def _dtype(made: _Made, state: Any) -> np.dtype:
    order = state[1]
    if order not in ("<", ">", "|", "=") or state[2:5] != (None, None, None):
        raise Unreadable("it holds an array of records, expected numbers")
    return np.dtype(made.code).newbyteorder(order)


def _array(_: _Made, state: Any) -> np.ndarray:
    _, shape, kind, fortran, raw = state
    dtype = _value(kind)
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(dtype, np.dtype) or not isinstance(raw, bytes) or any(type(k) is not int or k < 0 for k in shape):
        raise Unreadable("it holds an array of objects, expected numbers")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise Unreadable(f"an array of shape {list(shape)} comes with {len(raw)} bytes")
    native = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
    return native.reshape(shape, order="F" if fortran else "C")


def _csr(_: _Made, state: Any) -> Csr:
    state = _as(dict, state)
    shape = state["_shape"] if "_shape" in state else state["shape"]
    return checked_csr(shape, *(_value(state[key]) for key in ("data", "indices", "indptr")))


def checked_csr(shape: Any, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> Csr:
    """A sparse matrix by rows whose parts fit each other.

    Args:
        shape: two whole numbers. data, indices, indptr: [e], [e], [rows + 1], where they come from a file of any make.

    Raises:
        Unreadable: they do not.
    """
    try:
        rows, columns = (operator.index(size) for size in shape)
    except (TypeError, ValueError):
        raise Unreadable("the shape of a sparse matrix is not two whole numbers") from None
    if not all(isinstance(part, np.ndarray) and part.ndim == 1 for part in (data, indices, indptr)):
        raise Unreadable("a sparse matrix has parts that are no arrays with one axis")
    whole = indices.dtype.kind in "iu" and indptr.dtype.kind in "iu"
    if not whole or min(rows, columns) < 0 or len(indptr) != rows + 1 or len(indices) != len(data):
        raise Unreadable(f"the parts of a sparse matrix of shape [{rows}, {columns}] do not fit each other")
    if indptr[0] != 0 or indptr[-1] != len(data) or bool((np.diff(indptr.astype(np.int64)) < 0).any()):
        raise Unreadable("the row offsets of a sparse matrix do not count up to its entries")
    outside = indices[(indices < 0) | (indices >= columns)]
    if len(outside):
        raise Unreadable(f"a sparse matrix of {columns} columns names column {int(outside[0])}")
    return Csr((rows, columns), data, indices, indptr)


_STATES: dict[str, Callable[[_Made, Any], Any]] = {"dtype": _dtype, "array": _array, "csr": _csr}
