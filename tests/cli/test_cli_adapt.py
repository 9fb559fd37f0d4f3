"""``--adapt``: a steady run refines its mesh, keeps sets and materials, and says what it did."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.mesh import l_shape, read_mesh, write_mesh

L = ("--pde", "poisson", "--bc", "boundary=0", "--source", "1")


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("meshes") / "L.vtu"
    write_mesh(path, l_shape(0.5))
    return path


def test_what_a_run_leaves(graphpde, corner: Path) -> None:
    done = graphpde("simulate", *L, "--mesh", corner, "--adapt", 0.1, "-o", "run")
    assert done.code == 0 and done.err == ""
    assert "meshes of 21 to " in done.out and " % of the energy norm" in done.out and "run/mesh.vtu" in done.out
    rows = np.genfromtxt("run/adapt.csv", delimiter=",", names=True)
    fine = read_mesh("run/mesh.vtu")
    assert rows["unknowns"][0] == 21 and rows["unknowns"][-1] == fine.n
    assert rows["estimate"][-1] <= rows["allowed"][-1] and (rows["estimate"][:-1] > rows["allowed"][:-1]).all()
    assert set(fine.tags) == {"reentrant", "outer"}
    assert read_mesh("run/fields/run_00000.vtu").n == fine.n
    assert Path("run/figures/adapt.png").stat().st_size > 5000
    assert "Adaptive mesh" in Path("run/report.html").read_text()
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["adapt"]["within"] and manifest["adapt"]["rounds"][-1]["unknowns"] == fine.n == manifest["unknowns"]


def test_the_file_of_the_run_does_it_again(graphpde, corner: Path) -> None:
    Path("p.toml").write_text(
        f'pde = "poisson"\nmesh = "{corner}"\nboundary.boundary = 0\nsource = 1\n'
        '[adapt]\ntolerance = 0.2\nindicator = "residual"\ntheta = 0.3\n[output]\npictures = "none"\nreport = false\n'
    )
    first = graphpde("simulate", "p.toml", "-o", "one", "--json").json
    said = tomllib.loads(Path("one/config.toml").read_text())["adapt"]
    assert said == {"tolerance": 0.2, "indicator": "residual", "theta": 0.3, "max_unknowns": 200_000}
    again = graphpde("simulate", "one/config.toml", "-o", "two", "--json").json
    assert first["adapt"] == again["adapt"] and first["final"] == again["final"]
    assert not Path("one/figures/adapt.png").exists()
    assert "# not in this script: adapt" in graphpde("simulate", "one/config.toml", "--show-code").out


def test_materials_are_kept_and_their_joint_is_not_refined(graphpde, square: Path) -> None:
    """A bar of two metals in a row is piecewise linear: nothing is wrong at the joint, where the gradient jumps."""
    bar = ("--pde", "heat", "--steady", "--mesh", square, "--kappa", "copper=100", "steel=1")
    ends = ("--bc", "left=1", "right=0")
    done = graphpde("simulate", *bar, *ends, "--adapt", 0.01, "-o", "run", "--json", "--pictures", "none")
    assert done.code == 0 and len(done.json["adapt"]["rounds"]) == 1
    # neither an exchange with the surroundings nor an inflow on the right leaves a residual that is none
    for end in (("--robin", "right=2:3"), ("--inflow", "right=0.5"), ("--inflow", "right=0")):
        done = graphpde("simulate", *bar, "--bc", "left=1", *end, "--adapt", 1e-6, "-o", "run", "--json", "--dry-run")
        assert done.json["config"]["adapt"]["indicator"] == "residual"
        done = graphpde(
            "simulate", *bar, "--bc", "left=1", *end, "--adapt", 1e-6, "-o", "run", "--json", "--pictures", "none"
        )
        assert done.code == 0 and len(done.json["adapt"]["rounds"]) == 1
    heated = (*bar, "--bc", "left=0", "--robin", "right=2:1", "--inflow", "top=0.1*x")
    done = graphpde("simulate", *heated, "--adapt", 0.02, "-o", "heated", "--json", "--pictures", "none")
    assert done.code == 0 and done.json["adapt"]["within"] and len(done.json["adapt"]["rounds"]) > 2
    fine = read_mesh("heated/mesh.vtu")
    x = fine.points[fine.cells["triangle"]].mean(1)[:, 0]
    steel = torch.isin(torch.arange(fine.n_cells), fine.tags["steel"].ids)
    assert bool((steel == (x > 0.5)).all())


def test_a_first_mesh_that_suffices_is_said_without_a_picture(graphpde, square: Path) -> None:
    line = ("--pde", "poisson", "--mesh", square, "--bc", "left=1", "right=0")
    done = graphpde("simulate", *line, "--adapt", 0.01, "-o", "run")
    assert done.code == 0 and "adapted: the first mesh of " in done.out and " suffices, estimated error" in done.out
    page = Path("run/report.html").read_text()
    assert "The first mesh of" in page and "0 rounds" not in page and "third curve" not in page
    assert Path("run/adapt.csv").exists() and not Path("run/figures/adapt.png").exists()


def test_a_limit_is_said(graphpde, corner: Path) -> None:
    few = ("--set", "adapt.max_unknowns=60", "--json", "--pictures", "none")
    done = graphpde("simulate", *L, "--mesh", corner, "--adapt", 0.01, "-o", "run", *few)
    assert done.code == 0 and done.json["unknowns"] <= 60 and not done.json["adapt"]["within"]
    assert any("raise adapt.max_unknowns or the tolerance" in sentence for sentence in done.json["warnings"])
    done = graphpde("simulate", *L, "--mesh", corner, "--adapt", 0.01, "-o", "one", "--set", "adapt.max_unknowns=22")
    assert done.code == 0 and "adapted: not refined beyond 21 unknowns" in done.out
    assert "Not refined beyond 21 unknowns" in Path("one/report.html").read_text()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (("--pde", "heat", "--bc", "left=1", "--adapt", "0.1"), "a mesh adapts to a steady state"),
        (
            ("--pde", "poisson", "--bc", "left=1", "--adapt", "0"),
            "adapt.tolerance is 0.0, expected a finite number > 0",
        ),
        (("--pde", "poisson", "--bc", "left=1", "--adapt", "0.1", "--element", "p2"), "take element p1"),
        (("--pde", "poisson", "--bc", "left=1", "--set", "adapt.theta=0.5"), "[adapt] names no tolerance"),
        (
            ("--pde", "poisson", "--bc", "left=1", "--adapt", "0.1", "--set", "adapt.theta=2"),
            "expected a share above 0",
        ),
        (("--pde", "poisson", "--bc", "top=1", "--adapt", "0.1", "--periodic", "left=right"), "periodic sides alike"),
        (
            ("--pde", "burgers", "--steady", "--bc", "left=1", "--adapt", "0.1", "--set", "adapt.indicator=residual"),
            "the residual indicator knows heat and poisson",
        ),
        (
            ("--pde", "poisson", "--bc", "left=1", "--adapt", "0.1", "--set", "adapt.indicator=goal"),
            "unknown indicator",
        ),
    ],
)
def test_refusals(graphpde, square: Path, line: tuple[str, ...], sentence: str) -> None:
    done = graphpde("simulate", "--mesh", square, *line, "-o", "run")
    assert done.code == 2 and not Path("run").exists()
    assert sentence in done.err


def test_other_cells_are_refused(graphpde) -> None:
    Path("p.toml").write_text(
        'pde = "poisson"\nadapt = 0.1\nsource = 1\nboundary.boundary = 0\nmesh = {shape = "rectangle_quads"}'
    )
    done = graphpde("simulate", "p.toml", "-o", "run")
    assert done.code == 2 and "has quad cells; give a mesh of triangles" in done.err


def test_measures_are_those_of_the_final_mesh(graphpde, corner: Path) -> None:
    asked = ("--integrals", "--probe", "p=-0.5,0.5", "--pictures", "none", "--json")
    done = graphpde("simulate", *L, "--mesh", corner, "--adapt", 0.1, "-o", "run", *asked)
    assert done.code == 0
    # ||grad u||^2 = the integral of u for a load of one: 0.214076 on the L of three unit squares
    total = done.json["final"]["u"]["integral"]
    assert total == pytest.approx(0.214076, rel=0.012)  # below by the square of the error of 10 percent
    rows = np.genfromtxt("run/integrals.csv", delimiter=",", names=True)
    assert any(float(np.atleast_1d(rows[name])[-1]) == pytest.approx(total, rel=1e-12) for name in rows.dtype.names)
    done = graphpde("simulate", *L, "--mesh", corner, "--adapt", 0.1, "-o", "far", "--probe", "p=5,5")
    assert done.code == 2 and not Path("far").exists()
