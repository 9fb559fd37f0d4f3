"""Exterior calculus on simplices: gradient, curl and divergence as signed incidence, Hodge stars by Whitney forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.jacobian import Action
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import MeshError, ShapeError
from graphpde.mesh.cells import SIMPLICES
from graphpde.mesh.homology import betti_numbers
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.numbering import off_diagonal, pairs_of
from graphpde.mesh.quadrature import rule
from graphpde.solve.linear import LinearSolver
from graphpde.typing import check_shape

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Derivative(NamedTuple):
    """The exterior derivative d: k-cochains -> (k+1)-cochains, a matrix of -1, 0 and 1.

    Attributes:
        relation: k-simplices -> (k+1)-simplices. sign: of each entry in own order [e].
    """

    relation: Relation
    sign: Tensor

    def __call__(self, a: Tensor) -> Tensor:
        """d a, [*, n_k, c] -> [*, n_(k+1), c]."""
        return self.relation.propagate(a, weight=self.sign.to(a.dtype))

    def adjoint(self, b: Tensor) -> Tensor:
        """d^T b, [*, n_(k+1), c] -> [*, n_k, c]: the boundary operator."""
        back = self.relation.transpose()
        return back.propagate(b, weight=back.own(self.sign.to(b.dtype)))

    def to_scipy(self) -> csr_matrix:
        """The matrix [n_(k+1), n_k], of integers."""
        from scipy.sparse import csr_matrix

        src, _ = self.relation.pairs()
        shape = (self.relation.n_dst, self.relation.n_src)
        return csr_matrix((self.sign.numpy().astype(np.int64), src.numpy(), self.relation.ptr.numpy()), shape=shape)


class Cochains:
    r"""The de Rham complex of a simplicial mesh: a k-cochain is one number for each k-simplex [*, n_k, c].

    It stands for a k-form, the number being its integral over the simplex: values at points, circulations along edges,
    fluxes through faces, contents of cells. d is the gradient, the curl and the divergence in turn, and d d = 0
    exactly; all geometry is in the Hodge stars. These are Whitney's: star_k is the mass matrix of the Whitney k-forms,
    positive definite on every mesh, not diagonal. d_0^T star_1 d_0 is the stiffness matrix of linear elements.

    k-simplices are numbered as ``mesh.entities(k)``. They point from lower to higher point numbers; the cells
    themselves keep the orientation of the mesh.

    Args:
        mesh: lines, triangles or tetrahedra, flat or curved in space, with gradients through its points.

    Raises:
        MeshError: other cells than simplices, or points that no cell uses.

    Reference: Whitney 1957, Geometric Integration Theory; Arnold, Falk and Winther 2006, Acta Numerica 15.
    """

    def __init__(self, mesh: Mesh):
        kinds = [kind for kind, _, _ in mesh.corners()]
        other = sorted(set(kinds) - set(SIMPLICES))
        if other:
            raise MeshError(
                f"exterior calculus works on simplices, '{mesh.name}' has {', '.join(other)} cells; "
                f"split them into triangles or tetrahedra"
            )
        if len(mesh.used_points) < mesh.n:
            raise MeshError(
                f"{mesh.n - len(mesh.used_points)} points of '{mesh.name}' belong to no cell, so that 0-forms have "
                f"no mass there; remove them with repair_mesh"
            )
        self.mesh, self.dim = mesh, mesh.dim
        corners = torch.cat([nodes for _, nodes, _ in mesh.corners()])
        self._cells, order = torch.sort(corners, 1)
        self._parity = _parity(order)

    def count(self, k: int) -> int:
        """Number n_k of k-simplices."""
        return len(self.mesh.entities(self._checked(k)).nodes)

    def d(self, k: int) -> Derivative:
        """The exterior derivative of k-cochains, 0 <= k < dim: gradient, curl, divergence."""
        self._checked(k, self.dim - 1)
        return self._derivatives[k]

    @cached
    def _derivatives(self) -> list[Derivative]:
        out = []
        for k in range(self.dim):
            top = k + 1 == self.dim
            simplices = self._cells if top else torch.sort(self.mesh.entities(k + 1).nodes, 1).values
            faces = [simplices[:, [j for j in range(k + 2) if j != i]] for i in range(k + 2)]
            src = torch.stack([self.mesh.find(k, face) for face in faces], 1)
            sign = torch.tensor([(-1.0) ** i for i in range(k + 2)], dtype=torch.float64).expand(src.shape)
            if top:
                sign = sign * self._parity[:, None]
            dst = torch.arange(len(src)).repeat_interleave(k + 2)
            relation = Relation.from_edges(src.reshape(-1), dst, self.count(k), len(src))
            out.append(Derivative(relation, relation.own(sign.reshape(-1))))
        return out

    # Hodge stars

    def star(self, k: int) -> LinearOperator:
        r"""The Whitney star M_k [n_k, n_k]: \int w_s . w_t of the Whitney forms of two k-simplices."""
        if self.mesh.points.requires_grad:
            return self._whitney(self._checked(k))
        if k not in self._stars:
            self._stars[k] = self._whitney(self._checked(k))
        return self._stars[k]

    @cached
    def _stars(self) -> dict[int, LinearOperator]:
        return {}

    def _whitney(self, k: int) -> LinearOperator:
        gram, volume = self._geometry
        local = _local_star(gram, volume, k)
        ids = self._local_simplices(k)
        m, width = ids.shape
        to_simplex = Relation.from_edges(torch.arange(m * width), ids.reshape(-1), m * width, self.count(k))
        own = local.diagonal(dim1=1, dim2=2).reshape(-1, 1)
        diag = to_simplex.collect(to_simplex.own(own))[:, 0]
        if k == self.dim:
            return Diagonal(diag)
        src, dst = pairs_of(ids)
        relation = Relation.from_edges(src, dst, self.count(k), self.count(k), coalesce=True)
        return Sparse(relation, relation.own(local[:, off_diagonal(width)].reshape(-1)), diag, symmetric=True)

    def codifferential(self, k: int, a: Tensor) -> Tensor:
        """The codifferential M_(k-1)^-1 d^T M_k a of k-cochains [*, n_k, c] -> [*, n_(k-1), c], k >= 1.

        It is the adjoint of d; of a 1-form it is minus the divergence (with natural boundary conditions).
        """
        self._checked(k)
        if k == 0:
            raise ShapeError("the codifferential of a 0-form is zero; it is defined for k >= 1")
        check_shape(a, "* n c", "cochain", n=self.count(k))
        return self._inverse_star(k - 1)(self.d(k - 1).adjoint(self.star(k).matvec(a)))

    def laplacian(self, k: int) -> LinearOperator:
        """The Hodge Laplacian d^T M_(k+1) d + M_k d M_(k-1)^-1 d^T M_k of k-cochains, weak and symmetric.

        Its kernel are the harmonic k-forms, as many as the Betti number. It is known by its action.
        """
        n, star = self.count(k), self.star(k)

        def apply(a: Tensor) -> Tensor:
            total = torch.zeros_like(a)
            if k < self.dim:
                d = self.d(k)
                total = total + d.adjoint(self.star(k + 1).matvec(d(a)))
            if k > 0:
                total = total + star.matvec(self.d(k - 1)(self.codifferential(k, a)))
            return total

        return Action(n, apply, apply, symmetric=True)

    def _inverse_star(self, k: int) -> Callable[[Tensor], Tensor]:
        if self.mesh.points.requires_grad:
            return LinearSolver(self.star(k))
        if k not in self._inverses:
            self._inverses[k] = LinearSolver(self.star(k), rtol=1e-13)
        return self._inverses[k]

    @cached
    def _inverses(self) -> dict[int, LinearSolver]:
        return {}

    # fields

    def integrate(self, k: int, field: Callable[[Tensor], Tensor], degree: int = 5) -> Tensor:
        """The de Rham map: the integrals of a smooth k-form over every k-simplex [n_k, 1].

        Args:
            field: x [p, d] -> values. 0-forms: [p]. 1-forms: the vectors [p, d] whose circulation is taken. 2-forms in
                space: the vectors [p, 3] whose flux is taken. Forms of the highest degree: the density [p].
            degree: the quadrature is exact for polynomials of this degree.

        Raises:
            ShapeError: the field has another shape.
        """
        self._checked(k)
        mesh, d = self.mesh, self.mesh.space_dim
        if 0 < k < self.dim and k != 1 and d != 3:
            raise ShapeError(f"{k}-forms in {d} dimensions have no vector that stands for them")
        nodes = self._cells if k == self.dim else torch.sort(mesh.entities(k).nodes, 1).values
        xi, weight = rule(SIMPLICES[k], degree)
        x = mesh.points[nodes]
        legs = x[:, 1:] - x[:, :1]
        at = x[:, :1] + torch.einsum("qr,mrd->mqd", xi, legs)
        vector = k == 1 or 1 < k < self.dim
        values = field(at.flatten(0, 1))
        expected = [len(values), d] if vector else [len(values)]
        if list(values.shape) != expected or len(values) != at.shape[0] * at.shape[1]:
            raise ShapeError(
                f"the {k}-form has shape {list(values.shape)}, expected {[at.shape[0] * at.shape[1], *expected[1:]]}"
            )
        mean = torch.einsum("q,mq...->m...", weight, values.unflatten(0, at.shape[:2]))
        if k == 0:
            return mean[:, None]
        if k == 1:
            along = (mean * legs[:, 0]).sum(1)
            return (along * self._parity if self.dim == 1 else along)[:, None]
        if vector:
            return (mean * torch.linalg.cross(legs[:, 0], legs[:, 1])).sum(1)[:, None]
        return (mean * torch.linalg.det(legs @ legs.mT).sqrt())[:, None]

    def vectors(self, a: Tensor) -> Tensor:
        """The vector field of a 1-cochain a [n_1, 1] at the centroids of the cells [m, d], by Whitney's forms."""
        check_shape(a, "n c", "cochain", n=self.count(1), c=1)
        ids, slope = self._local_simplices(1), self._slopes
        along = a[:, 0][ids]
        if self.dim == 1:
            along = along * self._parity[:, None]
        pairs = list(combinations(range(self.dim + 1), 2))
        each = torch.stack([slope[:, j] - slope[:, i] for i, j in pairs], 1)
        return torch.einsum("ms,msd->md", along, each) / (self.dim + 1)

    # topology

    def betti(self) -> list[int]:
        """Betti numbers b_0 .. b_dim, by rank: components, tunnels, cavities. Their alternating sum is Euler's."""
        return betti_numbers([self.d(k).to_scipy() for k in range(self.dim)])

    # geometry

    @property
    def _slopes(self) -> Tensor:
        """Gradients of the barycentric coordinates [m, dim + 1, d], corners in ascending order."""
        x = self.mesh.points[self._cells]
        legs = x[:, 1:] - x[:, :1]
        rest = torch.linalg.inv(legs @ legs.mT) @ legs
        return torch.cat([-rest.sum(1, keepdim=True), rest], 1)

    @property
    def _geometry(self) -> tuple[Tensor, Tensor]:
        """Inner products of these gradients [m, dim + 1, dim + 1] and volumes [m]."""
        x = self.mesh.points[self._cells]
        legs = x[:, 1:] - x[:, :1]
        slopes = self._slopes
        return slopes @ slopes.mT, torch.linalg.det(legs @ legs.mT).sqrt() / math.factorial(self.dim)

    def _local_simplices(self, k: int) -> Tensor:
        """Numbers of the k-simplices of each cell [m, (dim + 1 over k + 1)]."""
        if k == self.dim:
            return torch.arange(len(self._cells))[:, None]
        parts = combinations(range(self.dim + 1), k + 1)
        return torch.stack([self.mesh.find(k, self._cells[:, list(part)]) for part in parts], 1)

    def _checked(self, k: int, highest: int | None = None) -> int:
        highest = self.dim if highest is None else highest
        if not 0 <= k <= highest:
            raise ShapeError(f"k = {k}, expected a degree of forms in 0..{highest} on '{self.mesh.name}'")
        return k


