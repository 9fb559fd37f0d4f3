"""``graphpde simulate --pde elasticity``: from a problem file to stresses, supports and what is refused."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

BEAM = """pde = "elasticity"
mesh = { shape = "rectangle", size = 0.25, width = 4.0, height = 1.0 }
[materials]
"*" = "steel"
[coefficients]
state = "plane_stress"
[boundary]
left = 0.0
[boundary.right]
force = [0.0, -1e6]
"""
QUIET = ("--pictures", "none", "--json")
BLOCK = """pde = "elasticity"
mesh = { shape = "box", size = 0.5 }
[coefficients]
young = 200.0
poisson = 0.25
[boundary]
left = { symmetry = true }
front = { symmetry = true }
bottom = { symmetry = true }
[boundary.right]
"""


def written(text: str, name: str = "problem.toml") -> str:
    Path(name).write_text(text)
    return name


@pytest.fixture
def here(graphpde, tmp_path: Path) -> Path:
    return tmp_path


def test_a_beam_bends_as_it_should(graphpde, here: Path) -> None:
    done = graphpde("simulate", written(BEAM), "-o", "run", "--json").json
    final = done["final"]
    bending, shear = 1e6 * 4**3 / (3 * 2.07e11 / 12), 1.2 * 1e6 * 4 / (2.07e11 / 2.6)
    assert final["displacement"]["max"] == pytest.approx(bending + shear, rel=0.02)
    assert (final["displacement"]["at_x"], final["displacement"]["at_y"]) in ((4.0, 0.0), (4.0, 1.0))
    assert final["reaction on left"]["y"] == pytest.approx(1e6, rel=1e-9)
    assert abs(final["reaction on left"]["x"]) < 1e-3
    assert done["certificates"]["equilibrium"]["value"] < 1e-8
    assert (here / "run" / "figures" / "final.png").stat().st_size > 10_000
    page = (here / "run" / "report.html").read_text()
    assert "von Mises" in page and "E = 2.07e+11 Pa" in page and "force along y [N/m]" in page


def test_other_programs_get_stresses(graphpde, here: Path) -> None:
    meshio = pytest.importorskip("meshio")
    graphpde("simulate", written(BLOCK + "traction = [3.0, 0.0, 0.0]\n"), "-o", "run")
    (file,) = (here / "run" / "fields").glob("*.vtu")
    data = meshio.read(file).point_data
    assert np.allclose(data["von_mises"], 3.0) and np.allclose(data["stress_xx"], 3.0)
    assert np.abs(data["stress_xy"]).max() < 1e-10 and data["displacement"].shape[1] == 3
    assert np.allclose(data["displacement_x"].max(), 3.0 / 200.0)
    assert np.allclose(data["principal_stress"], [0.0, 0.0, 3.0])
    assert np.allclose(data["reaction"].sum(0), [-3.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("rule", "moved"),
    [
        ("pressure = 3.0", -3.0 / 200),
        ("force = [3.0, 0.0, 0.0]", 3.0 / 200),
        ('traction = ["3 * t + 3", 0.0, 0.0]', 3.0 / 200),
        ("displacement_x = 0.02", 0.02),
    ],
)
def test_what_a_side_may_carry(graphpde, here: Path, rule: str, moved: float) -> None:
    done = graphpde("simulate", written(BLOCK + rule + "\n"), *QUIET).json
    found = done["final"]["displacement_x"]
    assert found["max" if moved > 0 else "min"] == pytest.approx(moved, rel=1e-9)


@pytest.mark.parametrize("on_the_line", [False, True])
def test_a_side_may_carry_several_things(graphpde, here: Path, on_the_line: bool) -> None:
    """A plate of unit length stretched across by e_y = 0.01, pulled and pressed on one side by s = 5 - 2."""
    text = BLOCK.replace("poisson = 0.25", 'poisson = 0.25\nstate = "plane_strain"').replace("box", "rectangle")
    text = text.replace("front = { symmetry = true }\n", "")
    text = text.replace("left =", "top = { displacement_y = 0.01 }\nleft =")
    rule, more = "traction = [5.0, 0.0]\npressure = 2.0\n", []
    if on_the_line:
        rule, more = "traction = [5.0, 0.0]\n", ["--set", "boundary.right.pressure=2.0"]
    final = graphpde("simulate", written(text + rule), *more, *QUIET).json["final"]
    nu, young = 0.25, 200.0
    strain = (1 - nu**2) / young * 3.0 - nu / (1 - nu) * (0.01 + nu * (1 + nu) / young * 3.0)
    assert final["displacement_x"]["max"] == pytest.approx(strain, rel=1e-9)


def test_a_modulus_on_the_line_is_that_of_every_material(graphpde, here: Path) -> None:
    written(BEAM.replace('"steel"', '"aluminium"'))
    asked = graphpde("simulate", "problem.toml", "--set", "coefficients.poisson=0.1", *QUIET).json["final"]
    written(BEAM.replace('"steel"', '{ material = "aluminium", poisson = 0.1 }'))
    expected = graphpde("simulate", "problem.toml", *QUIET).json["final"]
    assert asked["displacement"] == expected["displacement"]


def test_millimetres_and_named_materials(graphpde, here: Path) -> None:
    """The same beam in mm, N and MPa, its steel taken from the table; and the run's own file says the same again."""
    one = graphpde("simulate", written(BEAM), *QUIET).json["final"]
    text = BEAM.replace("size = 0.25, width = 4.0, height = 1.0", "size = 250, width = 4000, height = 1000")
    written(text.replace("-1e6", "-1e3") + '[output.units]\nlength = "mm"\n')
    done = graphpde("simulate", "problem.toml", "-o", "mm", *QUIET).json
    again = graphpde("simulate", "mm/config.toml", *QUIET).json
    for each in (done["final"], again["final"]):
        assert each["displacement"]["max"] == pytest.approx(1e3 * one["displacement"]["max"], rel=1e-9)
        assert each["von_mises"]["max"] == pytest.approx(1e-6 * one["von_mises"]["max"], rel=1e-9)
        assert each["yield strength"]["share"] == pytest.approx(one["yield strength"]["share"], rel=1e-9)
    graphpde("simulate", "problem.toml", "-o", "report")
    page = (here / "report" / "report.html").read_text()
    assert "E = 207000 MPa" in page and "N/mm" in page


