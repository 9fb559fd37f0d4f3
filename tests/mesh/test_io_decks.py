"""Abaqus and Nastran decks and Exodus files: sets of every kind, parts, local systems, sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from tests.mesh.io_samples import PLANE, put, sets

DECK = """** a comment
*Heading
 a title
*NODE, NSET=all
1, 0, 0, 0
2, 1., 0, 0
3, 1, 1,
4, 0, 1
7, 2, 0
*Element, type=cps3, elset=A
10, 1, 2, 3
20, 1, 3, 4
*ELEMENT, TYPE=CPS4R
30, 2, 7, 3,
3
*NSET, NSET=ends, GENERATE
1, 7, 6
*NSET, NSET=more
2, ENDS
*ELSET, ELSET=b, GENERATE
10, 20, 10
*ELSET, ELSET=b
30
*SURFACE, NAME=low
b, S1
*SURFACE, NAME=some, TYPE=NODE
ends,
"""


def test_abaqus_sets_of_every_kind(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.inp", DECK))
    assert np.array_equal(mesh.points, PLANE)
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.cells["quad"].tolist() == [[1, 4, 2, 2]]
    assert sets(mesh) == {
        "A": (2, [0, 1, 2, 3]),
        "b": (2, [0, 1, 2, 3, 4]),
        "low": (1, [0, 1, 2, 4]),
        "all": (0, [0, 1, 2, 3, 4]),
        "ends": (0, [0, 4]),
        "more": (0, [0, 1, 4]),
        "some": (0, [0, 4]),
    }
    assert "1 of 3 cells name a point twice" in mesh.warnings
    for old, new, reason in (
        ("30, 2, 7, 3,", "30, 2, 8, 3,", "node 8 is used but not defined"),
        ("2, ENDS", "2, NOWHERE", "the set 'NOWHERE' is used but not defined"),
        ("2, ENDS", "2, MORE", "the set 'MORE' is defined by itself"),
        ("20, 1, 3, 4", "20, 1, 3", "are no multiple of 4"),
        ("*NODE, NSET=all", "*NODE, SYSTEM=C", "only rectangular coordinates"),
        ("2, 1., 0, 0", "2", "a line under .NODE has no coordinates"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.inp", DECK.replace(old, new)))


def test_abaqus_parts_are_placed_and_includes_followed(tmp_path: Path) -> None:
    put(tmp_path, "nodes.inp", "*NODE\n1,0,0,0\n2,1,0,0\n3,0,1,0\n4,0,0,1\n")
    deck = "*PART, NAME=p\n*INCLUDE, INPUT=nodes.inp\n*ELEMENT, TYPE=C3D4, ELSET=e\n1,1,2,3,4\n*END PART\n"
    deck += "*ASSEMBLY, NAME=a\n*INSTANCE, NAME=i, PART=P\n*END INSTANCE\n"
    deck += "*INSTANCE, NAME=j, PART=p\n5, 0, 0\n*END INSTANCE\n"
    deck += (
        "*NSET, NSET=top, INSTANCE=j\n4\n*SURFACE, NAME=base\ne, S1\n*ELEMENT, TYPE=SPRINGA\n9, 1, 2\n*END ASSEMBLY\n"
    )
    mesh = read_mesh(put(tmp_path, "m.inp", deck))
    assert mesh.n == 8 and mesh.points[4].tolist() == [5, 0, 0] and mesh.n_cells == 2
    assert sets(mesh) == {"e": (3, [*range(8)]), "top": (0, [3, 7]), "base": (2, [0, 1, 2, 4, 5, 6])}
    assert any("SPRINGA have no cell type" in sentence for sentence in mesh.warnings)
    with pytest.raises(MeshReadError, match="an instance is rotated"):
        read_mesh(put(tmp_path, "bad.inp", deck.replace("5, 0, 0\n", "5, 0, 0\n0,0,0,0,0,1,90\n")))
    with pytest.raises(MeshReadError, match="names the part 'Q', which is not defined"):
        read_mesh(put(tmp_path, "bad.inp", deck.replace("PART=P", "PART=q")))


# Nastran


def test_nastran_fields_small_large_and_free_agree(tmp_path: Path) -> None:
    small = "GRID           1             0.0     0.0     1.0\nGRID           2           1.5+0     0.0     1.0\n"
    large = "GRID*                  3                             1.5             1.0\n*                    1.0\n"
    free = "GRID,4,,0.,10.-1,1.D0\n$ a comment\nCTRIA3,1,8,1,2,3\n"
    quad = "CQUAD4         2       9       1       2       3       4\n"
    mesh = read_mesh(
        put(tmp_path, "m.bdf", f"SOL 101\nCEND\nBEGIN BULK\n{small}{large}{free}{quad}CELAS1,7,1,1,1\nENDDATA\n")
    )
    assert mesh.points.tolist() == [[0, 0], [1.5, 0], [1.5, 1], [0, 1]]
    assert sets(mesh) == {"8": (2, [0, 1, 2]), "9": (2, [0, 1, 2, 3])}
    assert mesh.warnings[:1] == ("1 elements without a cell type here were left out: 1 CELAS1",)
    with pytest.raises(MeshReadError, match="GRID .* has a field that is no number"):
        read_mesh(put(tmp_path, "bad.bdf", "BEGIN BULK\nGRID,1,,a,b,c\nENDDATA\n"))


def test_nastran_quadratic_solids_and_local_systems(tmp_path: Path) -> None:
    grids = "".join(
        f"GRID,{k},5,{r},{angle},{z}\n"
        for k, (r, angle, z) in enumerate([(0, 0, 0), (1, 0, 0), (1, 90, 0), (0, 0, 1)], 1)
    )
    system = "CORD2C,5,0,10.,0.,0.,10.,0.,1.\n+,11.,0.,0.\n"
    tetra = "CTETRA,1,2,1,2,3,4\n"
    mesh = read_mesh(put(tmp_path, "m.bdf", f"BEGIN BULK\n{system}{grids}{tetra}ENDDATA\n"))
    expected = torch.tensor([[10, 0, 0], [11, 0, 0], [10, 1, 0], [10, 0, 1]], dtype=torch.float64)
    assert torch.allclose(mesh.points, expected, atol=1e-14)
    spherical = system.replace("CORD2C", "CORD2S")
    ball = f"BEGIN BULK\n{spherical}GRID,1,5,2.,90.,90.\nGRID,2,,0.,0.,0.\nCROD,1,1,1,2\nENDDATA\n"
    assert torch.allclose(
        read_mesh(put(tmp_path, "s.bdf", ball)).points[0], torch.tensor([10.0, 2, 0], dtype=torch.float64)
    )
    with pytest.raises(MeshReadError, match="coordinate systems 5, which no CORD2 entry defines"):
        read_mesh(put(tmp_path, "bad.bdf", f"BEGIN BULK\n{grids}{tetra}ENDDATA\n"))
    with pytest.raises(MeshReadError, match="three points of coordinate system 5 lie on a line"):
        read_mesh(
            put(tmp_path, "bad.bdf", f"BEGIN BULK\n{system.replace('11.,0.,0.', '10.,0.,7.')}{grids}{tetra}ENDDATA\n")
        )
    middle = {5: (0, 1), 6: (1, 2), 7: (0, 2), 8: (0, 3), 9: (1, 3), 10: (2, 3)}
    x = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    x = np.r_[x, [x[list(ends)].mean(0) for ends in middle.values()]]
    deck = "".join(f"GRID,{k},,{a},{b},{c}\n" for k, (a, b, c) in enumerate(x.tolist(), 1))
    ten = read_mesh(put(tmp_path, "q.bdf", f"BEGIN BULK\n{deck}CTETRA,1,2,1,2,3,4,5,6\n,7,8,9,10\nENDDATA\n"))
    assert ten.cells["tetra10"].tolist() == [[*range(10)]]


# Exodus


def exodus(path: Path, element: str, dim: int) -> Path:
    """Two quadrilaterals side by side: a named and a numbered block, node and side sets."""
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        sizes = {"num_nodes": 6, "num_dim": dim, "num_el_blk": 2, "num_node_sets": 1, "num_side_sets": 2, "len_name": 8}
        for name, size in {**sizes, "one": 1, "two": 2, "four": 4, "time_step": None}.items():
            file.createDimension(name, size)
        for axis, values in zip("xyz"[:dim], ([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 2])):
            file.createVariable(f"coord{axis}", "f8", ("num_nodes",))[:] = values
        for number, rows in enumerate(([[1, 2, 5, 4]], [[2, 3, 6, 5]]), 1):
            block = file.createVariable(f"connect{number}", "i4", ("one", "four"))
            block.elem_type = element
            block[:] = rows
        for what, ids, names in (("eb", [4, 5], ["left", ""]), ("ns", [9], [""]), ("ss", [1, 2], ["floor", "sides"])):
            size = {"eb": "num_el_blk", "ns": "num_node_sets", "ss": "num_side_sets"}[what]
            file.createVariable(f"{what}_prop1", "i4", (size,))[:] = ids
            labels = np.array([list(name.ljust(8, "\0")) for name in names], dtype="S1")
            file.createVariable(f"{what}_names", "S1", (size, "len_name"))[:] = labels
        shift = 2 if element == "SHELL4" else 0
        file.createVariable("node_ns1", "i4", ("two",))[:] = [1, 6]
        for number, elements, sides in ((1, [1, 2], [1, 1]), (2, [1, 2], [4, 2])):
            file.createVariable(f"elem_ss{number}", "i4", ("two",))[:] = elements
            file.createVariable(f"side_ss{number}", "i4", ("two",))[:] = np.array(sides) + shift
        file.createVariable("time_whole", "f8", ("time_step",))[:] = [0.0, 1.0]
        file.createVariable("name_nod_var", "S1", ("one", "len_name"))[:] = np.array(
            [list("T\0\0\0\0\0\0\0")], dtype="S1"
        )
        file.createVariable("vals_nod_var1", "f8", ("time_step", "num_nodes"))[:] = [range(6), range(6, 12)]
    return path


@pytest.mark.parametrize("element, dim", [("QUAD4", 2), ("SHELL4", 3)])
@pytest.mark.parametrize("extension", ["e", "g", "exo"])
def test_exodus_blocks_node_and_side_sets(tmp_path: Path, element: str, dim: int, extension: str) -> None:
    mesh = read_mesh(exodus(tmp_path / f"m.{extension}", element, dim))
    assert mesh.space_dim == dim and mesh.cells["quad"].tolist() == [[0, 1, 4, 3], [1, 2, 5, 4]]
    assert sets(mesh) == {
        "left": (2, [0, 1, 3, 4]),
        "5": (2, [1, 2, 4, 5]),
        "floor": (1, [0, 1, 2]),
        "sides": (1, [0, 2, 3, 5]),
        "9": (0, [0, 5]),
    }
    assert mesh.point_data["T"].tolist() == [6, 7, 8, 9, 10, 11]
    assert mesh.warnings == ("it holds 2 time steps; the fields are those of the last (t = 1)",)


def test_exodus_fields_on_some_blocks_are_nan_on_the_others(tmp_path: Path) -> None:
    netCDF4 = pytest.importorskip("netCDF4")
    path = exodus(tmp_path / "m.e", "QUAD4", 2)
    with netCDF4.Dataset(path, "a") as file:
        for dimension, size in (("num_elem_var", 1), ("name_letters", 33)):
            file.createDimension(dimension, size)
        name = np.zeros((1, 33), dtype="S1")
        name[0, :1] = [b"s"]
        file.createVariable("name_elem_var", "S1", ("num_elem_var", "name_letters"))[:] = name
        cells = file.variables["connect2"].dimensions[0]
        file.createVariable("vals_elem_var1eb2", "f8", ("time_step", cells))[:] = [[6.0], [7.0]]
    assert np.array_equal(read_mesh(path).cell_data["s"], [np.nan, 7.0], equal_nan=True)


def test_exodus_of_other_elements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeshReadError, match="elements of type NSIDED have no cell type here"):
        read_mesh(exodus(tmp_path / "m.e", "NSIDED", 2))
    with pytest.raises(MeshReadError, match="elements TRI with 4 nodes have no cell type here"):
        read_mesh(exodus(tmp_path / "m.e", "TRI", 2))
