"""Writer of Exodus II meshes through netCDF4: every named set, and fields as one time step at t = 0.

Sets of cells that divide the mesh, each a run of cells of one type, become element blocks, where other programs expect
the materials; else there is one block without a name for each cell type, and the sets of cells become element sets.
Sets of facets are side sets, sets of points node sets, sets of edges in a solid edge sets on an edge block. A set
called by a number has that number. Names lose spaces at their ends; all values become double precision.

Source: Schoof and Yarberry 1994, "EXODUS II: A Finite Element Data Model", SAND92-2137; ``exodusII_int.h`` of the
library for the names of dimensions and variables.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphpde.core.graph import TagSet
from graphpde.errors import OutputError
from graphpde.mesh.io.exodus.read import ORDER, OWN, PARTS, suffixes
from graphpde.mesh.io.exodus.sets import SIDES, is_shell
from graphpde.mesh.io.labels import fields, filled, labels, rounded
from graphpde.mesh.io.sides import sides_of
from graphpde.mesh.mesh import Mesh

_ELEMENTS = {
    **{"vertex": "SPHERE", "line": "BAR2", "line3": "BEAM3", "triangle": "TRI3", "triangle6": "TRI6"},
    **{"triangle7": "TRI7", "quad": "QUAD4", "quad8": "QUAD8", "quad9": "QUAD9", "tetra": "TETRA"},
    **{"tetra10": "TETRA10", "hexahedron": "HEX", "hexahedron20": "HEX20", "hexahedron27": "HEX27", "wedge": "WEDGE"},
    **{"wedge15": "WEDGE15", "wedge18": "WEDGE18", "pyramid": "PYRAMID", "pyramid13": "PYRAMID13"},
    "pyramid14": "PYRAMID14",
}
_SHELLS = {"quad": "SHELL4", "quad8": "SHELL8", "quad9": "SHELL9"}  # in 3-D; triangles keep their name there
_WIDTH = 33  # bytes of a name, as long as none is longer
_NO_NAME = re.compile("\0|[\ud800-\udfff]")


class _Block(NamedTuple):
    """Cells of one type and what they are called ("" = nothing): point numbers [m, k]."""

    name: str
    kind: str
    nodes: np.ndarray


class _Layout:
    """Dimensions, variables and their values, put together before the file is made: its layout is fixed once."""

    def __init__(self) -> None:
        self.sizes: dict[str, int | None] = {"time_step": None, "len_string": _WIDTH, "len_line": 81, "four": 4}
        self.arrays: list[tuple[str, tuple[str, ...], np.ndarray, dict[str, Any]]] = []

    def add(self, name: str, dims: tuple[str, ...], values: Any, /, **attributes: Any) -> None:
        """A variable; the sizes of its dimensions are those of its values."""
        array = np.asarray(values)
        self.sizes |= {dim: size for dim, size in zip(dims, array.shape, strict=True) if dim != "time_step"}
        self.arrays.append((name, dims, array, attributes))

    def names(self, name: str, dim: str, texts: list[str], /, **attributes: Any) -> None:
        """Names as rows of letters, all of one width in the end."""
        self.add(name, (dim,), np.array([text.encode() for text in texts], dtype="S"), **attributes)

    def write(self, file: Any) -> None:
        width = max([_WIDTH, *(a.itemsize + 1 for _, _, a, _ in self.arrays if a.dtype.kind == "S")])
        for dim, size in {**self.sizes, "len_name": width}.items():
            file.createDimension(dim, size)
        file.set_fill_off()
        made = []
        for name, dims, array, attributes in self.arrays:
            if array.dtype.kind == "S":
                dims, array = (*dims, "len_name"), array.astype(f"S{width}").view("S1").reshape(len(array), width)
            made.append((file.createVariable(name, array.dtype, dims), array))
            made[-1][0].setncatts(attributes)
        file.set_auto_maskandscale(False)
        for variable, array in made:
            variable[:] = array


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh with its named sets and fields.

    Returns:
        What was lost or changed, one sentence each.

    Raises:
        OutputError: cells that Exodus does not know, or netCDF4 is missing. ShapeError: fields that do not fit.
    """
    try:
        import netCDF4
    except ModuleNotFoundError:
        raise OutputError(f"cannot write '{path.name}': it needs netCDF4; run: pip install \"graphpde[io]\"") from None
    for kind in mesh.cells:
        if kind not in _ELEMENTS:
            raise OutputError(f"cannot write '{path.name}': Exodus has no element for {kind} cells; write a .vtu file")
    layout = _Layout()
    tags, told = filled(mesh)
    names, changed = labels(tags, _label)
    told += changed
    blocks, left = _blocks(mesh, tags, names)
    _points(layout, mesh)
    _cells(layout, mesh, blocks)
    _sets(layout, mesh, left, names)
    told += _fields(layout, mesh, blocks, point_data, cell_data)
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.setncatts({"api_version": np.float32(8.03), "version": np.float32(8.03), "title": "written by graphpde"})
        file.setncatts({"floating_point_word_size": np.int32(8), "file_size": np.int32(1)})
        file.setncatts({"int64_status": np.int32(0), OWN: np.int32(mesh.space_dim)})
        layout.write(file)
        file.setncattr("maximum_name_length", np.int32(len(file.dimensions["len_name"]) - 1))
    return told


