"""The small undamaged files: one for each format and encoding, with sets, data and mixed cells where it has them.

Text that the tests of the readers check in detail is taken from there; binary files come from meshio, netCDF4 or from
our own writers, so that the readers are tried on the bytes of more than one author.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from graphpde.mesh.io.bridge import read as bridge
from graphpde.mesh.io.formats import FORMATS
from graphpde.mesh.io.sandbox import parent as sandbox

Maker = Callable[[Path], "Sample"]


@dataclass(frozen=True)
class Sample:
    """One undamaged mesh.

    Attributes:
        format: name of the format in the library. main: the file to read. files: all files of the mesh by name.
        target: the one that is damaged. listed: name in ``LISTED`` of what counts its cells after a cut, or "".
        decoded: bytes of its numbers where they are stored compressed. bridged: whether another library reads it.
        apart: whether it is read in a process of its own, which takes half a second.
    """

    format: str
    main: str
    files: dict[str, bytes] = field(repr=False)
    target: str = ""
    listed: str = ""
    decoded: int = 0

    @property
    def bridged(self) -> bool:
        return self.format in BRIDGED

    @property
    def apart(self) -> bool:
        return getattr(FORMATS[self.format].read, "func", None) in (bridge.read, sandbox.read)

    def put(self, folder: Path) -> None:
        """Write the files and what a worker must know about them."""
        home = folder / "files"
        home.mkdir(parents=True)
        for name, data in self.files.items():
            (home / name).write_bytes(data)
        known = {"main": self.main, "target": self.target or self.main, "listed": self.listed}
        (folder / "sample.json").write_text(json.dumps({**known, "decoded": self.decoded, "apart": self.apart}))


BRIDGED = ("netgen", "tecplot", "ugrid", "flac3d", "ansys", "dolfin-xml", "permas", "mdpa", "h5m", "hmf")
MAKERS: dict[str, Maker] = {}


def corpus(names: Iterable[str] | None = None) -> dict[str, Sample]:
    """The samples by name, all of them unless some are named.

    Raises:
        KeyError: an unknown name.
    """
    _load()
    out = {}
    with tempfile.TemporaryDirectory(prefix="graphpde-fuzz-") as folder:
        for name in MAKERS if names is None else names:
            place = Path(folder) / name
            place.mkdir()
            out[name] = MAKERS[name](place)
    return out


def names() -> list[str]:
    """The names of all samples."""
    _load()
    return list(MAKERS)


def _load() -> None:
    from tests.fuzz import corpus_binary, corpus_bridged, corpus_text

    _ = corpus_binary, corpus_bridged, corpus_text


def one(format: str, main: str, data: str | bytes, listed: str = "", decoded: int = 0) -> Sample:
    """A mesh of one file."""
    data = data.encode() if isinstance(data, str) else data
    return Sample(format, main, {main: data}, listed=listed, decoded=decoded)


def taken(format: str, folder: Path, main: str, target: str = "", listed: str = "", decoded: int = 0) -> Sample:
    """The mesh that lies in a folder."""
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    return Sample(format, main, files, target, listed, decoded)
