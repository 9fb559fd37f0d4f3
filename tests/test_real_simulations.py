"""Heat on meshes that other people made: a sample of what benchmarks/real_simulations.py does to every file."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from graphpde.cli import main
from graphpde.mesh import Space, read_mesh

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "real_simulations.py"

SAMPLE = [
    "skfem/annulus.msh",  # gmsh, triangles
    "skfem/quadratic_tri.msh",  # gmsh, quadratic triangles
    "skfem/mixedtriquad.msh",  # gmsh, triangles beside quadrilaterals
    "skfem/beams.msh",  # gmsh, tetrahedra
    "skfem/troublesome_mesh.vtk",  # VTK legacy, every triangle clockwise
    "mfem/star.vtk",  # VTK legacy, quadrilaterals
    "mfem/escher-p2.vtk",  # VTK legacy, quadratic tetrahedra
    "meshio/vtu/00_raw_binary.vtu",  # VTU, half of the tetrahedra inverted
    "torchfem/fillet.vtu",  # VTU, quadrilaterals
    "meshio/medit/cube86.mesh",  # medit, tetrahedra
    "meshio/netgen/periodic_2d.vol",  # netgen, triangles
    "meshio/abaqus/UUea.inp",  # Abaqus, shells
    "pynastran_conv/test_bracket.inp",  # Abaqus, tetrahedra
    "nastran/solid_bending.bdf",  # Nastran, tetrahedra
    "su2/solid_mesh_1.su2",  # SU2, quadrilaterals
    "libigl/planexy.off",  # OFF, plane
    "libigl/decimated-knight.off",  # OFF, closed surface
    "common3d/suzanne.obj",  # OBJ, quadrilaterals and triangles in space
    "pygem/test_sphere_bin.stl",  # STL, closed surface
    "firedrake/brick.e",  # Exodus, tetrahedra
    "calculix/segmenttet.inp",  # Abaqus, curved tetra10
    "calculix/thread.inp",  # Abaqus, curved quad8
    "calculix/beamb.inp",  # Abaqus, hexahedron20
    "nastran/aa8lzviq9.nas",  # Nastran, tetra10
    "nastran/rot063akd2s_107.bdf",  # Nastran, hexahedra and wedges
    "libmesh/drum1_mesh.e",  # Exodus, triangle6
    "libmesh/exodus_elements/read_exodus_PRISM15.e",  # Exodus, wedge15
    "libmesh/lshape.unv",  # I-DEAS, quad9
    "libmesh/hybrid_3d.xda",  # libMesh, wedges beside tetrahedra
    "dolfinx/create_unit_cube_hexahedron.xdmf",  # XDMF, hexahedra
    "dolfinx/mesh.xdmf",  # XDMF, a sphere of curved triangle6
    "mfem/cylinder-hex-q2.gen",  # Exodus, curved hexahedron27
    "mfem/star-mixed-p2.vtk",  # VTK legacy, quad9 beside triangle6
    "mfem/fichera-mixed.mesh",  # MFEM, tetrahedra, hexahedra, wedges
    "meshio/med/cylinder.med",  # MED, pyramids beside tetrahedra
    "meshio/flac3d/flac3d_mesh_ex.f3grid",  # FLAC3D, four kinds, some turned
    "meshio/medit/hch_strct.4.meshb",  # medit, wedges beside hexahedra
    "seacas/cube.g",  # Exodus, hexahedra
    "vtkdata/prism.neu",  # Gambit, wedges
    "vtkdata/TriQuadraticHexahedron.vtu",  # VTU, curved hexahedron27
]

ROUND = {  # curved cells: size of the body they are drawn on, and by how much cells with straight sides would miss it
    "skfem/quadratic_tri.msh": (np.pi / 4, 1e-2),
    "skfem/quadratic_quad.msh": (np.pi / 4, 3e-3),
    "skfem/quadratic_sphere_tet.msh": (np.pi / 6, 3e-2),
    "mfem/cylinder-hex-q2.gen": (np.pi, 4e-2),
    "dolfinx/mesh.xdmf": (4 * np.pi, 1e-2),
}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("real_simulations", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not module.MESHES.is_dir():
        pytest.skip("the folder of real meshes is not here")
    return module


@pytest.mark.parametrize("name", SAMPLE)
def test_energy_decays_mass_stays_and_scikit_fem_agrees(bench: ModuleType, name: str) -> None:
    row = bench.row(bench.MESHES / name, 5000)
    assert isinstance(row, bench.Row), "the file must be readable and carry elements"
    assert row.energy_decays
    assert max(row.drift, row.drift_consistent) < 1e-11  # 20 solves, each good to about 1e-13
    if row.difference is not None:
        assert row.difference < 1e-9
    if row.overshoot is not None and row.monotone:
        assert row.overshoot < 1e-12
    if any(kind[-1].isdigit() for kind in row.cells):
        assert row.element in ("P2", "Q2")


def test_the_sample_covers_formats_and_cells(bench: ModuleType) -> None:
    meshes = [read_mesh(bench.MESHES / name) for name in SAMPLE]
    kinds = {kind for mesh in meshes for kind in mesh.cells}
    assert kinds >= {"triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid"}
    assert kinds >= {"triangle6", "quad8", "quad9", "tetra10", "hexahedron20", "hexahedron27", "wedge15"}
    solid = [{"hexahedron", "wedge", "pyramid"} & set(mesh.cells) for mesh in meshes]
    second = [any(kind[-1].isdigit() for kind in mesh.cells) for mesh in meshes]
    for chosen in (solid, second):
        assert len({Path(name).suffix for name, one in zip(SAMPLE, chosen, strict=True) if one}) >= 8


@pytest.mark.parametrize("name", ROUND)
def test_curved_cells_fill_round_bodies(bench: ModuleType, name: str) -> None:
    """Ten times nearer than with straight sides."""
    exact, straight = ROUND[name]
    size = float(Space(read_mesh(bench.MESHES / name)).measure.sum())
    assert abs(size - exact) < straight / 10 * exact


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("vtkdata/can.vtu", 5000, "folded"),
        ("trimesh/empty.stl", 5000, "no cells"),
        ("torchfem/clamped_plate_uniform_S8R.vtk", 5000, "surface elements"),
        ("skfem/beams.msh", 5, "more than 5 unknowns"),
    ],
)
def test_refused_files_get_one_sentence(bench: ModuleType, name: str, limit: int, words: str) -> None:
    found = bench.row(bench.MESHES / name, limit)
    assert isinstance(found, bench.Refused)
    assert words in found.why and str(bench.MESHES) not in found.why


def test_the_documented_problem_file_makes_its_picture(bench: ModuleType, tmp_path: Path) -> None:
    """docs/first_simulation.md, with steps of an hour: the lever is warm at one end and never above what heats it."""
    text = (SCRIPT.parents[1] / "docs" / "first_simulation.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(block.splitlines()) <= 15
    problem = tmp_path / "lever.toml"
    problem.write_text(block.replace("demo.msh", str(bench.MESHES / "gridap" / "demo.msh")))
    assert tomllib.loads(block)["materials"] == {"volume": "steel"}
    out = tmp_path / "lever"
    assert main(["simulate", str(problem), "-o", str(out), "--dt", "3600", "--frames", "2"]) == 0
    assert (out / "figures" / "final.png").stat().st_size > 20_000
    u = np.load(out / "fields" / "run.npz")["states"][-1]
    said = re.search(r"u in \[([\d.]+), ([\d.]+)\] K", text)
    assert said is not None
    assert u.max() == pytest.approx(float(said[2]), abs=1e-9)
    assert u.min() == pytest.approx(float(said[1]), abs=0.2)  # ten steps in place of a hundred
