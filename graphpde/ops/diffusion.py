"""Diffusion on meshes and graphs: one Laplacian, whatever the edges are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.combined import Scaled
from graphpde.core.edge_difference import EdgeDifference
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import InputError, ShapeError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.assembled import Assembled
from graphpde.ops.finite_volume import diffusive_fluxes
from graphpde.ops.finite_volume_conditions import CellFluxes
from graphpde.ops.term import Term
from graphpde.ops.values import is_learned
from graphpde.typing import Scalar

Kappa = float | Tensor | Mapping[str, float]


class Diffusion(Assembled):
    r"""Diffusion m_i u_i' = \sum_j \kappa w_ij (u_j - u_i); on a space div(kappa grad u) with its elements.

    On triangles the weights w are the cotangent weights, so this is the finite-element heat operator; on any other
    graph they are the edge weights. A self-loop has no effect, an isolated node keeps its value. On a
    :class:`CellSpace` these are the fluxes of cell averages, see :func:`diffusive_fluxes`.

    Args:
        domain: Space, Graph, torch-geometric Data or networkx graph; symmetric (every edge in both directions, equal
            weights).
        kappa: conductivity >= 0 in length^2/time. A number; {set of cells: number} for materials (every cell in exactly
            one set; the name "*" is the rest); a tensor [k|1] or [k|1, c], one entry per cell (Space) or per edge in
            own order (Graph), with c values for c channels; on a Space also [k|1, d, d].
        conservative: apply the operator edge by edge, one flux per undirected edge: total mass is then kept to the
            rounding of the sums over any number of steps, at about twice the cost of the sparse product.

    Raises:
        ShapeError: kappa has neither one entry nor one per cell (edge). InputError: kappa negative or not finite (as a
        tensor: not symmetric, or with a negative eigenvalue), materials that leave cells out or overlap, a directed
        graph or weights that are not finite.

    Reference: Meyer et al. 2003, eq. (8) (cotangent weights); Chamberlain et al. 2021, eq. (4) (graphs).
    """

    _by_set: dict[str, Any] | None = None

    def __init__(self, domain: Any, kappa: Kappa = 1.0, *, conservative: bool = False):
        super().__init__()
        self.domain = as_graph(domain)
        self.conservative = conservative
        if isinstance(kappa, Mapping):
            if not isinstance(self.domain, Space | CellSpace):
                raise InputError("materials by name need a Space; on a graph give kappa per edge")
            self._by_set = dict(kappa) if any(is_learned(v) for v in kappa.values()) else None
            kappa = self.domain.cell_values(kappa)
        self.kappa = self._checked(kappa)
        if conservative and isinstance(self.domain, CellSpace):
            raise InputError("fluxes between cells conserve by themselves; leave out conservative=True on a CellSpace")
        self._assemble()

    def tensors(self) -> tuple[Tensor, ...]:
        assert self.domain is not None
        given = (*((self.kappa,) if self._by_set is None else self._by_set.values()), self.domain.weight)
        return tuple(w for w in given if isinstance(w, Tensor) and w.requires_grad)

    def _value(self) -> float | Tensor:
        """The conductivity as of now: what is being learned by material may have changed."""
        if self._by_set is None:
            return self.kappa
        assert isinstance(self.domain, Space | CellSpace)
        return self.domain.cell_values(self._by_set)

    @property
    def carries_flux(self) -> bool:  # type: ignore[override]
        return isinstance(self.domain, CellSpace)

    def with_boundary(self, conditions: Any, factor: Scalar = 1.0) -> Term:
        return self._on_cells(self.domain, conditions, factor) if isinstance(self.domain, CellSpace) else self

    def _on_cells(self, space: CellSpace, conditions: Any, factor: Scalar) -> CellFluxes:
        kappa = torch.as_tensor(self._value(), dtype=torch.float64)
        return diffusive_fluxes(space, kappa[None] if kappa.dim() == 0 else kappa, conditions, factor, self.label)

    def _build(self) -> LinearOperator:
        domain, kappa = self.domain, self._value()
        assert domain is not None
        if isinstance(domain, CellSpace):
            return self._on_cells(domain, None, 1.0).operator
        each = None  # of the channels, where they differ by a factor only: the weights are then shared
        if not isinstance(kappa, Tensor):
            weight = domain.weight * kappa
        elif isinstance(domain, Space) and kappa.dim() and (kappa.shape[0] > 1 or kappa.dim() == 3):
            if kappa.dim() == 3:  # also of the gradient: a tensor that is being learned stays symmetric
                kappa = (kappa + kappa.mT) / 2
            weight = domain.stiffness(kappa.to("cpu", torch.float64)).to(domain.device, domain.dtype)
        elif kappa.dim() == 2 and kappa.shape[0] == 1 and not self.conservative:
            weight, each = domain.weight, kappa[0]
        else:
            weight = domain.weight[:, None] * kappa if kappa.dim() == 2 else domain.weight * kappa
        if not isinstance(domain, Space):
            weight = _without_loops(domain, weight)
            _require_symmetric(domain, weight)
        matrix = Sparse.laplacian(domain.edges, weight, symmetric=True)
        if each is not None:
            return Scaled(matrix, each.to(matrix.weight))
        if not self.conservative:
            return matrix
        incidence = domain.incidence
        return EdgeDifference(incidence, weight[incidence.edge], matrix)

    def _checked(self, kappa: float | Tensor) -> float | Tensor:
        domain = self.domain
        assert domain is not None
        if not isinstance(kappa, Tensor):
            if not isinstance(kappa, float | int):
                raise InputError(
                    f"kappa is a {type(kappa).__name__}, expected a number, {{set of cells: number}} or a tensor"
                )
            kappa = float(kappa)
            if not 0 <= kappa < float("inf"):
                raise InputError(f"kappa = {kappa:g}, expected a finite number >= 0")
            return kappa
        mesh = domain.mesh if isinstance(domain, Space | CellSpace) else None
        count = domain.edges.n_edges if mesh is None else mesh.n_cells
        what = "edge" if mesh is None else "cell"
        given = kappa  # what is kept: a parameter stays one
        if kappa.dim() == 0:
            kappa = kappa[None]
        matrix = mesh is not None and tuple(kappa.shape[1:]) == (mesh.space_dim,) * 2
        if not (kappa.dim() in (1, 2) or matrix) or kappa.shape[0] not in (1, count):
            raise ShapeError(f"kappa has shape {list(kappa.shape)}, expected one entry or one per {what}: {count}")
        low = _lowest(kappa.detach(), what) if matrix else kappa.detach()
        bad = ~((low >= 0) & torch.isfinite(low))
        if bool(bad.any()):
            number = int(bad.reshape(len(bad), -1).any(1).sum())
            raise InputError(f"kappa is negative or not finite at {number} {what}s, expected finite numbers >= 0")
        return given


def _lowest(kappa: Tensor, what: str) -> Tensor:
    """Lowest eigenvalue of each conductivity tensor [k, d, d], NaN where one is not finite.

    Raises:
        InputError: one is not symmetric.
    """
    scale = kappa.abs().amax((1, 2), keepdim=True)
    skew = (kappa - kappa.mT).abs() > 1e-9 * scale
    if bool(skew.any()):
        k = int(skew.nonzero()[0, 0])
        raise InputError(f"the conductivity tensor of {what} {k} is not symmetric; give its symmetric part")
    fine = torch.isfinite(kappa).all(-1).all(-1)
    lowest = torch.full_like(scale[:, 0, 0], float("nan"))
    lowest[fine] = torch.linalg.eigvalsh(kappa[fine])[:, 0]
    return torch.where(lowest.abs() <= 1e-12 * scale[:, 0, 0], torch.zeros_like(lowest), lowest)


def _without_loops(domain: Graph, weight: Tensor) -> Tensor:
    src, dst = domain.edges.pairs()
    loops = src == dst
    if not bool(loops.any()):
        return weight
    return torch.where(loops if weight.dim() == 1 else loops[:, None], torch.zeros_like(weight), weight)


def _require_symmetric(domain: Graph, weight: Tensor) -> None:
    if not bool(torch.isfinite(weight).all()):
        raise InputError(f"{int((~torch.isfinite(weight)).sum())} edge weights are not finite, expected numbers")
    if not domain.edges.is_symmetric:
        raise InputError("diffusion needs every edge in both directions; this graph is directed: add the reverse edges")
    back = domain.edges.transpose()
    with torch.no_grad():
        x = torch.rand(domain.n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(weight)
        w = weight if weight.dim() == 1 else weight.sum(1)
        forward = domain.edges.propagate(x, weight=w)
        backward = back.propagate(x, weight=back.own(w))
        if not torch.allclose(forward, backward, rtol=1e-6, atol=1e-9 * float(w.abs().max()) if len(w) else 0.0):
            raise InputError("diffusion needs equal weights in both directions of every edge; symmetrise them first")
