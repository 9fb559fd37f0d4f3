"""Reader of MED meshes (Salome, Code_Aster, versions 2 to 4): cells, groups of nodes and cells, last step of fields.

A family is a combination of groups; every node and cell is in one family, negative numbers for cells and positive ones
for nodes. Solids are numbered the other way round than here: their first face looks out of the cell instead of in.

Source: EDF and CEA, "MED File 4", the tables of its HDF5 model; Gmsh's "GModelIO_MED" has the same order of nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.hdf5.tree import characters, data, group, groups, number, numbers, opened, text
from graphpde.mesh.io.med import fields as med_fields
from graphpde.mesh.io.node_words import WORDS, columns
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed

KINDS = {
    **{"PO1": "vertex", "SE2": "line", "SE3": "line3", "SE4": "line4", "TR3": "triangle", "TR6": "triangle6"},
    **{"TR7": "triangle7", "QU4": "quad", "QU8": "quad8", "QU9": "quad9", "TE4": "tetra", "T10": "tetra10"},
    **{"PY5": "pyramid", "P13": "pyramid13", "PE6": "wedge", "P15": "wedge15", "P18": "wedge18"},
    **{"HE8": "hexahedron", "H20": "hexahedron20", "H27": "hexahedron27"},
}
_MIRROR = {
    "tetra": (0, 2, 1, 3),
    "pyramid": (0, 3, 2, 1, 4),
    "wedge": (0, 2, 1, 3, 5, 4),
    "hexahedron": (0, 3, 2, 1, 4, 7, 6, 5),
}
_FACES = {"hexahedron27": WORDS["hexahedron20"] + " 0123 0145 1256 2367 0347 4567 01234567"}
# column k of a row in the order of this library is column ORDER[kind][k] in the file, and the other way round
ORDER = {
    kind: columns(kind, _FACES.get(kind, words), _MIRROR[CELLS[kind].corners])
    for kind, words in WORDS.items()
    if kind in KINDS.values()
}
NAME = 80  # bytes of the name of a group
_SECTIONS = ("MAI", "FAC", "ARE")  # cells, and faces and edges of old files


class Part(NamedTuple):
    """Where a block comes from: the support as fields call it (``MAI.TR3``) and the row of each cell in its list."""

    support: str
    rows: np.ndarray


def read(path: Path) -> RawMesh:
    """Read the first mesh of a MED file.

    Raises:
        Unreadable: no mesh of listed cells, counts that do not agree, numbers of nodes that do not exist.
            ModuleNotFoundError: h5py is missing.
    """
    with opened(path, "it is no HDF5 file, as MED files since version 2 are") as file:
        ensemble = group(file, "ENS_MAA")
        meshes = groups(ensemble) if ensemble is not None else {}
        if not meshes:
            raise Unreadable("it is an HDF5 file without a mesh (ENS_MAA); it is no MED file or holds only fields")
        name, mesh = next(iter(meshes.items()))
        step, notes = _step(mesh)
        nodes = group(step, "NOE")
        raw = RawMesh(_points(mesh, nodes), [], notes=notes)
        if len(meshes) > 1:
            notes.append(f"it holds {len(meshes)} meshes; '{name}' is read, not {listed(list(meshes)[1:])}")
        parts: list[Part] = []
        for section in _SECTIONS:
            found = group(step, section)
            for kind, cells in groups(found).items() if found is not None else ():
                _cells(raw, parts, f"{section}.{kind}", cells)
        named: dict[int, list[str]] = {}
        for families in (group(step, "FAS"), group(mesh, "FAS"), group(file, "FAS", name)):
            _families(named, families)
        _sets(raw, parts, step, named)
        med_fields.read(raw, parts, group(file, "CHA"), name)
        return raw


def _step(mesh: Any) -> tuple[Any, list[str]]:
    """The group that holds nodes and cells: the mesh itself in version 2, its first time step later."""
    if number(mesh, "TYP", 0) == 1:
        raise Unreadable("its mesh is a structured grid; save it as an unstructured mesh")
    if number(mesh, "REP", 0) != 0:
        raise Unreadable("its coordinates are not Cartesian; save it in Cartesian coordinates")
    if group(mesh, "NOE") is not None:
        return mesh, []
    steps = [found for found in groups(mesh).values() if group(found, "NOE") is not None]
    if not steps:
        raise Unreadable("its mesh has no nodes")
    return steps[0], [f"{len(steps) - 1} further time steps of the mesh were not read"] if len(steps) > 1 else []


def _points(mesh: Any, nodes: Any) -> np.ndarray:
    points = _table(nodes, "COO")
    asked = number(mesh, "ESP", points.shape[1])
    if points.dtype.kind != "f" or points.shape[1] != asked:
        raise Unreadable(f"it has {points.shape[1]} coordinates per node, expected {asked}")
    return points


def _table(node: Any, name: str) -> np.ndarray:
    """Numbers [NBR, k] of a list that holds all first components, then all second ones, ..."""
    values = numbers(node, name).reshape(-1)
    count = number(node[name], "NBR", 0)
    if count < 1 or len(values) % count:
        raise Unreadable(f"'{node.name}/{name}' has {len(values)} numbers for {count} entries")
    return values.reshape(-1, count).T


def _cells(raw: RawMesh, parts: list[Part], support: str, found: Any) -> None:
    """Add the blocks of one type."""
    med = support[4:]
    if data(found, "NOD") is None:
        raise Unreadable(f"its {med} cells do not list their nodes (descending connectivity); save them by nodes")
    if med == "POG":
        blocks = _polygons(found)
        raw.blocks += [Block("polygon", nodes) for nodes, _ in blocks]
        parts += [Part(support, rows) for _, rows in blocks]
        return
    if med not in KINDS:
        raw.notes.append(f"cells of MED type {med} have no cell type here and were left out")
        return
    kind, nodes = KINDS[med], _table(found, "NOD")
    if nodes.dtype.kind not in "iu" or nodes.shape[1] != CELLS[kind].nodes:
        raise Unreadable(f"its {med} cells have {nodes.shape[1]} nodes, expected {CELLS[kind].nodes}")
    nodes = nodes.astype(np.int64) - 1
    raw.blocks.append(Block(kind, nodes[:, ORDER[kind]] if kind in ORDER else nodes))
    parts.append(Part(support, np.arange(len(nodes))))


def _polygons(found: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Corners [m, k] and numbers [m] of the polygons, for each number of corners."""
    nodes = numbers(found, "NOD").reshape(-1)
    starts = numbers(found, "INN" if data(found, "INN") is not None else "IND").reshape(-1)
    if nodes.dtype.kind not in "iu" or starts.dtype.kind not in "iu":
        raise Unreadable("its polygons are no whole numbers")
    starts = starts.astype(np.int64) - 1
    sizes = np.diff(starts)
    if len(starts) < 2 or starts[0] != 0 or starts[-1] != len(nodes) or sizes.min() < 3:
        raise Unreadable(f"the starts of its polygons do not fit the {len(nodes)} entries of their list")
    out = []
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        out.append((nodes[starts[rows][:, None] + np.arange(size)].astype(np.int64) - 1, rows))
    return out


