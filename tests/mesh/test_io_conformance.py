"""Every writer with every cell type: what comes back is the same, or the loss is told, or the cells are refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphpde.core.graph import TagSet
from graphpde.errors import OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh, write_vtu
from graphpde.mesh.io import read as read_module
from graphpde.mesh.io import write as write_module
from graphpde.mesh.io.bridge import meshio_read
from graphpde.mesh.io.med import read as med
from graphpde.mesh.io.nastran import write as nastran_write
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK, places
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits

KINDS = [kind for kind in CELLS if CELLS[kind].dim]
LINEAR = ["line", "triangle", "quad", "tetra", "pyramid", "wedge", "hexahedron"]
MIXED = {
    "mixed plane": ["quad", "triangle"],
    "mixed solid": ["pyramid", "hexahedron", "wedge", "tetra"],
    "mixed curved plane": ["triangle6", "quad8", "triangle", "quad9"],
    "mixed curved solid": ["tetra10", "hexahedron20", "pyramid13", "wedge15", "tetra"],
}
CURVED = ["line3", "triangle6", "quad8", "quad9", "tetra10", "pyramid13", "wedge15", "hexahedron20"]
# the cells that the documents of each format know, and that its writer must therefore take
KNOWS = {
    "vtu": KINDS,
    "vtk": KINDS,
    "gmsh": [kind for kind in KINDS if kind not in ("triangle7", "hexahedron24")],
    "xdmf": [*LINEAR, *CURVED, "wedge18", "hexahedron24", "hexahedron27"],
    "exodus": [*LINEAR, *CURVED, "triangle7", "wedge18", "pyramid14", "hexahedron27"],
    "med": [*LINEAR, *CURVED, "line4", "triangle7", "wedge18", "hexahedron27"],
    "abaqus": [*LINEAR, *(kind for kind in CURVED if kind != "pyramid13"), "hexahedron27"],
    "medit": [*LINEAR, "line3", "triangle6", "quad9", "tetra10", "hexahedron27"],
    "su2": [kind for kind in LINEAR if kind != "line"],
    "obj": ["line", "triangle", "quad"],
    "ply": ["line", "triangle", "quad"],
    "off": ["triangle", "quad"],
    "stl": ["triangle"],
    "nastran": [*LINEAR, *(kind for kind in CURVED if kind not in ("line3", "quad9"))],
    "netgen": [*LINEAR, *(kind for kind in CURVED if kind not in ("line3", "quad9"))],
    "tecplot": ["line", "triangle", "quad", "tetra", "hexahedron"],
    "avsucd": LINEAR,
}
ONE_TYPE = ("stl", "tecplot")  # files hold cells of one type
NEEDS = {"exodus": "netCDF4", "med": "h5py"}
DOUBLES = ("gmsh", "exodus", "med")  # all fields are stored in double precision
SORTED = ("gmsh", "med")  # cells stand by the sets that they are in, or by the names of their types
RENAMING = ("medit", "obj")  # names are numbers, or have no blanks
ROUNDED = ("nastran",)  # fields of 16 characters
FLAT = ("su2",)  # cells of dimension d live in d dimensions
UNTOLD = ("gmsh", "nastran", "netgen", "tecplot", "avsucd", "obj", "ply")  # files do not say how many dimensions
TYPES = [torch.float64, torch.float32, torch.int32, torch.int64, torch.bool]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that run in a process of their own are called here: starting it takes longer than all else."""
    here = dict(FORMATS.items())
    for name, known in FORMATS.items():
        options = getattr(known.read, "keywords", {})
        if "name" in options:
            here[name] = replace(known, read=partial(meshio_read.read, name=options["name"]))
        elif options:
            assert options == {"reader": f"graphpde.mesh.io.{name}.read:read"}
            here[name] = replace(known, read={"med": med.read}.get(name, known.read))
    monkeypatch.setattr(read_module, "FORMATS", here)
    monkeypatch.setattr(write_module, "FORMATS", here)


def points_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    """The nodes of the reference cell [k, 3]; those without a place in the table lie anywhere between the corners."""
    linear = CELLS[kind].corners
    count = CELLS[linear].nodes
    corners = places(linear, VTK.get(linear, " ".join(map(str, range(count)))))
    if kind in VTK:
        return places(kind, VTK[kind])
    return np.r_[corners, rng.dirichlet(np.ones(count), CELLS[kind].nodes - count) @ corners]


