"""Checkpoints of a fit, and finished models: sealed files, the last two kept, refused where a byte has changed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.errors import CheckpointError, InputError, OutputError
from graphpde.train.fit import Progress, put_tensors
from graphpde.train.sealed import Opened, config_hash, read_sealed, write_sealed

_NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")
_ABSENT = object()
KEPT = 2


class Checkpoint(NamedTuple):
    """A moment of a fit.

    Attributes:
        step: after which it was written. state: all that is needed to go on. config: what it belongs to.
        path: of the file. note: why it is not the newest one, or "".
    """

    step: int
    state: Mapping[str, Any]
    config: Any
    path: Path
    note: str = ""


def save_checkpoint(
    folder: str | os.PathLike[str], step: int, state: Mapping[str, Any], *, config: Any = None, keep: int = KEPT
) -> Path:
    """Write ``checkpoint-<step>.safetensors`` whole or not at all, then remove all but the last ``keep``.

    A process that is killed, and a machine that loses power, leave at least the one before. A folder belongs to one
    fit: checkpoints of later steps, which one resumed from before them will write again, are removed as well.

    Args:
        folder: made if missing. state: nested values with tensors, see :func:`~graphpde.train.sealed.write_sealed`.
        config: plain values that tell what it belongs to.

    Raises:
        OutputError: it cannot be written. InputError: values that no file can keep.
    """
    whole("step", step, 0)
    whole("keep", keep)
    place = Path(folder)
    path = place / f"checkpoint-{step:08d}.safetensors"
    for aside in place.glob(".checkpoint-*"):  # left by a process that was killed while it wrote
        shutil.rmtree(aside, ignore_errors=True)
    write_sealed(path, "checkpoint", {**state, "step": step}, config)
    files = checkpoints(place)
    here = files.index(path) + 1
    for old in (*files[: max(here - keep, 0)], *files[here:]):
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """The files of a folder, oldest step first."""
    try:
        found = [path for path in Path(folder).iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(found, key=_step)


def load_checkpoint(place: str | os.PathLike[str], *, config: Any = None, older: bool = False) -> Checkpoint:
    """The newest checkpoint of a folder, or one file.

    Args:
        config: where given, the checkpoint must have been written with the same.
        older: take the newest that is whole where newer ones are damaged; ``note`` says so.

    Raises:
        CheckpointError: there is none, a byte has changed, it is cut off, it has another format or belongs to another
            configuration.
    """
    files = checkpoints(place) if Path(place).is_dir() else [Path(place)]
    if not files:
        raise CheckpointError(f"there is no checkpoint in '{place}'; none was written yet, or it lies somewhere else")
    damage: list[str] = []
    for path in reversed(files):
        try:
            found = read_sealed(path, "checkpoint")
        except CheckpointError as error:
            if not older:
                hint = "; older=True takes the one before" if len(files) > 1 else ""
                raise CheckpointError(f"{error}{hint}") from None
            damage.append(str(error))
            continue
        if config is not None:
            _same(config, found.config, path)
        if not (isinstance(found.values, dict) and isinstance(found.values.get("step"), int)):
            raise CheckpointError(f"the checkpoint '{path}' says no step; write it with save_checkpoint")
        return Checkpoint(found.values.pop("step"), found.values, found.config, path, "; ".join(damage))
    raise CheckpointError(f"none of the {len(files)} checkpoints in '{place}' is whole: {damage[0]}")


class Checkpointing:
    """A hook that writes a checkpoint every so many steps and at the end.

    Args:
        folder: made if missing. every: steps. config: plain values; a fit with others cannot go on from here.
        keep: how many stay.
    """

    last = True  # what other hooks remember has to be that of the same step

    def __init__(self, folder: str | os.PathLike[str], every: int, *, config: Any = None, keep: int = KEPT):
        config_hash(config)
        self.folder, self.config = Path(folder), config
        self.every, self.keep = whole("every", every), whole("keep", keep)

    def begin(self, resume: Checkpoint | None = None) -> None:
        """Check that what lies in the folder is of this fit.

        Raises:
            OutputError: it is of another one.
        """
        own = resume is not None and resume.path.resolve().parent == self.folder.resolve()
        if not own and checkpoints(self.folder):
            raise OutputError(
                f"'{self.folder}' holds checkpoints of another fit, which this one would replace; go on with that one "
                f"by resume=, name another folder, or remove them"
            )

    def __call__(self, progress: Progress) -> None:
        if progress.step % self.every == 0 or progress.ending:
            save_checkpoint(self.folder, progress.step, progress.state(), config=self.config, keep=self.keep)

    def state(self) -> dict[str, Any]:
        """For checkpoints: nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on from."""

    def newest(self, *, older: bool = False) -> Checkpoint | None:
        """What to resume from; None where there is no checkpoint yet.

        Raises:
            CheckpointError: see :func:`load_checkpoint`.
        """
        if not checkpoints(self.folder):
            return None
        return load_checkpoint(self.folder, config=self.config, older=older)


class SavedModel(NamedTuple):
    """A finished model: the configuration it can be built from, and its tensors by name."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def put(self, model: nn.Module) -> None:
        """Give them to a model built from that configuration.

        Raises:
            CheckpointError: other names, shapes or types.
        """
        put_tensors(model, self.tensors)


def save_model(path: str | os.PathLike[str], model: nn.Module, config: Mapping[str, Any]) -> None:
    """Write parameters and buffers of a model with the configuration it can be built from.

    Raises:
        OutputError: it cannot be written. InputError: the configuration is not made of plain values.
    """
    if not isinstance(config, Mapping):
        kind = type(config).__name__
        raise InputError(
            f"the configuration of the model is a {kind}, expected values by name, such as {{'hidden': 32}}"
        )
    write_sealed(path, "model", dict(model.state_dict()), dict(config))


def load_model(path: str | os.PathLike[str]) -> SavedModel:
    """Read what :func:`save_model` wrote.

    Raises:
        CheckpointError: missing, damaged, no model, or of another format.
    """
    found: Opened = read_sealed(path, "model")
    if not isinstance(found.config, dict) or not isinstance(found.values, dict):
        raise CheckpointError(f"the model '{path}' has no configuration to build it from; save it with save_model")
    return SavedModel(found.config, found.values)


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def _same(own: Any, kept: Any, path: Path) -> None:
    config_hash(own)  # tells what is no plain value
    own = json.loads(json.dumps(own))  # as the file has it: lists for tuples, texts as keys
    if own == kept:
        return
    first = ""
    if isinstance(own, Mapping) and isinstance(kept, Mapping):
        name = next(n for n in sorted({*own, *kept}) if own.get(n, _ABSENT) != kept.get(n, _ABSENT))
        there, here = (repr(config[name]) if name in config else "missing" for config in (kept, own))
        first = f": '{name}' is {there} there and {here} here"
    raise CheckpointError(
        f"the checkpoint '{path}' was written with another configuration{first}; take another folder, or that "
        f"configuration"
    )
