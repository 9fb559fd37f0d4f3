"""The two encodings of gmsh files of format 4.1: text with all digits, and binary in the byte order of the machine.

Source: Gmsh reference manual, "MSH file format".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from graphpde.mesh.io.lines import lines

Part = tuple[str, list]  # numbers of one kind: "i4", "u8" (sizes and tags) or "f8"


class Text:
    """Numbers as text, those of one row in one line."""

    def header(self) -> bytes:
        return b"$MeshFormat\n4.1 0 8\n$EndMeshFormat\n"

    def row(self, *parts: Part) -> bytes:
        return (" ".join(repr(number) for _, numbers in parts for number in numbers) + "\n").encode()

    def table(self, rows: np.ndarray) -> Iterator[bytes]:
        """Rows [k, w] of tags or coordinates."""
        yield from (text.encode() for text in lines(list(rows.T)))

    def values(self, tags: np.ndarray, values: np.ndarray) -> Iterator[bytes]:
        """A tag and its values [k, c] in each row."""
        yield from (text.encode() for text in lines([tags, *values.T]))

    def end(self, section: str) -> bytes:
        return f"$End{section}\n".encode()


class Binary:
    """Numbers as bytes."""

    order = "<" if sys.byteorder == "little" else ">"

    def header(self) -> bytes:
        return b"$MeshFormat\n4.1 1 8\n" + np.array(1, self.order + "i4").tobytes() + b"\n$EndMeshFormat\n"

    def row(self, *parts: Part) -> bytes:
        return b"".join(np.array(numbers, self.order + kind).tobytes() for kind, numbers in parts)

    def table(self, rows: np.ndarray) -> Iterator[bytes]:
        """Rows [k, w] of tags or coordinates."""
        kind = self.order + ("f8" if rows.dtype.kind == "f" else "u8")
        yield np.ascontiguousarray(rows, dtype=kind).tobytes()

    def values(self, tags: np.ndarray, values: np.ndarray) -> Iterator[bytes]:
        """A tag and its values [k, c] in each row."""
        out = np.empty(len(tags), dtype=[("tag", self.order + "i4"), ("values", self.order + "f8", values.shape[1:])])
        out["tag"], out["values"] = tags, values
        yield out.tobytes()

    def end(self, section: str) -> bytes:
        return f"\n$End{section}\n".encode()
