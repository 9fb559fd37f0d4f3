"""Penalties that choose among the fields which explain the data: Tikhonov's and total variation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.errors import InputError, ShapeError
from graphpde.mesh.geometry import cell_centroids, cell_measures, facet_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space


class _Jumps(NamedTuple):
    """Pairs of cells that share a facet [f, 2], the size of it [f] and the distance of their centres [f]."""

    cells: Tensor
    size: Tensor
    distance: Tensor

    @classmethod
    def of(cls, mesh: Mesh) -> _Jumps:
        inner = (mesh.facets.cells[:, :2] >= 0).all(1).nonzero()[:, 0] if mesh.facets.cells.shape[1] > 1 else None
        if inner is None or not len(inner):
            raise InputError(f"'{mesh.name}' has no facet between two cells, so there are no jumps to penalise")
        pairs, centres = mesh.facets.cells[inner, :2], cell_centroids(mesh).detach()
        apart = torch.linalg.vector_norm(centres[pairs[:, 1]] - centres[pairs[:, 0]], dim=1)
        return cls(pairs, facet_measures(mesh, inner).detach(), apart)

    def __call__(self, values: Tensor) -> Tensor:
        return values[self.cells[:, 1]] - values[self.cells[:, 0]]


class _Slopes:
    """Gradients of fields in the unknowns of a space at quadrature points."""

    def __init__(self, space: Space):
        self.blocks = space.blocks()

    def __call__(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Squared lengths [m, q] and quadrature weights [m, q] a block."""
        found = []
        for b in self.blocks:
            slope = torch.einsum("mk,mqkd->mqd", values[b.dofs], b.gradients)
            found.append((slope.square().sum(-1), b.volume))
        return found


class _Penalty:
    """A function of one value per cell (built on a mesh) or per unknown (built on a space)."""

    def __init__(self, domain: Mesh | Space):
        self.count = domain.n if isinstance(domain, Space) else domain.n_cells
        self.what = f"unknowns of {domain!r}" if isinstance(domain, Space) else f"cells of '{domain.name}'"

    def _values(self, values: Tensor) -> Tensor:
        if values.numel() != self.count:
            raise ShapeError(f"the field has shape {list(values.shape)}, expected one value for the {self.what}")
        return values.reshape(-1)


class Tikhonov(_Penalty):
    r"""Roughness :math:`\int |\nabla v|^2`; with ``reference`` the distance :math:`\int (v - v_0)^2`.

    Args:
        domain: a space for values at its unknowns [n] or [n, 1]; a mesh for one value per cell [m], where the gradient
            is made of jumps: the sum over inner facets of size / distance times the jump squared.
        reference: v0, a number or a tensor.

    Reference: Tikhonov 1963; Engl, Hanke and Neubauer 1996, Regularization of Inverse Problems.
    """

    def __init__(self, domain: Mesh | Space, reference: Tensor | float | None = None):
        super().__init__(domain)
        self.reference = reference
        self._of: Space | _Slopes | _Jumps | Tensor
        if isinstance(domain, Space):
            self._of = domain if reference is not None else _Slopes(domain)
        else:
            self._of = cell_measures(domain).detach() if reference is not None else _Jumps.of(domain)

    def __call__(self, values: Tensor) -> Tensor:
        v = self._values(values)
        if self.reference is not None:
            v = v - torch.as_tensor(self.reference).reshape(-1)
        if isinstance(self._of, Tensor):
            return (self._of * v.square()).sum()
        if isinstance(self._of, Space):  # not by its measure, which is zero at the corners of quadratic cells
            return self._of.inner(v[:, None], v[:, None]).sum()
        if isinstance(self._of, _Slopes):
            return torch.stack([(square * w).sum() for square, w in self._of(v)]).sum()
        return (self._of.size / self._of.distance * self._of(v).square()).sum()


class TotalVariation(_Penalty):
    r"""Total variation :math:`\int |\nabla v|`, smoothed: fields of few flat parts with sharp edges cost little.

    On cells the sum over inner facets of their size times :math:`\sqrt{j^2 + s^2} - s` for the jump j; at unknowns the
    integral of :math:`\sqrt{|\nabla v|^2 + s^2} - s`.

    Args:
        domain: a mesh for one value per cell [m], a space for values at its unknowns.
        smoothing: s, in units of a jump (of a gradient): below it the penalty is quadratic.

    Reference: Rudin, Osher and Fatemi 1992.
    """

    def __init__(self, domain: Mesh | Space, smoothing: float = 1e-3):
        super().__init__(domain)
        if not smoothing > 0:
            raise InputError(f"smoothing is {smoothing:g}, expected a number > 0: without it there is no gradient at 0")
        self.smoothing = smoothing
        self._of = _Slopes(domain) if isinstance(domain, Space) else _Jumps.of(domain)

    def __call__(self, values: Tensor) -> Tensor:
        v, s = self._values(values), self.smoothing
        if isinstance(self._of, _Slopes):
            return torch.stack([(w * ((square + s * s).sqrt() - s)).sum() for square, w in self._of(v)]).sum()
        return (self._of.size * ((self._of(v).square() + s * s).sqrt() - s)).sum()
