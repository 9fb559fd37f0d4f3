"""Coupled equations one after the other."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics.stage import Factored, factored, solve_stage
from graphpde.dynamics.stepper import Carry, Step, require_tensor
from graphpde.errors import InputError, SolveError
from graphpde.ops.constraint import Fixed
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State

_DOUBT = 1e-6  # of the state, a change by sweeps from which it is no rounding
_TIMES = 3  # steps in a row that are thrown back, from which it is no accident


class Staggered:
    """Backward Euler for some channels after others, while those not at turn are held: order 1.

    M (v - u) = dt F(t + dt, v) is solved group by group, Gauss and Seidel's way, so each group is a problem of its own:
    smaller, and often symmetric or linear where the whole is not. Earlier groups are held at their new values, later
    ones at their old ones; what has no time derivative of its own moves on as in the last step, for its rate may stand
    in M beside others. More sweeps come closer to the whole step of ``BackwardEuler``, which one sweep is where no
    group depends on a later one: ``Staggered([d], range(d))`` for heat before displacements. Where groups act on each
    other so strongly that a sweep amplifies what the last one left, small steps do not help: water in soil that hardly
    compresses is an example. That is an error where sweeps, or three steps in a row, throw the state further back and
    forth each time.

    Args:
        groups: channels, each in one of them, in the order of their turns.
        sweeps: over all groups in one step. method, rtol: of the linear solver.

    Raises:
        InputError: fewer than two groups, a channel twice, no sweeps; in the first step, channels without a group.
        SolveError: in a step, groups that drive each other apart.
    """

    name, order, implicit, symplectic, stiff, accepts = "staggered", 1.0, True, "no", "all", "any"
    algebraic, error_power = True, None

    def __init__(self, *groups: Sequence[int], sweeps: int = 1, method: str = "auto", rtol: float = 1e-10):
        self.groups = tuple(tuple(group) if isinstance(group, Iterable) else (group,) for group in groups)
        named = sorted(k for group in self.groups for k in group)
        if len(groups) < 2 or named != list(range(len(named))) or not all(self.groups):
            raise InputError(
                f"groups of channels are {[list(g) for g in self.groups]}, expected two or more that hold each of the "
                f"channels 0, 1, ... once"
            )
        if sweeps < 1:
            raise InputError(f"sweeps = {sweeps}, expected 1 or more")
        self.sweeps, self.method, self.rtol = sweeps, method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        count = sum(map(len, self.groups))
        if u.shape[-1] != count:
            raise InputError(f"the state has {u.shape[-1]} channels and the groups of staggered name {count}")
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        last = carry if isinstance(carry, _Parts) else None
        fresh = last is None or not last.kept[0].fits(f, dt)
        systems = self._systems(f, u)
        kept = last.kept if last is not None and not fresh else self._factored(systems, dt, u)
        value = u
        if last is not None and f.massless is not None:
            value = torch.where(f.massless, u + dt * last.rate, u)
        value, solves = self._swept(tuple(zip(systems, kept, strict=True)), t + dt, times_mass(f.mass, u), value)
        rate = (value - u) / dt
        back = last is not None and any(_thrown_back(_of(rate, g), _of(last.rate, g)) for g in self.groups)
        thrown = last.thrown + 1 if last is not None and back else 0
        if thrown == _TIMES:
            raise SolveError(_apart(f"{_TIMES} steps in a row each undo more than the one before did"))
        work = {"solves": solves, "factorisations": len(self.groups) * fresh, "evaluations": 0}
        return Step(value, None, _Parts(kept, rate, thrown), work)

    def _swept(
        self, parts: Sequence[tuple[System, Factored]], end: Tensor, known: Tensor, value: Tensor
    ) -> tuple[Tensor, int]:
        """The state after all sweeps, and how many solves they took."""
        solves, last = 0, 0.0
        for sweep in range(self.sweeps):
            before = value
            for system, solver in parts:
                value, taken = solve_stage(system, end, known, value, solver)
                solves += taken
            moved = max(_share(_of(value - before, g), _of(value, g)) for g in self.groups)
            if sweep > 1 and moved > max(1.05 * last, _DOUBT):  # the first starts from a guess and says little
                told = f"sweep {sweep + 1} changes the state by {moved:.1e} of it, the one before by {last:.1e}"
                raise SolveError(_apart(told))
            last = moved
        return value, solves

    def _systems(self, f: System, u: Tensor) -> tuple[System, ...]:
        """The system of each group."""
        found = []
        for group in self.groups:
            part = copy.copy(f)
            part.fixed = _Others(f.fixed, group, u)
            found.append(part)
        return tuple(found)

    def _factored(self, systems: Sequence[System], dt: Scalar, u: Tensor) -> tuple[Factored, ...]:
        return tuple(factored(part, dt, u, self.method, self.rtol) for part in systems)

    def real_extent(self) -> float:
        return float("inf")


class _Parts(NamedTuple):
    """The solvers of the groups, the rates in the last step [*, n, c], and how often in a row they were thrown back."""

    kept: tuple[Factored, ...]
    rate: Tensor
    thrown: int


def _of(x: Tensor, group: Sequence[int]) -> Tensor:
    """The channels of a group as one vector."""
    return x.detach()[..., list(group)].flatten()


def _share(change: Tensor, value: Tensor) -> float:
    """Of a change in what changes."""
    return float(change.norm() / value.norm().clamp_min(torch.finfo(value.dtype).tiny))


def _thrown_back(rate: Tensor, last: Tensor) -> bool:
    """Whether something goes back on itself, and faster."""
    now, then = float(rate.norm()), float(last.norm())
    return now > 1.05 * then and float(rate @ last) < -0.9 * now * then


def _apart(what: str) -> str:
    return (
        f"the groups of staggered drive each other apart: {what}; solve them together (backward_euler), or take other "
        f"groups"
    )


class _Others(Fixed):
    """What is held anyway, at its values, and the channels beside ``group``, at those of the state at hand."""

    def __init__(self, anyway: Fixed | None, group: Sequence[int], like: Tensor):
        n, c = like.shape[-2:]
        self.mask = torch.ones(n, c, dtype=torch.bool, device=like.device)
        self.mask[:, list(group)] = False
        if anyway is not None:
            self.mask |= anyway.mask if anyway.mask.dim() == 2 else anyway.mask[:, None]
        self.anyway, self._width, self.constraints, self.constant = anyway, c, [], False
        self._slots = self.mask.reshape(-1).nonzero()[:, 0]
        self.nodes = self.mask.any(1).nonzero()[:, 0]

    def value(self, t: Tensor, like: Tensor) -> Tensor:
        if self.anyway is not None:
            like = self.anyway.put(like, self.anyway.value(t, like))
        return self.take(like)
