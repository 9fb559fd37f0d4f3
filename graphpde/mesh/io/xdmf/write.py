"""Writer of XDMF 3: every named set and every field, small meshes in the XML alone, larger ones with HDF5 beside it.

Named sets are ``Set`` elements; one of faces or of edges of a solid lists the owning cells and their side numbers.
VTK's reader finds no edges of plane cells that way: sets of them are grids of lines on the same points, as FEniCS
writes them. meshio reads neither. ``SpaceDimension`` at the points keeps a flat surface in 3-D apart from a plane mesh;
other readers pass over it.

Source: XDMF Model and Format (xdmf.org).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from graphpde.core.graph import TagSet
from graphpde.errors import OutputError
from graphpde.mesh.io.labels import fields, filled, labels, xml_label
from graphpde.mesh.io.sides import sides_of
from graphpde.mesh.io.xdmf.cells import CODES
from graphpde.mesh.io.xdmf.items import Items, parted
from graphpde.mesh.io.xdmf.read import SPACE
from graphpde.mesh.io.xdmf.sets import EDGES, FACES
from graphpde.mesh.mesh import Mesh

_NAMES = {
    **{"vertex": "Polyvertex", "line": "Polyline", "line3": "Edge_3", "triangle": "Triangle", "quad": "Quadrilateral"},
    **{"tetra": "Tetrahedron", "pyramid": "Pyramid", "wedge": "Wedge", "hexahedron": "Hexahedron"},
    **{"triangle6": "Triangle_6", "quad8": "Quadrilateral_8", "quad9": "Quadrilateral_9", "tetra10": "Tetrahedron_10"},
    **{"pyramid13": "Pyramid_13", "wedge15": "Wedge_15", "wedge18": "Wedge_18", "hexahedron20": "Hexahedron_20"},
    **{"hexahedron24": "Hexahedron_24", "hexahedron27": "Hexahedron_27"},
}
_OF_KIND = {kind: [code] for code, kind in CODES.items()} | {
    "vertex": [1, 1],
    "line": [2, 2],
}  # what a cell begins with
_SHAPES = {1: "Scalar", 2: "Vector", 3: "Vector", 6: "Tensor6", 9: "Tensor"}
_IN_TEXT = 20_000  # numbers up to which a mesh is written as text
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<Xdmf Version="3.0" xmlns:xi="http://www.w3.org/2001/XInclude">\n<Domain>\n'
TAIL = "</Domain>\n</Xdmf>\n"


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh with its named sets and fields; the numbers of a large one go into ``<stem>.h5`` if h5py is there.

    Returns:
        What was lost or changed, one sentence each.

    Raises:
        OutputError: cells that XDMF does not know. ShapeError: fields that do not fit.
    """
    check_cells(path.name, mesh)
    nodal, told = fields(point_data, mesh.n, "PointData")
    cellwise, more = fields(cell_data, mesh.n_cells, "CellData")
    tags, empty = filled(mesh)
    told += [*more, *empty]
    count = mesh.points.numel() + sum(nodes.numel() for nodes in mesh.cells.values())
    count += sum(values.size for values in (*nodal.values(), *cellwise.values()))
    side = path.with_suffix(".h5")
    h5py = None if count <= _IN_TEXT or parted(side.name) else _h5py()
    if h5py is None:
        text, said = _grid(Items(), mesh, tags, nodal, cellwise)
    else:
        with h5py.File(side, "w") as file:
            text, said = _grid(Items(file, side.name), mesh, tags, nodal, cellwise)
    path.write_text(f"{HEAD}{text}{TAIL}", encoding="utf-8", newline="\n")
    return told + said


def check_cells(name: str, mesh: Mesh) -> None:
    """Refuse a mesh with cells that XDMF does not know.

    Raises:
        OutputError: it has some.
    """
    for kind in mesh.cells:
        if kind not in _NAMES:
            raise OutputError(
                f"cannot write '{name}': XDMF has no topology for {kind} cells; write a .vtu file instead"
            )


