"""What the README and the guides tell a reader to type works, in a folder with nothing but the meshes."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.cli import main

ROOT = Path(__file__).resolve().parents[1]


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of one language ("": none given)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    return [text for kind, text in found if kind == language]


def commands(document: str) -> list[list[str]]:
    """The command lines of blocks without a language, without the comments behind them."""
    lines = "".join(blocks(document, "")).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("graphpde ")]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the meshes of the repository and nothing else but the tables of the examples."""
    (tmp_path / "meshes").symlink_to(ROOT / "meshes")
    (tmp_path / "examples").mkdir()
    for name in ("flows", "motions"):
        (tmp_path / "examples" / name).symlink_to(ROOT / "examples" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_readme(clone: Path) -> None:
    """As they stand, but without pictures, on one core and with ten steps: what is tested is names and options."""
    found = commands("README.md")
    verbs = ["doctor", "info", "check", "repair", "simulate", "simulate", "classify", "train", "train"]
    assert [words[0] for words in found] == verbs
    for words in found:
        quick = ["--pictures", "none", "--dt", "0.08", "--frames", "2"] if words[0] == "simulate" else []
        quick += ["--pictures", "none", "--epochs", "3"] if words[0] == "classify" else []
        quick += ["--pictures", "none", "--set", "training.steps=5"] if words[0] == "train" else []
        quick += ["--jobs", "1"] if "--sweep" in words else []
        assert main([*words, *quick]) == 0, " ".join(words)
    made = [clone / name for name in ("plate.png", "sphere.vtu", "run1/config.toml", "run1/report.html")]
    assert all(path.exists() for path in made)
    assert len(list((clone / "runs").glob("*/sweep.csv"))) == 1


def test_the_guide_to_solid_mechanics(clone: Path) -> None:
    (problem, given, heated), (snippet,) = blocks("docs/mechanics.md", "toml"), blocks("docs/mechanics.md", "python")
    for text in (problem, given, heated):
        Path("beam.toml").write_text(text)
        assert main(["simulate", "beam.toml", "--pictures", "none"]) == 0
    free = problem.partition("[boundary.right]")[0].replace('"elasticity"', '"modal"')
    Path("modal.toml").write_text(free)
    assert main(["simulate", "modal.toml", "--pictures", "none"]) == 0
    found: dict[str, Any] = {}
    exec(snippet, found)
    assert found["total"].tolist() == pytest.approx([0.0, 1e6], abs=1.0)
    assert float(found["tones"][0]) == pytest.approx(
        1.875104**2 / (2 * math.pi * 16) * (2.07e11 / 12 / 7850) ** 0.5, rel=0.05
    )
    assert bool(torch.isfinite(found["swing"].final).all()) and float(found["stress"].max()) > 1e7


def test_the_guide_to_flows(clone: Path) -> None:
    (config,), (snippet,) = blocks("docs/flow.md", "toml"), blocks("docs/flow.md", "python")
    (clone / "moons.toml").write_text(config)
    (clone / "measured.csv").write_text("x,y\n0.5,0.5\n1.5,-2\n")
    for words in commands("docs/flow.md"):
        quick = ["--pictures", "none", "--set", "training.steps=5"] if words[0] == "train" else []
        assert main([*words, *quick]) == 0, " ".join(words)
    assert (clone / "runs" / "moons" / "samples.gif").is_file()
    assert len((clone / "new" / "samples.csv").read_text().splitlines()) == 1001
    assert executed(snippet)["log_p"].shape == (100, 1)


def test_the_guide_to_hamiltonian_systems() -> None:
    """Energy stays, and a pair energy learned on five springs moves twenty."""
    (snippet,) = blocks("docs/hamiltonian.md", "python")
    found = executed(snippet)
    assert float((found["kept"] / found["kept"][0] - 1).abs().max()) < 5e-3
    energy = found["large"].energy(found["path"].states)
    assert float((energy / energy[0] - 1).abs().max()) < 0.1


def test_the_guide_to_learned_motions(clone: Path) -> None:
    (config,) = blocks("docs/hamiltonian.md", "toml")
    (clone / "swing.toml").write_text(config)
    rows = [f"{k / 5},{math.cos(k / 5)},{-math.sin(k / 5)}" for k in range(100)]
    (clone / "swing.csv").write_text("t,q,p\n" + "\n".join(rows) + "\n")
    learned = [words for words in commands("docs/hamiltonian.md") if words[0] in ("train", "predict")]
    assert [words[0] for words in learned] == ["train", "predict", "train"]
    for words in learned[:2]:
        quick = ["--pictures", "none", "--set", "training.steps=20", "training.polish=5"]
        assert main([*words, *(quick if words[0] == "train" else [])]) == 0, " ".join(words)
    assert len((clone / "predictions.csv").read_text().splitlines()) == 203


def test_the_meshes_that_the_readme_offers(clone: Path) -> None:
    """Every command between backquotes in the text."""
    said = re.findall(r"`graphpde ([^`]+)`", (ROOT / "README.md").read_text())
    assert any(line.startswith("make-mesh") for line in said)
    for line in said:
        if line.split()[0] in ("make-mesh", "list"):
            assert main(shlex.split(line)) == 0, line


def executed(source: str) -> dict[str, Any]:
    """The names that a snippet leaves behind."""
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(source, "snippet", "exec"), names)
    return names


