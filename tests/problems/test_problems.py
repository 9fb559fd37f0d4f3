"""Every PDE of the library runs with nothing but a mesh, says what it is, and its defaults make sense."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from graphpde.config import Setup, prepare, read_config
from graphpde.dynamics import STEPPERS, evolve, steady
from graphpde.errors import ConfigError, InputError
from graphpde.formula import Formula
from graphpde.mesh import Space, rectangle
from graphpde.mesh.generate import SHAPES
from graphpde.ops.reaction import REACTIONS
from graphpde.problems import PDES, FieldsAt, Vector, conductivity, initial_state
from graphpde.problems.pde import Box, diffusion_time, rounded_down, squared_distance
from graphpde.problems.values import per_cell, typical


def ready(pde: str, shape: str = "rectangle", **more: Any) -> Setup:
    mesh = {"shape": shape, "size": 0.1} if isinstance(shape, str) else shape
    return prepare(read_config({"pde": pde, "mesh": mesh, **more}))


@pytest.mark.parametrize("name", sorted(PDES))
def test_what_a_pde_declares(name: str) -> None:
    pde = PDES[name]()
    assert pde.name == name and pde.title and "=" in pde.equation and type(pde).__doc__
    assert set(pde.units) >= set(pde.fields) and (pde.elastic or set(pde.units) == set(pde.fields)) and pde.coefficients
    assert pde.stationary or pde.stepper in STEPPERS
    assert pde.reaction is None or pde.reaction in REACTIONS
    for word in pde.coefficients:  # the equation speaks of what can be set
        assert word in pde.equation or (word == "velocity" and "v u" in pde.equation)


@pytest.mark.parametrize("name", sorted(PDES))
@pytest.mark.parametrize("shape", ["rectangle", "sphere", "box", "interval", "rectangle_quads"])
def test_it_runs_with_nothing_but_a_mesh(name: str, shape: str) -> None:
    made = SHAPES[shape](0.25)
    mesh = made.dim, made.space_dim
    if PDES[name].fills is not None and mesh != (PDES[name].fills, PDES[name].fills):
        with pytest.raises(InputError, match=r"a flow needs cells that fill|is for flows in \d dimensions"):
            ready(name, shape)
        return
    if PDES[name].elastic and (made.dim == 1 or made.dim != made.space_dim):
        with pytest.raises(InputError, match="needs cells that fill the plane or space"):
            ready(name, shape)
        return
    if PDES[name].stationary:
        # any boundary set will do; a sphere has none, so a reaction fixes the level there
        pde = PDES[name].on(made)()
        if shape == "sphere" and len(pde.fields) > 1:
            pytest.skip("waves have no boundary to leave through")
        value = 1.0 if len(pde.fields) == 1 else dict.fromkeys(pde.fields, 1.0)
        data = {"reaction": {"name": "decay"}} if shape == "sphere" else {"boundary": {"boundary": {"value": value}}}
        setup = ready(name, shape, **({"source": value} if pde.pushed_fields else {}), **data)
        u = steady(setup.term, setup.u0).value
    else:
        setup = ready(name, shape)
        assert setup.stepper is not None and setup.config.time.stepper == setup.pde.stepper
        with torch.no_grad():
            u = evolve(setup.term, setup.u0, [0.0, 5 * setup.dt], stepper=setup.stepper, dt=setup.dt).final
    assert u.shape == (setup.space.n, len(setup.pde.fields)) and bool(torch.isfinite(u).all())


def test_heat_starts_from_zero_and_takes_its_time_from_length_and_conductivity() -> None:
    setup = ready("heat", coefficients={"kappa": 0.5}, boundary={"left": 1.0})
    assert setup.config.initial == {"u": 0.0} and setup.config.time.stepper == "backward_euler"
    assert setup.config.time.end == pytest.approx(0.4) and setup.steps == 100  # 0.2 * 1^2 / 0.5
    # boundary values are already there at the start
    assert float(setup.u0[setup.space.tag("left").nodes].min()) == 1 and float(setup.u0.sum()) == 11
    doubled = ready("heat", coefficients={"kappa": "0.5 + 0*x"}, mesh={"shape": "rectangle", "size": 0.1})
    assert doubled.config.time.end == pytest.approx(0.4)


def test_advection_moves_a_bump_downstream_within_the_bound() -> None:
    setup = ready("advection", coefficients={"velocity": [0.0, 2.0]})
    assert setup.config.time.end == pytest.approx(0.3) and setup.config.time.stepper == "heun"
    x = setup.space.pos
    before = (x * setup.u0).sum(0) / setup.u0.sum()
    with torch.no_grad():
        u = evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, dt=setup.dt).final
    after = (x * u).sum(0) / u.sum()
    assert float(before[1]) < 0.4 < float(after[1]) and float(after[0]) == pytest.approx(0.5, abs=0.05)
    assert float(u.min()) >= -1e-12 and float(u.max()) <= float(setup.u0.max())
    assert ready("advection", boundary={"left": 1.0}).config.initial == {"u": 0.0}  # the inflow moves it already


def test_gray_scott_grows_a_pattern() -> None:
    setup = ready("gray-scott", {"shape": "rectangle", "size": 0.05}, time={"end": 600, "frames": 2}, seed=3)
    with torch.no_grad():
        states = evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, dt=setup.dt).states
    area = setup.space.integral((states[:, :, 1:] > 0.1).double())[:, 0]
    assert area[2] > 1.5 * area[0] > 0 and float(states[-1, :, 1].std()) > 0.05
    assert setup.dt == 1 and setup.config.reaction.parameters == {"feed": 0.037, "kill": 0.06}


def test_noise_comes_from_the_seed() -> None:
    one, two, other = (ready("heat", seed=k, initial={"u": 1.0, "noise": 0.1}).u0 for k in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert 0.9 <= float(one.min()) < 0.95 and 1.05 < float(one.max()) <= 1.1
    space = Space(rectangle(2, 2))
    quiet = initial_state({"u": 1.0}, ("u",), space, 0.0, 0.0, 5)
    assert torch.equal(quiet, torch.ones_like(quiet))


def test_materials_and_formulas_as_conductivity() -> None:
    mesh = rectangle(4, 4)
    x = mesh.points[mesh.cells["triangle"]][:, :, 0].mean(1)
    space = Space(mesh.with_tags(steel=mesh.make_tag(2, (x > 0.5).nonzero()[:, 0])))
    k = per_cell(space, {"steel": 3.0, "*": 1.0})
    assert torch.equal(k, torch.where(x > 0.5, 3.0, 1.0).double())
    assert typical(space, {"steel": 3.0, "*": 1.0}) == pytest.approx(2.0)
    assert torch.allclose(conductivity(space, Formula("x", ("x",))), x)
    assert conductivity(space, Formula("1+1", ())) == 2.0
    with pytest.raises(InputError, match="16 of 32 cells of 'rectangle' have no conductivity; name them or give"):
        per_cell(space, {"steel": 3.0})
    with pytest.raises(ConfigError, match="expected >= 0 everywhere"):
        conductivity(space, Formula("x - 1", ("x",)))


def test_vectors_and_fields_of_formulas() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    velocity = Vector([Formula("-y", ("x", "y")), 2.0])
    assert torch.equal(velocity(x), torch.tensor([[-2.0, 2.0], [-4.0, 2.0]])) and not velocity.constant
    assert Vector([1.0, Formula("pi", ())]).constant
    both = FieldsAt([1.0, Formula("x*t", ("x", "t"))])
    assert both.uses_time and torch.equal(both(x, torch.tensor(2.0)), torch.tensor([[1.0, 2.0], [1.0, 6.0]]))
    assert not FieldsAt([1.0, Formula("x", ("x",))]).uses_time and both.text == "1, x*t"
    with pytest.raises(ConfigError, match="the velocity has 3 components, expected 2"):
        ready("advection", coefficients={"velocity": [1, 0, 0]})


def test_scales() -> None:
    assert [rounded_down(v) for v in (0.123, 9.99, 1.0, 0.0999, 1200.0)] == [0.12, 9.9, 1.0, 0.099, 1200.0]
    assert diffusion_time(2.0, 0.5, 0.2) == 1.6
    with pytest.raises(ConfigError, match="sets no time scale"):
        diffusion_time(2.0, 0.0, 0.2)
    with pytest.raises(ConfigError, match="a speed of 0 sets no time scale"):
        ready("advection", coefficients={"velocity": [0, 0]})
    box = Box.of(Space(rectangle(2, 2)))
    assert box.length == 1 and box.centre.tolist() == [0.5, 0.5]
    text = squared_distance(torch.tensor([0.5, -1.0, 1e-9]), 1.0)
    assert text == "(x - 0.5)**2 + (y + 1)**2 + z**2"
    assert float(Formula(text)(torch.zeros(1, 3))) == pytest.approx(1.25)


def test_an_explicit_step_that_nobody_gave_keeps_clear_of_the_bound() -> None:
    setup = ready("heat", time={"stepper": "euler", "end": 1.0}, boundary={"left": 1.0})
    assert setup.dt < 0.9 * 2 / 800 * (1 + 1e-9) and math.isclose(setup.dt * setup.steps, 1.0)
    with torch.no_grad():
        u = evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, dt=setup.dt)
    assert u.steps == setup.steps and float(u.states.max()) <= 1 + 1e-12 and float(u.states.min()) >= -1e-12
