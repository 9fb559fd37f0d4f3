"""Which shape: boundary points move downhill, their neighbourhood follows, cells stay good ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.checks import number, positive, whole
from graphpde.core.linear_operator import Sparse
from graphpde.errors import InputError, MeshError, SolveError
from graphpde.mesh.geometry import cell_measures, mesh_size
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.shape import corner_jacobians, quality_measures
from graphpde.mesh.space import Space
from graphpde.solve.linear import LinearSolver
from graphpde.train.shape import HarmonicMotion

Objective = Callable[[Mesh], Tensor]
_HALVINGS = 12  # of a step, before there is none
_NEWTON = 20
_DOWNHILL = 1e-3  # share of the promised decrease that a step must keep (Nocedal and Wright 2006, eq. (3.4))


class FreeBoundary:
    """A mesh whose boundary ``where`` moves as told; points it shares with the rest of the boundary stay.

    Points inside follow harmonically (:class:`~graphpde.train.shape.HarmonicMotion`). Downhill is measured by the
    energy of the motion that spreads into the body, so that the boundary stays as smooth as it was.

    Args:
        mesh: in the plane or in space. where: a named set of boundary facets.

    Attributes:
        moved: numbers of the points that move [k].

    Raises:
        InputError: nothing moves. UnknownName: no such set.

    Reference: Schulz, Siebenborn and Welker 2016, SIAM J. Optim. 26, 2800-2819 (Steklov-Poincare metrics).
    """

    def __init__(self, mesh: Mesh, where: str):
        nodes, facets = mesh.tag(where).nodes, mesh.boundary_facets
        others = facets[~torch.isin(facets, mesh.tag(where).ids)]
        self.moved = nodes[~torch.isin(nodes, mesh.facets.nodes[others])]
        if not len(self.moved):
            raise InputError(f"no point of '{where}' can move: all belong to other parts of the boundary as well")
        self.mesh = mesh
        self._motion = HarmonicMotion(mesh, self.moved)
        space = Space(mesh.with_points(mesh.points.detach()), "p1" if _straight(mesh) else "q1")
        held = torch.zeros(space.n, dtype=torch.bool)
        held[space.dof_of_point[mesh.facets.nodes[facets].unique().clamp(min=0)]] = True
        held[space.dof_of_point[self.moved]] = False
        self._rows, self._n = space.dof_of_point[self.moved], space.n
        self._spread = LinearSolver(Sparse.laplacian(space.edges, -space.weight, symmetric=True).pinned(held))

    def start(self) -> Tensor:
        """No displacement [k, d]."""
        return torch.zeros(len(self.moved), self.mesh.space_dim, dtype=self.mesh.points.dtype)

    def __call__(self, displacement: Tensor) -> Mesh:
        """The mesh with the boundary displaced [k, d]; differentiable.

        Raises:
            MeshError: a cell has turned over, or nearly so.
        """
        return self._motion(displacement)

    @torch.no_grad()
    def uphill(self, gradient: Tensor, across: Tensor) -> Tensor:
        """The displacement [k, d] that a gradient [k, d] stands for.

        Args:
            across: gradient of the volume [k, d], which points along the normals. The rest of a gradient moves points
                along the boundary: that changes no shape, only its cells.
        """
        normals = across / torch.linalg.vector_norm(across, dim=1, keepdim=True)
        normal = (gradient * normals).sum(1, keepdim=True) * normals
        load = normal.new_zeros(self._n, normal.shape[1]).index_copy(0, self._rows, normal)
        return self._spread(load)[self._rows]


@dataclass(frozen=True)
class Shape:
    """A shape and the way to it.

    Attributes:
        mesh: the last one, with the numbers of the first one. objective, volume, quality: at the start and after each
            step; quality is that of the worst cell. converged: whether steps have become worthless. reason: why it
            ended, one sentence.
    """

    mesh: Mesh
    objective: tuple[float, ...]
    volume: tuple[float, ...]
    quality: tuple[float, ...]
    converged: bool
    reason: str

    @property
    def steps(self) -> int:
        return len(self.objective) - 1


def minimise_shape(
    mesh: Mesh,
    where: str,
    objective: Objective,
    *,
    least: float = 0.2,
    steps: int = 50,
    change: float = 1e-4,
) -> Shape:
    """The shape of least objective among those of the same volume, by steps downhill of one part of the boundary.

    A step that would turn a cell, leave one worse than ``least``, or not lower the objective is halved.

    Args:
        mesh: in the plane or in space. where: the named set of facets that moves, see :class:`FreeBoundary`.
        objective: of a mesh, differentiable by its points: build the space in it. least: quality
            (:func:`~graphpde.mesh.shape.quality_measures`) that no cell falls below.
        steps: at most. change: relative decrease of the objective below which a step is the last one.

    Raises:
        InputError: bad numbers, a mesh that is worse from the start, nothing that moves. UnknownName: no such set.
    """
    number("least", least, below=1.0)
    whole("steps", steps)
    positive("change", change)
    mesh = mesh.with_points(mesh.points.detach())
    worst, cell = worst_cell(mesh)
    if worst < least:
        raise InputError(
            f"cell {cell} of '{mesh.name}' has the quality {worst:.2g} from the start, less than least = {least:g}; "
            f"mesh the shape anew or take a smaller bound"
        )
    search = _Search(where, objective, least, float(cell_measures(mesh).sum()))
    here, longest = search.at(mesh), 0.5 * mesh_size(mesh)
    history, reason, converged = [here], f"{steps} steps were allowed", False
    for _ in range(steps):
        if not here.size > 0 or not here.fall * longest / here.size > 1e-12 * abs(here.value):
            reason, converged = "no direction leads downhill", True
            break
        moved, step, barrier = search.down(here, longest / here.size)
        if moved is None:
            reason = f"no step is left, {barrier or 'the objective does not fall as its gradient promises'}"
            converged = not barrier and step * here.fall < change * abs(here.value)
            break
        last, here = here, search.at(moved)  # anew in each step: small motions spread better than a large one
        longest = 2 * step * last.size
        history.append(here)
        if last.value - here.value <= change * abs(here.value):
            converged = not barrier
            reason = (
                f"no longer step is left, {barrier}" if barrier else "a step lowers the objective by next to nothing"
            )
            break
    objectives, volumes = tuple(one.value for one in history), tuple(one.volume for one in history)
    qualities = tuple(one.quality for one in history)
    return Shape(here.boundary.mesh, objectives, volumes, qualities, converged, reason)


def worst_cell(mesh: Mesh) -> tuple[float, int]:
    """The least quality and its cell; below zero where a cell is turned over at a corner."""
    with torch.no_grad():
        quality, corners = quality_measures(mesh)["quality"], corner_jacobians(mesh)
        quality = quality if corners is None else torch.where(corners[0] > 0, quality, corners[0].clamp(max=-0.0))
        k = int(quality.argmin())
        return float(quality[k]), k


class _Here(NamedTuple):
    """Figures of a mesh, the way down at equal volume and across [k, d], and the fall that a step of 1 promises."""

    value: float
    volume: float
    quality: float
    boundary: FreeBoundary
    way: Tensor
    up: Tensor
    fall: float

    @property
    def size(self) -> float:
        """How far the way leads at most."""
        return float(torch.linalg.vector_norm(self.way, dim=1).max())


class _Search(NamedTuple):
    """Where to look: what moves, the objective, the least quality, and the volume that is kept."""

    where: str
    objective: Objective
    least: float
    kept: float

    def at(self, mesh: Mesh) -> _Here:
        boundary = FreeBoundary(mesh, self.where)
        at = boundary.start().requires_grad_()
        moved = boundary(at)
        value, volume = self.objective(moved), cell_measures(moved).sum()
        if not isinstance(value, Tensor) or value.dim() or not torch.isfinite(value.detach()):
            shown = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) and value.dim() else f"{value!r}"
            raise InputError(f"the objective is {shown}, expected one finite number as a tensor without dimensions")
        if not value.requires_grad:
            raise InputError("the objective does not depend on the points of its mesh; build the space from that mesh")
        slope, across = (torch.autograd.grad(y, at, retain_graph=True)[0] for y in (value, volume))
        way, up = boundary.uphill(slope, across), boundary.uphill(across, across)
        way = up * ((across * way).sum() / (across * up).sum()) - way
        worst, fall = worst_cell(mesh)[0], -float((slope * way).sum())
        return _Here(float(value.detach()), float(volume.detach()), worst, boundary, way, up, fall)

    def down(self, here: _Here, step: float) -> tuple[Mesh | None, float, str]:
        """The mesh after a step of this length or a half, a quarter, ..., the length, and what was in the way."""
        barrier = ""
        for _ in range(_HALVINGS):
            try:
                mesh = self.kept_volume(here, step * here.way)
                with torch.no_grad():
                    worst, cell = worst_cell(mesh)
                    if worst < self.least:
                        raise MeshError(f"cell {cell} would have the quality {worst:.2g}, less than {self.least:g}")
                    value = float(self.objective(mesh))
                if value <= here.value - _DOWNHILL * step * here.fall:
                    return mesh, step, barrier
            except (MeshError, SolveError) as error:
                barrier = str(error)
            step *= 0.5
        return None, step, barrier

    def kept_volume(self, here: _Here, displacement: Tensor) -> Mesh:
        """The mesh near a displacement [k, d] that has the volume kept: Newton's method across the boundary."""
        for _ in range(_NEWTON):
            at = displacement.detach().requires_grad_()
            mesh = here.boundary(at)
            volume = cell_measures(mesh).sum()
            over = float(volume.detach()) - self.kept
            if abs(over) <= 1e-13 * self.kept:
                break
            displacement = at - here.up * (over / (torch.autograd.grad(volume, at)[0] * here.up).sum())
        return mesh.with_points(mesh.points.detach())


def _straight(mesh: Mesh) -> bool:
    return mesh.cells.keys() <= {"line", "triangle", "tetra"}
