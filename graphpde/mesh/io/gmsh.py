"""Writer of gmsh meshes, format 4.1 as text: named sets become physical groups, boundary facets become elements.

Gmsh knows groups of entities only, so cells are sorted into discrete entities, one for each dimension and combination
of sets: a cell in several sets keeps all of them.

Source: Gmsh reference manual, "MSH file format".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from graphpde.errors import OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.gmsh_table import CODES, UNGROUPED, from_vtk
from graphpde.mesh.mesh import Mesh

_OF_WIDTH = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}


class _Entity(NamedTuple):
    """A discrete entity: dimension, number, the groups it belongs to, its elements by type [k, w]."""

    dim: int
    number: int
    groups: list[int]
    elements: dict[str, np.ndarray]


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh and its named sets.

    Sets of points, edges and facets are written as elements; all cells are written, in a set or not. A name with a
    suffix such as ``:1d`` loses it, as gmsh keeps names apart by dimension; a number stays the number of its group;
    double quotes in names become single ones.

    Raises:
        OutputError: the file cannot be written, or gmsh has no element for a cell type.
    """
    for kind in mesh.cells:
        if kind not in CODES:
            raise OutputError(f"cannot write '{path.name}': gmsh has no element for {kind} cells; write a .vtu file")
    names, entities = _entities(mesh)
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.write("$MeshFormat\n4.1 0 8\n$EndMeshFormat\n")
        labels = [f'{dim} {group} "{name}"\n' for (dim, name), group in names.items() if name != str(group)]
        if labels:
            out.write(f"$PhysicalNames\n{len(labels)}\n")
            out.writelines(labels)
            out.write("$EndPhysicalNames\n")
        points = np.zeros((mesh.n, 3))
        points[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
        out.writelines(_entity_lines(entities, points))
        out.writelines(_node_lines(mesh.dim, entities, points))
        out.writelines(_element_lines(entities))
    return []


def _groups(mesh: Mesh) -> dict[tuple[int, str], list[torch.Tensor]]:
    """Sets by dimension and name without the suffix that tells dimensions apart."""
    out: dict[tuple[int, str], list[torch.Tensor]] = {}
    for name, tag in mesh.tags.items():
        plain = name.removesuffix(f":{tag.dim}d").replace('"', "'").replace("\n", " ")
        out.setdefault((tag.dim, plain), []).append(tag.ids)
    return out


def _numbered(names: list[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """A group number for each name: the name itself where it is a number, else the next free one."""
    out = {key: int(key[1]) for key in names if key[1].isdecimal() and key[1] == str(int(key[1])) and int(key[1])}
    free = iter(range(1, len(names) + len(out) + max(out.values(), default=0) + 2))
    taken = set(out.values())
    for key in names:
        if key not in out:
            out[key] = next(number for number in free if number not in taken)
    return {key: out[key] for key in names}


def _entities(mesh: Mesh) -> tuple[dict[tuple[int, str], int], list[_Entity]]:
    """Physical groups (dim, name) -> number, and the entities of all dimensions."""
    groups = _groups(mesh)
    names = _numbered([*groups, *([(mesh.dim, UNGROUPED)] if groups else [])])
    by_dim: dict[int, list[tuple[int, torch.Tensor]]] = {}
    for key, parts in groups.items():
        by_dim.setdefault(key[0], []).append((names[key], torch.cat(parts)))
    entities: list[_Entity] = []
    for dim in range(mesh.dim + 1):
        sets = by_dim.get(dim, [])
        if dim < mesh.dim and not sets:
            continue
        count = mesh.n_cells if dim == mesh.dim else len(mesh.entities(dim).nodes)
        member = np.zeros((count, len(sets)), dtype=bool)
        for column, (_, chosen) in enumerate(sets):
            member[chosen.numpy(), column] = True
        rows, inverse = np.unique(member, axis=0, return_inverse=True)
        for row, combination in enumerate(rows):
            if dim == mesh.dim or combination.any():
                ids = np.flatnonzero(inverse.reshape(-1) == row)
                mine = [number for (number, _), inside in zip(sets, combination) if inside]
                mine = mine or [number for key, number in names.items() if key == (dim, UNGROUPED)]
                entities.append(_Entity(dim, len(entities) + 1, mine, _elements(mesh, dim, ids)))
    if not any(names.get((mesh.dim, UNGROUPED)) in entity.groups for entity in entities):
        names.pop((mesh.dim, UNGROUPED), None)
    return names, entities


def _elements(mesh: Mesh, dim: int, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Point numbers of cells or of entities of lower dimension, by type."""
    out: dict[str, np.ndarray] = {}
    if dim == mesh.dim:
        start = 0
        for kind, nodes in mesh.cells.items():
            mine = ids[(ids >= start) & (ids < start + len(nodes))] - start
            start += len(nodes)
            if len(mine):
                out[kind] = nodes.numpy()[mine]
        return out
    rows = mesh.entities(dim).nodes.numpy()[ids]
    width = (rows >= 0).sum(1)
    for corners in np.unique(width).tolist():
        out[_OF_WIDTH[corners]] = rows[width == corners][:, :corners]
    return out


def _entity_lines(entities: list[_Entity], points: np.ndarray) -> Iterator[str]:
    counts = [sum(entity.dim == dim for entity in entities) for dim in range(4)]
    yield "$Entities\n" + " ".join(map(str, counts)) + "\n"
    for entity in entities:
        groups = " ".join(map(str, [len(entity.groups), *entity.groups]))
        used = points[np.concatenate([nodes.reshape(-1) for nodes in entity.elements.values()])]
        box = used[:1] if entity.dim == 0 else np.stack([used.min(0), used.max(0)])
        ends = "" if entity.dim == 0 else " 0"
        yield f"{entity.number} {' '.join(map(repr, box.reshape(-1).tolist()))} {groups}{ends}\n"
    yield "$EndEntities\n"


def _node_lines(dim: int, entities: list[_Entity], points: np.ndarray) -> Iterator[str]:
    number = next(entity.number for entity in entities if entity.dim == dim)
    n = len(points)
    yield f"$Nodes\n1 {n} 1 {n}\n{dim} {number} 0 {n}\n"
    yield from (f"{k}\n" for k in range(1, n + 1))
    yield from (f"{x!r} {y!r} {z!r}\n" for x, y, z in points.tolist())
    yield "$EndNodes\n"


def _element_lines(entities: list[_Entity]) -> Iterator[str]:
    blocks = [(entity, kind, nodes) for entity in entities for kind, nodes in entity.elements.items()]
    total = sum(len(nodes) for _, _, nodes in blocks)
    yield f"$Elements\n{len(blocks)} {total} 1 {total}\n"
    first = 1
    for entity, kind, nodes in blocks:
        yield f"{CELLS[kind].dim} {entity.number} {CODES[kind]} {len(nodes)}\n"
        numbers = np.column_stack([np.arange(first, first + len(nodes)), from_vtk(kind, nodes) + 1])
        yield from (" ".join(map(str, row)) + "\n" for row in numbers.tolist())
        first += len(nodes)
    yield "$EndElements\n"
