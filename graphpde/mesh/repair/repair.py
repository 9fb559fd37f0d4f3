"""``repair_mesh``: points merged, bad cells dropped, the rest turned the right way round, every step counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.io.findings import findings
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.repair.inherit import Descent, with_inheritance
from graphpde.mesh.repair.steps import (
    Step,
    collapse,
    cut,
    cut_back,
    drop_flat,
    drop_repeated,
    merge_points,
    step,
    turn,
)
from graphpde.mesh.repair.traced import TracedCells


@dataclass(frozen=True)
class Repaired:
    """A repaired mesh and how it came about.

    Attributes:
        steps: in their order, those that found nothing to do among them.
        lost: members of sets and values that could not follow, one sentence each.
        points: new number of each given point [n], -1 for those dropped; merged points share one.
        cells: the given cell that each cell came from [m].
    """

    mesh: Mesh
    steps: tuple[Step, ...]
    lost: tuple[str, ...]
    points: Tensor
    cells: Tensor

    @property
    def changed(self) -> bool:
        """Whether any step found something to do."""
        return any(step.number for step in self.steps)


def repair_mesh(
    mesh: Mesh,
    *,
    merge: bool = True,
    tolerance: float | None = None,
    orient: bool = True,
    linear: bool = False,
    split: bool = False,
    scale: float | None = None,
) -> Repaired:
    """The mesh without the faults that can be mended by rule; repairing it again changes nothing more.

    In this order: quadratic cells are cut back to their corners (``linear``); points that coincide become one
    (``merge``); cells that name a point twice become the simpler cell that they are; cells on the same points as
    another and cells of zero size are dropped; the rest is turned the right way round (``orient``); quadrilaterals,
    hexahedra, wedges and pyramids are cut into simplices (``split``); points that no cell uses are dropped; lengths are
    multiplied (``scale``). The order of what stays is kept. Named sets and fields follow.

    Contact surfaces and cracks are drawn with points that coincide on purpose: for those take ``merge=False``. A flat
    cell between others leaves points on an edge of its neighbour; ``check_mesh`` finds those.

    Args:
        tolerance: for merging, in the units of the mesh before scaling; None: 1e-9 of the diagonal of its box.
        orient: cells of positive measure; surfaces in 3-D with neighbours that agree, closed ones outward.
        scale: factor of all lengths, 0.001 from millimetres to metres.

    Raises:
        MeshError: a tolerance or factor that makes no sense, splitting quadratic cells, no cell left.
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise MeshError(f"the factor of lengths is {scale}, expected a number above 0")
    steps: list[Step] = []
    cells, place = TracedCells.of(mesh), torch.arange(mesh.n)
    if linear:
        cells = _kept(steps, *cut_back(cells))
    if merge:
        done, place = merge_points(mesh, cells, tolerance)
        steps.append(done)
        cells = cells.renumbered(place)
    cells = _kept(steps, *collapse(cells, mesh))
    done, cells, twin = drop_repeated(cells, mesh)
    steps.append(done)
    cells = _kept(steps, *drop_flat(cells, mesh))
    if orient:
        cells = _kept(steps, *turn(cells, mesh))
    if split:
        cells = _kept(steps, *cut(cells, mesh, orient))
    used = cells.used()
    point = torch.full((mesh.n,), -1)
    point[used] = torch.arange(len(used))
    point = point[place]
    unused = int(((point < 0) & (place == torch.arange(mesh.n))).sum())
    steps.append(step("unused", unused, f"dropped {unused} of {mesh.n} points that no cell uses", "no unused points"))
    points = mesh.points[used]
    if scale is not None:
        points = points * scale
        steps.append(Step("scale", len(points) * (scale != 1), f"multiplied all lengths by {scale:g}"))
    new = Mesh(points, {block.kind: point[block.nodes] for block in cells.blocks}, name=mesh.name)
    new, lost = with_inheritance(mesh, new, Descent(place, point, cells.origin, twin))
    return Repaired(new.with_warnings(partial(_warnings, mesh, new)), tuple(steps), tuple(lost), point, cells.origin)


def _warnings(old: Mesh, new: Mesh) -> list[str]:
    """What import lost is still lost; what it found is looked for again."""
    found = findings(old)
    return [*(text for text in old.warnings if text not in found), *findings(new)]


def _kept(steps: list[Step], done: Step, cells: TracedCells) -> TracedCells:
    steps.append(done)
    return cells
