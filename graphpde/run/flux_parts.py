"""What each term of a sum brings in through the regions of a boundary, and what it makes inside."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.advection.cell_correction import CellCorrection
from graphpde.ops.advection.velocity import leaving
from graphpde.ops.finite_volume_conditions import CellFluxes, FacetConditions
from graphpde.ops.term import LinearTerm, Term
from graphpde.run.flux_shares import Corners, Shares, facet_corners, plain_shares, weighted_shares
from graphpde.typing import Scalar


class Brought(NamedTuple):
    """What a term does to the content, by where it comes from.

    Attributes:
        regions: through each region [*, r, c]. boundary: through the whole boundary [*, c]. sources: made inside
            [*, c].
    """

    regions: Tensor
    boundary: Tensor
    sources: Tensor


class Part:
    """A term with its factor that acts inside of the domain: what it makes, if it makes anything.

    Attributes:
        factor, term: as in the sum.
    """

    def __init__(self, factor: Scalar, term: Term, regions: int):
        self.factor, self.term, self._count = factor, term, regions
        self._moves_only = _moves_only(term)

    def brought(self, t: Tensor, u: Tensor, part: Tensor) -> Brought:
        """From F of the term times its factor, ``part`` [*, n, c], at time t in the state u [*, n, c]."""
        none, total = u.new_zeros(*u.shape[:-2], self._count, u.shape[-1]), part.sum(-2)
        return Brought(none, torch.zeros_like(total), torch.zeros_like(total) if self._moves_only else total)

    def size(self, part: Tensor, u: Tensor) -> Tensor:
        r"""\sum_i |L_ii u_i| of a linear term, where neighbours nearly cancel, and \sum_i |F_i| of any other [*, c]."""
        own, term = part.abs().sum(-2), self.term
        diagonal = term.operator.diagonal() if isinstance(term, LinearTerm) and term.operator is not None else None
        if diagonal is None or diagonal.dim() > 2:
            return own
        diagonal = diagonal[:, None] if diagonal.dim() == 1 else diagonal
        return own + (diagonal.to(u.dtype) * u * self.factor).abs().sum(-2)


class _AtFacets(Part):
    """A load or an exchange on facets of a space, all of which comes from outside."""

    def __init__(self, factor: Scalar, term: Term, shares: Shares, regions: int):
        super().__init__(factor, term, regions)
        self._shares = shares

    def brought(self, t: Tensor, u: Tensor, part: Tensor) -> Brought:
        total = part.sum(-2)
        return Brought(self._shares(part), total, torch.zeros_like(total))


class _Carried(Part):
    """Transport on a space: what flows out through its facets leaves, a load that it tests is made inside."""

    def __init__(self, factor: Scalar, term: Any, shares: Shares, regions: int):
        super().__init__(factor, term, regions)
        self._shares, self._load = shares, term.load

    def brought(self, t: Tensor, u: Tensor, part: Tensor) -> Brought:
        total, load = part.sum(-2), self._load(t, u)
        made = torch.zeros_like(total) if load is None else load.sum(-2) * self.factor
        return Brought(self._shares(u) * self.factor, total - made, made)


class _ThroughFacets(Part):
    """Fluxes between cell averages: what goes through each boundary facet, all else cancels between two cells."""

    def __init__(self, factor: Scalar, term: Term, fluxes: CellFluxes | CellCorrection, regions: Tensor):
        super().__init__(factor, term, len(regions))
        self._fluxes, self._regions = fluxes, regions

    def brought(self, t: Tensor, u: Tensor, part: Tensor) -> Brought:
        through = self._fluxes.facet_inflow(t, u) * self.factor
        whole = through.sum(-2)
        return Brought(self._regions.to(through) @ through, whole, torch.zeros_like(whole))


def parts_on_space(space: Space, ids: Tensor, regions: Tensor, given: list[tuple[Scalar, Term]]) -> list[Part]:
    """The parts of a sum on a space, from its boundary facets ``ids`` [f] and which regions hold them [r, f]."""
    corners = facet_corners(space, ids)
    out: list[Part] = []
    for factor, term in given:
        where = getattr(term, "where", None)
        if carries(term):
            weight = -_outflow(space, term.velocity, ids)
            shares = weighted_shares(corners, weight, regions, space.n, space.device)
            out.append(_Carried(factor, term, shares, len(regions)))
        elif where is None:
            out.append(Part(factor, term, len(regions)))
        else:
            pick = torch.isin(ids, space.facet_ids(where))[corners.facet]
            shares = plain_shares(Corners(*(p[pick] for p in corners)), regions, space.n, space.device)
            out.append(_AtFacets(factor, term, shares, len(regions)))
    return out


def parts_on_cells(space: CellSpace, regions: Tensor, given: list[tuple[Scalar, Term]]) -> list[Part]:
    """The parts of a sum on cell averages, from which regions hold the boundary facets of the space [r, b]."""
    out: list[Part] = []
    for factor, term in given:
        fluxes = term
        if carries(term) and not isinstance(term, CellFluxes):  # no condition anywhere: still it flows out
            fluxes = term.with_boundary(FacetConditions(space, [], torch.zeros((), dtype=torch.float64)))
        if isinstance(fluxes, CellFluxes | CellCorrection):
            out.append(_ThroughFacets(factor, term, fluxes, regions))
        else:
            out.append(Part(factor, term, len(regions)))
    return out


def carries(term: Term) -> TypeGuard[Any]:
    """Whether it is transport by a velocity; the limited part of one only shifts between neighbours."""
    return isinstance(term, LinearTerm) and getattr(term, "velocity", None) is not None


def _moves_only(term: Term) -> bool:
    """Whether a term only shifts things about: then its sum, which is rounding, must not pass for a source."""
    if not isinstance(term, LinearTerm) or term.operator is None:
        return False
    back, like = term.operator.transpose(), torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        if term.domain is None or term.load(like, term.domain.measure[:, None]) is not None:
            return False
        made = back.matvec(torch.ones_like(term.domain.measure)[:, None].expand(-1, back.channels))
        diagonal = term.operator.diagonal()
    return diagonal is not None and float(made.abs().max()) <= 1e-9 * float(diagonal.abs().max())


def _outflow(space: Space, velocity: Any, ids: Tensor) -> Tensor:
    r"""\int (v.n)^+ N_i over each facet, in the order of its corners [k]."""
    parts = [each.reshape(-1) for each in leaving(space, velocity, ids)[1]]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
