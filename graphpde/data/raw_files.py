"""The files of a data set on disk: where they lie, what is missing, whether they are the published ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from graphpde.data.checksums import PUBLISHED
from graphpde.errors import DatasetError

CACHE = "GRAPHPDE_DATA"
"""The environment variable that names the folder of downloaded data sets."""


class Wanted(NamedTuple):
    """What a reader needs and where it may lie.

    Attributes:
        dataset: its name.
        parent: the folder that torch-geometric's class makes below its root, such as ``Planetoid/Cora``.
        urls: file name -> where it is published, in the order in which they are asked for.
        inner: folders below ``parent`` that may hold the files, best first.
    """

    dataset: str
    parent: str
    urls: dict[str, str]
    inner: tuple[str, ...] = ("raw",)

    def folders(self) -> list[str]:
        """Places relative to a root that may hold the files, the most particular first."""
        group, _, own = self.parent.rpartition("/")
        below = [f"{group}/{own.lower()}"] if group else []
        names = [self.parent, own, self.dataset, *below, own.lower(), f"{own}/{own}", ""]
        found = [f"{name}/{inner}".strip("/") for inner in self.inner for name in names]
        return list(dict.fromkeys([*found, *names]))


class RawFiles:
    """Files of one data set in one folder, each read whole.

    ``notes`` collects what a reader should say: files that differ from the published ones.
    """

    def __init__(self, dataset: str, folder: Path):
        self.dataset, self.folder = dataset, folder
        self.notes: list[str] = []

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            DatasetError: it is missing or cannot be read.
        """
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise self.fault(name, error.strerror or str(error)) from None
        known = PUBLISHED.get(self.dataset, {}).get(name)
        if known is not None and hashlib.sha256(content).hexdigest() != known:
            self.notes.append(f"'{self.folder / name}' differs from the published file (its SHA-256 is another one)")
        return content

    def text(self, name: str) -> str:
        """The text of a file, in UTF-8.

        Raises:
            DatasetError: it is missing or no text.
        """
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError:
            raise self.fault(name, "it is no text in UTF-8") from None

    def fault(self, name: str, why: str) -> DatasetError:
        """The error for a file that is not what it should be."""
        shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(self.folder / name))
        return DatasetError(f"cannot read '{shown}' of the data set '{self.dataset}': {why}")


def cache_folder() -> Path:
    """Where downloaded data sets lie: ``$GRAPHPDE_DATA``, else ``~/.cache/graphpde/data``."""
    named = os.environ.get(CACHE)
    return Path(os.path.expanduser(named)) if named else Path.home() / ".cache" / "graphpde" / "data"


def present(wanted: Wanted, root: Path) -> tuple[Path | None, list[str]]:
    """The folder below the root with the most of the files, and which of them are missing there."""
    best: Path | None = None
    absent = list(wanted.urls)
    for place in wanted.folders():
        folder = root / place
        missing = [name for name in wanted.urls if not os.path.isfile(folder / name)]  # of no name that is too long
        if len(missing) < len(absent):
            best, absent = folder, missing
        if not absent:
            break
    return best, absent


def find(wanted: Wanted, root: Path) -> RawFiles:
    """The files below a root.

    Raises:
        DatasetError: there is no such folder, it holds none of them, or only some.
    """
    if not os.path.isdir(root):
        raise DatasetError(f"there is no folder '{root}' to read the data set '{wanted.dataset}' from")
    folder, missing = present(wanted, root)
    if folder is None:
        places = [place for place in wanted.folders()[:2] if place]
        raise DatasetError(
            f"the data set '{wanted.dataset}' is not below '{root}': expected {listed(list(wanted.urls))} in "
            f"{' or '.join(places)} or right there; {remedy(wanted, list(wanted.urls))}"
        )
    if missing:
        raise DatasetError(
            f"the data set '{wanted.dataset}' is incomplete in '{folder}': {listed(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; {remedy(wanted, missing)}"
        )
    return RawFiles(wanted.dataset, folder)


def listed(names: Sequence[str]) -> str:
    """A few file names in words."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def remedy(wanted: Wanted, missing: Sequence[str]) -> str:
    """Where missing files can be had."""
    urls = [wanted.urls[name] for name in missing]
    if len(urls) == 1:
        return f"it is published at {urls[0]}"
    return f"they are published in {urls[0].rpartition('/')[0]}"
