"""Writer of gmsh meshes, format 4.1: named sets become physical groups, fields $NodeData and $ElementData.

Gmsh knows groups of entities only, so cells are sorted into discrete entities, one for each dimension and combination
of sets: a cell in several sets keeps all of them. Boundary facets become elements. Small meshes are written as text,
large ones in binary.

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
from graphpde.mesh.extract import sides
from graphpde.mesh.io.gmsh.encode import Binary, Text
from graphpde.mesh.io.gmsh.table import CODES, UNGROUPED, from_vtk
from graphpde.mesh.io.labels import fields, filled, flattened, labels, rounded
from graphpde.mesh.io.raw import listed
from graphpde.mesh.mesh import Mesh

_IN_TEXT = 100_000  # cells up to which a mesh is written as text
_OF_READER = ("gmsh:physical", "gmsh:geometrical")  # what the groups of this file say anew
_WIDTHS = {1: 1, 2: 3, 3: 3, 9: 9}  # components of a field -> what gmsh knows: numbers, vectors, tensors


class _Entity(NamedTuple):
    """A discrete entity: dimension, number, its groups, its elements by type [k, w], their numbers in the mesh."""

    dim: int
    number: int
    groups: list[int]
    elements: dict[str, np.ndarray]
    ids: np.ndarray


def write(
    path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any], *, binary: bool | None = None
) -> list[str]:
    """Write a mesh with its named sets and fields.

    Sets of points, edges and facets are written as elements; all cells are written, in a set or not. A name with a
    suffix such as ``:1d`` loses it, as gmsh keeps names apart by dimension; a number stays the number of its group.
    Fields have 1, 3 or 9 components in double precision; those of 2 get a third of zero, others are left out.

    Args:
        binary: text or binary; None leaves it to the number of cells.

    Returns:
        What was lost or changed, one sentence each.

    Raises:
        OutputError: gmsh has no element for a cell type. ShapeError: fields that do not fit.
    """
    for kind in mesh.cells:
        if kind not in CODES:
            raise OutputError(f"cannot write '{path.name}': gmsh has no element for {kind} cells; write a .vtu file")
    binary = mesh.n_cells > _IN_TEXT if binary is None else binary
    code = Binary() if binary else Text()
    names, entities, told = _entities(mesh)
    told += flattened(mesh)
    points = np.zeros((mesh.n, 3))
    points[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    with open(path, "wb") as out:
        out.write(code.header())
        groups = [f'{dim} {group} "{name}"\n' for (dim, name), group in names.items() if name != str(group)]
        if groups:
            out.write(f"$PhysicalNames\n{len(groups)}\n{''.join(groups)}$EndPhysicalNames\n".encode())
        out.writelines(_entity_section(code, entities, points))
        out.writelines(_node_section(code, mesh.dim, entities, points))
        tags: dict[int, int] = {}
        out.writelines(_element_section(code, entities, tags))
        cells = np.concatenate([np.arange(len(e.ids)) + tags[e.number] for e in entities if e.dim == mesh.dim])
        order = np.concatenate([entity.ids for entity in entities if entity.dim == mesh.dim])
        given = {name: values for name, values in cell_data.items() if name not in _OF_READER}
        for section, data, count in (("NodeData", point_data, mesh.n), ("ElementData", given, mesh.n_cells)):
            arrays, said = _fields(data, count, section)
            told += said
            for name, values in arrays.items():
                rows = (np.arange(1, mesh.n + 1), values) if section == "NodeData" else (cells, values[order])
                out.writelines(_data_section(code, section, name, *rows))
    return told


def _name(text: str) -> str:
    plain = text.encode("utf-8", "replace").decode().replace('"', "'").replace("$", "_")
    label = " ".join(plain.splitlines()).replace("\0", "_")
    return f"{label}_" if label == UNGROUPED else label


def _fields(data: dict[str, Any], count: int, section: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Fields [k, 1 | 3 | 9] by the name in the file, and what is said about them."""
    arrays, told = fields(data, count, "PointData" if section == "NodeData" else "CellData")
    width = {name: values.shape[1] if values.ndim == 2 else 1 for name, values in arrays.items()}
    odd = [f"{name} ({width[name]})" for name in arrays if width[name] not in _WIDTHS]
    two = [name for name in arrays if width[name] == 2]
    if odd:
        told.append(f"gmsh knows fields of 1, 3 and 9 components; left out: {listed(odd)}")
    if two:
        told.append(f"fields of 2 components have 3 in the file, the last one zero: {listed(two)}")
    kept = {name: values for name, values in arrays.items() if width[name] in _WIDTHS}
    names, said = labels(kept, _name)
    told += [*rounded(kept), *said]
    return {
        names[name]: np.pad(
            values.reshape(count, -1).astype(np.float64), ((0, 0), (0, _WIDTHS[width[name]] - width[name]))
        )
        for name, values in kept.items()
    }, told


