"""The steps of a repair: each returns what it did, in one sentence with its count, and the cells that it left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.check import flat_cells
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.repair.collapse import simpler
from graphpde.mesh.repair.merge import coinciding
from graphpde.mesh.repair.simplices import SIMPLEX_OF, into_simplices
from graphpde.mesh.repair.traced import Block, TracedCells
from graphpde.mesh.repair.winding import turned, winding
from graphpde.mesh.rows import grouped, sorted_rows


class Step(NamedTuple):
    """One step of a repair.

    Attributes:
        name: linear, merge, collapse, repeated, flat, orient, split, unused or scale.
        number: how many points or cells it changed. text: the same and what is to be known, one sentence.
    """

    name: str
    number: int
    text: str


def step(name: str, count: int, done: str, nothing: str) -> Step:
    return Step(name, count, done if count else nothing)


def _of(count: int, total: int, what: str = "cells") -> str:
    return f"{count} of {total} {what}"


def _listed(counts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def cut_back(cells: TracedCells) -> tuple[Step, TracedCells]:
    parts, high = [], []
    for kind, nodes, origin in cells.blocks:
        corners = CELLS[kind].corners
        parts.append(Block(corners, nodes[:, : CELLS[corners].nodes], origin))
        high.append((len(nodes) if kind != corners else 0, f"{kind} cells became {corners} cells"))
    count = sum(number for number, _ in high)
    order = [CELLS[kind].corners for kind in cells.kinds]
    done = step("linear", count, f"took cells at their corners: {_listed(high)}", "all cells are linear")
    return done, TracedCells.joined(parts, order)


def merge_points(mesh: Mesh, cells: TracedCells, tolerance: float | None) -> tuple[Step, Tensor]:
    points = cells.used().numpy()
    found = coinciding(mesh, points, tolerance)
    place = torch.from_numpy(found.place)
    count = int((place != torch.arange(mesh.n)).sum())
    reach = f"{found.tolerance:.2g}"
    apart = f"at most {found.farthest:.2g} apart" if found.farthest else "exactly equal"
    text = f"merged {_of(count, mesh.n, 'points')} into the one they coincide with (tolerance {reach}, {apart})"
    return step("merge", count, text, f"no points coincide (tolerance {reach})"), place


def collapse(cells: TracedCells, mesh: Mesh) -> tuple[Step, TracedCells]:
    found = simpler(cells, mesh.points)
    done = [(count, f"{old} became {new}") for (old, new), count in sorted(found.became.items())]
    count = sum(number for number, _ in done) + found.gone
    listed = _listed([*done, (found.gone, "dropped")])
    text = f"{_of(count, len(cells))} named a point twice: {listed}"
    nothing = "no cell names a point twice"
    if found.left:
        remark = f"{found.left} cells that name a point twice have no simpler type and stay; --split resolves them"
        text, nothing = f"{text}; {remark}", remark
    _check_any(found.cells, mesh, "name a point twice")
    return step("collapse", count, text, nothing), found.cells


def drop_repeated(cells: TracedCells, mesh: Mesh) -> tuple[Step, TracedCells, Tensor]:
    """Also the cell that stands for each given one, itself or the first on the same points [m]."""
    first = _first_on_same_points(cells, mesh.points)
    new = first == torch.arange(len(first))
    twin = torch.arange(mesh.n_cells)
    twin[cells.origin] = cells.origin[first]
    count = int((~new).sum())
    text = f"dropped {_of(count, len(cells))} that stood on the same points as another"
    return step("repeated", count, text, "no cell stands on the same points as another"), cells.kept(new), twin


def _first_on_same_points(cells: TracedCells, points: Tensor) -> Tensor:
    """The first cell with the same corners [m]."""
    mesh = cells.mesh(points)
    first, group, _ = grouped(sorted_rows(mesh.entities(mesh.dim).nodes.numpy()))
    return torch.from_numpy(first[group])


def drop_flat(cells: TracedCells, mesh: Mesh) -> tuple[Step, TracedCells]:
    flat = flat_cells(cells.mesh(mesh.points.detach()))
    count, total = int(flat.sum()), len(cells)
    cells = cells.kept(~flat)
    _check_any(cells, mesh, "have zero size")
    return step("flat", count, f"dropped {_of(count, total)} of zero size", "no cell has zero size"), cells


def _check_any(cells: TracedCells, mesh: Mesh, fault: str) -> None:
    if not len(cells):
        raise MeshError(
            f"no cell of '{mesh.name}' would be left: all of its {mesh.n_cells} {', '.join(mesh.cells)} cells {fault}; "
            f"mend it where it was made, or merge with a smaller tolerance"
        )


def turn(cells: TracedCells, mesh: Mesh) -> tuple[Step, TracedCells]:
    found = winding(cells.mesh(mesh.points.detach()))
    cells, stubborn = turned(cells, found.wrong)
    count = int(found.wrong.sum() - stubborn.sum())
    remarks = []
    if stubborn.any():
        remarks.append(f"{int(stubborn.sum())} of third order stay turned over; take them at their corners (--linear)")
    if found.parts:
        cells_ = int(found.one_sided.sum())
        remarks.append(f"{found.parts} one-sided parts ({cells_} cells) have no consistent orientation and stay")
    if found.inner:
        remarks.append(f"{found.inner} closed parts inside another look inward and stay, as walls of cavities do")
    more = "".join(f"; {remark}" for remark in remarks)
    text = f"turned {_of(count, len(cells))} the right way round{more}"
    return step("orient", count, text, f"no cell had to be turned{more}"), cells


def cut(cells: TracedCells, mesh: Mesh, orient: bool) -> tuple[Step, TracedCells]:
    quadratic = [k for k in cells.kinds if CELLS[k].corners != k and CELLS[k].corners in SIMPLEX_OF]
    if quadratic:
        raise MeshError(
            f"'{mesh.name}' has {', '.join(quadratic)} cells, which are not split with their mid-side nodes; take them "
            f"at their corners as well (--linear, or linear=True)"
        )
    counts = [(len(nodes), kind) for kind, nodes, _ in cells.blocks if kind in SIMPLEX_OF]
    count = sum(number for number, _ in counts)
    if not count:
        return Step("split", 0, "all cells are simplices"), cells
    before = len(cells)
    cells = into_simplices(cells, mesh.points)
    simplex = SIMPLEX_OF[counts[0][1]]
    text = f"cut {_listed(counts)} into {len(cells) - before + count} {simplex}"
    first = _first_on_same_points(cells, mesh.points)
    bad = (first != torch.arange(len(first))) | flat_cells(cells.mesh(mesh.points.detach()))
    if bad.any():
        text += f", of which {int(bad.sum())} were flat or there already and were dropped"
        cells = cells.kept(~bad)
    if orient:
        wrong = winding(cells.mesh(mesh.points.detach())).wrong
        if wrong.any():
            text += (
                f"; {int(wrong.sum())} came out turned over, of cells that are folded or warped: pieces overlap there"
            )
            cells, _ = turned(cells, wrong)
    return Step("split", count, text), cells
