"""Readers with one fault each, so that the tests can see the judge find it; a worker loads them when it is told to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from graphpde.mesh.io.formats import FORMATS, Format
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable
from graphpde.mesh.mesh import Mesh

HEAD = b"planted\n"
POINTS = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])


def good(path: Path) -> RawMesh:
    """One triangle for each line behind the first, which must be there."""
    data = path.read_bytes()
    if not data.startswith(HEAD):
        raise Unreadable("it does not begin with the word planted")
    count = data.count(b"\n") - 1
    return RawMesh(POINTS, [Block("triangle", np.array([[0, 1, 2], [1, 3, 2]] * count)[:count])])


def printing(path: Path) -> RawMesh:
    os.write(1, b"a word from the reader")
    return good(path)


def warning(path: Path) -> RawMesh:
    sys.stderr.write("another one")
    return good(path)


def hanging(path: Path) -> RawMesh:
    time.sleep(100)
    return good(path)


def greedy(path: Path) -> RawMesh:
    return RawMesh(np.ones((10**8, 3))[:4], good(path).blocks)


def declared(path: Path) -> RawMesh:
    np.empty(10**13)
    return good(path)


def dying(path: Path) -> RawMesh:
    os.abort()


def leaving(path: Path) -> RawMesh:
    os._exit(3)


def swearing(path: Path) -> RawMesh:
    raise Unreadable("a screen wiped by \x1b[2J")


def lying(path: Path) -> RawMesh:
    """A mesh whose cells are moved out of range behind the back of the library's checks."""
    raw = good(path)
    Mesh._validate = lambda mesh: mesh.cells["triangle"].add_(7)  # type: ignore[method-assign]
    return raw


READERS: dict[str, Callable[[Path], RawMesh]] = {
    reader.__name__: reader
    for reader in (good, printing, warning, hanging, greedy, declared, dying, leaving, swearing, lying)
}
for _name, _reader in READERS.items():
    FORMATS.add(f"planted-{_name}")(Format(_name, (f".{_name}",), _reader))
