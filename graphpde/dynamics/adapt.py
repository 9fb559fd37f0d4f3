"""Steady states on meshes that refine themselves: solve, estimate, mark, bisect, until the estimate suffices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics.steady import steady
from graphpde.errors import InputError
from graphpde.mesh.bisection import bisect, bulk, newest_first
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.ops.indicators import recovery_indicator
from graphpde.solve.result import Result

Problem = Callable[[Mesh], tuple[Any, Tensor]]
"""What is solved on a mesh: a term that stands on a space, and the guess [n, c] to start from."""

Indicator = Callable[[Space, Tensor], Tensor]
"""The error of a solution [n, c] in every cell [m], such as :func:`~graphpde.ops.recovery_indicator`."""

Measure = Callable[[Space, Tensor], float]
"""A number from a solution [n, c]."""


class Round(NamedTuple):
    """One mesh on the way.

    Attributes:
        unknowns, cells: its size. estimate: root of the sum of the squares of the indicators. allowed: the tolerance.
        error: the true one, where somebody can tell it.
    """

    unknowns: int
    cells: int
    estimate: float
    allowed: float
    error: float | None = None

    @property
    def effectivity(self) -> float | None:
        """Estimate over error; None where the error is not known, or is zero."""
        return self.estimate / self.error if self.error else None


@dataclass(frozen=True)
class Adapted:
    """A solution on the mesh that was refined for it.

    Attributes:
        space: of the last mesh. value: the solution there [n, c]. indicators: its error in every cell [m].
        rounds: all meshes on the way, the first one included. within: whether the tolerance was reached.
    """

    space: Space
    value: Tensor
    indicators: Tensor
    rounds: tuple[Round, ...]
    within: bool

    @property
    def mesh(self) -> Mesh:
        """The last mesh."""
        return self.space.mesh

    def order(self, least: int = 0, *, of: str = "error") -> float:
        """The exponent p of ``of`` ~ unknowns^-p that fits the rounds with at least that many unknowns.

        Args:
            of: "error" or "estimate".

        Raises:
            InputError: fewer than two such rounds, or the error is not known.
        """
        kept = [(r.unknowns, getattr(r, of)) for r in self.rounds if r.unknowns >= least]
        if len(kept) < 2 or any(not y for _, y in kept):
            raise InputError(f"{len(kept)} rounds with a known {of} and {least} unknowns or more, expected at least 2")
        x, y = torch.tensor(kept, dtype=torch.float64).log().unbind(1)
        x, y = x - x.mean(), y - y.mean()
        return -float((x * y).sum() / (x * x).sum())


def adapt(
    problem: Problem,
    mesh: Mesh,
    *,
    tolerance: float | Measure,
    indicator: Indicator = recovery_indicator,
    max_unknowns: int = 200_000,
    theta: float = 0.5,
    solve: Callable[[Any, Tensor], Result] = steady,
    error: Measure | None = None,
) -> Adapted:
    """Refine a mesh of triangles where the solution of F(u) = 0 needs it, until an estimate of the error suffices.

    Each round solves on the mesh, beginning with the solution of the round before, marks the cells that hold the share
    ``theta`` of the squared estimate, and halves them. Named sets and data go over; points that are new on curved rims
    lie on the curve. For problems with corner singularities, layers or jumping coefficients, where uniform refinement
    loses its order; with linear elements only.

    Args:
        problem: see :data:`Problem`; asked anew in every round. mesh: triangles in the plane or on a surface.
        tolerance: of the estimate, in its own unit; or a function (space, u) of the solution, such as
            ``lambda space, u: 0.02 * energy_norm(space, u)``.
        indicator: residual_indicator needs to be told the data: ``partial(residual_indicator, source=f)``.
        max_unknowns: no larger mesh is solved on.
        theta: small: few new cells a round and many rounds; 1: uniform refinement.
        solve: (term, guess) -> result. error: the true error, recorded beside the estimate.

    Returns:
        The last solution. Its value is differentiable as ``solve`` makes it, on the last mesh; where the mesh is
        refined is a choice that has no derivative.

    Raises:
        MeshError: cells that are not triangles, theta outside of (0, 1]. InputError: a term without a space, no P1.
        SolveError: a solve failed.

    Reference: Doerfler 1996, SIAM J. Numer. Anal. 33; Morin, Nochetto and Siebert 2000, SIAM J. Numer. Anal. 38.
    """
    if not callable(tolerance) and not tolerance >= 0:
        raise InputError(f"tolerance is {tolerance}, expected a number >= 0 in the unit of the estimate")
    mesh, before, rounds = newest_first(mesh), None, []
    while True:
        term, guess = problem(mesh)
        space = _space_of(term, mesh)
        if before is not None:
            guess = space.from_points(before).to(guess)
        value = solve(term, guess).value
        with torch.no_grad():
            eta = indicator(space, value.detach())
            total = float(eta.double().square().sum().sqrt())
            known = None if error is None else error(space, value.detach())
            enough = tolerance(space, value.detach()) if callable(tolerance) else float(tolerance)
            rounds.append(Round(space.n * value.shape[-1], mesh.n_cells, total, enough, known))
            marked = bulk(eta, theta)
        finer = None if total <= enough else bisect(mesh, marked.cpu())
        if finer is None or _unknowns(space, finer.mesh) * value.shape[-1] > max_unknowns:
            return Adapted(space, value, eta, tuple(rounds), finer is None)
        before, mesh = finer.transfer(space.at_points(value.detach())), finer.mesh


def _space_of(term: Any, mesh: Mesh) -> Space:
    space = getattr(term, "domain", None)
    if not isinstance(space, Space) or space.mesh.n_cells != mesh.n_cells:
        raise InputError(
            "the problem returned a term that stands on no space of the mesh it was given; build it on Space(mesh)"
        )
    return space


def _unknowns(space: Space, finer: Mesh) -> int:
    """How many nodes of the finer mesh will carry unknowns: points without cells do not."""
    return space.n + finer.n - space.mesh.n
