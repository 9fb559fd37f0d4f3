"""Going on with a run that was stopped: what it left, whether it is still the same problem, and the steps to come.

With the same schedule the loop goes over the steps that were done without computing them, so that the next one sees the
same t and dt to the last bit, and what a stepper caches is made by its first step again: for one-step methods of fixed
dt the result is bit-equal to that of an uninterrupted run. So it is for adaptive steps from a saved moment on, whose
controller the checkpoint keeps. Steppers that remember earlier states start anew with their starting procedure, and a
schedule with another step has no uninterrupted run to be compared with; the manifest says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.config import load, merge
from graphpde.dynamics.stepper import Carry, Step, Stepper
from graphpde.errors import ConfigError, InputError, SolveError
from graphpde.ops.system import System
from graphpde.run.checkpoint import FILE, Checkpoint, Origin, read_checkpoint
from graphpde.run.folder import MANIFEST, is_alive
from graphpde.run.kit import Kit
from graphpde.run.rhythm import Followed, Rhythm
from graphpde.run.spool import moment_of
from graphpde.typing import Scalar, State

FREE = ("time.", "solver.", "output.", "device")
"""What a run may go on with otherwise than it began; ``time.start`` excepted."""


class Stopped(NamedTuple):
    """A run as it lies in its folder.

    Attributes:
        path: the folder. checkpoint: where it can go on. manifest: what it says of itself.
        problem: its config.toml as tables.
    """

    path: Path
    checkpoint: Checkpoint
    manifest: dict[str, Any]
    problem: dict[str, Any]

    def with_changes(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The problem with tables on top; a later end without ``frames`` keeps the time between saved moments."""
        tables = merge(self.problem, changed)
        plan, wanted = self.problem.get("time"), changed.get("time", {})
        if isinstance(plan, dict) and "end" in wanted and "frames" not in wanted:
            start = plan.get("start", 0.0)
            shares = (wanted["end"] - start) / (plan["end"] - start)
            if math.isfinite(shares):
                tables["time"]["frames"] = max(math.ceil(shares * plan["frames"] - 1e-9), 1)
        return tables


def open_run(place: str | Path) -> Stopped:
    """What a stopped run left in its folder ``RUN``, or at a saved moment of it: ``RUN@TIME``.

    Raises:
        InputError: no run folder, nothing to go on from, a damaged checkpoint, no such saved moment, or a process that
            still writes it; coefficients that are fitted fields, which no problem file holds.
    """
    path, t = split_time(place)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        manifest["versions"]["graphpde"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"'{path}' is not the folder of a run; expected one with {MANIFEST} and {FILE} in it"
        ) from None
    if manifest.get("status") == "running" and is_alive(manifest):
        raise InputError(
            f"'{path}' is still being written by process {manifest['pid']}; stop that run first, or wait for its end"
        )
    _refuse_fitted_fields(path, manifest)
    problem = load(path / "config.toml")
    if problem.get("steady"):
        raise InputError(
            f"'{path}' {'is complete and ' if manifest.get('status') == 'ok' else ''}has no steps in time to go on "
            f"with; for another run: graphpde simulate {path / 'config.toml'}"
        )
    checkpoint = read_checkpoint(path / FILE)
    return Stopped(path, checkpoint if t is None else moment_of(path, checkpoint, t), manifest, problem)


def _refuse_fitted_fields(path: Path, manifest: Mapping[str, Any]) -> None:
    fit = manifest.get("fit")
    names = fit.get("fields") if isinstance(fit, Mapping) else None
    if names:
        raise InputError(
            f"cannot go on with '{path}': its {' and '.join(map(str, names))} was fitted as a field, which config.toml "
            f"does not hold; repeat the fit with all that the run should do"
        )


