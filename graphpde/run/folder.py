"""The folder of a run: taken only if it is free or holds an older run, and never left half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphpde.errors import OutputError
from graphpde.viz.files import make_folder, written

MANIFEST = "manifest.json"
_OWN = (
    "config.toml",
    MANIFEST,
    "checkpoint.npz",
    "metrics.jsonl",
    "report.html",
    "probes.csv",
    "fluxes.csv",
    "integrals.csv",
    "adapt.csv",
    "recipe.toml",
    "flow.toml",
    "history.csv",
    "samples.csv",
    "samples.npz",
    "likelihood.csv",
    "model.safetensors",
    "results.csv",
    "results.jsonl",
    "predictions.csv",
    "history/*.csv",
    "models/*.safetensors",
    "fit.csv",
    "mesh.vtu",
    "lines/*.csv",
    "fields/run.pvd",
    "fields/run.xdmf",
    "fields/run.h5",
    "fields/run_[0-9]*.h5",
    "fields/run_[0-9]*.vtu",
    "fields/run.npz",
    "fields/fitted.vtu",
    "fields/states.part",
    "figures/final.png",
    "figures/frames.png",
    "figures/mass.png",
    "figures/energy.png",
    "figures/range.png",
    "figures/mesh.png",
    "figures/adapt.png",
    "figures/classes.png",
    "figures/confusion.png",
    "figures/smoothing.png",
    "figures/training.png",
    "figures/samples.png",
    "figures/density.png",
    "figures/distances.png",
    "figures/paths.png",
    "figures/phase.png",
    "figures/history.png",
    "figures/modes.png",
    "figures/fit_*.png",
    "figures/probes*.png",
    "figures/fluxes*.png",
    "figures/integrals*.png",
    "figures/line_*.png",
    "figures/animation.gif",
    "figures/frame_[0-9]*.png",
)
"""What a run writes, so that a later one into the same folder leaves nothing of it behind."""


class RunFolder:
    """A folder that a run may write to.

    Args:
        path: the folder; made with those above it.
        needed: bytes that the run will write, about.

    Raises:
        OutputError: it holds files that no run wrote, it cannot be written, or the disk has too little room.
    """

    def __init__(self, path: str | os.PathLike[str], needed: int = 0):
        self.path = Path(path)
        self._made = _missing(self.path)
        self.begun = False
        if self.path.is_dir() and any(self.path.iterdir()) and not holds_run(self.path):
            raise OutputError(
                f"'{self.path}' holds files that no run wrote; name an empty or new folder with -o, or remove them"
            )
        try:
            make_folder(self.path)
            probe = self.path / f".probe-{os.getpid()}"
            try:
                probe.write_bytes(bytes(4096))
            finally:
                probe.unlink(missing_ok=True)
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            self.abandon()
            reason = error.strerror or str(error)
            raise OutputError(f"cannot write into '{self.path}': {reason}; choose another folder with -o") from error
        if needed > free:
            self.abandon()
            raise OutputError(
                f"the run would write about {needed / 1e9:.3g} GB and '{self.path}' has {free / 1e9:.3g} GB left; save "
                f"fewer frames (--frames) or choose another disk with -o"
            )

    def __fspath__(self) -> str:
        return str(self.path)

    def begin(self) -> None:
        """Remove what an older run left here; from now on the folder belongs to this one."""
        for pattern in _OWN:
            for old in self.path.glob(pattern):
                if old.is_file():
                    old.unlink()
        self.begun = True

    def go_on(self) -> None:
        """Keep what an older run left here and write on; what a crash left half-written goes."""
        for aside in (*self.path.glob(".*-*"), *self.path.glob("fields/.*-*"), *self.path.glob("figures/.*-*")):
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
        self.begun = True

    def abandon(self) -> None:
        """Leave no trace of a run that never began."""
        if self.begun:
            return
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return

    def write(self, name: str, text: str) -> Path:
        """Write a text file, whole or not at all."""
        with written(self.path / name) as aside:
            aside.write_text(text, encoding="utf-8")
        return self.path / name

    def append(self, name: str, line: str) -> None:
        """Add one line to a text file.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with open(self.path / name, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(f"cannot write '{self.path / name}': {error.strerror or error}") from error

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """The manifest with the list of files that exist now."""
        files = [str(file.relative_to(self.path)) for file in self.files()]
        self.write(
            MANIFEST, json.dumps({**manifest, "files": sorted({*files, MANIFEST})}, indent=2, allow_nan=False) + "\n"
        )

    def files(self) -> list[Path]:
        """What the run wrote, the most useful first."""
        return [file for pattern in _OWN for file in sorted(self.path.glob(pattern))]


def _missing(path: Path) -> list[Path]:
    """The folders that do not exist yet, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def holds_run(folder: Path) -> bool:
    """Whether a run lies there, which a new one in the same folder replaces."""
    try:
        return "graphpde" in json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("versions", {})
    except (OSError, ValueError, AttributeError):
        return False


def is_alive(manifest: Mapping[str, Any]) -> bool:
    """Whether another process of this machine is still at the run of that manifest."""
    pid = manifest.get("pid")
    if not isinstance(pid, int) or manifest.get("host") != socket.gethostname() or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is there and somebody else's
    return True


def next_folder(name: str, parent: str | os.PathLike[str] = "runs") -> Path:
    """``runs/<name>-<n>`` with the first number that is free."""
    stem = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    return next(folder for folder in _numbered(Path(parent) / stem) if not folder.exists())


def _numbered(stem: Path) -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        yield stem.with_name(f"{stem.name}-{number}")