def small(kinds: list[str], space_dim: int = 3) -> Mesh:
    """Three cells of each type, neighbours along the first edge, with moved points and sets of every dimension."""
    rng = np.random.default_rng(len(kinds))
    x, cells, start = [], {}, 0
    for k, kind in enumerate(kinds):
        reference = points_of(kind, rng)
        x += [reference + np.array([2 * c, 7 * k, 0]) for c in range(3)]
        cells[kind] = start + np.arange(3 * len(reference)).reshape(3, -1)
        start += 3 * len(reference)
    points, inverse = np.unique(np.round(np.concatenate(x), 9), axis=0, return_inverse=True)
    points += 1e-3 * rng.standard_normal(points.shape)
    mesh = Mesh(points[:, :space_dim], {kind: inverse.reshape(-1)[nodes] for kind, nodes in cells.items()})
    chosen = torch.tensor(sorted({0, mesh.n // 2, mesh.n - 1}))
    sets = {"dots": TagSet(0, chosen, chosen), "some cells": mesh.make_tag(mesh.dim, [0, 2])}
    for dim in range(1, mesh.dim):
        sets[f"{dim}-dim_rim"] = mesh.make_tag(dim, [0, 3])
    return mesh.with_tags(**sets, **{"7": mesh.make_tag(mesh.dim, range(1, mesh.n_cells))})


def fields(count: int, where: str, every: bool) -> dict[str, torch.Tensor]:
    """Fields of 1, 2, 3 and 9 components of every type, or a few that have each of them once."""
    rng = torch.Generator().manual_seed(count)
    out = {}
    for t, kind in enumerate(TYPES):
        for width in (1, 2, 3, 9) if every else [(1, 3, 2, 9, 1)[t]]:
            shape = (count, width) if width > 1 else (count,)
            values = torch.randn(shape, generator=rng, dtype=torch.float64)
            values = values if kind.is_floating_point else (1e6 * values).round()
            out[f"{where} {width} {str(kind)[6:]}"] = values > 0 if kind == torch.bool else values.to(kind)
    return out


def cases() -> Iterator[tuple[str, str, int]]:
    """Format, cells, dimension of space."""
    for name, known in FORMATS.items():
        if known.write:
            for kind in (*KINDS, *MIXED):
                dim = CELLS[MIXED.get(kind, [kind])[0]].dim
                low = dim if kind in ("line", "triangle", "mixed plane") else 3
                yield from ((name, kind, d) for d in range(low, 4))


def test_every_writer_has_its_table() -> None:
    assert {name for name, known in FORMATS.items() if known.write} == set(KNOWS)


@pytest.mark.parametrize("name, kind, space_dim", list(cases()))
def test_what_is_written_comes_back(tmp_path: Path, name: str, kind: str, space_dim: int) -> None:
    pytest.importorskip(NEEDS.get(name, "numpy"))
    known, kinds = FORMATS[name], MIXED.get(kind, [kind])
    mesh = small(kinds, space_dim)
    every = (kind, space_dim) == ("triangle" if name == "ply" else "mixed solid", 3)
    given = fields(mesh.n, "p", every), fields(mesh.n_cells, "c", every)
    path = tmp_path / f"m{known.extensions[0]}"
    taken = set(kinds) <= set(KNOWS[name]) and not (len(kinds) > 1 and name in ONE_TYPE)
    taken &= name not in FLAT or mesh.dim == space_dim
    try:
        told = write_mesh(path, mesh, point_data=given[0], cell_data=given[1])
    except OutputError as error:
        assert not taken, error
        assert 20 < len(str(error)) < 300 and not path.exists()
        return
    assert taken
    back = read_mesh(path, format=name)
    assert_points(mesh, back, name, told)
    order = cell_order(mesh, back, name)
    assert_sets(mesh, back, name, order, told)
    for data, found, rows in (
        (given[0], back.point_data, torch.arange(mesh.n)),
        (given[1], back.cell_data, order),
    ):
        assert_fields(data, found, rows, name, told)


def padded(mesh: Mesh) -> np.ndarray:
    return np.pad(mesh.points.numpy(), ((0, 0), (0, 3 - mesh.space_dim)))


def assert_points(mesh: Mesh, back: Mesh, name: str, told: tuple[str, ...]) -> None:
    if name == "stl":  # corners in single precision, equal ones joined
        corners, found = (padded(m)[m.cells["triangle"]].astype(np.float32) for m in (mesh, back))
        assert np.array_equal(corners, found)
    elif name in ROUNDED:
        assert np.allclose(padded(mesh), padded(back), rtol=1e-10, atol=0)
        assert any("coordinates are rounded" in sentence for sentence in told)
    else:
        assert same_bits(padded(mesh), padded(back))
    assert back.space_dim == mesh.space_dim or (name in UNTOLD and (mesh.dim, mesh.space_dim) == (1, 2))


def cell_order(mesh: Mesh, back: Mesh, name: str) -> torch.Tensor:
    """For each cell that came back its number before."""
    if name == "stl":
        return torch.arange(mesh.n_cells)
    before, after = listing(mesh), listing(back)
    if name not in SORTED:
        assert after == before
        return torch.arange(mesh.n_cells)
    assert sorted(after) == sorted(before) and len(set(before)) == len(before)
    return torch.tensor([before.index(cell) for cell in after])


def listing(mesh: Mesh) -> list[tuple[str, tuple[int, ...]]]:
    """Type and points of each cell."""
    return [(kind, tuple(row)) for kind, rows in mesh.cells.items() for row in rows.tolist()]


def is_told(name: str, told: tuple[str, ...]) -> bool:
    """Whether a sentence names it, or says that there are more than it names."""
    return any(name in sentence or " more" in sentence for sentence in told)


def assert_sets(mesh: Mesh, back: Mesh, name: str, order: torch.Tensor, told: tuple[str, ...]) -> None:
    lost = set()
    for label, tag in mesh.tags.items():
        kept = tag.dim in FORMATS[name].set_dims(mesh.dim)
        found = back.tags.get(label)
        if kept and found is not None and found.dim == tag.dim and torch.equal(found.nodes, tag.nodes):
            ids = order[found.ids].sort().values if tag.dim == mesh.dim else found.ids
            assert torch.equal(ids, tag.ids) or (name in SORTED and 0 < tag.dim < mesh.dim)
        else:
            lost.add(label)
            assert is_told(label, told), label
    if name not in RENAMING:
        assert lost == {k for k, tag in mesh.tags.items() if tag.dim not in FORMATS[name].set_dims(mesh.dim)}
        assert set(back.tags) == set(mesh.tags) - lost or FORMATS[name].sets == "none"


def assert_fields(
    data: dict[str, torch.Tensor], found: dict[str, torch.Tensor], rows: torch.Tensor, name: str, told: tuple[str, ...]
) -> None:
    if not FORMATS[name].keeps_fields:
        assert not set(data) & set(found) and is_told(next(iter(data)), told)
        return
    for label, values in data.items():
        other = found[label]
        if other.shape != values.shape:  # gmsh has no fields of two components
            assert name == "gmsh" and values.shape[1] == 2 and is_told(label, told) and not other[:, 2].any()
            other = other[:, :2]
        assert torch.equal(other.double(), values[rows].double()), label
        expected = torch.float64 if name in DOUBLES else values.dtype
        floating = expected.is_floating_point
        assert other.dtype == expected if floating else not other.dtype.is_floating_point, label


EXACT = [name for name in KNOWS if name not in ("stl", *ROUNDED)]


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_random_meshes_come_back_in_every_bit(name: str, data: st.DataObject) -> None:
    pytest.importorskip(NEEDS.get(name, "numpy"))
    known = FORMATS[name]
    kinds = KNOWS[name] if name not in ONE_TYPE else [data.draw(st.sampled_from(KNOWS[name]))]
    flat = CELLS[kinds[0]].dim if name in FLAT or name in ONE_TYPE else 3
    mesh = data.draw(random_meshes(tuple(k for k in kinds if name not in FLAT or CELLS[k].dim == flat), flat))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m{known.extensions[0]}"
        told = write_mesh(path, mesh)
        back = read_mesh(path, format=name)
    if not any("where the mesh lies" in sentence for sentence in told):
        assert same_bits(padded(back), padded(mesh))
    if name in SORTED:  # where a cell that is listed twice counts once
        assert set(listing(back)) == set(listing(mesh))
    else:
        assert listing(back) == listing(mesh)
    if known.sets != "none" and name not in RENAMING:
        kept = {label: tag for label, tag in mesh.tags.items() if tag.dim in known.set_dims(mesh.dim)}
        found = sorted((tag.dim, tag.nodes.tolist()) for tag in back.tags.values())
        assert found == sorted((tag.dim, tag.nodes.tolist()) for tag in kept.values())
        assert set(back.tags) == set(kept) or any("names cannot be kept" in sentence for sentence in told)


def test_names_that_xml_has_no_place_for_are_changed_and_told(tmp_path: Path) -> None:
    mesh = small(["triangle"])
    named = mesh.with_tags(**{"a\x1f": mesh.make_tag(2, [0]), "a_": mesh.make_tag(2, [1]), "": mesh.make_tag(1, [0])})
    u = torch.arange(mesh.n)
    assert write_mesh(tmp_path / "m.vtu", named, point_data={"\0": u, "\ufffe": 2 * u}) == (
        "2 names cannot be kept as they are: '\\x00' is '_', '\\ufffe' is '__2'",
        "1 names cannot be kept as they are: 'a\\x1f' is 'a__2'",
    )
    back = read_mesh(tmp_path / "m.vtu")
    assert set(back.tags) - set(mesh.tags) == {"a__2", "a_", ""} and back.tags["a__2"].ids.tolist() == [0]
    assert torch.equal(back.point_data["_"], u) and torch.equal(back.point_data["__2"], 2 * u)
    with pytest.raises(OutputError, match=r"the name '\\x1b' cannot stand in XML"):
        write_vtu(tmp_path / "n.vtu", mesh, {"\x1b": u})
    assert [path.name for path in tmp_path.iterdir()] == ["m.vtu"]


def test_names_of_markers_are_text_of_any_language(tmp_path: Path) -> None:
    mesh = small(["triangle"], 2)
    named = {"Zufluß Å": [0], "50%": [1], "50_": [2], "a\u2028b": [3], "": [4]}
    mesh = Mesh(mesh.points, mesh.cells).with_tags(**{name: mesh.make_tag(1, ids) for name, ids in named.items()})
    told = write_mesh(tmp_path / "m.su2", mesh)
    assert told == ("3 names cannot be kept as they are: '50%' is '50__2', 'a\\u2028b' is 'a b', '' is 'unnamed'",)
    back = read_mesh(tmp_path / "m.su2")
    assert {name: tag.ids.tolist() for name, tag in back.tags.items()} == {
        **{"Zufluß Å": [0], "50__2": [1], "50_": [2], "a b": [3], "unnamed": [4]},
    }


@pytest.mark.parametrize("name", [name for name in KNOWS if name not in ("vtu", "vtk", "xdmf", "exodus", "su2")])
def test_a_surface_that_is_read_as_a_plane_is_told(tmp_path: Path, name: str) -> None:
    pytest.importorskip(NEEDS.get(name, "numpy"))
    mesh = small(["triangle"])
    flat = Mesh(np.c_[mesh.points[:, :2], np.full(mesh.n, 0.5)], mesh.cells)
    path = tmp_path / f"m{FORMATS[name].extensions[0]}"
    assert any("where the mesh lies in space is lost" in sentence for sentence in write_mesh(path, flat))
    assert read_mesh(path, format=name).space_dim == 2
    assert not any("where the mesh lies" in sentence for sentence in write_mesh(path, mesh))


def test_another_librarys_writer_says_which_cells_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"'m.avs': its writer does not take tetra10 cells; write a .vtu file"):
        write_mesh(tmp_path / "m.avs", small(["tetra10"]))


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e300, 1e300))
def test_numbers_of_sixteen_characters_are_as_near_as_can_be(value: float) -> None:
    text = nastran_write._field(value)
    assert len(text) <= 16 and "." in text
    found = float(nastran_write._plain(text))
    assert abs(found - value) <= 1e-9 * abs(value) or abs(value) < 1e-300
    assert np.signbit(found) == np.signbit(value)
    if len(repr(value)) < 15 and "e" not in repr(value):
        assert found == value