def topology_and_geometry(items: Items, mesh: Mesh) -> str:
    """The cells and points of a mesh as XML."""
    parts = [(kind, _narrow(nodes.numpy(), mesh.n)) for kind, nodes in mesh.cells.items()]
    kind, cells = parts[0]
    extra = f' NodesPerElement="{cells.shape[1]}"' if kind in ("vertex", "line") else ""
    name = _NAMES[kind]
    if len(parts) > 1:
        rows = [np.column_stack([np.tile(np.array(_OF_KIND[k], v.dtype), (len(v), 1)), v]) for k, v in parts]
        name, extra, cells = "Mixed", "", np.concatenate([row.reshape(-1) for row in rows])
    points = mesh.points.detach().cpu().numpy()
    points = np.pad(points, ((0, 0), (0, 1))) if mesh.space_dim == 1 else points
    return (
        f'<Topology TopologyType="{name}" NumberOfElements="{mesh.n_cells}"{extra}>\n{items.item(cells, "cells")}'
        f'</Topology>\n<Geometry GeometryType="{"XYZ"[: points.shape[1]]}" {SPACE}="{mesh.space_dim}">\n'
        f"{items.item(points, 'points')}</Geometry>\n"
    )


def attribute(name: str, shape: tuple[int, ...], item: str, center: str = "Node") -> str:
    """A field as XML.

    Args:
        name: any text that XML can hold. shape: of its values. item: these values as XML. center: "Node" or "Cell".
    """
    kind = "Scalar" if len(shape) == 1 else _SHAPES.get(shape[1], "Matrix")
    return f'<Attribute Name={quoted(name)} AttributeType="{kind}" Center="{center}">\n{item}</Attribute>\n'


def quoted(text: str) -> str:
    """A text as the value of an XML attribute, line breaks kept."""
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _grid(
    items: Items, mesh: Mesh, tags: dict[str, TagSet], nodal: dict[str, np.ndarray], cellwise: dict[str, np.ndarray]
) -> tuple[str, list[str]]:
    parts = ['<Grid Name="mesh" GridType="Uniform">\n', topology_and_geometry(items, mesh)]
    told = []
    for center, data in (("Node", nodal), ("Cell", cellwise)):
        names, said = labels(data, xml_label)
        told += said
        for k, (name, values) in enumerate(data.items()):
            item = items.item(values, f"{center.lower()}_fields/{k}")
            parts.append(attribute(names[name], values.shape, item, center))
    names, said = labels(tags, xml_label)
    grids = []
    for k, (name, tag) in enumerate(tags.items()):
        if tag.dim == 1 and mesh.dim == 2:
            grids.append(_lines(items, mesh, tag, names[name], f"sets/{k}"))
            continue
        kind, columns = _members(mesh, tag)
        parts.append(f'<Set Name={quoted(names[name])} SetType="{kind}">\n')
        parts += [
            items.item(_narrow(column, max(mesh.n, mesh.n_cells)), f"sets/{k}/{c}") for c, column in enumerate(columns)
        ]
        parts.append("</Set>\n")
    return "".join([*parts, "</Grid>\n", *grids]), told + said


def _lines(items: Items, mesh: Mesh, tag: TagSet, name: str, path: str) -> str:
    """A set of edges of plane cells as a grid."""
    ends = _narrow(mesh.entities(1).nodes[tag.ids].numpy(), mesh.n)
    return (
        f'<Grid Name={quoted(name)} GridType="Uniform">\n<Topology TopologyType="Polyline" NodesPerElement="2" '
        f'NumberOfElements="{len(ends)}">\n{items.item(ends, path)}</Topology>\n'
        f'<xi:include xpointer="xpointer(/Xdmf/Domain/Grid[1]/Geometry)"/>\n</Grid>\n'
    )


def _members(mesh: Mesh, tag: TagSet) -> tuple[str, list[np.ndarray]]:
    """The type of a set, and its points, its cells, or for each member a cell, a face of it and perhaps an edge."""
    if tag.dim == 0:
        return "Node", [tag.ids.numpy()]
    if tag.dim == mesh.dim:
        return "Cell", [tag.ids.numpy()]
    cells, sides = sides_of(mesh, tag.dim, tag.ids, FACES if tag.dim == 2 else EDGES)
    # an edge also names a face of its cell: the first will do, as readers look the edge up in the cell
    return ("Face", [cells, sides]) if tag.dim == 2 else ("Edge", [cells, np.zeros_like(sides), sides])


def _narrow(numbers: np.ndarray, limit: int) -> np.ndarray:
    return numbers.astype(np.int32 if limit < 1 << 31 else np.int64)


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError:
        return None
    return h5py
