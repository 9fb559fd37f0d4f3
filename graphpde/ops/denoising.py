"""Noise removed by total variation: primal-dual iterations that end at a given duality gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.ops.total_variation import DiscreteTotalVariation, Fluxes
from graphpde.solve.result import Result, Status
from graphpde.typing import check_shape

_RESTART = 0.3  # of the gap at the last start; with 0.1 to 0.3 a third of the iterations, at 0.01 most of that is lost
_SLACK = 1e-9  # how far below its bound, relative, a flux must be to say that nothing jumps there


@dataclass(frozen=True)
class Denoised(Result):
    """What :func:`denoise` found.

    Attributes:
        value: u [*, n, c]. residuals: duality gaps relative to the energy, the last one at ``value``.
        fluxes: the dual solution. energy: 1/2 |u - g|^2 + weight TV(u) [*]. gap: the energy less that of the fluxes
            [*], which bounds the distance to the minimiser: |u - u*|^2 <= 2 gap.
    """

    fluxes: Fluxes | None = None
    energy: Tensor | None = None
    gap: Tensor | None = None


def denoise(
    variation: DiscreteTotalVariation,
    noisy: Tensor,
    weight: float,
    *,
    rtol: float = 1e-6,
    iterations: int = 20_000,
    check: int = 50,
) -> Denoised:
    r"""The minimiser of 1/2 |u - g|^2 + weight TV(u), the norm that of the (lumped) measure of the domain.

    It is also one backward Euler step, of length ``weight``, of the total variation flow. The iterations are those of
    Chambolle and Pock, accelerated by the strong convexity of the first term, and started again wherever the gap has
    become small beside that of the last start. At every check the last u is compared with the one that is made constant
    where the fluxes are below their bounds, and the better one counts.

    Args:
        variation: of functions on its domain. noisy: g [*, n, c].
        weight: >= 0, in units of g times length.
        rtol: of the duality gap, relative to the energy at u, in each member of a batch.
        iterations: at most. check: iterations between two gaps.

    Returns:
        :class:`Denoised`; its status says whether the gap was reached, ``checked()`` raises if not. No gradient.

    Raises:
        InputError: a weight that is negative or not finite, nodes without measure, values that are not finite.
        ShapeError: other rows than nodes.

    Reference: Rudin, Osher and Fatemi 1992 (the problem); Chambolle and Pock 2011, J. Math. Imaging Vis. 40, algorithm
        2; O'Donoghue and Candes 2015 (restarts).
    """
    check_shape(noisy, "* n c", "the noisy function", n=variation.domain.n)
    if not 0 <= weight < float("inf"):
        raise InputError(f"weight = {weight}, expected a finite number >= 0")
    if not bool(torch.isfinite(noisy).all()):
        raise InputError(f"{int((~torch.isfinite(noisy)).sum())} noisy values are not finite, expected numbers")
    if not bool((variation.domain.measure > 0).all()):
        raise InputError("some nodes have no measure, so their values cost nothing; remove them")
    with torch.no_grad():
        return _PrimalDual(variation, noisy, float(weight)).run(rtol, iterations, max(check, 1))


class _Pair(NamedTuple):
    """A primal and a dual iterate, u extrapolated, and the two steps."""

    u: Tensor
    f: Fluxes
    ahead: Tensor
    tau: float
    sigma: float


class _Judged(NamedTuple):
    u: Tensor
    energy: Tensor
    gap: Tensor
    ratio: float


class _PrimalDual:
    """The iterations: u descends in the measure of the nodes, f ascends in a diagonal metric ``scale``.

    In it each row of the scaled difference A has at most length one; ``square`` bounds |A|^2 by row and column sums.
    """

    def __init__(self, variation: DiscreteTotalVariation, noisy: Tensor, weight: float):
        self.of, self.noisy, self.weight = variation, noisy, weight
        self.measure = variation.domain.measure.to(noisy)[:, None]
        jumps, slopes, d = variation.jumps.relation, variation.slopes, variation.dim
        one, entry = 1 / self.measure, variation.entry.to(noisy).abs()
        inside = slopes.propagate(one, weight=entry.square()).unflatten(-2, (-1, d)).sum(-2, keepdim=True)
        self.scale = Fluxes(1 / jumps.propagate(one), 1 / inside)
        down, back = jumps.transpose(), slopes.transpose()
        root = Fluxes(self.scale.across.sqrt(), self.scale.inside.sqrt().expand(-1, d, -1).flatten(-3, -2))
        rows = torch.cat(
            [root.across * jumps.propagate(one.sqrt()), root.inside * slopes.propagate(one.sqrt(), weight=entry)]
        )
        columns = one.sqrt() * (down.propagate(root.across) + back.propagate(root.inside, weight=back.own(entry)))
        self.square = float(rows.max() * columns.max()) if rows.numel() else 1.0

    def run(self, rtol: float, iterations: int, check: int) -> Denoised:
        g = self.noisy
        now = self.started(g, self.of.difference(torch.zeros_like(g)))
        found, gaps, k = self.judged(now), list[float](), 0
        mark = found.ratio
        while True:
            gaps.append(found.ratio)
            if found.ratio <= rtol or k >= iterations:
                break
            for _ in range(min(check, iterations - k)):
                now = self.advanced(now)
                k += 1
            found = self.judged(now)
            if found.ratio < _RESTART * mark:
                now, mark = self.started(now.u, now.f), found.ratio
        status = Status.CONVERGED if found.ratio <= rtol else Status.MAX_ITERATIONS
        reason = f"the duality gap is {found.ratio:.1e} of the energy, asked for {rtol:.1e}"
        return Denoised(found.u, status, reason, k, gaps, now.f, found.energy, found.gap)

    def started(self, u: Tensor, f: Fluxes) -> _Pair:
        return _Pair(u, f, u, self.square**-0.5, self.square**-0.5)

    def advanced(self, now: _Pair) -> _Pair:
        """One step of algorithm 2 with strong convexity 1."""
        rise = self.of.difference(now.ahead)
        f = self.of.project(
            Fluxes(
                now.f.across + now.sigma * self.scale.across * rise.across,
                now.f.inside + now.sigma * self.scale.inside * rise.inside,
            ),
            self.weight,
        )
        u = (now.u - now.tau * (self.of.divergence(f) / self.measure - self.noisy)) / (1 + now.tau)
        theta = (1 + 2 * now.tau) ** -0.5
        return _Pair(u, f, u + theta * (u - now.u), theta * now.tau, now.sigma / theta)

    def judged(self, now: _Pair) -> _Judged:
        """The better of two functions, its energy, the gap, and the largest gap relative to the energy."""
        inward = self.of.divergence(now.f)
        below = (inward * (self.noisy - inward / self.measure / 2)).sum((-2, -1))
        flat = self.flattened(now.f, self.noisy - inward / self.measure)
        energy, other = self.energy(now.u), self.energy(flat)
        better = other < energy
        u, energy = torch.where(better[..., None, None], flat, now.u), torch.minimum(energy, other)
        gap = energy - below
        # where nothing is left to gain, energy and gap are rounding
        rounding = torch.finfo(u.dtype).eps * (self.measure * self.noisy.square()).sum((-2, -1))
        ratio = (gap - 10 * rounding).clamp(min=0) / energy.clamp(min=torch.finfo(u.dtype).tiny)
        return _Judged(u, energy, gap, float(ratio.max()) if ratio.numel() else 0.0)

    def energy(self, u: Tensor) -> Tensor:
        """1/2 |u - g|^2 + weight TV(u) [*]."""
        away = (self.measure * (u - self.noisy).square()).sum((-2, -1)) / 2
        return away + self.weight * self.of(u).sum(-1)

    def flattened(self, f: Fluxes, u: Tensor) -> Tensor:
        """u with its mean on every plateau: nodes joined by fluxes below their bounds, each channel on its own."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        of, n, most = self.of, self.of.domain.n, self.weight * (1 - _SLACK)
        columns = u.movedim(-2, 0).reshape(n, -1)
        across = (f.across.abs() < most * of.size[:, None]).movedim(-2, 0).reshape(len(of.size), columns.shape[1])
        size = of.length(f.inside) if of.isotropic else f.inside.abs().amax(-2)
        inside = (size < most * of.volume[:, None]).movedim(-2, 0).reshape(len(of.volume), columns.shape[1])
        tail, head = of.jumps.relation.pairs()[0].reshape(-1, 2).unbind(1)
        node, row = of.slopes.pairs()
        joints = torch.cat([tail, node]).cpu().numpy(), torch.cat([head, n + row // of.dim]).cpu().numpy()
        loose = torch.cat([across, inside[row // of.dim]]).cpu().numpy()
        which, column = np.nonzero(loose)
        total = n + len(of.volume)
        a, b = (x[which] + column * total for x in joints)
        graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(total * columns.shape[1],) * 2)
        plateau = connected_components(graph, directed=False)[1].reshape(-1, total)[:, :n].T.reshape(-1)
        found = np.unique(plateau, return_inverse=True)[1]
        number = torch.from_numpy(found.reshape(-1)).to(u.device)
        each = torch.arange(len(number), device=u.device)
        to = Relation.from_edges(each, number, len(number), int(number.max()) + 1 if len(number) else 0)
        mass = self.measure.expand_as(columns).reshape(-1, 1)
        mean = to.propagate(mass * columns.reshape(-1, 1)) / to.propagate(mass)
        lead = u.movedim(-2, 0).shape
        return mean[number].reshape(lead).movedim(0, -2)
