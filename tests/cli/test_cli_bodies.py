"""Vibrations, designs and mixtures on the command line."""

from __future__ import annotations

import json
import math
import runpy
import signal
from pathlib import Path

import numpy as np
import pytest

from graphpde.design import Compliance

QUIET = ("--pictures", "none", "--json")
BEAM = """mesh = { shape = "rectangle", size = 0.25, width = 10.0, height = 0.5 }
[materials]
"*" = { young = 1.2e6, poisson = 0.0, density = 3.0 }
[coefficients]
state = "plane_stress"
"""


def written(text: str) -> str:
    Path("problem.toml").write_text(text)
    return "problem.toml"


def test_a_beam_swings_at_its_frequency(graphpde, tmp_path: Path) -> None:
    text = 'pde = "modal"\n' + BEAM + "modes = 3\n[boundary]\nleft = 0.0\n"
    done = graphpde("simulate", written(text), "-o", "run", "--json", "--gif").json
    first = 1.875104**2 / (2 * math.pi * 100) * math.sqrt(1.2e6 * 0.25 / 36)
    found = [done["final"][f"mode {k}"]["frequency"] for k in (1, 2, 3)]
    assert found[0] == pytest.approx(first, rel=0.01) and found == sorted(found)
    assert done["final"]["mode 1"]["mass_y"] == pytest.approx(0.613 * 15.0, rel=0.01)  # Chopra: 61 % of the mass
    assert done["final"]["mode 1"]["share_y"] == pytest.approx(0.613, rel=0.01)
    shares = [done["final"][f"mode {k}"]["share_y"] for k in (1, 2, 3)]
    assert done["final"]["all modes"]["share_y"] == pytest.approx(sum(shares)) and 0.8 < sum(shares) < 1
    saved = np.load(tmp_path / "run" / "fields" / "run.npz")
    assert saved["times"].tolist() == [1, 2, 3] and saved["states"].shape[0] == 3
    assert np.linalg.norm(saved["states"][0], axis=1).max() == pytest.approx(1.0)
    assert (tmp_path / "run" / "figures" / "animation.gif").stat().st_size > 10_000
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Vibrations" in page and "all of these" in page and f"({100 * shares[0]:.3g} %)" in page
    told = graphpde("simulate", "problem.toml", "--pictures", "none").out
    assert "3 vibrations" in told and "steady state" not in told and " % of the mass along x, " in told


def test_a_free_body_has_motions_without_strain(graphpde) -> None:
    done = graphpde("simulate", written('pde = "modal"\n' + BEAM + "modes = 4\n"), *QUIET).json
    found = [done["final"][f"mode {k}"]["frequency"] for k in (1, 2, 3, 4)]
    beam = 4.730041**2 / (2 * math.pi * 100) * (1.2e6 * 0.5**2 / 12 / 3.0) ** 0.5  # free at both ends
    assert found[0] == pytest.approx(beam, rel=0.02) and "mode 5" not in done["final"]
    assert found == sorted(found)
    told = graphpde("simulate", "problem.toml", "--pictures", "none").out
    assert "nothing holds the body fast: 3 motions without strain at 0 Hz left out" in told


PLATE = """pde = "topology"
mesh = { shape = "rectangle_quads", size = 0.125, width = 2.0, height = 1.0 }
[coefficients]
young = 1.0
volume = 0.5
steps = 20
[boundary]
left = 0.0
right = { traction = [0.0, -1.0] }
"""


def test_a_design_is_stiffer_than_an_even_grey(graphpde, tmp_path: Path) -> None:
    meshio = pytest.importorskip("meshio")
    done = graphpde("simulate", written(PLATE), "-o", "run", "--json").json
    assert done["final"]["compliance"]["end"] < 0.5 * done["final"]["compliance"]["full"]
    assert done["certificates"]["volume"]["value"] < 1e-6
    (density,) = meshio.read(tmp_path / "run" / "fields" / "design.vtu").cell_data["density"]
    assert density.min() >= 0 and density.max() <= 1 and density.mean() == pytest.approx(0.5, abs=1e-6)


