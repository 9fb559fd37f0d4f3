"""Writer of MED meshes (Salome, Code_Aster) through h5py: every named set as a group, and fields.

Source: EDF and CEA, "MED File 3", the tables of its HDF5 model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphpde.core.graph import TagSet
from graphpde.errors import OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.labels import fields, filled, flattened, labels, rounded
from graphpde.mesh.io.med.fields import NO_PROFILE
from graphpde.mesh.io.med.read import KINDS, NAME, ORDER
from graphpde.mesh.io.overlaps import combinations
from graphpde.mesh.io.raw import listed
from graphpde.mesh.mesh import Mesh

_TYPES = {kind: med for med, kind in KINDS.items()}
_LOWER = {2: "SE2", 3: "TR3", 4: "QU4"}  # by number of corners
_MESH = "mesh"
_NO_STEP = "-0000000000000000001" * 2
_FIELD = 64  # letters of the name of a field


class _Listed(NamedTuple):
    """Cells of one MED type: points from 0 [m, k] in the order of MED and families [m]."""

    med: str
    nodes: np.ndarray
    families: np.ndarray


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh as MED 3.0, which all later versions read.

    Raises:
        OutputError: cells that MED does not know, or h5py is missing.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind not in _TYPES]:
        raise OutputError(
            f"cannot write '{path.name}': MED has no cell type for {listed(other)}; write a .vtu file instead"
        )
    try:
        import h5py
    except ModuleNotFoundError:
        raise OutputError(f"cannot write '{path.name}': it needs h5py; run: pip install \"graphpde[io]\"") from None
    tags, told = filled(mesh)
    names, changed = labels(tags, _group_name, limit=NAME)
    families = _Families(names)
    of_points = families.of(mesh.n, _of(tags, 0), 1)
    lists = [part for dim in range(mesh.dim, 0, -1) for part in _lists(mesh, dim, _of(tags, dim), families)]
    told += [*changed, *flattened(mesh)]
    if any(CELLS[kind].corners != kind for kind in mesh.cells) and any(0 < tag.dim < mesh.dim for tag in tags.values()):
        told.append("facets and edges of curved cells are listed by their corners")
    with h5py.File(path, "w") as file:
        _attributes(file.create_group("INFOS_GENERALES"), MAJ=3, MIN=0, REL=0)
        _put_mesh(file, mesh, of_points, lists)
        families.put(file.create_group(f"FAS/{_MESH}"))
        told += _put_fields(file, mesh, point_data, cell_data)
    return told


def _group_name(name: str) -> str:
    cut = name.replace("\0", "_").strip().encode("utf-8", "replace")[:NAME]
    return cut.decode("utf-8", "ignore").strip() or "unnamed"


def _field_name(name: str) -> str:
    plain = name.replace("\0", "_").replace("/", "_").strip().encode("utf-8", "replace").decode()
    return plain if plain.strip(".") else "unnamed"


def _of(tags: dict[str, TagSet], dim: int) -> dict[str, np.ndarray]:
    return {name: tag.ids.numpy() for name, tag in tags.items() if tag.dim == dim}


class _Families:
    """Numbers for combinations of groups: positive for nodes, negative for cells of all dimensions."""

    def __init__(self, names: dict[str, str]):
        self.names = names
        self.known: dict[int, dict[tuple[str, ...], int]] = {1: {}, -1: {}}

    def of(self, count: int, sets: dict[str, np.ndarray], sign: int) -> np.ndarray:
        """The family of each of ``count`` entities; 0 = in no set."""
        combination, found = combinations(count, list(sets.values()))
        labelled = list(sets)
        values = [0]
        for members in found[1:]:
            groups = tuple(self.names[labelled[k]] for k in members)
            values.append(self.known[sign].setdefault(groups, sign * (1 + len(self.known[sign]))))
        return np.array(values)[combination]

    def put(self, folder: Any) -> None:
        """Write all families below the folder of the mesh."""
        _attributes(folder.create_group("FAMILLE_ZERO"), NUM=0)
        every = [(names, number) for known in self.known.values() for names, number in known.items()]
        for names, number in every:
            family = folder.create_group(f"{'NOEUD' if number > 0 else 'ELEME'}/FAM_{number}")
            _attributes(family, NUM=number)
            groups = family.create_group("GRO")
            _attributes(groups, NBR=len(names))
            letters = b"".join(name.encode().ljust(NAME, b"\0") for name in names)
            rows = groups.create_dataset("NOM", (len(names),), dtype=np.dtype(("i1", (NAME,))))
            rows[...] = np.frombuffer(letters, "i1").reshape(-1, NAME)


def _lists(mesh: Mesh, dim: int, sets: dict[str, np.ndarray], families: _Families) -> list[_Listed]:
    """All cells, or those lower entities that are in a set."""
    if dim == mesh.dim:
        own = families.of(mesh.n_cells, sets, -1)
        starts = np.cumsum([0, *(len(nodes) for nodes in mesh.cells.values())]).tolist()
        out = []
        for (kind, nodes), start in zip(mesh.cells.items(), starts):
            rows = nodes.numpy()[:, np.argsort(ORDER[kind])] if kind in ORDER else nodes.numpy()
            out.append(_Listed(_TYPES[kind], rows, own[start : start + len(nodes)]))
        return out
    if not sets:
        return []
    corners = mesh.entities(dim).nodes.numpy()
    own = families.of(len(corners), sets, -1)
    used = np.flatnonzero(own)
    widths = (corners[used] >= 0).sum(1)
    return [
        _Listed(_LOWER[width], corners[used[widths == width]][:, :width], own[used[widths == width]])
        for width in np.unique(widths).tolist()
    ]


def _attributes(node: Any, **values: Any) -> None:
    for name, value in values.items():
        kind = np.int32 if isinstance(value, int) else np.float64 if isinstance(value, float) else np.bytes_
        node.attrs.create(name, kind(value))


def _put_mesh(file: Any, mesh: Mesh, of_points: np.ndarray, lists: list[_Listed]) -> None:
    folder = file.create_group(f"ENS_MAA/{_MESH}")
    axes = "".join(axis.ljust(16) for axis in "XYZ"[: mesh.space_dim])
    _attributes(folder, DES="", DIM=mesh.dim, ESP=mesh.space_dim, NOM=axes, REP=0, SRT=0, TYP=0, UNI="", UNT="")
    _attributes(folder, NXI=-1, NXT=-1)
    step = folder.create_group(_NO_STEP)
    _attributes(step, CGT=1, NDT=-1, NOR=-1, NXI=-1, NXT=-1, PDT=-1.0, PVI=-1, PVT=-1)
    nodes = step.create_group("NOE")
    _attributes(nodes, CGS=1, CGT=1, PFL=NO_PROFILE)
    _put(nodes, "COO", mesh.points.detach().cpu().numpy().astype(np.float64).T, mesh.n)
    _put(nodes, "FAM", of_points.astype(np.int32), mesh.n)
    cells = step.create_group("MAI")
    _attributes(cells, CGT=1)
    for part in lists:
        kind = KINDS[part.med]
        found = cells.create_group(part.med)
        _attributes(found, CGS=1, CGT=1, GEO=100 * CELLS[kind].dim + CELLS[kind].nodes, PFL=NO_PROFILE)
        _put(found, "NOD", 1 + part.nodes.astype(np.int32).T, len(part.nodes))
        _put(found, "FAM", part.families.astype(np.int32), len(part.nodes))


def _put(node: Any, name: str, values: np.ndarray, count: int) -> None:
    """Numbers as one list, with the count of entries beside them."""
    _attributes(node.create_dataset(name, data=np.ascontiguousarray(values).reshape(-1)), CGT=1, NBR=count)


def _put_fields(file: Any, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write fields at one step; a name may stand for values at nodes and at cells if they have as many components."""
    points, told = fields(point_data, mesh.n, "PointData")
    cells, more = fields(cell_data, mesh.n_cells, "CellData")
    keys = {f"{name}\0{values[:1].size}": name for part in (points, cells) for name, values in part.items()}
    found, _ = labels(keys, lambda key: _field_name(keys[key]), limit=_FIELD)
    changed = [f"'{keys[key]}' is '{name}'" for key, name in found.items() if keys[key] != name]
    told += more + ([f"{len(changed)} fields got another name: {listed(changed)}"] if changed else [])
    told += rounded({**points, **cells})
    ends = np.cumsum([len(nodes) for nodes in mesh.cells.values()])[:-1]
    folder = file.create_group("CHA")
    for name, values in points.items():
        _put_field(folder, found[f"{name}\0{values[:1].size}"], {"NOE": values})
    for name, values in cells.items():
        supports = [f"MAI.{_TYPES[kind]}" for kind in mesh.cells]
        _put_field(folder, found[f"{name}\0{values[:1].size}"], dict(zip(supports, np.split(values, ends))))
    return told


def _put_field(folder: Any, name: str, supports: dict[str, np.ndarray]) -> None:
    width = next(iter(supports.values()))[:1].size
    if name not in folder:
        _attributes(folder.create_group(name), MAI=_MESH, NCO=width, NOM=" " * 16 * width, TYP=6, UNI="", UNT="")
        step = folder[name].create_group(_NO_STEP)
        _attributes(step, NDT=-1, NOR=-1, PDT=-1.0, RDT=-1, ROR=-1)
    for support, values in supports.items():
        place = folder[name][_NO_STEP].create_group(support)
        _attributes(place, GAU="", PFL=NO_PROFILE)
        content = place.create_group(NO_PROFILE)
        _attributes(content, GAU="", NBR=len(values), NGA=1)
        content.create_dataset("CO", data=values.astype(np.float64).reshape(len(values), -1).T.reshape(-1))