def test_each_material_yields_by_itself(graphpde, here: Path) -> None:
    """Steel at the wall, aluminium at the end: what the steel bears is no matter of the aluminium."""
    points = [(x, y) for y in (0, 1) for x in range(5)]
    cells = [(k, k + 1, k + 6, k + 5) for k in range(4)]
    deck = ["*NODE", *(f"{k + 1}, {x}, {y}" for k, (x, y) in enumerate(points)), "*ELEMENT, TYPE=CPS4, ELSET=ST"]
    deck += [f"{k + 1}, " + ", ".join(str(n + 1) for n in cells[k]) for k in (0, 1)]
    deck += ["*ELEMENT, TYPE=CPS4, ELSET=AL"]
    deck += [f"{k + 1}, " + ", ".join(str(n + 1) for n in cells[k]) for k in (2, 3)]
    (here / "two.inp").write_text("\n".join([*deck, "*NSET, NSET=TIP", "5, 10", ""]))
    text = """pde = "elasticity"
mesh = "two.inp"
[sets]
wall = "x < 0.001"
[materials]
ST = "steel"
AL = "aluminium"
[boundary]
wall = 0.0
[boundary.TIP]
force = [0.0, -2e6]
"""
    done = graphpde("simulate", written(text), *QUIET)
    assert 34e6 < done.json["final"]["von_mises"]["max"] < 250e6 and "yields" not in done.err
    assert done.json["final"]["reaction on wall"]["y"] == pytest.approx(2e6, rel=1e-9)
    done = graphpde("simulate", written(text.replace("-2e6", "-6e6")), *QUIET)
    assert "stresses in aluminium reach" in done.err and "it yields at 34 MPa" in done.err
    left = graphpde("simulate", written(text.replace('ST = "steel"\n', "")))
    assert left.code == 2 and "have no young; name them or give '*'" in left.err


