"""Learned motions read again, and gone on with."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics import evolve
from graphpde.errors import CheckpointError, DatasetError, GraphpdeError, InputError
from graphpde.run.learning import saved_model
from graphpde.run.motions.config import MotionConfig, read_motion
from graphpde.run.motions.kinds import KINDS, Body, Law
from graphpde.run.motions.material import Pace, law_change
from graphpde.run.motions.trajectories import read_ends
from graphpde.run.motions.units import Units
from graphpde.run.tables import write_arrays, write_table

_MOST = 1_000_000  # moments of a forecast


class Reopened(NamedTuple):
    """A learned motion.

    Attributes:
        config: of it. law: with the learned parameters. body: what it was built for. pace: how it is advanced.
        names: of the 2 d columns. step: between two moments of the data.
    """

    config: MotionConfig
    law: Law
    body: Body
    pace: Pace
    names: tuple[str, ...]
    step: float


def reopen(run: str | os.PathLike[str]) -> Reopened:
    """The motion in a run folder.

    Raises:
        CheckpointError: no folder of a learned motion, or a damaged model.
    """
    file, saved = saved_model(run, {"motion", "about"}, "motion")
    about = saved.config["about"]
    try:
        config, units = read_motion(saved.config["motion"]), Units.from_dict(about["units"])
    except GraphpdeError as error:
        raise CheckpointError(f"the motion '{file}' was written by another version of graphpde: {error}") from None
    mass = about["mass"] and torch.tensor([math.inf if m is None else m for m in about["mass"]], dtype=torch.float64)
    edges = None if about["edges"] is None else torch.tensor(about["edges"])
    body = Body(about["n"], about["d"], units, mass, edges, about["reach"])
    law = KINDS[config.learn].make(config.model, body).double()
    saved.put(law)
    pace = Pace.of(config.model, about["step"], units)
    return Reopened(config, law.eval(), body, pace, tuple(about["names"]), about["step"])


class Forecast(NamedTuple):
    """Motions as a learned law goes on with them.

    Attributes:
        times: of each motion [s, r]. states: [s, r, n, 2 d], in the units of the data. names: of the columns.
        energy: largest change of the learned energy by the mean kinetic one, or None.
    """

    times: Tensor
    states: Tensor
    names: tuple[str, ...]
    energy: float | None


def forecast(
    run: str | os.PathLike[str], start: str | os.PathLike[str], until: float, every: float | None = None
) -> Forecast:
    """Go on with the last moment of each motion in a file.

    Args:
        until: end, in the times of the file. every: between two moments; None = as in the data that were learned from.

    Raises:
        CheckpointError: no folder of a learned motion. DatasetError: a start of another kind. InputError: times in the
            wrong order, or too many. GraphpdeError: a motion that cannot be followed.
    """
    opened, ends = reopen(run), read_ends(start)
    own = (opened.body.n, 2 * opened.body.d)
    if tuple(ends.states.shape[1:]) != own:
        raise DatasetError(
            f"'{start}' has {ends.states.shape[1]} nodes of {ends.states.shape[2]} columns, and the motion was learned "
            f"from {own[0]} of {own[1]}; give the same columns: {', '.join(opened.names)}"
        )
    h = opened.step if every is None else every
    for name, value in (("until", until), ("every", h)):
        if not math.isfinite(value) or (name == "every" and value <= 0):
            raise InputError(f"{name} is {value:g}, expected a finite {'step > 0' if name == 'every' else 'time'}")
    count = math.ceil((until - float(ends.times.min())) / h - 1e-9) + 1
    if until <= float(ends.times.max()):
        raise InputError(
            f"until is {until:g}, and '{start}' ends at {float(ends.times.max()):g}; expected a later time"
        )
    if count > _MOST:
        raise InputError(f"{count} moments up to {until:g}, expected at most {_MOST}; take a larger step (--every)")
    units = opened.body.units
    clock = torch.arange(count, dtype=torch.float64) * h
    with torch.no_grad():
        found = evolve(
            opened.law.term, units.encode(ends.states), clock / units.time, stepper=opened.pace.stepper,
            dt=opened.pace.step,
        ).states  # fmt: skip
    change = law_change(opened.law, found)
    return Forecast(clock[:, None] + ends.times, units.decode(found), ends.names, change)


def write_forecast(path: str | os.PathLike[str], found: Forecast) -> Path:
    """Motions of one node as a table (run where there are several, t, and the columns), of several as .npz.

    Raises:
        OutputError: it cannot be written.
    """
    path, (moments, runs, n, _) = Path(path), found.states.shape
    if n == 1:
        number = torch.arange(runs, dtype=torch.float64).expand(moments, runs)
        parts = [*([number[..., None]] if runs > 1 else []), found.times[..., None], found.states[:, :, 0]]
        columns = [*(["run"] if runs > 1 else []), "t", *found.names]
        return write_table(path, columns, torch.cat(parts, -1).transpose(0, 1).flatten(0, 1))
    states = found.states.transpose(0, 1)
    return write_arrays(path, {"times": found.times[:, 0], "states": states if runs > 1 else states[0]})