def split_time(place: str | Path) -> tuple[Path, float | None]:
    """``runs/heat-1@0.5`` as its path and time; a path that exists as it is has none.

    Raises:
        InputError: what follows the last ``@`` is not a number.
    """
    text = str(place)
    name, at, moment = text.rpartition("@")
    if not at or Path(text).exists():
        return Path(text), None
    try:
        return Path(name), float(moment)
    except ValueError:
        raise InputError(f"'{text}' names the time '{moment}', expected a number after @") from None


def changes(stopped: Stopped, kit: Kit) -> dict[str, list[Any]]:
    """What the problem says otherwise now than when the run began: key -> [then, now].

    Raises:
        ConfigError: the mesh, or anything but the step, the stepper, the end, the solver and the output.
    """
    then, now = _flat(stopped.checkpoint.config), _flat(json.loads(json.dumps(kit.setup.config.as_dict())))
    found = {key: [then.get(key), now.get(key)] for key in sorted({*then, *now}) if then.get(key) != now.get(key)}
    found.pop("mesh.path", None)  # a mesh that was moved is the same one if its bytes are
    _refuse_another_mesh(stopped, kit)
    for key, (old, new) in found.items():
        if key == "time.start" or not key.startswith(FREE):
            raise ConfigError(
                f"cannot go on with '{stopped.path}': {key} was {_shown(old)} and is {_shown(new)} now; a run goes on "
                f"with the problem it began with, so start a new one (--initial-from {stopped.path} takes its state)"
            )
    return found


def _refuse_another_mesh(stopped: Stopped, kit: Kit) -> None:
    now, then = kit.fingerprint(), stopped.checkpoint.mesh
    if now == then:
        return
    source = kit.setup.config.mesh
    name = source.path or f"shape {source.shape}"
    what = "file (its checksum differs)" if now["file"] != then["file"] else "points, cells or named sets"
    raise ConfigError(
        f"cannot go on with '{stopped.path}': the mesh '{name}' has another {what} than when the run began; bring the "
        f"old one back, or start a new run with --initial-from {stopped.path}"
    )