def _families(named: dict[int, list[str]], families: Any) -> None:
    """Names of the groups of each family; old files do not tell families of cells and nodes apart by a folder."""
    if families is None:
        return
    for found in groups(families).values():
        if "NUM" not in found.attrs:
            _families(named, found)
            continue
        listing = group(found, "GRO")
        names = characters(listing, "NOM") if listing is not None else b""
        words = [text(names[start : start + NAME]) for start in range(0, len(names), NAME)]
        named.setdefault(number(found, "NUM", 0), []).extend(word for word in words if word)


def _sets(raw: RawMesh, parts: list[Part], step: Any, named: dict[int, list[str]]) -> None:
    """A set for each group; a family without groups is called by its number."""
    of_points = _family(group(step, "NOE"), len(raw.points))
    of_cells = []
    for support in dict.fromkeys(part.support for part in parts):
        mine = [part.rows for part in parts if part.support == support]
        numbered = _family(group(step, *support.split(".")), sum(len(rows) for rows in mine))
        of_cells += [numbered[rows] for rows in mine]
    for names, used in _by_group(named, np.unique(of_points)):
        raw.point_sets.append((names, np.flatnonzero(np.isin(of_points, used))))
    every = np.unique(np.concatenate([np.zeros(0, np.int64), *of_cells]))
    for names, used in _by_group(named, every):
        members: list[np.ndarray | None] = [np.flatnonzero(np.isin(family, used)) for family in of_cells]
        raw.cell_sets.append(CellSet(names, members))


def _family(node: Any, count: int) -> np.ndarray:
    """The family of each entry; all are in family 0, which has no groups, where there is no list."""
    if data(node, "FAM") is None:
        return np.zeros(count, dtype=np.int64)
    values = numbers(node, "FAM").reshape(-1)
    if values.dtype.kind not in "iu" or len(values) != count:
        raise Unreadable(f"'{node.name}' lists {len(values)} families for {count} entries")
    return values.astype(np.int64)


def _by_group(named: dict[int, list[str]], used: np.ndarray) -> list[tuple[str, list[int]]]:
    """Each group with its families among the used ones, in the order of the file."""
    out: dict[str, list[int]] = {}
    present = set(used.tolist()) - {0}
    for family in [*(key for key in named if key in present), *sorted(present - set(named))]:
        for name in named.get(family) or [str(family)]:
            out.setdefault(name, []).append(family)
    return list(out.items())