def test_a_design_stops_where_asked(graphpde, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the fourth solve, which is that after the third step."""
    solve, count = Compliance.__call__, iter(range(100))

    def interrupted(self: Compliance, s: object) -> object:
        if next(count) == 3:
            signal.raise_signal(signal.SIGINT)
        return solve(self, s)  # type: ignore[arg-type]

    monkeypatch.setattr(Compliance, "__call__", interrupted)
    done = graphpde("simulate", written(PLATE), "-o", "run")
    assert done.code == 130 and "interrupted after 3 steps; run it again" in done.out
    assert "Interrupted after 3 of 20 steps" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "interrupted"
    assert all((tmp_path / "run" / name).exists() for name in ("fields/design.vtu", "figures/final.png"))
    again = graphpde("simulate", "--resume", "run")
    assert again.code == 2 and "'run' has no steps in time to go on with" in again.err


@pytest.mark.parametrize(("radius", "grey"), [(0.2, False), (0.5, True)])
def test_a_grey_design_says_so(graphpde, radius: float, grey: bool) -> None:
    more = ("--set", f"coefficients.radius={radius}", "coefficients.steps=40", "--pictures", "none")
    done = graphpde("simulate", written(PLATE), *more)
    assert done.code == 0 and "N m/m after" in done.out
    assert ("hardly wider than the filter's radius, 0.5 m; take a smaller one" in done.err) == grey


@pytest.mark.parametrize("text", ['pde = "modal"\n' + BEAM + "modes = 4\n", PLATE, 'pde = "elasticity"\n' + BEAM])
def test_a_script_shows_what_the_run_shows(graphpde, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """All modes, the densities, the largest displacement and stress; and a run at rest has nothing to go on with."""
    meshio = pytest.importorskip("meshio")
    text = text if "[boundary]" in text else text + "[boundary]\nleft = 0.0\n"
    text += "bottom = { traction = [0.0, -1.0] }\n" if "elasticity" in text else ""
    final = graphpde("simulate", written(text), "-o", "run", *QUIET).json["final"]
    Path("script.py").write_text(graphpde("simulate", "problem.toml", "--show-code").out)
    script = runpy.run_path("script.py")
    said, saved = capsys.readouterr().out, sorted(Path().glob("*_*.vtu"))
    if "modal" in text:
        with np.load("run/fields/run.npz") as run:
            assert len(saved) == 4 and np.array_equal(np.stack([u.numpy() for u in script["shapes"]]), run["states"])
    elif "topology" in text:
        ours, runs = (meshio.read(file).cell_data["density"][0] for file in ("design.vtu", "run/fields/design.vtu"))
        assert np.array_equal(ours, runs)
    else:
        assert f"displacement {final['displacement']['max']}" in said and f"stress {final['von_mises']['max']}" in said
        assert meshio.read(saved[0]).point_data["von_mises"].max() == pytest.approx(final["von_mises"]["max"])
    again = graphpde("simulate", "--resume", "run")
    assert again.code == 2 and "'run' is complete and has no steps in time to go on with" in again.err


@pytest.mark.parametrize("more", [(), ("--scheme", "split", "--stepper", "backward_euler")])
def test_a_mixture_keeps_its_mass_and_loses_energy(graphpde, more: tuple[str, ...]) -> None:
    line = ("--pde", "cahn-hilliard", "--set", "mesh.shape=rectangle", "mesh.size=0.125", "time.frames=5")
    done = graphpde("simulate", *line, *more, *QUIET).json
    assert done["certificates"]["mass drift"]["value"] < 1e-12
    assert done["certificates"]["energy increase"]["value"] <= 1e-12
    assert done["final"]["c"]["max"] > 0.5 and done["final"]["c"]["min"] < -0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('pde = "modal"\n' + BEAM.replace(", density = 3.0", ""), "vibrations need a density"),
        ('pde = "modal"\n' + BEAM + "modes = 2.5\n", "modes = 2.5, expected a whole number"),
        ('pde = "modal"\n' + BEAM + "modes = 0\n", "modes is 0"),
        ('pde = "modal"\n' + BEAM + "[boundary]\nleft = { force = [1.0, 0.0] }\n", "does nothing to vibrations"),
        ('pde = "modal"\n' + BEAM + "gravity = [0.0, -9.81]\n", "unknown key in [coefficients] 'gravity'"),
        ('pde = "topology"\n' + BEAM + "volume = 1.5\n[boundary]\nleft = 0.0\nright.force = [0.0, 1.0]\n", "volume"),
        ('pde = "topology"\n' + BEAM + "[boundary]\nleft = 0.0\n", "no load acts on the body"),
        ('pde = "topology"\n' + BEAM + "[boundary]\nright = { force = [0.0, 1.0] }\n", "the body can still move"),
        ('pde = "cahn-hilliard"\nmesh = { shape = "rectangle" }\n[coefficients]\nkappa = 0.0\n', "kappa = 0"),
    ],
)  # fmt: skip
def test_refused_in_a_sentence(graphpde, text: str, says: str) -> None:
    done = graphpde("simulate", written(text), "--pictures", "none")
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert says in done.err