def test_the_twelve_lines_of_the_readme(clone: Path) -> None:
    (snippet,) = blocks("README.md", "python")
    assert len([line for line in snippet.splitlines() if line and not line.startswith(("import", "from"))]) <= 12
    executed(snippet)
    assert sorted(path.name for path in clone.iterdir()) == ["examples", "meshes", "warming"]
    assert len(list((clone / "warming").glob("*.vtu"))) == 41


def test_the_glacier_of_the_guide_for_extending() -> None:
    """The exact dome of a = kappa = 1: u^(8/3) = 2 (a / 2)^(1/3) (1 - r^(4/3)); at its rim the slope is infinite."""
    from graphpde.ops import FORMS

    (snippet,) = [text for text in blocks("docs/extending.md", "python") if "Glacier" in text]
    try:
        found = executed(snippet)
    finally:
        FORMS._items.pop("glacier", None)
    assert found["ice"].converged
    assert float(found["ice"].value.max()) == pytest.approx(2**0.25, rel=0.03)


def test_the_table_of_names_speaks_of_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    import graphpde.dynamics
    import graphpde.mesh
    import graphpde.ops
    import graphpde.viz

    text = (ROOT / "docs" / "names.md").read_text()
    assert main(["simulate", "--help"]) == 0
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    places = (graphpde, graphpde.dynamics, graphpde.mesh, graphpde.ops, graphpde.viz)
    cells = [row.split("|")[4] for row in text.splitlines() if row.startswith("| ") and "Python" not in row]
    called = {name for cell in cells for name in re.findall(r"(?<![.\w])([A-Za-z_0-9]+)\(", cell)}
    assert len(called) > 10
    assert [name for name in called if not any(hasattr(place, name) for place in places)] == []


@pytest.mark.parametrize("given", [["--robin", "right=3:2"], ["--set", "boundary.right.robin={a=3, g=6}"]])
def test_an_exchange_is_the_same_by_all_its_names(given: list[str], clone: Path) -> None:
    import torch

    from graphpde import Dirichlet, Robin, Space, read_mesh, steady
    from graphpde.ops import Diffusion

    mesh = "meshes/plate_with_holes.msh"
    line = ["simulate", "--pde", "heat", "--steady", "--mesh", mesh, "--bc", "left=0", *given, "-o", "run"]
    assert main([*line, "--pictures", "none"]) == 0
    space = Space(read_mesh(mesh))
    u0 = torch.zeros(space.n, 1, dtype=torch.float64)
    u = steady(Diffusion(space) + Dirichlet("left", 0.0) + Robin("right", 3.0, 6.0), u0).value
    with np.load(clone / "run" / "fields" / "run.npz") as kept:
        assert np.allclose(kept["states"][-1, :, 0], space.at_points(u)[:, 0].numpy(), atol=1e-9)


def test_the_guide_to_classification(clone: Path) -> None:
    """Its snippets and command lines in their order, with three epochs and without pictures."""
    text = (ROOT / "docs/classification.md").read_text()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        if language == "python":
            executed(block)
        for line in block.splitlines() if language == "" else ():
            words = shlex.split(line, comments=True)[1:]
            quick = ["--epochs", "3", "--pictures", "none"] if words[0] == "classify" else []
            assert main([*words, *quick]) == 0, line
    assert (clone / "from_python" / "report.html").exists() and (clone / "new.csv").exists()


def test_the_fit_of_the_first_simulation(clone: Path) -> None:
    """Its two values are those of u = (x - x^2 / 2) / kappa for kappa = 1, rounded."""
    (rows,) = blocks("docs/first_simulation.md", "csv")
    (line,) = re.findall(r"^graphpde (.* --fit .*)$", (ROOT / "docs/first_simulation.md").read_text(), re.M)
    problem = ['pde = "poisson"', 'mesh = {shape = "rectangle"}', "source = 1.0", "boundary.left.value = 0.0"]
    Path("data.csv").write_text(rows)
    Path("plate.toml").write_text("\n".join([*problem, "coefficients.kappa = 3.0"]))
    assert main([*shlex.split(line), "--pictures", "none", "-o", "run"]) == 0
    assert "kappa = 3.0" not in Path("run/config.toml").read_text()
    assert json.loads(Path("run/manifest.json").read_text())["fit"]["values"]["kappa"] == pytest.approx(1.0, abs=0.01)
