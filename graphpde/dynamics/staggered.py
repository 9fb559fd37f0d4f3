"""Coupled equations one after the other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics.stage import Factored, factored, solve_stage
from graphpde.dynamics.stepper import Carry, Step, require_tensor
from graphpde.errors import InputError
from graphpde.ops.constraint import Fixed
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State


class Staggered:
    """Backward Euler for some channels after others, while those not at turn are held: order 1.

    M (v - u) = dt F(t + dt, v) is solved group by group, Gauss and Seidel's way, so each group is a problem of its own:
    smaller, and often symmetric or linear where the whole is not. Earlier groups are held at their new values, later
    ones at their old ones; what has no time derivative of its own moves on as in the last step, for its rate may stand
    in M beside others. More sweeps come closer to the whole step of ``BackwardEuler``, which one sweep is where no
    group depends on a later one: ``Staggered([d], range(d))`` for heat before displacements. Where groups act on each
    other so strongly that a sweep amplifies what the last one left, small steps do not help: water in soil that hardly
    compresses is an example.

    Args:
        groups: channels, each in one of them, in the order of their turns.
        sweeps: over all groups in one step. method, rtol: of the linear solver.

    Raises:
        InputError: fewer than two groups, a channel twice, no sweeps; in the first step, channels without a group.
    """

    name, order, implicit, symplectic, stiff, accepts = "staggered", 1.0, True, "no", "all", "any"
    algebraic, error_power = True, None

    def __init__(self, *groups: Sequence[int], sweeps: int = 1, method: str = "auto", rtol: float = 1e-10):
        self.groups = tuple(tuple(group) for group in groups)
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
        known, value, solves = times_mass(f.mass, u), u, 0
        if last is not None and f.massless is not None:
            value = torch.where(f.massless, u + dt * last.rate, u)
        for _ in range(self.sweeps):
            for system, solver in zip(systems, kept, strict=True):
                value, taken = solve_stage(system, t + dt, known, value, solver)
                solves += taken
        work = {"solves": solves, "factorisations": len(self.groups) * fresh, "evaluations": 0}
        return Step(value, None, _Parts(kept, (value - u) / dt), work)

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
    """The solvers of the groups, and the rates in the last step [*, n, c]."""

    kept: tuple[Factored, ...]
    rate: Tensor


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
