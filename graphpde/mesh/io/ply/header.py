"""The header of a PLY file: byte order, elements and their properties, and PLY's names of number types.

Source: Turk, "The PLY polygon file format", 1994; the sized type names (int8, ...) of later writers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from graphpde.mesh.io.raw import Unreadable, listed

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
    **{f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class Property(NamedTuple):
    """One column: name, NumPy type of its values, and of the lengths of its lists (None: one value a row)."""

    name: str
    kind: str
    length: str | None


class Element(NamedTuple):
    """One table: name, number of rows, columns."""

    name: str
    rows: int
    properties: dict[str, Property]


def header(data: bytes) -> tuple[str, dict[str, Element], int]:
    """Byte order ("" for text), elements and the position of the first row.

    Raises:
        Unreadable: another file, a line or type that PLY does not know, a name declared twice, no end.
    """
    order: str | None = None
    elements: dict[str, Element] = {}
    properties: dict[str, Property] | None = None
    for words, position in _lines(data):
        match words:
            case ["end_header"]:
                if order is None:
                    raise Unreadable(f"its header names no format, expected one of {', '.join(_ORDERS)}")
                return order, elements, position
            case ["format", name, version] if order is None and name in _ORDERS and version == "1.0":
                order = _ORDERS[name]
            case ["element", name, count] if count.isascii() and count.isdigit() and len(count) < 19:
                if name in elements:
                    raise Unreadable(f"its header declares the element '{name[:40]}' twice")
                properties = {}
                elements[name] = Element(name, int(count), properties)
            case ["property", "list", length, kind, name] if properties is not None:
                _add(properties, name, kind, length)
            case ["property", kind, name] if properties is not None:
                _add(properties, name, kind, None)
            case ["comment" | "obj_info", *_] | []:
                pass
            case _:
                raise Unreadable(f"its header has the line '{' '.join(words)[:60]}', which PLY does not know there")
    raise Unreadable("its header does not end; it seems to be cut off")


def _lines(data: bytes) -> Iterator[tuple[list[str], int]]:
    """Words of each header line behind the first, and where the next line begins."""
    end = b"\r" if data[3:4] == b"\r" and data[4:5] != b"\n" else b"\n"
    position = data.find(end) + 1
    if data[: position or None].split(None, 1)[:1] != [b"ply"]:
        raise Unreadable("it does not begin with 'ply'")
    while position and (stop := data.find(end, position)) >= 0:
        yield data[position:stop].decode("latin-1").split(), stop + 1
        position = stop + 1
    if position and data[position:].strip() == b"end_header":  # of a file that holds nothing else
        yield ["end_header"], len(data)


def _add(properties: dict[str, Property], name: str, kind: str, length: str | None) -> None:
    for word in (kind, length):
        if word is not None and word not in TYPES:
            raise Unreadable(f"the property '{name[:40]}' has the type '{word[:20]}', expected {listed(TYPES, 8)}")
    if length is not None and TYPES[length][0] == "f":
        raise Unreadable(f"the lists '{name[:40]}' have lengths of type '{length}', expected whole numbers")
    if name in properties:
        raise Unreadable(f"its header declares the property '{name[:40]}' of one element twice")
    properties[name] = Property(name, TYPES[kind], None if length is None else TYPES[length])