def _parity(order: Tensor) -> Tensor:
    """Sign of each permutation [m, w] as -1 or 1 [m]."""
    sign = torch.ones(len(order), dtype=torch.float64)
    for i, j in combinations(range(order.shape[1]), 2):
        sign = torch.where(order[:, i] > order[:, j], -sign, sign)
    return sign


def _local_star(gram: Tensor, volume: Tensor, k: int) -> Tensor:
    r"""Whitney mass matrices [m, s, s] of the k-simplices of each cell, from the Gram matrices of d lambda.

    w_s = k! \sum_i (-1)^i lambda_i d lambda_0 .. (without i) .. d lambda_k, and \int lambda_a lambda_b is
    |T| (1 + delta_ab) / ((n + 1) (n + 2)) on an n-simplex T.
    """
    n = gram.shape[-1] - 1
    simplices = list(combinations(range(n + 1), k + 1))
    rows = []
    for s in simplices:
        for t in simplices:
            entry = torch.zeros_like(volume)
            for i, a in enumerate(s):
                for j, b in enumerate(t):
                    left, right = [v for v in s if v != a], [v for v in t if v != b]
                    minor = torch.linalg.det(gram[:, left][:, :, right]) if k else torch.ones_like(volume)
                    entry = entry + (-1) ** (i + j) * (1 + (a == b)) * minor
            rows.append(entry)
    table = torch.stack(rows, 1).reshape(len(volume), len(simplices), len(simplices))
    return table * (math.factorial(k) ** 2 * volume / ((n + 1) * (n + 2)))[:, None, None]
