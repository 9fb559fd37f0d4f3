"""The script that --show-code prints computes what the command computes, for every PDE of the library."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from graphpde.dynamics import STEPPERS
from graphpde.problems import PDES

QUIET = ("--pictures", "none", "--json")
SHAPE = ("--set", "mesh.shape=rectangle", "mesh.size=0.25")


def final_states(graphpde, line: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The final state [n, c] of the printed script and of the run."""
    code = graphpde("simulate", *line, "--show-code")
    assert code.code == 0, code.err
    assert not Path("script").exists()
    Path("script").mkdir()
    (Path("script") / "script.py").write_text(code.out)
    done = graphpde("simulate", *line, "-o", "run", *QUIET)
    assert done.code == 0, done.err
    script = runpy.run_path("script/script.py")
    assert [file.suffix for file in Path().glob("*.pvd")] == [".pvd"]  # the series that the script leaves
    with np.load("run/fields/run.npz") as kept:
        return script["u"].numpy(), kept["states"][-1]


def line_for(name: str) -> list[str]:
    """Something short that the PDE can do."""
    pde = PDES[name]
    line = ["--pde", name, *(SHAPE if pde.fills != 3 else ("--set", "mesh.shape=box", "mesh.size=0.5"))]
    if pde.stationary:
        return line if pde.levelled else [*line, "--bc", "left=sin(y)", "--source", "1+x"]
    return [*line, "--t-end", "0.05", "--dt", "0.01", "--frames", "2", "--set", "solver.allow_unstable=true"]


@pytest.mark.parametrize("name", sorted(PDES))
def test_every_pde(graphpde, name: str) -> None:
    script, run = final_states(graphpde, line_for(name))
    assert script.dtype == run.dtype and (script == run).all()


@pytest.mark.parametrize("stepper", ["rk4", "crank_nicolson", "bdf2"])
def test_every_kind_of_stepper(graphpde, stepper: str) -> None:
    assert stepper in STEPPERS
    line = ["--pde", "heat", *SHAPE, "--bc", "left=1+sin(t)", "--t-end", "0.1", "--dt", "0.01", "--stepper", stepper]
    script, run = final_states(graphpde, line)
    assert (script == run).all()


@pytest.mark.parametrize(
    "more",
    [
        ["--bc", "left=x*y+cos(3*t)", "right=0", "--override", "left", "--inflow", "top=t*x", "--source", "exp(-t)*y"],
        ["--robin", "left=2:1+t", "right=x+y:0"],
        ["--kappa", "1 + x*y", "--initial", "sin(pi*x)"],
        ["--set", "initial.u=x", "initial.noise=0.1", "seed=7", "reaction.name=logistic", "reaction.rate=1+x"],
        ["--dtype", "float32", "--initial", "x*y"],
        ["--steady", "--bc", "left=y", "--inflow", "right=2"],
        ["--set", "element=p2", "--initial", "x*y"],
    ],
    ids=["conditions", "exchange", "formulas", "noise and reaction", "float32", "steady", "quadratic"],
)
def test_every_kind_of_value(graphpde, more: list[str]) -> None:
    times = [] if "--steady" in more else ["--t-end", "0.1", "--dt", "0.02"]
    script, run = final_states(graphpde, ["--pde", "heat", *SHAPE, *more, *times])
    assert (script == run).all() and script.dtype == run.dtype


def test_materials_of_a_mesh_file(graphpde, square: Path) -> None:
    line = ["--pde", "heat", "--mesh", str(square), "--kappa", "copper=2", "*=0.5", "--bc", "left=1", "--t-end", "0.1"]
    script, run = final_states(graphpde, line)
    assert (script == run).all()


def test_two_fields_with_conditions(graphpde) -> None:
    line = ["--pde", "gray-scott", *SHAPE, "--t-end", "5", "--set", "boundary.left.value.u=1+0*t",
            "boundary.left.value.v=sin(t)", "source.v=0.01*x", "coefficients.kappa_u=0.001+0.001*x"]  # fmt: skip
    script, run = final_states(graphpde, line)
    assert (script == run).all()


def test_initial_values_from_a_run(graphpde) -> None:
    assert graphpde("simulate", "--pde", "heat", *SHAPE, "--initial", "x", "-o", "before", *QUIET).code == 0
    line = ["--pde", "heat", "--set", "mesh.shape=rectangle", "mesh.size=0.2", "--initial-from", "before@0.1"]
    script, run = final_states(graphpde, line)
    assert (script == run).all() and run.max() > 0.2


def test_it_reads_like_a_program(graphpde) -> None:
    code = graphpde("simulate", "--pde", "heat", *SHAPE, "--bc", "left=sin(t)", "--show-code").out
    assert "Diffusion(space, 1.0)" in code and 'Dirichlet("left", Formula("sin(t)"))' in code
    assert "BackwardEuler(" in code and "evolve(f, u0, times" in code and "config" not in code.split('"""')[2]
