"""Reader of XDMF, versions 2 and 3: uniform grids, spatial and temporal collections, what FEniCS and meshio write.

Of a time series the mesh is that of the first step and the fields are those of the last step that has some.

Source: XDMF Model and Format (xdmf.org), "Grid" and "Time".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.xdmf.arrays import Arrays, Unsupported
from graphpde.mesh.io.xdmf.cells import Cells, points_and_cells
from graphpde.mesh.io.xdmf.fields import read_fields
from graphpde.mesh.io.xdmf.join import Part, join
from graphpde.mesh.io.xdmf.tree import Element, Tree
from graphpde.mesh.io.xml_tree import DEPTH

SPACE = "SpaceDimension"  # attribute of a Geometry that our writer adds: what it calls sets are the sets
_MOST_PARTS = 4096  # grids that are joined


class _Leaf(NamedTuple):
    """A uniform grid by its elements."""

    name: str
    topology: Element
    geometry: Element
    attributes: list[Element]
    sets: list[Element]


def read(path: Path) -> RawMesh:
    """Read a .xdmf or .xmf file and what it names of the files beside it.

    Raises:
        Unreadable: broken XML, numbers that are cut, damaged or elsewhere, counts that do not agree, unknown types.
            ModuleNotFoundError: h5py is missing and numbers stand in HDF5.
    """
    tree = Tree(path.read_bytes())
    domain = tree.child(tree.root, "Domain")
    grids = tree.children(domain, "Grid") if domain is not None else []
    if not grids:
        raise Unreadable("it has no Domain with a Grid")
    with Arrays(tree, path.parent) as arrays:
        reader = _Reader(tree, arrays)
        leaves = [leaf for grid in grids for leaf in reader.leaves(grid, 0)]
        if not leaves:
            raise Unreadable("its collections of grids are empty")
        if len(leaves) > _MOST_PARTS:
            raise Unreadable(f"it joins {len(leaves)} grids, more than the {_MOST_PARTS} that are read")
        parts = []
        for leaf in leaves:
            points, cells = reader.mesh(leaf)
            parts.append(
                Part(leaf.name, points, cells, read_fields(arrays, leaf.attributes, leaf.sets, len(points), cells))
            )
        spaces = {leaf.geometry.get(SPACE, "") for leaf in leaves}
        own = spaces <= {"1", "2", "3"} and len(spaces) == 1
        raw = join(parts, tagged=not own)
        raw.space_dim = int(spaces.pop()) if own else None
    raw.notes[:0] = reader.notes
    return raw


class _Reader:
    """From nested grids to uniform ones; each mesh is put together once."""

    def __init__(self, tree: Tree, arrays: Arrays):
        self.tree, self.arrays = tree, arrays
        self.notes: list[str] = []
        self._meshes: dict[tuple[int, int], tuple[np.ndarray, Cells]] = {}

    def mesh(self, leaf: _Leaf) -> tuple[np.ndarray, Cells]:
        """Points and cells of a uniform grid."""
        key = (id(leaf.topology), id(leaf.geometry))
        if key not in self._meshes:
            self._meshes[key] = points_and_cells(self.arrays, leaf.topology, leaf.geometry)
        return self._meshes[key]

    def leaves(self, grid: Element, depth: int) -> list[_Leaf]:
        """The uniform grids of a grid.

        Raises:
            Unreadable: too many or too deep, a grid without points or cells, a kind of grid that is not read.
        """
        kind = (grid.get("GridType") or grid.get("Type") or "Uniform").lower()
        if depth > DEPTH:
            raise Unreadable("its grids include each other without end")
        if kind == "uniform":
            return [self._uniform(grid)]
        if kind not in ("collection", "tree"):
            raise Unreadable(f"its grid '{grid.get('Name', '')[:40]}' is of type {kind[:20]}, which is not read")
        steps = self.tree.children(grid, "Grid")
        if not steps:
            self.notes.append(f"the collection '{grid.get('Name', '')[:40]}' is empty")
            return []
        if (grid.get("CollectionType") or "Spatial").lower() == "temporal":
            return self._temporal(grid, steps, depth)
        return [leaf for step in steps for leaf in self.leaves(step, depth + 1)]

    def _uniform(self, grid: Element) -> _Leaf:
        topology, geometry = self.tree.child(grid, "Topology"), self.tree.child(grid, "Geometry")
        name = grid.get("Name") or ""
        if topology is None or geometry is None:
            raise Unreadable(f"its grid '{name[:40]}' has no {'Topology' if topology is None else 'Geometry'}")
        attributes, sets = self.tree.children(grid, "Attribute"), self.tree.children(grid, "Set")
        return _Leaf(name, topology, geometry, attributes, sets)

    def _temporal(self, grid: Element, steps: list[Element], depth: int) -> list[_Leaf]:
        """The grids of the first step with the fields of the last one that has some and stands on the same mesh."""
        first = later = self.leaves(steps[0], depth + 1)
        if len(steps) == 1:
            return first
        chosen = 0
        for k in range(len(steps) - 1, 0, -1):
            later = self.leaves(steps[k], depth + 1)
            if any(leaf.attributes for leaf in later):
                chosen = k
                break
        times = self._times(grid, steps)
        span = f" (t = {times[0]:g} to {times[-1]:g})" if times else ""
        at = f" (t = {times[chosen]:g})" if times else ""
        note = f"it is a time series of {len(steps)} steps{span}; the mesh is that of step 1"
        if not chosen:
            self.notes.append(f"{note} and so are the fields; later steps have none")
            return first
        if not self._alike(first, later):
            self.notes.append(f"{note} and so are the fields, as the cells change up to step {chosen + 1}{at}")
            return first
        if not all(np.array_equal(self.mesh(a)[0], self.mesh(b)[0]) for a, b in zip(first, later)):
            note += ", whose points move later"
        self.notes.append(f"{note}, the fields are those of step {chosen + 1}{at}")
        return [old._replace(attributes=new.attributes or old.attributes) for old, new in zip(first, later)]

    def _alike(self, first: list[_Leaf], later: list[_Leaf]) -> bool:
        """Whether two steps have as many points and the same cells."""
        if len(first) != len(later):
            return False
        for one, other in zip(first, later):
            (x, a), (y, b) = self.mesh(one), self.mesh(other)
            if x.shape != y.shape or [block.kind for block in a.blocks] != [block.kind for block in b.blocks]:
                return False
            if not all(np.array_equal(p.nodes, q.nodes) for p, q in zip(a.blocks, b.blocks)):
                return False
        return True

    def _times(self, grid: Element, steps: list[Element]) -> list[float]:
        """The time of each step, or nothing if the file does not say."""
        times = [_number(found.get("Value")) for step in steps for found in self.tree.children(step, "Time")]
        if len(times) == len(steps) and None not in times:
            return [time for time in times if time is not None]
        node = self.tree.child(grid, "Time")
        kind = (node.get("TimeType") or "").lower() if node is not None else ""
        items = self.arrays.items(node) if node is not None else []
        if kind not in ("list", "hyperslab") or len(items) != 1:
            return []
        try:
            values = self.arrays.value(items[0]).reshape(-1).astype(np.float64)
        except Unsupported:
            return []
        if kind == "hyperslab":
            values = values[0] + values[1] * np.arange(len(steps)) if len(values) == 3 else values[:0]
        return values.tolist() if len(values) == len(steps) else []


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*", text) else None
