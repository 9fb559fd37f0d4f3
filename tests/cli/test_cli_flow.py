"""Flows from the command line: values of several fields, forces, levels, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from graphpde.mesh.io import read_mesh

CHANNEL = ("--pde", "navier-stokes", "--set", "mesh.shape=rectangle", "mesh.size=0.25", "coefficients.viscosity=1")
QUIET = ("--pictures", "none")
PROFILE = "left=y*(1-y),0"


def last(path: str) -> dict[str, float]:
    with open(path) as file:
        return {key: float(value) for key, value in list(csv.DictReader(file))[-1].items()}


def test_developed_flow_with_its_forces(graphpde) -> None:
    line = [*CHANNEL, "--steady", "--bc", PROFILE, "bottom=0", "top=0", "--forces", "-o", "run", *QUIET]
    done = graphpde("simulate", *line, "--set", "output.reference.speed=2", "output.reference.area=0.5")
    assert done.code == 0, done.err
    found = last("run/forces.csv")
    assert found["bottom.force_x"] == pytest.approx(1.0, rel=1e-8)  # mu du/dy = 1 over a length of 1
    assert found["bottom.drag_coefficient"] == pytest.approx(1.0, rel=1e-8)  # 2 F / (4 * 0.5)
    assert found["right.outflow"] == pytest.approx(1 / 6, rel=1e-9)
    assert found["left.pressure"] == pytest.approx(2.0, rel=1e-8)
    mesh = read_mesh(next(Path("run/fields").glob("*.vtu")))
    velocity = mesh.point_data["velocity"].numpy()
    y = mesh.points[:, 1].numpy()
    np.testing.assert_allclose(velocity, np.stack([y * (1 - y), 0 * y, 0 * y], 1), atol=1e-8)
    assert "Forces and flow rates" in Path("run/report.html").read_text()


def test_a_step_crosses_a_third_of_the_distance_between_nodes(graphpde) -> None:
    line = [*CHANNEL, "--bc", "left=2,0", "bottom=0", "top=0", "--override", "left", "--t-end", "4", "--frames", "1"]
    done = graphpde("simulate", *line, "-o", "run", *QUIET, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["steps"] == 214  # of at most 0.3 * 0.125 / 2


def test_a_closed_box_has_its_pressure_held_at_a_corner(graphpde) -> None:
    done = graphpde(
        "simulate", *CHANNEL, "--steady", "--bc", "boundary=0", "top=1,0", "--override", "top", "-o", "run", *QUIET
    )
    assert done.code == 0, done.err
    with np.load("run/fields/run.npz") as kept:
        state, x = kept["states"][-1], kept["points"]
    assert state[np.linalg.norm(x, axis=1).argmin(), 2] == 0.0


def test_in_single_precision_and_on_a_large_box_with_its_pictures(graphpde) -> None:
    line = ["--pde", "stokes", "--steady", "--bc", "boundary=0", "top=1,0", "--override", "boundary", "-o", "run"]
    shape = ["--set", "mesh.shape=rectangle", "mesh.size=9", "mesh.width=36", "mesh.height=18"]
    done = graphpde("simulate", *line, "--dtype", "float32", *shape)
    assert done.code == 0, done.err
    assert Path("run/figures/streamlines.png").exists() and Path("run/report.html").exists()


def test_adaptive_steps_of_a_flow(graphpde) -> None:
    smooth = ["left=t**2*y*(1-y),0", "top=0", "bottom=0"]
    line = [
        *CHANNEL,
        "--rtol",
        "1e-2",
        "--t-end",
        "0.2",
        "--frames",
        "1",
        "--bc",
        *smooth,
        "-o",
        "run",
        *QUIET,
        "--json",
    ]
    done = graphpde("simulate", *line)
    assert done.code == 0, done.err
    assert json.loads(done.out)["status"] == "ok"


def test_a_line_of_symmetry_holds_one_component(graphpde) -> None:
    rule = "boundary.top.value.velocity_y=0"
    done = graphpde("simulate", *CHANNEL, "--steady", "--bc", PROFILE, "bottom=0", "--set", rule, "-o", "run", *QUIET)
    assert done.code == 0, done.err
    with np.load("run/fields/run.npz") as kept:
        state, x = kept["states"][-1], kept["points"]
    top = (x[:, 1] == 1) & (x[:, 0] > 0.5)
    assert (state[top, 1] == 0).all() and (state[top, 0] > 0.01).all()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--bc", "left=1"], "boundary.left.value is one value and navier-stokes has fields velocity_x, velocity_y"),
        (
            ["--bc", "left=1,2,3"],
            "boundary.left.value has 3 values, expected 2: one for each of velocity_x, velocity_y",
        ),
        (["--bc", "left=0", "--set", "coefficients.viscosity=0"], "viscosity = 0, expected a positive number"),
        (["--bc", "left=0", "--set", "coefficients.density=0"], "density = 0"),
        (["--bc", "left=0", "--set", "element=q1", "mesh.shape=rectangle_quads"], "take the second-order element"),
        (
            ["--steady", "--bc", "boundary=0", "left=1,0", "--override", "left"],
            "the velocity is given all round and brings in",
        ),
        (["--steady", "--bc", "boundary=0", "--inflow", "left=1,0"], "Neumann on 'left' has no effect"),
        (["--bc", "left=0", "--stepper", "heun"], "pressure in Stokes + Convection has no time derivative"),
        (["--bc", "left=0", "--set", "output.reference.speed=1", "--forces"], "output.reference has no area"),
        (["--bc", "left=0", "--set", "element=dg0"], "navier-stokes is not offered on averages over cells"),
        (["--bc", "left=0", "--rtol", "1e-4", "--stepper", "sbdf2"], "sbdf2 estimates no error"),
    ],
)
def test_one_sentence_for_what_cannot_be(graphpde, more: list[str], message: str) -> None:
    done = graphpde("simulate", *CHANNEL, *more, "-o", "run", *QUIET)
    assert done.code == 2 and message in done.err, done.err
    assert done.err.count("\n") == 1 and not Path("run").exists()


def test_forces_belong_to_flows(graphpde) -> None:
    done = graphpde(
        "simulate", "--pde", "heat", *CHANNEL[2:4], "mesh.size=0.5", "--bc", "left=1", "--forces", "-o", "run"
    )
    assert done.code == 2 and "forces belongs to flows, and heat is none" in done.err
