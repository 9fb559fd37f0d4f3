"""Shapes as parameters: boundary points move as told, the mesh inside follows harmonically."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphpde.core.linear_operator import Sparse
from graphpde.errors import InputError, MeshError
from graphpde.mesh.geometry import signed_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.solve.linear import LinearSolver


class HarmonicMotion:
    """Moves some boundary points of a mesh, keeps the rest of its boundary, and spreads the motion harmonically.

    The displacement solves Laplace's equation on the mesh as given, so it is linear in the displacement of the
    boundary; the system is factored once.

    Args:
        mesh: in the plane or in space, every point used. moved: numbers of the points that move [k].
        least: share of its own size below which a cell must not shrink.

    Raises:
        InputError: points that are not on the boundary.
    """

    def __init__(self, mesh: Mesh, moved: Tensor, *, least: float = 0.05):
        self.mesh, self.moved, self.least = mesh, moved, least
        space = Space(mesh.with_points(mesh.points.detach()), "p1" if mesh.cells.keys() <= _SIMPLICES else "q1")
        outer = mesh.tag("boundary").nodes
        if not bool(torch.isin(moved, outer).all()):
            raise InputError(f"{int((~torch.isin(moved, outer)).sum())} of the moved points are not on the boundary")
        dofs = space.dof_of_point
        fixed = torch.zeros(space.n, dtype=torch.bool)
        fixed[dofs[outer]] = True
        self._laplacian = Sparse.laplacian(space.edges, -space.weight, symmetric=True)
        self._solver = LinearSolver(self._laplacian.pinned(fixed))
        self._space, self._fixed, self._rows = space, fixed, dofs[moved]
        self._sizes = signed_measures(mesh).detach()

    def __call__(self, displacement: Tensor) -> Mesh:
        """The mesh with its moved points displaced [k, d]; differentiable.

        Raises:
            MeshError: a cell has turned over, or nearly so.
        """
        space = self._space
        held = displacement.new_zeros(space.n, displacement.shape[1]).index_copy(0, self._rows, displacement)
        load = torch.where(self._fixed[:, None], 0.0, -self._laplacian.matvec(held))
        inside = self._solver(load) + held
        dofs = space.dof_of_point
        shift = torch.where((dofs >= 0)[:, None], inside[dofs.clamp(min=0)], 0.0)
        return guarded(self.mesh.with_points(self.mesh.points.detach() + shift), self._sizes, self.least)


_SIMPLICES = {"line", "triangle", "tetra"}


def guarded(mesh: Mesh, sizes: Tensor, least: float) -> Mesh:
    """The mesh, if none of its cells has become smaller than ``least`` times its signed size [m] of before.

    Raises:
        MeshError: counts the cells that have, and names the worst.
    """
    share = signed_measures(mesh).detach() / sizes
    if bool((share < least).any()):
        k = int(share.argmin())
        what = "turned over" if float(share[k]) <= 0 else "nearly vanished"
        raise MeshError(
            f"{int((share < least).sum())} cells of '{mesh.name}' have {what}, cell {k} most of all "
            f"({float(share[k]):.2g} times its size); move the points less, or mesh the shape anew"
        )
    return mesh


class RoundHole(nn.Module):
    r"""A hole with centre p and radius :math:`r (1 + \sum_k a_k \cos k\theta + b_k \sin k\theta)`, k = 2, 3, ...

    ``forward()`` returns the mesh with the hole so; what learns is the centre, the logarithm of the radius and the
    modes (k = 1 would be a motion of the centre).

    Args:
        mesh: with a hole about as round. where: the name of its boundary. modes: how many.

    Attributes:
        centre [2], log_radius, modes [modes, 2]: the parameters, at the start those of the hole in the mesh.
    """

    def __init__(self, mesh: Mesh, where: str, *, modes: int = 0):
        super().__init__()
        nodes = mesh.tag(where).nodes
        x = mesh.points[nodes].detach()
        middle = x.mean(0)
        arms = x - middle
        self.motion = HarmonicMotion(mesh, nodes)
        self._start, self._angle = x, torch.atan2(arms[:, 1], arms[:, 0])
        self.centre = nn.Parameter(middle.clone())
        self.log_radius = nn.Parameter(torch.linalg.vector_norm(arms, dim=1).mean().log())
        self.modes = nn.Parameter(torch.zeros(modes, 2, dtype=x.dtype))

    def boundary(self) -> Tensor:
        """Where the points of the boundary are now [k, 2]."""
        theta = self._angle
        wave = theta[:, None] * torch.arange(2, 2 + len(self.modes), dtype=theta.dtype)
        bumps = wave.cos() @ self.modes[:, 0] + wave.sin() @ self.modes[:, 1]
        radius = self.log_radius.exp() * (1 + bumps)
        return self.centre + radius[:, None] * torch.stack([theta.cos(), theta.sin()], 1)

    def forward(self) -> Mesh:
        return self.motion(self.boundary() - self._start)
