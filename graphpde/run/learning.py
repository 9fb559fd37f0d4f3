"""What every learned thing does with its run folder: begin it, tell how far the fit is, say how it ended."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from graphpde.errors import CheckpointError, OutputError
from graphpde.run.classified import read_manifest
from graphpde.run.experiment import MODEL
from graphpde.run.manifest import now, versions
from graphpde.train import History, Interruption, Progress, SavedModel, load_model

Told = Callable[[int, int | None, float], None]
"""told(step, steps, share of them)."""


@dataclass(frozen=True)
class Ended:
    """How a fit ended.

    Attributes:
        status: "ok", "failed" or "interrupted". folder: where everything lies. steps: of the fit. reason: why it ended.
        loss: the last one. seconds: of the fit.
        notes: sentences on what was done to the data, and why something is missing.
    """

    status: str
    folder: Path
    steps: int
    reason: str
    loss: float
    seconds: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For machines: what is known and finite."""
        values = asdict(self) | {"run": str(self.folder.resolve())}
        known = {key: value for key, value in values.items() if value is not None and key != "folder"}
        return {key: value for key, value in known.items() if not isinstance(value, float) or math.isfinite(value)}

    def as_said(self) -> dict[str, Any]:
        """For the manifest."""
        return {key: value for key, value in self.as_dict().items() if key != "run"} | {"finished": now()}


def ended(history: History, folder: Path, seconds: float, notes: tuple[str, ...]) -> dict[str, Any]:
    """The values of :class:`Ended`."""
    loss = history.rows[-1]["loss"] if len(history) else math.nan
    stopped = isinstance(history.reason, Interruption)
    status = "interrupted" if stopped else "ok" if math.isfinite(loss) else "failed"
    values = (status, folder, len(history), history.reason, loss, seconds, notes)
    return dict(zip(Ended.__dataclass_fields__, values, strict=True))


class Asked:
    """A hook that tells how far a fit is, and asks whether to stop.

    Args:
        before, after: steps of other fits, which belong to the same learning.
    """

    def __init__(self, told: Told | None, stop: Callable[[], bool] | None, before: int = 0, after: int = 0):
        self.told, self.stop, self.before, self.after = told, stop, before, after

    def __call__(self, progress: Progress) -> str | None:
        if self.told is not None:
            step, total = progress.step + self.before, progress.steps
            total = None if total is None else total + self.before + self.after
            self.told(step, total, step / total if total else 0.0)
        return Interruption("somebody asked to stop") if self.stop is not None and self.stop() else None


def check_folder(out: str | os.PathLike[str], kind: str) -> None:
    """Refuse the folder of a run of another kind.

    Raises:
        OutputError: it is one.
    """
    before = read_manifest(Path(out))
    if before and before.get("kind") != kind:
        raise OutputError(f"'{out}' holds a run of another kind; name a new folder with -o, or remove that one")


def begun(kind: str, command: str, data: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a run that begins."""
    return {
        "kind": kind,
        "status": "running",
        "command": command,
        "started": now(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "data": data,
        "config": config,
    }


def saved_model(run: str | os.PathLike[str], parts: set[str], what: str) -> tuple[Path, SavedModel]:
    """The file of the model in a run folder, and what it holds.

    Args:
        parts: of its configuration that have to be there. what: is expected, such as "flow".

    Raises:
        CheckpointError: no folder of such a run, or a damaged model.
    """
    path = Path(run)
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(f"'{run}' holds no {MODEL}; expected the folder that 'graphpde train' wrote")
    saved = load_model(file)
    if not parts <= saved.config.keys():
        raise CheckpointError(f"the model '{file}' is no {what}; expected the folder that 'graphpde train' wrote")
    return file, saved
