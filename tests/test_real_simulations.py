"""Heat on meshes that other people made: a sample of what benchmarks/real_simulations.py does to every file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

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
]


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
    assert row is not None, "the file must be readable and carry elements"
    assert row.energy_decays
    assert row.mass_drift < 1e-11  # 20 direct solves, each good to about 1e-14
    if row.difference is not None:
        assert row.difference < 1e-9


def test_the_sample_covers_formats_and_cells(bench: ModuleType) -> None:
    suffixes = {Path(name).suffix for name in SAMPLE}
    assert len(SAMPLE) >= 12 and len(suffixes) >= 6
    kinds = " ".join(bench.row(bench.MESHES / name, 5000).cells for name in SAMPLE)
    for kind in ("triangle", "tetra", "quad", "tetra10", "triangle6"):
        assert kind in kinds.replace(",", "").split()
