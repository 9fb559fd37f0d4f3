"""Runs of particles: what the folder holds, what is promised, going on to the same bits, what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from graphpde.cli.main import main
from graphpde.config import load
from graphpde.config.schema import Output
from graphpde.errors import ConfigError, InputError, SolveError
from graphpde.hamiltonian import Particles, nbody, pendulum
from graphpde.hamiltonian.balance import EnergyGuard, kept, particles_of
from graphpde.hamiltonian.catalogue import PARTICLES
from graphpde.ops.pair import Spring
from graphpde.run import open_run, resume, simulate
from graphpde.run.particles.config import read_particles
from graphpde.run.particles.kit import ParticleKit, Ways
from graphpde.run.particles.series import carried, placed
from graphpde.run.ready import ready
from graphpde.viz import read_pvd

NBODY = {"pde": "nbody", "system": {"n": 6}, "time": {"end": 0.4, "dt": 0.02, "frames": 4}}
QUIET = {"output": {"pictures": "none", "report": False}}


@pytest.mark.parametrize("name", PARTICLES)
def test_every_system_is_ready_and_starts_sound(name) -> None:
    setup = ready({"pde": name})
    assert setup.u0.shape[0] == len(setup.u0) and setup.q.shape == (len(setup.u0), setup.d)
    assert math.isfinite(kept(setup.term, setup.u0).energy)
    assert setup.steps * setup.dt == pytest.approx(float(setup.times[-1] - setup.times[0]))
    again = ready(json.loads(json.dumps(setup.config.as_dict())))
    assert again.config == setup.config and torch.equal(again.u0, setup.u0)


def test_a_run_keeps_what_it_promises_and_says_it(tmp_path) -> None:
    result = simulate(ready(NBODY), tmp_path / "run")
    named = {c.name: c for c in result.certificates}
    assert list(named) == ["energy", "momentum", "angular_momentum"]
    assert named["momentum"].target and named["angular_momentum"].target and all(c.passed for c in named.values())
    assert 0 < named["energy"].value < 1e-2
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 5 and {"energy", "kinetic", "momentum_x", "angular_momentum_z"} <= set(rows[0])
    assert [t for t, _ in read_pvd(tmp_path / "run/fields/run.pvd")] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    with np.load(tmp_path / "run/fields/run.npz") as file:
        assert file["states"].shape == (5, 6, 6)
    assert {"energy.png", "final.png", "frames.png", "paths.png"} == {
        f.name for f in (tmp_path / "run/figures").iterdir()
    }
    page = (tmp_path / "run/report.html").read_text()
    assert "largest change of the momentum" in page and "leapfrog" in page


def test_frames_lie_where_the_particles_are(tmp_path) -> None:
    import meshio

    simulate(ready(NBODY | QUIET), tmp_path / "run")
    with np.load(tmp_path / "run/fields/run.npz") as file:
        last = file["states"][-1]
    mesh = meshio.read(read_pvd(tmp_path / "run/fields/run.pvd")[-1][1])
    assert np.allclose(mesh.points, last[:, :3])
    assert np.allclose(mesh.point_data["velocity"], 6 * last[:, 3:])  # masses of 1/6


@pytest.mark.parametrize(
    "name,system,names",
    [
        ("nbody", {"n": 3}, {"velocity", "mass"}),
        ("fput", {"n": 4}, {"velocity", "mass", "held"}),
        ("sph-dam-break", {"n": 4}, {"velocity", "mass", "density", "pressure", "held"}),
        ("sph-taylor-green", {"n": 12}, {"velocity", "mass", "density", "pressure"}),
    ],
)
def test_what_saved_particles_carry(name, system, names) -> None:
    setup = ready({"pde": name, "system": system})
    found = carried(setup, setup.u0)
    assert set(found) == names and all(len(x) == len(setup.u0) for x in found.values())
    held = found.get("held", torch.zeros(len(setup.u0))).bool()
    for key in names - {"velocity", "held"}:
        assert torch.equal(torch.isnan(found[key]), held), key
    if name == "sph-dam-break":  # hydrostatic, of density 1 about
        q = setup.q[~held]
        assert torch.allclose(found["pressure"][~held], 2.0 - q[:, 1])
        assert float(found["mass"][~held].sum()) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "name,system", [("pendulum", {"momentum": 0.7}), ("phi4", {"shape": [4, 3]}), ("lennard-jones", {"cells": 4})]
)
def test_velocities_are_those_of_the_saved_points(name, system) -> None:
    setup = ready({"pde": name, "system": system})
    (q, p), h = particles_of(setup.term).phase(setup.u0), 1e-5
    moved = [placed(setup, q + s * h * p) for s in (1, -1)]  # masses of 1
    rate = (moved[0] - moved[1]) / (2 * h)
    inside = rate.abs().amax(1) < 100  # the others go through a wall of the box meanwhile
    assert int(inside.sum()) > 0.5 * len(q)
    assert torch.allclose(carried(setup, setup.u0)["velocity"][inside], rate[inside], atol=1e-8)


def test_lattices_lie_in_a_plane(tmp_path) -> None:
    setup = ready({"pde": "phi4", "system": {"shape": [4, 3]}, "time": {"end": 0.2, "frames": 2}})
    points = placed(setup, setup.q)
    assert points[:, :2].unique(dim=0).shape == (12, 2) and torch.equal(points[:, 2:], setup.q)
    assert points[-1, :2].tolist() == [3, 2]
    moving = replace(setup, config=replace(setup.config, output=Output(animation=True)))
    simulate(moving, tmp_path / "run")
    assert (tmp_path / "run/figures/animation.gif").exists()


@pytest.mark.parametrize("name,shown", [("fput", {"history", "modes"}), ("pendulum", {"phase"}), ("phi4", {"history"})])
def test_chains_and_angles_have_pictures_of_their_own(tmp_path, name, shown) -> None:
    simulate(ready({"pde": name, "time": {"end": 1.0, "frames": 3}}), tmp_path / "run")
    assert {f.stem for f in (tmp_path / "run/figures").iterdir()} == {"energy", *shown}


def test_a_liquid_has_walls_and_loses_energy(tmp_path) -> None:
    problem = {"pde": "sph-dam-break", "system": {"n": 6}, "time": {"end": 0.3, "frames": 3}}
    result = simulate(ready(problem), tmp_path / "run")
    rows = [json.loads(line)["energy"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[0] > rows[-1] > 0.9 * rows[0] and result.status == "ok"
    assert {"energy", "final", "frames"} == {f.stem for f in (tmp_path / "run/figures").iterdir()}
    vortices = {"pde": "sph-taylor-green", "system": {"n": 12}, "time": {"end": 0.02, "frames": 1}} | QUIET
    momentum = next(c for c in simulate(ready(vortices), tmp_path / "other").certificates if c.name == "momentum")
    assert momentum.target is not None and momentum.passed


def test_a_movie(tmp_path) -> None:
    from PIL import Image

    problem = {"pde": "springs", "time": {"end": 0.2, "frames": 3}, "output": {"animation": True}}
    simulate(ready(problem), tmp_path / "run")
    with Image.open(tmp_path / "run/figures/animation.gif") as movie:
        assert movie.n_frames == 4


WAVE = {
    "pde": "wave", "mesh": {"shape": "rectangle", "size": 0.2}, "initial": {"u": "x"},
    "time": {"end": 0.1, "dt": 0.01, "frames": 2, "stepper": "leapfrog"},
}  # fmt: skip
STOPPED = {
    **{name: {**NBODY, "time": {**NBODY["time"], "stepper": name}} for name in (  # type: ignore[dict-item]
        "leapfrog", "mclachlan", "position_verlet", "respa", "implicit_midpoint")},
    "rattle": {"pde": "double-pendulum", "time": {"end": 0.04, "dt": 0.002, "frames": 4}},
    "wave": WAVE,
}  # fmt: skip


@pytest.mark.parametrize("problem", STOPPED.values(), ids=STOPPED)
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, problem) -> None:
    simulate(ready(problem | QUIET), tmp_path / "whole")
    calls = iter(range(1000))
    stopped = simulate(ready(problem | QUIET), tmp_path / "cut", stop=lambda: next(calls) == 6)
    assert stopped.status == "interrupted" and 0 < stopped.steps < 10
    assert resume(tmp_path / "cut").status == "ok"
    states = [np.load(tmp_path / name / "fields/run.npz")["states"] for name in ("whole", "cut")]
    assert np.array_equal(*states)


def test_another_system_is_not_gone_on_with(tmp_path) -> None:
    calls = iter(range(1000))
    simulate(ready(NBODY | QUIET), tmp_path / "cut", stop=lambda: next(calls) == 6)
    with pytest.raises(ConfigError, match="system.n was 6 and is 7 now"):
        resume(tmp_path / "cut", {"system": {"n": 7}})


def test_config_in_the_folder_says_all(tmp_path) -> None:
    simulate(ready(NBODY | QUIET), tmp_path / "run")
    assert read_particles(load(tmp_path / "run/config.toml")) == ready(NBODY | QUIET).config
    assert open_run(tmp_path / "run").checkpoint.t == pytest.approx(0.4)


def test_an_energy_that_blows_up_names_step_and_particle(tmp_path) -> None:
    close = {"pde": "phi4", "time": {"end": 300.0, "dt": 1.5, "frames": 2}}
    with pytest.raises(
        SolveError, match=r"energy blew up from .* at step \d+, t = .* particle \d+ is the fastest; take a shorter step"
    ):
        simulate(ready(close | QUIET), tmp_path / "run")
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "failed"


def test_the_guard_lets_a_fall_pass() -> None:
    system, u0 = pendulum(3.1)  # nearly all its energy becomes kinetic
    guard = EnergyGuard(system, u0, factor=0.5)
    below = torch.tensor([[0.0, 2.0 * math.cos((math.pi - 3.1) / 2)]], dtype=torch.float64)
    guard(1, 2, 0.0, below)
    with pytest.raises(SolveError, match="particle 0"):
        guard(2, 2, 0.0, 2 * below)
    with pytest.raises(SolveError, match="to inf at step 2"):
        guard(2, 2, 0.0, 1e200 * below)
    guard(2, 2, 0.0, math.inf * below)  # of which the loop tells


def test_what_has_no_energy_is_told() -> None:
    with pytest.raises(InputError, match="a Linear has no energy and momentum"):
        particles_of(torch.nn.Linear(1, 1))
    system, u0 = nbody(4)
    assert isinstance(particles_of(system), Particles) and kept(system, u0).momentum == pytest.approx([0, 0, 0])


def test_ways_stay_few_and_evenly_spread() -> None:
    class Nothing:
        moments = ()

    ways = Ways(1, most=8)
    for k in range(100):
        ways.add(float(k), torch.full((1, 2), float(k)))
    found = [float(x) for x in ways.whole(Nothing())]
    assert len(found) <= 9 and len({b - a for a, b in pairwise(found)}) == 1 and found[0] == 0


def test_ways_of_a_run_that_went_on_are_not_cut_short(tmp_path, monkeypatch) -> None:
    """Before the first step after the stop stand the saved moments: no chord from the start to there."""
    drawn = []
    monkeypatch.setattr(
        "graphpde.run.particles.kit.draw", lambda frames, folder, ways: (drawn.append(ways), ([], []))[1]
    )
    problem = {"pde": "kepler", "time": {"end": 3.0, "dt": 0.01, "frames": 30}, "output": {"report": False}}
    stop = iter([False] * 150 + [True] * 1000)
    simulate(ready(problem), tmp_path / "cut", stop=lambda *given: next(stop))
    resume(tmp_path / "cut")
    simulate(ready(problem), tmp_path / "whole")
    one, two = (torch.stack(drawn[k]) for k in (-2, -1))
    assert float(one.diff(dim=0).norm(dim=-1).max()) < 0.3 and len(two) > 300
    assert {tuple(x) for x in one[:, 1].tolist()} <= {tuple(x) for x in two[:, 1].tolist()}


def test_the_energy_is_judged_by_the_start_and_not_by_how_fast_it_became() -> None:
    """A point that leaves the well of Henon and Heiles gains speed without bound, and its error with it."""
    setup = ready({"pde": "henon-heiles", "system": {"energy": 0.3}, "time": {"end": 13.0}})
    kit = ParticleKit(setup)
    moments = [kit.meter.at(k, 0.0, u) for k, u in enumerate((setup.u0, 20 * setup.u0))]
    found = next(c for c in kit.certificates(moments, None) if c.name == "energy")
    off = moments[1].kept.energy - moments[0].kept.energy
    assert found.value == pytest.approx(off / 0.3)
    (doubt,) = kit.doubts(moments, [found])
    assert "the energy changed by" in doubt


def test_certificates_of_momenta_can_fail() -> None:
    setup = ready(NBODY)
    kit, pushed = ParticleKit(setup), setup.u0.clone()
    pushed[0, 3:] *= 1.0 + 1e-6
    moments = [kit.meter.at(k, 0.0, u) for k, u in enumerate((setup.u0, pushed))]
    passed = {c.name: c.passed for c in kit.certificates(moments, None)}
    assert passed["momentum"] is False and passed["angular_momentum"] is False
    assert all(c.passed is not False for c in kit.certificates(moments[:1], None))


def test_what_friction_takes_is_no_doubt_and_what_comes_from_nowhere_is_one() -> None:
    setup = ready({"pde": "sph-taylor-green", "system": {"n": 10}})
    kit = ParticleKit(setup)
    d = setup.d
    slower, faster = (
        torch.cat([setup.u0[:, :d], s * setup.u0[:, d : 2 * d], setup.u0[:, 2 * d :]], 1) for s in (0.5, 1.025)
    )
    start = kit.meter.at(0, 0.0, setup.u0)
    assert kit.doubts([start, kit.meter.at(1, 0.1, slower)], []) == []
    (doubt,) = kit.doubts([start, kit.meter.at(1, 0.1, faster)], [])
    assert "the energy rose by 5.0" in doubt  # 1.025^2 and hardly any compression


@pytest.mark.parametrize(
    "problem,said",
    [
        ({"pde": "nbody", "mesh": "a.msh"}, "nbody has no mesh: it is a system of particles"),
        ({"pde": "nbody", "system": {"m": 3}}, "unknown key in \\[system\\] 'm'"),
        ({"pde": "nbody", "system": {"n": 0}}, "system.n is 0, expected a whole number from 1"),
        ({"pde": "nbody", "system": {"n": 1}}, "n is 1, expected a whole number >= 2"),
        ({"pde": "nbody", "system": {"n": 20_000}}, "have 199,990,000 pairs, expected at most"),
        (
            {"pde": "nbody", "system": {"softening": 1e300}},
            "softening = 1e.300.* make a start whose numbers reach inf, expected less than 1e.100; take numbers",
        ),
        (
            {"pde": "springs", "system": {"rest": 1e300}},
            "rest = 1e.300.* make a start whose numbers reach 1e.300, expected less than 1e.100; take numbers",
        ),
        (
            {"pde": "pendulum", "system": {"strength": 1e300}},
            "strength = 1e.300.* make a start whose numbers reach 4.6e.299, expected less than 1e.100; take numbers",
        ),
        (
            {"pde": "double-pendulum", "system": {"masses": [1e300, 1.0]}},
            "masses.* make a start whose numbers reach nan, expected less than 1e.100; take numbers",
        ),
        (
            {"pde": "double-pendulum", "system": {"lengths": [1e300, 1.0]}},
            "lengths.* make a start whose numbers reach 9.09e.299, expected less than 1e.100; take numbers",
        ),
        (
            {"pde": "sph-dam-break", "system": {"gravity": 1e-300}},
            "gravity = 1e-300.* make a start whose numbers reach inf, expected less than 1e.100; take numbers",
        ),
        ({"pde": "springs", "system": {"d": 4}}, "d = 4, expected 1 to 3 coordinates"),
        ({"pde": "springs", "system": {"d": 0}}, "system.d is 0, expected a whole number from 1"),
        ({"pde": "springs", "system": {"d": 2.5}}, "system.d is 2.5, expected a whole number from 1"),
        ({"pde": "henon-heiles", "system": {"momentum_y": 1e200}}, "momentum_y is 1e.200, expected a finite number"),
        ({"pde": "phi4", "system": {"shape": []}}, "shape is empty, expected the number of nodes along each axis"),
        ({"pde": "lennard-jones", "system": {"cutoff": 1e-60}}, "cutoff is 1e-60, expected a finite number >= 0.5"),
        (
            {"pde": "lennard-jones", "system": {"cells": 10_000}},
            "cells = 10000 makes 4e.12 particles, expected at most",
        ),
        ({"pde": "phi4", "system": {"shape": [9999, 9999]}}, r"shape = \(9999, 9999\) makes 1e.08 particles, expected"),
        (
            {"pde": "sph-taylor-green", "system": {"n": 10_000}},
            "n = 10000 makes 1e.08 particles, expected at most 4,000,",
        ),
        ({"pde": "sph-taylor-green", "system": {"smoothing": 1.0}}, "smoothing is 1, expected 2 to 50 distances"),
        ({"pde": "sph-dam-break", "system": {"smoothing": 0.5}}, "smoothing is 0.5, expected 2 to 20 distances"),
        ({"pde": "sph-dam-break", "system": {"smoothing": 1e9}}, "smoothing is 1e.09, expected 2 to 20 distances"),
        (
            {"pde": "sph-dam-break", "system": {"length": 1e30}},
            "length = 1e.30 makes 8e.31 particles, expected at most",
        ),
        ({"pde": "sph-dam-break", "system": {"length": 0.96}}, "length = 0.96 and height = 2, expected a tank as long"),
        ({"pde": "sph-dam-break", "system": {"height": 1e-3}}, "a column of at least one particle, 1/20 high"),
        ({"pde": "sph-dam-break", "system": {"height": 1e30}}, "height = 1e.30 and length = 5 makes 5.76e.32 part"),
        ({"pde": "phi4", "system": {"shape": 3}}, "system.shape is 3, expected a list"),
        ({"pde": "nbody", "time": {"stepper": "rattle"}}, "rattle does not suit nbody; take leapfrog"),
        ({"pde": "double-pendulum", "time": {"stepper": "leapfrog"}}, "take rattle"),
        ({"pde": "nbody", "time": {"end": 1.0, "dt": 1e-300}}, "does not move time on"),
        ({"pde": "nbodies"}, "unknown pde 'nbodies'.*did you mean 'nbody'"),
        ({"pde": "lennard-jones", "system": {"cells": 2}}, "the box has an edge of 3.35919, expected at least twice"),
    ],
)
def test_bad_input_is_one_sentence(problem, said) -> None:
    with pytest.raises(InputError, match=said):  # exit code 2
        ready(problem)


def test_a_given_step_is_not_shortened_for_moments_that_nobody_asked_for() -> None:
    setup = ready({"pde": "kepler", "time": {"end": 1.0, "dt": 0.1}})
    assert setup.dt == pytest.approx(0.1) and len(setup.times) == 11 and not setup.remarks
    assert len(ready({"pde": "kepler"}).times) == 101


def test_adaptive_steps(tmp_path) -> None:
    problem = {"pde": "kepler", "time": {"end": 6.28, "rtol": 1e-8, "frames": 4}} | QUIET
    result = simulate(ready(problem), tmp_path / "run")
    assert result.rhythm is not None and result.certificates[0].value < 1e-4
    assert next(c for c in result.certificates if c.name == "angular_momentum").target is None  # tsit5 promises none


def test_from_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["simulate", "--pde", "kepler", "--t-end", "1", "--frames", "2", "--pictures", "none"]
    assert main([*line, "-o", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"energy", "momentum", "angular_momentum"} == set(told["certificates"])
    assert main([*line, "-o", "run", "--dry-run"]) == 0 and "# 2 particles, " in capsys.readouterr().out
    assert main(["simulate", "run/config.toml", "-o", "again"]) == 0
    assert "Two bodies on an ellipse (kepler): 2 particles" in capsys.readouterr().out
    for extra, said in (
        (["--sweep", "time.dt=1,2"], "--sweep is of problems on meshes"),
        (["--fit", "a.csv", "n"], "--fit is"),
    ):
        assert main([*line, *extra]) == 2
        assert said in capsys.readouterr().err
    assert main(["list", "systems"]) == 0 and "double-pendulum" in capsys.readouterr().out


@pytest.mark.parametrize("how", ([], ["--rtol", "1e-6"]))
def test_the_script_does_the_same(tmp_path, monkeypatch, capsys, how) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["simulate", "--pde", "kepler", "--t-end", "1", "--frames", "2", *how]
    assert main([*line, "--show-code"]) == 0
    space: dict = {}
    exec(compile(capsys.readouterr().out, "script", "exec"), space)
    assert main([*line, "--pictures", "none", "-o", "run"]) == 0
    states = np.load("run/fields/run.npz")["states"]
    assert np.array_equal(states[-1], space["path"].states[-1].numpy())


def test_the_fastest_is_the_one_that_moves_most() -> None:
    """By its velocity, not by its momentum: neither a heavy one nor a wall."""
    system = Particles(torch.tensor([1.0, 1e-3, math.inf], dtype=torch.float64), Spring(1.0))
    u0 = torch.tensor([[0.0, 0.1], [1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    guard = EnergyGuard(system, u0)
    late = torch.tensor([[0.0, 9.0], [50.0, 1.0], [2.0, 50.0]], dtype=torch.float64)
    with pytest.raises(SolveError, match="where particle 1 is the fastest"):
        guard(3, 10, 0.3, late)
