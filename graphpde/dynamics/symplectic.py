"""Steppers that keep the geometry of positions and momenta: kicks and drifts in turn, by lists of coefficients.

Reference: Hairer, Lubich and Wanner 2006, Geometric Numerical Integration, sections II.4 and II.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.checks import whole
from graphpde.dynamics.implicit import Dirk
from graphpde.dynamics.stage import Factored, factored, solve_stage
from graphpde.dynamics.state import leaves
from graphpde.dynamics.stepper import STEPPERS, Carry, Step
from graphpde.errors import InputError
from graphpde.ops.separable import Separable, summed
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State


class Turn(NamedTuple):
    """One kick or drift for a share of the step; kinds are "drift", "kick", and its parts "fast" and "slow"."""

    kind: str
    share: float


def kicked_first(kicks: Sequence[float], drifts: Sequence[float]) -> tuple[Turn, ...]:
    """Kicks and drifts in turn, from a kick on."""
    return _woven("kick", kicks, "drift", drifts)


def drifting_first(drifts: Sequence[float], kicks: Sequence[float]) -> tuple[Turn, ...]:
    """Drifts and kicks in turn, from a drift on."""
    return _woven("drift", drifts, "kick", kicks)


def composed(weights: Sequence[float]) -> tuple[Turn, ...]:
    """Velocity Verlet steps of these shares, their kicks joined: symmetric weights give symmetric methods."""
    inner = [(a + b) / 2 for a, b in pairwise(weights)]
    return kicked_first([weights[0] / 2, *inner, weights[-1] / 2], weights)


def mirrored(outer: Sequence[float]) -> tuple[float, ...]:
    """Weights from the outside to the middle, the middle one so that all add to 1."""
    return (*outer, 1 - 2 * sum(outer), *reversed(outer))


def _woven(one: str, firsts: Sequence[float], two: str, seconds: Sequence[float]) -> tuple[Turn, ...]:
    turns = []
    for k, share in enumerate(firsts):
        turns.append(Turn(one, share))
        if k < len(seconds):
            turns.append(Turn(two, seconds[k]))
    return tuple(turns)


_CUBE = 2 ** (1 / 3)
_TRIPLE = mirrored((1 / (2 - _CUBE),))
_XI, _LAMBDA, _CHI = 0.1786178958448091, -0.2123418310626054, -0.6626458266981849e-1

TURNS: dict[str, tuple[Turn, ...]] = {
    "symplectic_euler": kicked_first((1.0,), (1.0,)),
    "leapfrog": kicked_first((0.5, 0.5), (1.0,)),
    "position_verlet": drifting_first((0.5, 0.5), (1.0,)),
    # McLachlan 1995, SIAM J. Sci. Comput. 16, the method of order 2 with the least error of two stages
    "mclachlan": kicked_first((0.1931833275037836, 0.6136333449924328, 0.1931833275037836), (0.5, 0.5)),
    "forest_ruth": drifting_first(
        (_TRIPLE[0] / 2, (1 - _TRIPLE[0]) / 2, (1 - _TRIPLE[0]) / 2, _TRIPLE[0] / 2), _TRIPLE
    ),
    # Omelyan, Mryglod and Folk 2002, Comput. Phys. Commun. 146, eq. (22)
    "pefrl": drifting_first(
        (_XI, _CHI, 1 - 2 * (_CHI + _XI), _CHI, _XI), ((1 - 2 * _LAMBDA) / 2, _LAMBDA, _LAMBDA, (1 - 2 * _LAMBDA) / 2)
    ),
    "yoshida4": composed(_TRIPLE),
    # Yoshida 1990, Phys. Lett. A 150, solution A of table 1, and solution D of table 2
    "yoshida6": composed(mirrored((0.78451361047755726382, 0.23557321335935813368, -1.17767998417887100695))),
    "yoshida8": composed(
        mirrored(
            (
                0.914844246229740, 0.253693336566229, -1.44485223686048, -0.158240635368243, 1.93813913762276,
                -1.96061023297549, 0.102799849391985,
            )
        )
    ),
}  # fmt: skip
"""What each method does in a step of length 1; an entry in ``STEPPERS`` of the same name does it."""


class Composition:
    """Kicks p += c dt p'(q) and drifts q += c dt q'(p) in turn, symplectic for every choice of coefficients.

    The state is [*, n, 2 d] with the d positions first, or a pair (q, p). What moves is a
    :class:`~graphpde.ops.separable.Separable` term, or any system q' = v, v' = a(t, q) such as ``Wave``. Without
    friction the energy oscillates and does not drift. Where a method ends as it begins, with a kick, the force at the
    end serves the next step.
    """

    implicit, symplectic, stiff, accepts = False, "yes", "none", "separable"
    error_power: float | None = None
    name: str
    order: float
    reversible = True

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What is done in a step of length 1."""
        return TURNS[self.name]

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        if isinstance(u, Tensor) and u.shape[-1] % 2:
            raise InputError(f"{self.name} splits positions and momenta, got {u.shape[-1]} channels: an odd number")
        if not isinstance(u, Tensor) and len(leaves(u)) != 2:
            raise InputError(f"{self.name} splits a pair (q, p), got {len(leaves(u))} tensors")
        moves = _separable(f)
        if moves is not None and moves.constrained:
            raise InputError(f"{self.name} would leave the rigid bonds of {f.label}; use rattle")
        if moves is None:
            self._refuse_coupled(f, t, u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        moves, count = _moves(f, u), 0
        drifted = kicked = 0.0  # each half is asked at the time to which the other has come
        kinds = self._kinds(moves)
        forces = {} if carry is None else dict(zip(kinds, [carry] if len(kinds) == 1 else carry, strict=True))
        q, p = _halves(u)
        for kind, share in self.turns:
            if kind == "drift":
                q, forces = q + (share * dt) * moves.drift(t + kicked * dt, p), {}
                drifted += share
                if f.fixed is not None:
                    q = _halves(f.reset(t + drifted * dt, _joined(u, q, p)))[0]
            elif kind in kinds:
                if kind not in forces:
                    forces = {**forces, kind: getattr(moves, kind)(t + drifted * dt, q)}
                    count += kind != "slow"
                p = p + (share * dt) * forces[kind]
                kicked += share if kind != "slow" else 0.0
        whole = [forces[kind] for kind in kinds if kind in forces]  # one tensor, which a checkpoint can hold
        kept = None if len(whole) < len(kinds) else whole[0] if len(kinds) == 1 else torch.stack(whole)
        return Step(f.reset(t + dt, _joined(u, q, p)), None, kept, {"evaluations": count})

    def _kinds(self, moves: Any) -> list[str]:
        """The forces that a step asks for."""
        kinds = dict.fromkeys(turn.kind for turn in self.turns if turn.kind != "drift")
        return [kind for kind in kinds if kind != "slow" or moves.splits]

    def longest_step(self, f: System) -> float | None:
        """Its extent by the largest frequency of the terms that know theirs, such as ``Wave``."""
        bounds = []
        for factor, term in f.linear:
            own: Any = getattr(term, "frequency_bound", None)
            bound = None if own is None else own()
            if bound is not None:
                bounds.append(abs(float(factor)) * bound)
        return imaginary_extent(self.turns) / sum(bounds) if bounds else None

    def real_extent(self) -> float:
        """Of M^-1 K, which it sees as squared frequencies times dt: no bound by itself."""
        return float("inf")

    def _refuse_coupled(self, f: System, t: Tensor, u: State) -> None:
        """Refuse forces that depend on velocities, and positions that move by anything else."""
        q, v = _halves(u)
        with torch.no_grad():
            probe = torch.cos(1.0 + torch.arange(v.numel(), device=v.device)).reshape(v.shape).to(v)
            one, two = (_halves(f.rate(t, f.reset(t, _joined(u, q, w)))) for w in (probe, 2 * probe))
            free = slice(None) if f.fixed is None else ~f.fixed.whole
            velocity = probe[..., free, :]
            force = (one[1] - two[1])[..., free, :].abs().max() if velocity.numel() else torch.zeros(())
            drift = (one[0][..., free, :] - velocity).abs().max() if velocity.numel() else torch.zeros(())
            scale = torch.finfo(v.dtype).eps ** 0.5
            wrong = float(force) > scale * float(one[1].abs().max() + 1) or float(drift) > scale
        if wrong:
            raise InputError(
                f"{self.name} needs q' = v, v' = a(q), but in {f.label} the velocities act on themselves (damping?) or "
                f"positions move otherwise; use crank_nicolson, or make it Separable(kick, drift)"
            )


@STEPPERS.add("symplectic_euler")
class SymplecticEuler(Composition):
    """A kick, then a drift: order 1, symplectic. Reference: de Vogelaere 1956."""

    name, order, reversible = "symplectic_euler", 1.0, False


@STEPPERS.add("leapfrog")
class Leapfrog(Composition):
    """Stormer-Verlet, half a kick, a drift, half a kick: order 2, symplectic, stable to dt = 2 / largest frequency.

    Reference: Verlet 1967; Hairer, Lubich and Wanner 2003, Acta Numerica 12, eq. (1.5).
    """

    name, order = "leapfrog", 2.0


@STEPPERS.add("position_verlet")
class PositionVerlet(Composition):
    """Half a drift, a kick, half a drift: order 2, symplectic. Reference: Tuckerman, Berne and Martyna 1992."""

    name, order = "position_verlet", 2.0


@STEPPERS.add("mclachlan")
class McLachlan(Composition):
    """Three kicks around two drifts: order 2, symplectic, with the least leading error that two forces a step allow.

    Reference: McLachlan 1995, SIAM J. Sci. Comput. 16.
    """

    name, order = "mclachlan", 2.0


@STEPPERS.add("forest_ruth")
class ForestRuth(Composition):
    """Three position Verlet steps of 1.35, -1.7 and 1.35 dt: order 4, symplectic. Reference: Forest and Ruth 1990."""

    name, order = "forest_ruth", 4.0


@STEPPERS.add("pefrl")
class Pefrl(Composition):
    """Forest and Ruth's with one more force, spent on a small leading error: order 4, symplectic.

    Reference: Omelyan, Mryglod and Folk 2002, Comput. Phys. Commun. 146, eq. (22).
    """

    name, order = "pefrl", 4.0


@STEPPERS.add("yoshida4")
class Yoshida4(Composition):
    """Three velocity Verlet steps: order 4, symplectic. Reference: Yoshida 1990, Phys. Lett. A 150, eq. (2.11)."""

    name, order = "yoshida4", 4.0


@STEPPERS.add("yoshida6")
class Yoshida6(Composition):
    """Seven velocity Verlet steps: order 6, symplectic. Reference: Yoshida 1990, table 1, solution A."""

    name, order = "yoshida6", 6.0


@STEPPERS.add("yoshida8")
class Yoshida8(Composition):
    """Fifteen velocity Verlet steps: order 8, symplectic. Reference: Yoshida 1990, table 2, solution D."""

    name, order = "yoshida8", 8.0


@STEPPERS.add("respa")
class Respa(Composition):
    """Half a kick of the slow part, several Verlet steps of the rest, half a kick: order 2, symplectic.

    Args:
        inner: Verlet steps with the fast part in each step.

    Reference: Tuckerman, Berne and Martyna 1992, J. Chem. Phys. 97, eq. (2.16).
    """

    name, order = "respa", 2.0

    def __init__(self, inner: int = 4):
        self.inner = whole("inner", inner)

    @property
    def turns(self) -> tuple[Turn, ...]:
        steps = composed([1 / self.inner] * self.inner)
        inner = [Turn("fast" if kind == "kick" else kind, share) for kind, share in steps]
        return (Turn("slow", 0.5), *inner, Turn("slow", 0.5))


@STEPPERS.add("implicit_midpoint")
class ImplicitMidpoint(Dirk):
    """u + dt F(t + dt / 2, (u + u_new) / 2): order 2, symplectic for every Hamiltonian system.

    Keeps quadratic invariants. A-stable but not damping; nonlinear steps are solved to rounding.

    Reference: Hairer, Lubich and Wanner 2006, eq. (II.1.7), theorems IV.2.1 and VI.4.2.
    """

    name, order, symplectic, reversible = "implicit_midpoint", 2.0, "yes", True

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        h = 0.5 * dt
        fresh = not (isinstance(carry, Factored) and carry.fits(f, h))
        kept: Factored = factored(f, h, u, self.method, self.rtol) if fresh else carry
        middle, solves = solve_stage(f, t + h, times_mass(f.mass, u), u, kept, rtol=1e-15)
        new = f.reset(t + dt, 2 * middle - u)
        return Step(new, None, kept, {"solves": solves, "factorisations": int(fresh), "evaluations": 0})


def imaginary_extent(turns: Sequence[Turn]) -> float:
    """The largest dt times frequency up to which a method follows an oscillator in bounds, to a thousandth."""
    x = np.arange(1e-3, 20, 1e-3)
    one = np.ones_like(x)
    m = np.stack([np.stack([one, 0 * one]), np.stack([0 * one, one])])  # q and p by q and p before, [2, 2, x]
    for kind, share in turns:
        if kind == "drift":
            m[0] += share * x * m[1]
        elif kind in ("kick", "fast"):
            m[1] -= share * x * m[0]
    grows = np.abs(m[0, 0] + m[1, 1]) > 2 + 1e-9
    return float(x[grows.argmax()]) - 1e-3 if grows.any() else float("inf")


def _separable(f: System) -> Separable | None:
    """The sum of all terms, if each says what its halves are."""
    parts: list[Any] = [*f.linear, *f.rates, *f.weak]
    known = parts and f.mass is None and all(isinstance(term, Separable) for _, term in parts)
    return summed(parts) if known else None


def _moves(f: System, u: State) -> Separable:
    """The halves of a system; of one that is only known as a whole q' = p, which ``init`` has seen to hold."""

    def kick(t: Tensor, q: Tensor) -> Tensor:
        return _halves(f.rate(t, _joined(u, q, torch.zeros_like(q))))[1]

    return _separable(f) or Separable(kick)


def _halves(u: Any) -> tuple[Tensor, Tensor]:
    if isinstance(u, Tensor):
        c = u.shape[-1] // 2
        return u[..., :c], u[..., c:]
    q, v = leaves(u)
    return q, v


def _joined(like: Any, q: Tensor, v: Tensor) -> Any:
    if isinstance(like, Tensor):
        return torch.cat([q, v], -1)
    return type(like)(q, v) if hasattr(like, "_fields") else (q, v)