def _flat(tables: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted key -> value; empty tables vanish, as in a problem file."""
    out: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{path}{key}.")
        else:
            out[path + key] = value
    return out


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


@dataclass(frozen=True)
class Leg:
    """The steps that one call of the loop goes over.

    Attributes:
        times: what the loop is given. u0: the state it starts from.
        stepper: goes over the steps that were done. origin: where the schedule begins.
        skip: steps that were done. known: saved moments that the loop names again.
        exact: whether the result is that of an uninterrupted run, bit by bit. note: why not.
        control: of adaptive steps, None for equal ones.
    """

    times: Tensor
    u0: Tensor
    stepper: Recorded
    origin: Origin
    skip: int = 0
    known: int = 0
    exact: bool = True
    note: str = ""
    control: Followed | None = None


def whole_leg(setup: Any) -> Leg:
    """All of a run."""
    assert setup.stepper is not None
    origin = Origin(float(setup.times[0]), 0, 0)
    return Leg(setup.times, setup.u0, Recorded(setup.stepper), origin, control=Followed.of(setup))


def remaining_leg(stopped: Stopped, setup: Any, changed: Mapping[str, Any]) -> Leg:
    """What is left of a run.

    Raises:
        ConfigError: nothing is.
    """
    assert setup.stepper is not None
    at = stopped.checkpoint
    state = at.state.to(setup.u0)
    end = float(setup.times[-1])
    if stopped.manifest.get("status") == "ok" and at.t >= end - 1e-12 * abs(end - float(setup.times[0])):
        raise ConfigError(f"'{stopped.path}' has reached its end at t={end:g}; give a later one with --t-end to go on")
    same = not any(key.startswith(("time.", "solver.")) for key in changed)
    carry = None if at.carry is None else at.carry.to(setup.u0)
    if same and setup.control is None:
        origin = at.origin
        known = at.frames if origin.frames == 0 else at.frames - origin.frames + 1
        stepper = Recorded(setup.stepper, Past(at.step - origin.step, state, carry, at.kind))
        note = _NOTES.get(at.kind, "").format(setup.stepper.name)
        return Leg(_from(setup.times, origin), state, stepper, origin, at.step - origin.step, known, not note, note)
    origin = Origin(at.t, at.step, at.frames)
    times, past = _from(setup.times, origin), at.rhythm or Rhythm(accepted=at.step)
    if not same:
        note = "it goes on with another schedule of steps"
        control = Followed.of(setup, past._replace(wanted=0.0))
        return Leg(times, state, Recorded(setup.stepper), origin, 0, 1, False, note, control)
    control, stepper = Followed.of(setup, past), Recorded(setup.stepper, Past(0, state, carry, at.kind))
    note = _NOTES.get(at.kind, "").format(setup.stepper.name)
    if not past.wanted or not bool((setup.times == at.t).any()):
        note = _ADAPTIVE  # in the middle of an interval the steps are fitted to what is left, rounded otherwise
    return Leg(times, state, stepper, origin, 0, 1, not note, note, control)


_NOTES = {
    "history": (
        "{} keeps earlier states, which a checkpoint does not hold: it went on with its starting procedure, so that "
        "the result differs from an uninterrupted run within the error of the method"
    ),
    "starts": (
        "its iterative solver begins from its last solutions, which a checkpoint does not hold: the result differs "
        "from an uninterrupted run within the tolerance of the solver"
    ),
}
_ADAPTIVE = (
    "its steps adapt and it went on between two saved moments, or without its last step: the result differs from an "
    "uninterrupted run within the tolerance"
)


def _from(times: Tensor, origin: Origin) -> Tensor:
    """The planned times from the origin on; the origin itself, where it is none of them, comes first."""
    if origin.frames == 0:
        return times
    span = float(times[-1] - times[0])
    later = times[times > origin.t + 1e-12 * span]
    return torch.cat([torch.tensor([origin.t], dtype=times.dtype), later])


class Past(NamedTuple):
    """The steps that were done: how many, the state [n, c] after them, and what the stepper had kept."""

    steps: int
    state: Tensor
    carry: Tensor | None
    kind: str


class _Skipping(NamedTuple):
    """A carry while the loop goes over the steps that were done; t and dt are those of the first one."""

    left: int
    t: Tensor | None = None
    dt: Scalar = 0.0


class Recorded:
    """A stepper whose last carry can be read, and which goes over steps that were done without computing them.

    Attributes:
        carry: what the last step handed on.
    """

    def __init__(self, stepper: Stepper, past: Past | None = None):
        self.stepper, self.past = stepper, past
        self.carry: Carry = None
        self._begin = -math.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stepper, name)

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        if self.past is not None and self.past.steps:
            return _Skipping(self.past.steps)
        self._begin = float(t)
        if self.past is not None and self.past.kind == "tensor":
            self.stepper.init(f, t, u)  # refuses what it cannot advance
            self.carry = self.past.carry
            return self.carry
        self.carry = self.stepper.init(f, t, u)
        return self.carry

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        if isinstance(carry, _Skipping):
            assert self.past is not None
            first = carry if carry.t is not None else _Skipping(carry.left, t, dt)
            if carry.left:
                return Step(self.past.state, None, first._replace(left=carry.left - 1))
            carry = self._taken_up(f, t, u, first)
        if self.past is not None and float(t) == self._begin:
            u = self.past.state  # into which the loop put boundary values of a time that may be the last bit off
        done = self.stepper.step(f, t, dt, u, carry)
        self.carry = done.carry
        return done

    def _taken_up(self, f: System, t: Tensor, u: State, first: _Skipping) -> Carry:
        """The carry with which the next step at time t begins."""
        assert self.past is not None and first.t is not None
        start = self.stepper.init(f, t, u)
        if self.past.kind == "tensor":
            return self.past.carry
        if self.past.kind == "history":
            return start
        try:  # the first step makes what it caches from its own dt, which may differ from this one in the last bit
            return self.stepper.step(f, first.t, first.dt, u, start).carry
        except SolveError:
            return start