def _label(name: str) -> str:
    return _NO_NAME.sub("_", name).strip() or "unnamed"


def _blocks(mesh: Mesh, tags: dict[str, TagSet], names: dict[str, str]) -> tuple[list[_Block], dict[str, TagSet]]:
    """Element blocks in the order of the cells, and the sets that are none of them."""
    whole = [nodes.numpy() for nodes in mesh.cells.values()]
    ends = np.cumsum([len(nodes) for nodes in whole])
    cells = {name: tag.ids.numpy() for name, tag in tags.items() if tag.dim == mesh.dim > 0}
    for largest in (mesh.n_cells - 1, mesh.n_cells):  # a set of all cells is a material only if no others are
        owner: dict[int, tuple[int, str]] = {}
        taken = np.zeros(mesh.n_cells, dtype=bool)
        for name, ids in cells.items():
            first, last = int(ids[0]), int(ids[-1]) + 1
            one_type = np.searchsorted(ends, first, side="right") == np.searchsorted(ends, last - 1, side="right")
            if one_type and last - first == len(ids) <= largest and not taken[first:last].any():
                owner[first] = (last, name)
                taken[first:last] = True
        if owner and taken.all():
            blocks = []
            for first, (last, name) in sorted(owner.items()):
                b = int(np.searchsorted(ends, first, side="right"))
                rows = whole[b][first - ends[b] + len(whole[b]) :][: last - first]
                blocks.append(_Block(names[name], list(mesh.cells)[b], rows))
            used = {name for _, name in owner.values()}
            return blocks, {name: tag for name, tag in tags.items() if name not in used}
    return [_Block("", kind, nodes) for kind, nodes in zip(mesh.cells, whole, strict=True)], tags


def _points(layout: _Layout, mesh: Mesh) -> None:
    axes = "xyz"[: mesh.space_dim]
    layout.names("coor_names", "num_dim", list(axes))
    for axis, values in zip(axes, mesh.points.detach().cpu().numpy().T, strict=True):
        layout.add(f"coord{axis}", ("num_nodes",), values)


def _cells(layout: _Layout, mesh: Mesh, blocks: list[_Block]) -> None:
    layout.sizes["num_elem"] = mesh.n_cells
    _catalogue(layout, "eb", "num_el_blk", [block.name for block in blocks])
    for b, (_, kind, nodes) in enumerate(blocks, 1):
        rows = nodes[:, np.argsort(ORDER[kind])] if kind in ORDER else nodes
        dims = (f"num_el_in_blk{b}", f"num_nod_per_el{b}")
        layout.add(f"connect{b}", dims, (rows + 1).astype(np.int32), elem_type=_element(kind, mesh.space_dim))


def _element(kind: str, space_dim: int) -> str:
    return _SHELLS.get(kind, _ELEMENTS[kind]) if space_dim == 3 else _ELEMENTS[kind]


def _catalogue(layout: _Layout, what: str, dim: str, names: list[str]) -> None:
    """Numbers, states and names of blocks or sets: a number in place of a name stays, the others get the free ones."""
    own = {int(name): name for name in names if re.fullmatch("[1-9][0-9]{0,8}", name)}
    free = (k for k in range(1, len(names) + len(own) + 1) if k not in own)
    ids = [int(name) if name in own.values() else next(free) for name in names]
    layout.add(f"{what}_status", (dim,), np.ones(len(names), dtype=np.int32))
    layout.add(f"{what}_prop1", (dim,), np.array(ids, dtype=np.int32), name="ID")
    layout.names(f"{what}_names", dim, names)


def _sets(layout: _Layout, mesh: Mesh, tags: dict[str, TagSet], names: dict[str, str]) -> None:
    of_dim = {dim: {name: tag for name, tag in tags.items() if tag.dim == dim} for dim in range(4)}
    if of_dim[0]:
        _catalogue(layout, "ns", "num_node_sets", [names[name] for name in of_dim[0]])
    for k, tag in enumerate(of_dim[0].values(), 1):
        layout.add(f"node_ns{k}", (f"num_nod_ns{k}",), _from_one(tag.ids))
    cells = of_dim[mesh.dim] if mesh.dim else {}
    if cells:
        _catalogue(layout, "els", "num_elem_sets", [names[name] for name in cells])
    for k, tag in enumerate(cells.values(), 1):
        layout.add(f"elem_els{k}", (f"num_ele_els{k}",), _from_one(tag.ids))
    if mesh.dim > 1 and of_dim[mesh.dim - 1]:
        _side_sets(layout, mesh, of_dim[mesh.dim - 1], names)
    if mesh.dim == 3 and of_dim[1]:
        _edge_sets(layout, mesh, of_dim[1], names)


