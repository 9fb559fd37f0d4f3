"""The frozen mesh: points, cells by type, named sets, data; facets, incidences and boundary on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.cached import Once, cached
from graphpde.core.graph import TagSet
from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS, CellType
from graphpde.mesh.rows import RowTable, distinct, groups, sorted_rows
from graphpde.registry import missing


class Entities(NamedTuple):
    """All mesh entities of one dimension, numbered once.

    Attributes:
        nodes: corner points [k, w], padded with -1 (triangles beside quads), in the order of the first owner.
        cells: the first and second cell that own the entity [k, 2], -1 = none (entities of dimension dim - 1 only).
        local: local number of the entity in its first owner [k].
    """

    nodes: Tensor
    cells: Tensor
    local: Tensor


_FEW = 8  # times more entities than are looked up: then only those near them are gone through


class Mesh:
    """Points and cells; a value that never changes ("changing" returns a new one).

    Args:
        points: coordinates [n, d], d in 1..3; kept as float64.
        cells: meshio type name -> connectivity [m, k], all of one dimension. Cells are numbered through
            the types in the order given.
        tags: name -> :class:`~graphpde.core.graph.TagSet`; ids are cells (dim of the mesh), facets (one less), edges
            or points.
        point_data, cell_data: name -> values [n, ...] or [m, ...].
        warnings: what import found, one sentence each, or a function that finds it when it is first asked for.
        name: shown in messages, usually the file name.

    Raises:
        MeshError: no cells, unknown cell type, wrong node count, index out of range, non-finite points.

    The first ``corners`` nodes of a quadratic cell are its vertices; entities, facets and tags speak of vertices only.
    """

    points: Tensor
    cells: dict[str, Tensor]

    def __init__(
        self,
        points: Any,
        cells: Mapping[str, Any],
        *,
        tags: Mapping[str, TagSet] | None = None,
        point_data: Mapping[str, Any] | None = None,
        cell_data: Mapping[str, Any] | None = None,
        warnings: Sequence[str] | Callable[[], Sequence[str]] = (),
        name: str = "mesh",
    ):
        points = torch.as_tensor(points, dtype=torch.float64)
        kept = {k: torch.as_tensor(np.asarray(v)).to(torch.int64) for k, v in cells.items() if len(v)}
        self.__dict__.update(points=points, cells=kept, name=name)
        self._validate()
        self._describe(tags or {}, point_data or {}, cell_data or {}, warnings, name)

    def _describe(self, tags: Any, point_data: Any, cell_data: Any, warnings: Any, name: str) -> None:
        for what, data, count in (("points", point_data, self.n), ("cells", cell_data, self.n_cells)):
            for key, values in data.items():
                if len(values) != count:
                    raise MeshError(f"field '{key}' has {len(values)} values for {count} {what} of '{name}'")
        self.__dict__.update(
            tags=dict(tags),
            point_data={k: torch.as_tensor(v) for k, v in point_data.items()},
            cell_data={k: torch.as_tensor(v) for k, v in cell_data.items()},
            _findings=(Once(warnings),) if callable(warnings) else tuple(warnings),
            name=name,
        )

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"Mesh is frozen; use with_tags, with_points or with_data instead of setting '{key}'")

    def __repr__(self) -> str:
        cells = ", ".join(f"{len(v)} {k}" for k, v in self.cells.items())
        return f"Mesh('{self.name}', {self.n} points in {self.space_dim}-D, {cells}, {len(self.tags)} tags)"

    def _validate(self) -> None:
        if self.points.dim() != 2 or self.points.shape[1] not in (1, 2, 3):
            raise MeshError(f"points of '{self.name}' have shape {list(self.points.shape)}, expected [n, 1..3]")
        if not self.cells:
            raise MeshError(
                f"mesh '{self.name}' has no cells; a point cloud becomes a domain through neighbours (core.neighbors)"
            )
        if not bool(torch.isfinite(self.points).all()):
            bad = (~torch.isfinite(self.points).all(1)).nonzero()[:, 0]
            raise MeshError(f"{len(bad)} points of '{self.name}' are not finite, first {bad[:3].tolist()}")
        dims = {CELLS[k].dim for k in self.cells}
        if len(dims) > 1:
            raise MeshError(
                f"cells of '{self.name}' mix dimensions {sorted(dims)}; give lower-dimensional cells as tags"
            )
        for kind, nodes in self.cells.items():
            if nodes.dim() != 2 or nodes.shape[1] != CELLS[kind].nodes:
                raise MeshError(
                    f"{kind} cells of '{self.name}' have shape {list(nodes.shape)}, expected [m, {CELLS[kind].nodes}]"
                )
            low, high = int(nodes.min()), int(nodes.max())
            if low < 0 or high >= self.n:
                raise MeshError(
                    f"{kind} cells of '{self.name}' name point {low if low < 0 else high}, expected 0..{self.n - 1}"
                )

    # sizes

    @property
    def n(self) -> int:
        """Number of points, used or not."""
        return self.points.shape[0]

    @property
    def space_dim(self) -> int:
        """Dimension d of the space the points live in."""
        return self.points.shape[1]

    @cached
    def dim(self) -> int:
        """Dimension of the cells: 1 networks and intervals, 2 surfaces, 3 solids."""
        return CELLS[next(iter(self.cells))].dim

    @property
    def n_cells(self) -> int:
        return sum(len(v) for v in self.cells.values())

    @cached
    def warnings(self) -> tuple[str, ...]:
        """What import found, one sentence each; looked for when it is first asked for."""
        out: list[str] = []
        for one in self._findings:
            out += one() if callable(one) else [one]
        return tuple(dict.fromkeys(out))

    # incidences

    def corners(self) -> list[tuple[str, Tensor, int]]:
        """(linear type, vertices [m, k], number of the first cell) for each cell block."""
        out, start = [], 0
        for kind, nodes in self.cells.items():
            linear = CELLS[kind].corners
            out.append((linear, nodes[:, : CELLS[linear].nodes], start))
            start += len(nodes)
        return out

    def entities(self, dim: int) -> Entities:
        """All entities of dimension ``dim`` (0 points, 1 edges, dim - 1 facets, dim cells), each once."""
        if dim not in self._entities:
            self._entities[dim] = self._build_entities(dim)
        return self._entities[dim]

    @cached
    def _entities(self) -> dict[int, Entities]:
        return {}

    def _build_entities(self, dim: int) -> Entities:
        if dim == self.dim:
            width = max(v.shape[1] for _, v, _ in self.corners())
            nodes = torch.cat([_pad(v, width) for _, v, _ in self.corners()])
            return Entities(
                nodes, torch.arange(len(nodes)).repeat(2, 1).T.contiguous(), torch.zeros(len(nodes), dtype=torch.int64)
            )
        if dim == 0:
            ids = torch.arange(self.n)
            if self.dim != 1:
                return Entities(ids[:, None], torch.full((self.n, 2), -1), torch.zeros(self.n, dtype=torch.int64))
        if not 0 <= dim < self.dim:
            raise MeshError(f"mesh '{self.name}' has no entities of dimension {dim}, expected 0..{self.dim}")
        corners, cell, local = self.local_entities(dim)
        order, starts, count = groups(sorted_rows(corners))
        first = order[starts]
        cells = np.full((len(first), 2), -1, dtype=np.int64)
        cells[:, 0] = cell[first]
        if dim == self.dim - 1:
            cells[:, 1] = np.where(count > 1, cell[order[starts + count - 1]], -1)
        table = Entities(torch.from_numpy(corners[first]), torch.from_numpy(cells), torch.from_numpy(local[first]))
        if dim == self.dim - 1:
            self.__dict__["_facet_count"] = torch.from_numpy(count)
        if dim == 0:  # points of a network: numbered as points, so that ids mean the same in every mesh
            row = torch.full((self.n,), -1)
            row[table.nodes[:, 0]] = torch.arange(len(table.nodes))
            pick = row.clamp(min=0)
            owners = torch.where(row[:, None] >= 0, table.cells[pick], -1)
            counts = torch.where(row >= 0, self.__dict__.get("_facet_count", torch.zeros(len(first)))[pick], 0)
            self.__dict__["_facet_count"] = counts
            return Entities(torch.arange(self.n)[:, None], owners, table.local[pick])
        return table

    def local_entities(self, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every cell's entities of one dimension: nodes [k, w] padded with -1, owner [k], local number [k]."""
        blocks, cells, locals_ = [], [], []
        for kind, nodes, start in self.corners():
            parts = _local_table(CELLS[kind], dim)
            for number, part in enumerate(parts):
                blocks.append(nodes[:, list(part)].numpy())
                cells.append(np.arange(start, start + len(nodes)))
                locals_.append(np.full(len(nodes), number))
        width = max(b.shape[1] for b in blocks)
        padded = [
            np.pad(b, ((0, 0), (0, width - b.shape[1])), constant_values=-1) if b.shape[1] < width else b
            for b in blocks
        ]
        return np.concatenate(padded), np.concatenate(cells), np.concatenate(locals_)

    @property
    def facets(self) -> Entities:
        """Entities of dimension dim - 1: edges of a 2-D mesh, faces of a solid, end points of a network."""
        return self.entities(self.dim - 1)

    @cached
    def boundary_facets(self) -> Tensor:
        """Facets owned by exactly one cell [k]."""
        _ = self.facets
        return (self.__dict__["_facet_count"] == 1).nonzero()[:, 0]

    @cached
    def nonmanifold_facets(self) -> Tensor:
        """Facets owned by three or more cells [k]; allowed (networks, junctions), reported by ``info``."""
        _ = self.facets
        return (self.__dict__["_facet_count"] > 2).nonzero()[:, 0]

    @cached
    def boundary_nodes(self) -> Tensor:
        """Points on boundary facets, sorted [k]."""
        return distinct(self.facets.nodes[self.boundary_facets], self.n)

    @cached
    def used_points(self) -> Tensor:
        """Vertices of cells, sorted [k]; mid-side nodes of quadratic cells do not count."""
        return distinct(torch.cat([v.reshape(-1) for _, v, _ in self.corners()]), self.n)

    def find(self, dim: int, nodes: Tensor) -> Tensor:
        """Numbers of the entities with these corner points [k, w] (any order, -1 padded); -1 where there is none."""
        asked = sorted_rows(np.asarray(nodes))
        order, table = self._row_table(dim, asked)
        width = len(table.levels)
        if asked.shape[1] > width:  # wider rows are there only where the rest is padding
            fits = asked[:, -width - 1] < 0
            asked = np.where(fits[:, None], asked[:, asked.shape[1] - width :], table.scale)
        asked = np.pad(asked, ((0, 0), (width - asked.shape[1], 0)), constant_values=-1)
        found = table.find(asked)
        if order is not None:
            known = found >= 0
            found[known] = order[found[known]]
        return torch.from_numpy(found)

    def _row_table(self, dim: int, asked: np.ndarray) -> tuple[np.ndarray | None, RowTable]:
        """Entities by their corners, and their numbers where they are not all, or not in the order of their corners."""
        if dim in self._row_tables:
            return self._row_tables[dim]
        nodes = self.entities(dim).nodes.numpy()
        if _FEW * len(asked) < len(nodes) and dim not in (0, self.dim):  # not worth a table of all
            among = np.zeros(self.n + 1, dtype=bool)
            among[-1] = True  # where -1 leads
            among[asked[(asked >= 0) & (asked < self.n)]] = True
            near = np.flatnonzero(np.logical_and.reduce([among[column] for column in nodes.T]))
            return near, RowTable(sorted_rows(nodes[near]))
        rows = sorted_rows(nodes)
        order: np.ndarray | None = None
        if dim in (0, self.dim):
            found = groups(rows)
            order = found.order[found.starts]  # of equal cells the first
            rows = rows[order]
        self._row_tables[dim] = order, RowTable(rows)
        return self._row_tables[dim]

    @cached
    def _row_tables(self) -> dict[int, tuple[np.ndarray | None, RowTable]]:
        return {}

    # tags

    def tag(self, name: str | int) -> TagSet:
        """The named set; ``"boundary"`` is always there.

        Raises:
            UnknownName: no such set; the message lists the known ones.
        """
        name = str(name)
        if name in self.tags:
            return self.tags[name]
        if name == "boundary":
            return TagSet(self.dim - 1, self.boundary_facets, self.boundary_nodes)
        raise missing(self.name, "named set", name, [*self.tags, "boundary"])

    def make_tag(self, dim: int, ids: Any) -> TagSet:
        """The set of these entities, its nodes looked up.

        Raises:
            MeshError: something else than numbers of entities of that dimension.
        """
        given = torch.as_tensor(ids).reshape(-1)
        ids = given.to(torch.int64)
        count = len(self.entities(dim).nodes)
        if len(ids) and (bool((ids != given).any()) or not 0 <= int(ids.min()) <= int(ids.max()) < count):
            raise MeshError(
                f"a set of '{self.name}' names entities {int(ids.min())} to {int(ids.max())} of dimension {dim}, "
                f"expected whole numbers in 0..{count - 1}"
            )
        if not bool((ids.diff() > 0).all()):
            ids = torch.unique(ids)
        return TagSet(dim, ids, distinct(self.entities(dim).nodes[ids], self.n))

    def with_tags(self, /, **tags: TagSet) -> Mesh:
        """The same mesh with these named sets added or replaced."""
        return self._replace(tags={**self.tags, **tags})

    def with_points(self, points: Tensor) -> Mesh:
        """The same cells and sets on moved points [n, d]."""
        if len(points) != self.n:
            raise MeshError(f"got {len(points)} points for '{self.name}', expected {self.n}")
        return self._replace(points=points)

    def with_cells(self, cells: Mapping[str, Any]) -> Mesh:
        """The same cells in the same order with corners renumbered; sets and data stay."""
        return self._replace(cells=cells)

    def with_data(
        self, point_data: Mapping[str, Any] | None = None, cell_data: Mapping[str, Any] | None = None
    ) -> Mesh:
        """The same mesh carrying these fields as well."""
        return self._replace(
            point_data={**self.point_data, **(point_data or {})}, cell_data={**self.cell_data, **(cell_data or {})}
        )

    def with_bends(self, *bends: Any) -> Mesh:
        """The same mesh with the edges (:class:`~graphpde.mesh.bends.Bend`) that second-order cells bend."""
        return self._replace(bends=bends)

    def with_warnings(self, *sentences: str | Callable[[], Sequence[str]]) -> Mesh:
        """The same mesh with further warnings, or a function that finds them when they are first asked for."""
        later = (Once(one) if callable(one) else one for one in sentences)
        return self._replace(warnings=(*self._findings, *later))

    def _replace(self, **new: Any) -> Mesh:
        old = {k: self.__dict__[k] for k in ("tags", "point_data", "cell_data", "name")}
        old["warnings"] = self._findings
        old.update({k: v for k, v in new.items() if k not in ("points", "cells", "bends")})
        if "points" in new or "cells" in new:
            changed = Mesh(new.get("points", self.points), new.get("cells", self.cells), **old)
        else:  # nothing that would have to be looked at again
            changed = Mesh.__new__(Mesh)
            changed.__dict__.update(points=self.points, cells=self.cells, bends=new.get("bends", self.bends))
            changed._describe(**old)
        if "cells" not in new:  # incidences depend on the cells alone
            known = {k: self.__dict__[k] for k in _OF_THE_CELLS if k in self.__dict__}
            # tables of their own: what one mesh adds to a shared one would lack its counts in the other
            changed.__dict__.update({k: dict(v) if isinstance(v, dict) else v for k, v in known.items()})
        return changed

    # for type checkers: set in __init__ through __dict__ because the class is frozen
    tags: dict[str, TagSet]
    point_data: dict[str, Tensor]
    cell_data: dict[str, Tensor]
    name: str
    bends: tuple[Any, ...] = ()  # lost with other points or cells: they would lie elsewhere
    _findings: tuple[str | Callable[[], Sequence[str]], ...]


_OF_THE_CELLS = (
    "_entities",
    "_row_tables",
    "_facet_count",
    "boundary_facets",
    "nonmanifold_facets",
    "boundary_nodes",
    "used_points",
)


def _pad(nodes: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(nodes, (0, width - nodes.shape[1]), value=-1)


def _local_table(cell: CellType, dim: int) -> tuple[tuple[int, ...], ...]:
    if dim == cell.dim - 1:
        return cell.facets
    if dim == 1:
        return cell.edges
    return tuple((i,) for i in range(cell.nodes))
