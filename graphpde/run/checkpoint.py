"""The last good state of a run in one file: whole or not there, and refused where it is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.mesh.mesh import Mesh
from graphpde.run.kit import Kit
from graphpde.run.rhythm import Rhythm
from graphpde.solve.linear import LinearSolver
from graphpde.viz.files import written

FILE = "checkpoint.npz"
EVERY = 30.0  # seconds of wall time that a run may lose between two saved moments
_FORM = 1


class Origin(NamedTuple):
    """Where the present schedule of steps began: at the start of the run, or where it was resumed with another step.

    Attributes:
        t, step: the moment. frames: saved moments before its first step; 0 for the start of the run.
    """

    t: float
    step: int
    frames: int


class Checkpoint(NamedTuple):
    """A moment from which a run can go on.

    Attributes:
        t, step: when. frames: planned moments saved up to it. state: [n, c].
        origin: where the schedule of its steps began.
        carry: what the stepper hands on where that is one tensor, else None.
        kind: what the stepper hands on: "tensor", "cache" (made again by a step), "starts" (a
            cache whose solver begins from its last solutions) or "history" (started anew).
        config: the problem as nested plain values. mesh: checksums that tell whether it is still the same.
        rhythm: the step controller between two steps; None for equal steps.
    """

    t: float
    step: int
    frames: int
    state: Tensor
    origin: Origin
    carry: Tensor | None
    kind: str
    config: dict[str, Any]
    mesh: dict[str, Any]
    rhythm: Rhythm | None = None


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint aside and move it into place; it holds plain arrays and text, never pickled objects.

    Raises:
        OutputError: it cannot be written; an older one stays.
    """
    meta = {
        "form": _FORM,
        **{key: getattr(checkpoint, key) for key in ("t", "step", "frames", "kind", "config", "mesh")},
        "origin": checkpoint.origin._asdict(),
        "rhythm": None if checkpoint.rhythm is None else checkpoint.rhythm._asdict(),
    }
    arrays = {"state": _array(checkpoint.state)}
    if checkpoint.carry is not None:
        arrays["carry"] = _array(checkpoint.carry)
    text = json.dumps(meta, sort_keys=True)
    with written(path, lasting=True) as aside, aside.open("wb") as stream:
        np.savez(stream, allow_pickle=False, meta=np.array(text), checksum=np.array(_checksum(text, arrays)), **arrays)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        InputError: missing, damaged, or of a later version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            text, checksum = str(file["meta"]), str(file["checksum"])
            arrays = {name: file[name] for name in ("state", "carry") if name in file.files}
    except FileNotFoundError:
        raise InputError(
            f"there is no checkpoint '{path}'; the run was stopped before its first saved moment"
        ) from None
    except Exception as error:  # zipfile and numpy raise whatever the damage leads to
        raise InputError(f"the checkpoint '{path}' is damaged ({' '.join(str(error).split())}); {_WAY_OUT}") from error
    if checksum != _checksum(text, arrays):
        raise InputError(f"the checkpoint '{path}' is damaged (its checksum differs); {_WAY_OUT}")
    meta = json.loads(text)
    if meta.pop("form") != _FORM:
        raise InputError(f"the checkpoint '{path}' was written by another version of graphpde; take that one to go on")
    carry = torch.from_numpy(arrays["carry"]) if "carry" in arrays else None
    origin, rhythm = Origin(**meta.pop("origin")), meta.pop("rhythm", None)
    rhythm = None if rhythm is None else Rhythm(**rhythm)
    return Checkpoint(state=torch.from_numpy(arrays["state"]), carry=carry, origin=origin, rhythm=rhythm, **meta)


_WAY_OUT = "run again, or start from a saved moment with --resume RUN@TIME"


class Keeper:
    """Keeps the last good state of one run in its folder.

    Args:
        folder: of the run. kit: of what runs. origin: where its schedule of steps begins.
        every: seconds of wall time between two checkpoints at most.
    """

    def __init__(self, folder: Path, kit: Kit, origin: Origin, every: float = EVERY):
        self.path, self.kit, self.origin, self.every = folder / FILE, kit, origin, every
        self._config = kit.setup.config.as_dict()
        self._mesh: dict[str, Any] | None = None
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is too old."""
        return time.monotonic() - self._last >= self.every

    def keep(self, t: float, step: int, frames: int, state: Tensor, carry: Any, rhythm: Rhythm | None = None) -> bool:
        """Write the state [n, c]; False for one that is not finite, which no run could go on from.

        Raises:
            OutputError: it cannot be written.
        """
        if not bool(torch.isfinite(state).all()):
            return False
        self._mesh = self._mesh or self.kit.fingerprint()
        kind = carry_kind(carry)
        kept = carry if kind == "tensor" else None
        write_checkpoint(
            self.path, Checkpoint(t, step, frames, state, self.origin, kept, kind, self._config, self._mesh, rhythm)
        )
        self._last = time.monotonic()
        return True


def carry_kind(carry: Any) -> str:
    """What a stepper's carry is: one "tensor"; without any, a "cache" or "starts", made again by a step; "history"."""
    if isinstance(carry, Tensor):
        return "tensor"
    if _holds(carry, lambda part: isinstance(part, Tensor)):
        return "history"
    return "starts" if _holds(carry, lambda part: isinstance(part, LinearSolver) and part.remembers) else "cache"


def fingerprint(mesh: Mesh, path: Path | None) -> dict[str, Any]:
    """Checksums of the file and of what was read from it: points, cells and named sets."""
    digest = hashlib.sha256()
    digest.update(_array(mesh.points).tobytes())
    for kind, nodes in mesh.cells.items():
        digest.update(kind.encode())
        digest.update(_array(nodes).tobytes())
    for name, tag in sorted(mesh.tags.items()):
        digest.update(f"{name}:{tag.dim}".encode())
        digest.update(_array(tag.ids).tobytes())
    return {"file": None if path is None else file_checksum(path), "content": digest.hexdigest()}


def file_checksum(path: Path) -> str | None:
    """SHA-256 of a file, None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _holds(value: Any, sought: Callable[[Any], bool]) -> bool:
    return sought(value) or (isinstance(value, tuple | list) and any(_holds(part, sought) for part in value))


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy())


def _checksum(text: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"{name}{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