def test_parts_by_a_statement(graphpde, here: Path) -> None:
    """Two bars in a row: each stretches by its own modulus."""
    text = BLOCK.replace("young = 200.0\npoisson = 0.25\n", "").replace(
        "[boundary]", '[parts]\nfar = "x > 0.5"\n[boundary]'
    )
    text += "traction = [3.0, 0.0, 0.0]\n[materials]\nfar = { young = 50.0, poisson = 0.0 }\n"
    text += '"*" = { young = 200.0, poisson = 0.0 }\n'
    final = graphpde("simulate", written(text), *QUIET).json["final"]
    assert final["displacement_x"]["max"] == pytest.approx(3 * (0.5 / 200 + 0.5 / 50), rel=1e-9)
    states = graphpde("simulate", "problem.toml", "--show-code").out
    assert 'parts={"far": Formula("x > 0.5")}' in states
    done = graphpde("simulate", "problem.toml", "--set", 'parts.far="x > 9"')
    assert done.code == 2 and "holds for no cell of 'box', which reaches" in done.err


def test_a_mesh_of_ones_own_needs_a_material(graphpde, here: Path) -> None:
    text = 'pde = "elasticity"\nmesh = { shape = "rectangle" }\n[output.units]\nlength = "mm"\n'
    done = graphpde("simulate", written(text))
    assert done.code == 2 and "nothing says what 'rectangle' is made of; give [materials]" in done.err


def test_a_load_on_the_axis_is_pointed_out(graphpde, here: Path) -> None:
    text = BEAM.replace("plane_stress", "axisymmetric").replace(
        "left = 0.0", "bottom = 0.0\n[boundary.left]\npressure = 2.0"
    )
    done = graphpde("simulate", written(text.partition("[boundary.right]")[0]), *QUIET)
    assert done.code == 0 and "the loads on 'left' are zero, or act where there is no area" in done.err


def test_a_spring_a_weight_and_heat(graphpde, here: Path) -> None:
    text = BLOCK.replace("poisson = 0.25", "poisson = 0.0\ndensity = 2.0\ngravity = [5.0, 0.0, 0.0]")
    done = graphpde(
        "simulate", written(text.replace("left = { symmetry = true }\n", "") + "spring = 50.0\n"), *QUIET
    ).json
    assert done["final"]["reaction on right"]["x"] == pytest.approx(-10.0, rel=1e-9)
    assert done["final"]["displacement_x"]["min"] == pytest.approx(0.2, rel=1e-9)  # 10 / 50 where the spring is
    hot = BLOCK.replace("poisson = 0.25", "poisson = 0.25\nexpansion = 1e-3\ntemperature = 10.0")
    done = graphpde("simulate", written(hot.rstrip() + "\nsymmetry = true\n"), *QUIET).json
    assert done["final"]["von_mises"]["max"] == pytest.approx(200 * 1e-2, rel=1e-9)  # free along y and z alone