def _side_sets(layout: _Layout, mesh: Mesh, tags: dict[str, TagSet], names: dict[str, str]) -> None:
    _catalogue(layout, "ss", "num_side_sets", [names[name] for name in tags])
    kinds = [is_shell(_element(kind, mesh.space_dim), mesh.space_dim) for kind in mesh.cells]
    shift = np.repeat(np.where(kinds, 2, 0), [len(nodes) for nodes in mesh.cells.values()])
    for k, tag in enumerate(tags.values(), 1):
        cells, sides = sides_of(mesh, mesh.dim - 1, tag.ids, SIDES)
        layout.add(f"elem_ss{k}", (f"num_side_ss{k}",), _from_one(cells))
        layout.add(f"side_ss{k}", (f"num_side_ss{k}",), _from_one(sides + shift[cells]))


def _edge_sets(layout: _Layout, mesh: Mesh, tags: dict[str, TagSet], names: dict[str, str]) -> None:
    """One block of all edges in sets, and the sets as numbers in it."""
    used = np.unique(np.concatenate([tag.ids.numpy() for tag in tags.values()]))
    layout.sizes["num_edge"] = len(used)
    _catalogue(layout, "ed", "num_ed_blk", [""])
    ends = mesh.entities(1).nodes.numpy()[used]
    layout.add("ebconn1", ("num_ed_in_blk1", "num_nod_per_ed1"), _from_one(ends), elem_type="BAR2")
    _catalogue(layout, "es", "num_edge_sets", [names[name] for name in tags])
    for k, tag in enumerate(tags.values(), 1):
        ids = np.searchsorted(used, tag.ids.numpy())
        layout.add(f"edge_es{k}", (f"num_edge_es{k}",), _from_one(ids))
        layout.add(f"ornt_es{k}", (f"num_edge_es{k}",), np.ones(len(ids), dtype=np.int32))


def _from_one(numbers: Any) -> np.ndarray:
    return (np.asarray(numbers) + 1).astype(np.int32)


def _fields(
    layout: _Layout, mesh: Mesh, blocks: list[_Block], point_data: dict[str, Any], cell_data: dict[str, Any]
) -> list[str]:
    nodal, told = fields(point_data, mesh.n, "PointData")
    elemental, more = fields(cell_data, mesh.n_cells, "CellData")
    told += [*more, *rounded({**nodal, **elemental})]
    if nodal or elemental:
        layout.add("time_whole", ("time_step",), np.zeros(1))
    if nodal:
        columns, said = _columns(layout, nodal, "nod")
        told += said
        for k, values in enumerate(columns, 1):
            layout.add(f"vals_nod_var{k}", ("time_step", "num_nodes"), values[None])
    if elemental:
        columns, said = _columns(layout, elemental, "elem")
        told += said
        layout.add("elem_var_tab", ("num_el_blk", "num_elem_var"), np.ones((len(blocks), len(columns)), dtype=np.int32))
        ends = np.cumsum([len(block.nodes) for block in blocks])[:-1]
        for k, values in enumerate(columns, 1):
            for b, part in enumerate(np.split(values, ends), 1):
                layout.add(f"vals_elem_var{k}eb{b}", ("time_step", f"num_el_in_blk{b}"), part[None])
    return told


def _columns(layout: _Layout, arrays: dict[str, np.ndarray], what: str) -> tuple[list[np.ndarray], list[str]]:
    """One variable for each component of each field, their names in the layout; and what is said about names."""
    taken: set[str] = set()
    chosen: dict[str, str] = {}
    for name, values in arrays.items():
        ends = suffixes(values.shape[1]) if values.ndim == 2 else [""]
        label, number = _label(name), 1
        while taken & {label + end for end in ends}:
            number += 1
            label = f"{_label(name)}_{number}"
        taken |= {label + end for end in ends}
        chosen[name] = label
    _, told = labels(chosen, chosen.__getitem__)
    counts = [values.shape[1] if values.ndim == 2 else 0 for values in arrays.values()]
    parts = [chosen[name] + end for name, count in zip(arrays, counts) for end in (suffixes(count) if count else [""])]
    layout.names(f"name_{what}_var", f"num_{what}_var", parts, **{PARTS: np.array(counts, dtype=np.int32)})
    columns = [column for values in arrays.values() for column in values.reshape(len(values), -1).T]
    return [column.astype(np.float64) for column in columns], told