def _groups(mesh: Mesh) -> tuple[dict[tuple[int, str], torch.Tensor], list[str]]:
    """Sets by dimension and name without the suffix that tells dimensions apart, and what is said about names."""
    tags, told = filled(mesh)
    out: dict[tuple[int, str], torch.Tensor] = {}
    for dim in range(mesh.dim + 1):
        own = {name: tag.ids for name, tag in tags.items() if tag.dim == dim}
        short = {name: name.removesuffix(f":{dim}d") for name in own}
        plain = {name if short[name] in own else short[name]: ids for name, ids in own.items()}
        names, said = labels(plain, _name)
        told += said
        out |= {(dim, names[name]): ids for name, ids in plain.items()}
    return out, told


def _numbered(names: list[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """A group number for each name: the name itself where it is a number, else the next free one."""
    out = {key: int(key[1]) for key in names if key[1].isdecimal() and key[1] == str(int(key[1])) and int(key[1])}
    free = iter(range(1, len(names) + len(out) + max(out.values(), default=0) + 2))
    taken = set(out.values())
    for key in names:
        if key not in out:
            out[key] = next(number for number in free if number not in taken)
    return {key: out[key] for key in names}


def _entities(mesh: Mesh) -> tuple[dict[tuple[int, str], int], list[_Entity], list[str]]:
    """Physical groups (dim, name) -> number, the entities of all dimensions, and what is said about sets."""
    groups, told = _groups(mesh)
    names = _numbered([*groups, *([(mesh.dim, UNGROUPED)] if groups else [])])
    by_dim: dict[int, list[tuple[int, torch.Tensor]]] = {}
    for key, ids in groups.items():
        by_dim.setdefault(key[0], []).append((names[key], ids))
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
                rows_of = np.flatnonzero(inverse.reshape(-1) == row)
                mine = [number for (number, _), inside in zip(sets, combination) if inside]
                mine = mine or [number for key, number in names.items() if key == (dim, UNGROUPED)]
                entities.append(_Entity(dim, len(entities) + 1, mine, _elements(mesh, dim, rows_of), rows_of))
    if not any(names.get((mesh.dim, UNGROUPED)) in entity.groups for entity in entities):
        names.pop((mesh.dim, UNGROUPED), None)
    return names, entities, told


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
    if dim == 0:
        return {"vertex": ids[:, None]} if len(ids) else {}
    found, _ = sides(mesh, dim, torch.from_numpy(ids))
    return {kind: nodes.numpy() for kind, nodes in found.items()}


def _entity_section(code: Text | Binary, entities: list[_Entity], points: np.ndarray) -> Iterator[bytes]:
    counts = [sum(entity.dim == dim for entity in entities) for dim in range(4)]
    yield b"$Entities\n" + code.row(("u8", counts))
    for entity in entities:
        used = points[np.concatenate([nodes.reshape(-1) for nodes in entity.elements.values()])]
        box = used[:1] if entity.dim == 0 else np.stack([used.min(0), used.max(0)])
        groups: list = [("u8", [len(entity.groups)]), ("i4", entity.groups)]
        bounds = [] if entity.dim == 0 else [("u8", [0])]
        yield code.row(("i4", [entity.number]), ("f8", box.reshape(-1).tolist()), *groups, *bounds)
    yield code.end("Entities")


def _node_section(code: Text | Binary, dim: int, entities: list[_Entity], points: np.ndarray) -> Iterator[bytes]:
    number = next(entity.number for entity in entities if entity.dim == dim)
    n = len(points)
    yield b"$Nodes\n" + code.row(("u8", [1, n, 1, n])) + code.row(("i4", [dim, number, 0]), ("u8", [n]))
    yield from code.table(np.arange(1, n + 1)[:, None])
    yield from code.table(points)
    yield code.end("Nodes")


def _element_section(code: Text | Binary, entities: list[_Entity], tags: dict[int, int]) -> Iterator[bytes]:
    """All elements; ``tags`` gets the number of the first one of each entity."""
    blocks = [(entity, kind, nodes) for entity in entities for kind, nodes in entity.elements.items()]
    total = sum(len(nodes) for _, _, nodes in blocks)
    yield b"$Elements\n" + code.row(("u8", [len(blocks), total, 1, total]))
    first = 1
    for entity, kind, nodes in blocks:
        tags.setdefault(entity.number, first)
        yield code.row(("i4", [CELLS[kind].dim, entity.number, CODES[kind]]), ("u8", [len(nodes)]))
        yield from code.table(np.column_stack([np.arange(first, first + len(nodes)), from_vtk(kind, nodes) + 1]))
        first += len(nodes)
    yield code.end("Elements")


def _data_section(
    code: Text | Binary, section: str, name: str, tags: np.ndarray, values: np.ndarray
) -> Iterator[bytes]:
    """A field at time 0, step 0."""
    yield f'${section}\n1\n"{name}"\n1\n0.0\n3\n0\n{values.shape[1]}\n{len(tags)}\n'.encode()
    yield from code.values(tags, values)
    yield code.end(section)