def test_sets_by_a_statement_and_a_script(graphpde, here: Path) -> None:
    text = BEAM.replace("left = 0.0", "clamp = 0.0").replace("[materials]", '[sets]\nclamp = "x < 0.01"\n[materials]')
    graphpde("simulate", written(text), "-o", "run", *QUIET)
    graphpde("simulate", written(BEAM), "-o", "same", *QUIET)
    one, two = (np.load(here / name / "fields" / "run.npz")["states"] for name in ("run", "same"))
    assert np.array_equal(one, two)
    written(graphpde("simulate", "problem.toml", "--set", "output.pictures=none", "--show-code").out, "script.py")
    assert np.array_equal(runpy.run_path("script.py")["u"].numpy(), two[-1])
    again = graphpde("simulate", "run/config.toml", "-o", "again", *QUIET).json
    assert again["status"] == "ok"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("left = 0.0", "", r"the body can still move along x and y and turn about z"),
        ("left = 0.0", "left = { symmetry = true }", "the body can still move along y"),
        ('"*" = "steel"', '"*" = { young = -1.0, poisson = 0.3 }', r"young is -1.0, expected a finite number > 0"),
        ('"*" = "steel"', '"*" = { young = 1.0, poisson = 0.5 }', "poisson is 0.5, expected a number between -1 and"),
        ('"*" = "steel"', '"*" = { poisson = 0.3 }', "says no young and names no material"),
        ('"*" = "steel"', '"*" = "water"', "nothing is known of the young of 'water'"),
        ('"*" = "steel"', '"*" = "steal"', "steel"),
        ('"*" = "steel"', 'part = "steel"', "part"),
        ('state = "plane_stress"', 'state = "solid"', "state = 'solid' in 2 dimensions, expected one of: plane_strain"),
        ('state = "plane_stress"', 'young = 1.0', r"both \[materials\] and coefficients.young say the young"),
        ('state = "plane_stress"', "temperature = 3.0\nexpansion = 1e-5", "expansion"),
        ("[0.0, -1e6]", "[0.0, -1e6, 0.0]", "has 3 components, expected 2"),
        ("force = [0.0, -1e6]", "force = 3.0", "expected one number for each axis"),
        ("left = 0.0", "left = { value = 0.0, pressure = 1.0 }", "holds every displacement, so its pressure can do"),
        ("left = 0.0", "left = { value = 0.0, displacement_x = 1.0 }", "a value and displacement_x beside it"),
        ("force = [0.0, -1e6]", "override = true", "neither a value nor an inflow"),
        ("force = [0.0, -1e6]", "displacement_z = 1.0", "speaks of displacement_z, and the mesh lies in the plane"),
        ("force = [0.0, -1e6]", "symmetry = false", "is false; leave it out"),
        ("force = [0.0, -1e6]", "spring = [1.0, 2.0, 3.0]", "has 3 numbers, expected one, or 2"),
        ("[materials]", '[sets]\nclamp = "x > 9"\n[materials]', r"holds for no facet of 'rectangle', which reaches"),
        ("[materials]", '[sets]\nleft = "x < 9"\n[materials]', "has the name of a set"),
        ("[materials]", "[sets]\nclamp = 3.0\n[materials]", "expected a statement on places"),
    ],
)  # fmt: skip
def test_refused_in_a_sentence(graphpde, here: Path, old: str, new: str, says: str) -> None:
    done = graphpde("simulate", written(BEAM.replace(old, new)))
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert re.search(says, done.err), done.err


def test_single_precision_promises_no_balance(graphpde, here: Path) -> None:
    done = graphpde("simulate", written(BEAM), "--dtype", "float32", *QUIET).json
    assert done["final"]["reaction on left"]["y"] == pytest.approx(1e6, rel=0.02)
    assert done["certificates"]["equilibrium"]["target"] is None


def test_locking_is_told_in_a_sentence(graphpde, here: Path) -> None:
    text = BEAM.replace('"steel"', "{ young = 1e12, poisson = 0.499 }").replace("plane_stress", "plane_strain")
    done = graphpde("simulate", written(text), "--element", "p1", *QUIET)
    (said,) = [line for line in done.err.splitlines() if "lock" in line]
    assert said.startswith("warning: poisson > 0.49 with elements of first order") and done.code == 0
    assert any("lock" in each for each in done.json["warnings"])


def test_a_surface_is_no_body(graphpde, here: Path) -> None:
    done = graphpde("simulate", "--pde", "elasticity", "--set", "mesh.shape=sphere")
    assert done.code == 2
    assert "needs cells that fill the plane or space" in done.err


def test_other_equations_carry_no_forces(graphpde, here: Path) -> None:
    text = 'pde = "heat"\nmesh = { shape = "rectangle" }\n[boundary.left]\nforce = [1.0, 0.0]\n'
    assert "'force'" in graphpde("simulate", written(text)).err
