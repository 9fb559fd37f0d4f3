"""What the PDEs of the library promise: equilibria stay, fronts and patterns run at their speeds, energies fall."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from graphpde.config import Setup, dump, prepare, read_config
from graphpde.dynamics import evolve, steady
from graphpde.errors import ConfigError, InputError, UnknownName
from graphpde.ops.reactions import Kinetics, fastest_mode
from graphpde.problems import PDES

REACTING = sorted(name for name, pde in PDES.items() if pde.reaction is not None)
TURING = ("brusselator", "gierer-meinhardt", "schnakenberg")


def ready(pde: str, shape: str = "rectangle", size: float = 0.1, **more: Any) -> Setup:
    return prepare(read_config({"pde": pde, "mesh": {"shape": shape, "size": size}, **more}))


def run(setup: Setup) -> torch.Tensor:
    with torch.no_grad():
        return evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, dt=setup.dt).states


@pytest.mark.parametrize("name", REACTING)
def test_every_equilibrium_stays(name: str) -> None:
    pde = PDES[name]()
    for point in pde.kinetics.equilibria():
        initial = {**dict(zip(pde.fields, point, strict=True)), "noise": 0.0}
        short = {"end": 10 * (pde.longest_step() or 0.1), "frames": 1}
        setup = ready(name, size=0.25, initial=initial, time=short)
        assert float((run(setup)[-1] - torch.tensor(point, dtype=torch.float64)).abs().max()) <= 1e-9


@pytest.mark.parametrize("name", TURING)
def test_several_wavelengths_fit_and_the_mesh_resolves_them(name: str) -> None:
    for size, most in ((0.02, 9.0), (0.1, 9.0)):
        setup = ready(name, size=size)
        kappa = [setup.config.coefficients[key] for key in ("kappa_u", "kappa_v")]
        mode = fastest_mode(setup.pde.kinetics, setup.pde.kinetics.equilibria()[0], kappa)
        assert mode.rate > 0 and mode.rate * (setup.config.time.end or 0) == pytest.approx(40, rel=0.1)
        assert 7 * size <= mode.wavelength and 1 / mode.wavelength <= most


@pytest.mark.parametrize("name", TURING)
def test_noise_grows_to_a_pattern_of_the_predicted_wavelength(name: str) -> None:
    """On an interval of ten wavelengths, the strongest Fourier mode of the result lies near the fastest one."""
    n, length = 160, 10.0
    pde = PDES[name]()
    alone = fastest_mode(pde.kinetics, pde.kinetics.equilibria()[0], (1.0, pde.ratio)).wavelength
    kappa = {"kappa_u": (0.1 / alone) ** 2, "kappa_v": pde.ratio * (0.1 / alone) ** 2}
    rate = fastest_mode(pde.kinetics, pde.kinetics.equilibria()[0], (1.0, pde.ratio)).rate
    setup = ready(name, "interval", 1 / n, coefficients=kappa, seed=1, time={"end": 8 / rate, "frames": 1})
    x, u = setup.space.pos[:, 0], run(setup)[-1][:, 0]
    strength = [float((u * torch.cos(math.pi * k * x) * setup.space.measure).sum().abs()) for k in range(1, 60)]
    strongest = 1 + strength.index(max(strength))
    assert strongest / 2 == pytest.approx(length, rel=0.25)
    assert float(u.std()) > 10 * 0.02 / math.sqrt(3) or rate * 8 < 8


def test_a_population_spreads_at_fishers_speed() -> None:
    """The front moves at 2 sqrt(kappa rate) less 3/(2 t) (Bramson), a difference of 3% at the times measured here."""
    setup = ready(
        "fisher-kpp",
        "interval",
        1 / 400,
        coefficients={"kappa": 1e-4},
        reaction={"rate": 1.0, "capacity": 2.0},
        initial="2*exp(-(x/0.02)**2)",
        time={"end": 45.0, "frames": 9, "dt": 0.05},
    )
    states, x = run(setup)[:, :, 0], setup.space.pos[:, 0]
    front = [float(x[u > 1.0].max()) for u in states[4:]]
    slope = (front[-1] - front[0]) / float(setup.times[-1] - setup.times[4])
    assert slope == pytest.approx(2 * math.sqrt(1e-4), rel=0.08)
    assert float(states.max()) <= 2 + 1e-9


def test_allen_cahn_descends_its_energy_and_ends_in_two_phases() -> None:
    setup = ready("allen-cahn", size=0.05, time={"end": 30.0, "frames": 30})
    kappa = setup.config.coefficients["kappa"]
    states = run(setup)
    energy = [
        float(-0.5 * kappa * (u * (setup.system.operator(u) / kappa)).sum())
        + float((setup.space.measure[:, None] * setup.pde.kinetics.energy(u)).sum())
        for u in states
    ]
    assert all(b <= a + 1e-12 for a, b in pairwise(energy)) and energy[-1] < 0.3 * energy[0]
    assert float(states[-1].min()) < -0.99 and float(states[-1].max()) > 0.99
    assert float(states[-1].abs().max()) <= 1 + 1e-6


def test_an_excitable_medium_answers_a_push_and_comes_back() -> None:
    """A pulse runs along the interval, at rest before and behind; a push too weak dies at once."""
    strong = ready(
        "fitzhugh-nagumo", "interval", 1 / 160, initial={"u": "2 if x < 0.1 else -1.0328"}, time={"end": 80.0}
    )
    states = run(strong)[:, :, 0]
    peak = [int(u.argmax()) for u in states[2:10]]
    assert peak == sorted(peak) and peak[-1] > peak[0] + 40 and float(states[5].max()) > 1.5
    rest = strong.pde.kinetics.equilibria()[0][0]
    assert float(states[5][-10:].sub(rest).abs().max()) < 0.05
    weak = ready(
        "fitzhugh-nagumo", "interval", 1 / 160, initial={"u": "-0.8 if x < 0.1 else -1.0328"}, time={"end": 80.0}
    )
    assert float(run(weak)[5:, :, 0].max()) < 0


def test_constants_as_formulas_and_of_the_wrong_sign() -> None:
    setup = ready("fisher-kpp", reaction={"rate": "1 + x", "capacity": 2.0})
    reaction = next(term.f for _, term in setup.term.parts if isinstance(getattr(term, "f", None), Kinetics))
    assert torch.allclose(reaction.rate, 1 + setup.space.pos[:, 0])
    assert setup.config.as_dict()["reaction"] == {"name": "logistic", "rate": "1 + x", "capacity": 2.0}
    assert read_config(setup.config.as_dict()).reaction == setup.config.reaction
    for name, constants, says in (
        ("schnakenberg", {"b": -1.0}, r"b = -1 of Schnakenberg \(feed of v\), expected a finite number > 0"),
        ("fisher-kpp", {"rate": "x - 0.8"}, "rate = -0.* of Logistic"),
        ("allen-cahn", {"rate": -1.0}, "rate = -1 of AllenCahn .*; check its sign"),
    ):
        with pytest.raises(InputError, match=says):
            ready(name, reaction=constants)


def test_burgers_conserves_and_stays_between_its_bounds() -> None:
    setup = ready("burgers", "interval", 0.02)
    states = run(setup)
    total = [float((setup.space.measure[:, None] * u).sum()) for u in states]
    assert total[5] == pytest.approx(total[0], rel=1e-9)  # before the front is at the end
    assert float(states.min()) > -0.02 and float(states.max()) < 1.02
    steepest = [float((u[1:] - u[:-1]).min()) for u in states[:8, :, 0]]
    assert min(steepest) < 1.15 * steepest[0]  # it has steepened


def test_burgers_travelling_wave() -> None:
    """u = (1 - tanh((x - t/2 - x0) / (4 nu))) / 2 moves at the speed 1/2."""
    nu = 0.02
    wave = f"(1 - tanh((x - 0.3) / {4 * nu})) / 2"
    sides = {"left": 1.0, "right": 0.0}
    setup = ready(
        "burgers",
        "interval",
        0.005,
        coefficients={"nu": nu},
        initial=wave,
        boundary=sides,
        time={"end": 0.4, "dt": 0.01},
    )
    x = setup.space.pos[:, 0]
    exact = (1 - torch.tanh((x - 0.3 - 0.2) / (4 * nu))) / 2
    assert float((run(setup)[-1][:, 0] - exact).abs().max()) < 4e-3  # the sides cut tails of size e^-7.5


def test_gas_seeps_at_finite_speed_and_none_is_lost() -> None:
    setup = ready("porous-medium", size=0.1)
    states = run(setup)
    total = setup.space.integral(states)[:, 0]
    assert torch.allclose(total, total[0], rtol=1e-8)
    support = (states[:, :, 0] > 1e-3).double().mean(1)
    assert support[0] < support[1] < support[-1] and float(states[1, :, 0].min()) < 1e-6


def test_the_p_laplacian_of_a_cone_and_of_exponent_two() -> None:
    """Exponent 2 is the heat equation."""
    plain = {"time": {"end": 0.05, "frames": 1, "dt": 0.01}, "initial": "x*x"}
    heat = run(ready("heat", **plain))[-1]
    power = run(ready("p-laplacian", coefficients={"exponent": 2.0}, **plain))[-1]
    assert torch.allclose(power, heat, atol=1e-8)


def test_helmholtz_against_a_standing_wave() -> None:
    """u = cos(k x) / cos(k) between u'(0) = 0 and u(1) = 1; second order, so k^3 h^2 / 24 of phase."""
    setup = ready("helmholtz", "interval", 0.005, coefficients={"k": 5.0}, boundary={"right": 1.0})
    x = setup.space.pos
    found = steady(setup.term, setup.u0).value
    assert torch.allclose(found, torch.cos(5 * x) / math.cos(5.0), atol=2e-3)


def test_waves_leave_through_an_open_boundary() -> None:
    """u = e^{ikx} from u(0) = 1: the first-order condition is exact along one dimension."""
    sides = {"left": {"value": {"real": 1.0, "imaginary": 0.0}}}
    setup = ready("helmholtz-open", "interval", 0.002, coefficients={"k": 10.0}, boundary=sides)
    x = setup.space.pos[:, 0]
    found = steady(setup.term, setup.u0).value
    assert torch.allclose(found, torch.stack([torch.cos(10 * x), torch.sin(10 * x)], 1), atol=5e-3)


def test_a_string_swings_in_its_first_mode() -> None:
    """sin(pi x) comes back after 2 / c, keeps its energy, and an absorbing end lets a pulse out."""
    fixed = {"left": 0.0, "right": 0.0}
    period = {"time": {"end": 1.0, "dt": 0.005, "frames": 4}}
    setup = ready(
        "wave", "interval", 0.01, coefficients={"speed": 2.0}, initial={"u": "sin(pi*x)"}, boundary=fixed, **period
    )
    states = run(setup)
    assert torch.allclose(states[2, :, 0], -states[0, :, 0], atol=2e-3)
    assert torch.allclose(states[4, :, 0], states[0, :, 0], atol=2e-3)
    wave = next(term for _, term in setup.term.parts)
    energy = wave.energy(states)
    assert torch.allclose(energy, energy[0], rtol=1e-9)
    ends = {"left": {"robin": {"a": 2.0}}, "right": {"robin": {"a": 2.0}}}
    away = run(ready("wave", "interval", 0.01, coefficients={"speed": 2.0}, boundary=ends, **period))
    assert float(wave.energy(away)[-1]) < 1e-3 * float(wave.energy(away)[0])
    damped = run(ready("wave", "interval", 0.01, coefficients={"damping": 5.0}, **period))
    assert float(wave.energy(damped)[-1]) < 0.2 * float(wave.energy(damped)[0])


@pytest.mark.parametrize("scheme", ["upwind", "limited", "supg", "centred"])
@pytest.mark.parametrize("name", ["advection", "advection-diffusion"])
def test_schemes_of_advection(name: str, scheme: str) -> None:
    """Round a periodic interval: the bump comes back; the first-order scheme loses half of its height, the limited one
    clips its top."""
    coefficients = {"kappa": 1e-5} if name == "advection-diffusion" else {}
    setup = ready(
        name,
        "interval",
        0.01,
        scheme=scheme,
        coefficients=coefficients,
        initial="exp(-((x-0.5)/0.1)**2)",
        periodic=[["left", "right"]],
        time={"end": 1.0},
    )
    assert setup.config.as_dict()["scheme"] == scheme and setup.space.n == 100
    states = run(setup)
    drift = setup.space.integral(states)[:, 0]
    assert torch.allclose(drift, drift[0], rtol=1e-6)
    error = float((states[-1] - states[0]).abs().max())
    assert (error > 0.4) if scheme == "upwind" else (error < {"limited": 0.18, "supg": 0.05, "centred": 0.12}[scheme])
    if scheme in ("upwind", "limited"):
        assert float(states.min()) >= -1e-9 and float(states.max()) <= 1 + 1e-9


def test_advection_and_diffusion_in_balance() -> None:
    """v u' = kappa u'' between 0 and 1: streamline upwinding is exact at the nodes of a uniform interval."""
    sides = {"left": 0.0, "right": 1.0}
    setup = ready("advection-diffusion", "interval", 0.05, coefficients={"kappa": 0.02}, boundary=sides, steady=True)
    x = setup.space.pos
    exact = torch.expm1(x / 0.02) / math.expm1(1 / 0.02)
    assert torch.allclose(steady(setup.term, setup.u0).value, exact, atol=1e-10)
    driven = ready("advection-diffusion", "interval", 0.02, coefficients={"kappa": 0.05}, source=1.0, steady=True,
                   boundary={"left": 0.0, "right": 0.0})  # fmt: skip
    exact = x_ = driven.space.pos
    exact = x_ - torch.expm1(x_ / 0.05) / math.expm1(1 / 0.05)
    assert torch.allclose(steady(driven.term, driven.u0).value, exact, atol=1e-9)


@pytest.mark.parametrize("scheme", ["upwind", "supg"])
def test_what_a_source_adds_along_the_way(scheme: str) -> None:
    """v u' = f from u(0) = 0: u = f x / v; the last node of the upwind scheme has half a cell to gather from."""
    setup = ready(
        "advection",
        "interval",
        0.05,
        scheme=scheme,
        coefficients={"velocity": [2.0]},
        boundary={"left": 0.0},
        source=3.0,
        steady=True,
    )
    found, exact = steady(setup.term, setup.u0).value, 1.5 * setup.space.pos
    assert torch.allclose(found[:-1], exact[:-1], atol=1e-9) and abs(float(found[-1] - exact[-1])) <= 0.75 * 0.05 + 1e-9


def test_heat_through_a_brick_wall_with_robin_sides() -> None:
    """q = (293 - 263) / (1/8 + 1/0.72 + 1/25), linear between the surfaces; linear elements are exact."""
    setup = ready(
        "heat",
        steady=True,
        materials={"*": "brick"},
        boundary={
            "left": {"robin": {"coefficient": 8, "ambient": 293}},
            "right": {"robin": {"a": "25", "g": "25*263"}},
        },
    )
    q = 30 / (1 / 8 + 1 / 0.72 + 1 / 25)
    exact = 293 - q / 8 - q / 0.72 * setup.space.pos[:, :1]
    assert torch.allclose(steady(setup.term, setup.u0).value, exact, rtol=1e-12)
    plain = setup.config.as_dict()
    assert plain["boundary"]["left"]["robin"] == {"a": 8.0, "g": 8.0 * 293}
    assert read_config(plain).as_dict() == plain and "[boundary.left.robin]" in dump(plain)
    warm = ready("heat", boundary={"left": {"robin": {"coefficient": "1 + y", "ambient": "sin(t)"}}})
    assert warm.config.as_dict()["boundary"]["left"]["robin"]["g"] == "(1 + y) * (sin(t))"


def test_a_matrix_as_conductivity() -> None:
    """u = x^2 - 2 y^2 solves div(K grad u) = 0 for K = diag(2, 1), and a matrix may differ from set to set."""
    matrix = [[2.0, 0.0], [0.0, 1.0]]
    for kappa in (matrix, [["2 + 0*x", 0], [0, "1"]], {"*": matrix}):
        setup = ready(
            "poisson", "rectangle", 0.125, coefficients={"kappa": kappa}, boundary={"boundary": "x**2 - 2*y**2"}
        )
        x = setup.space.pos
        exact = x[:, :1] ** 2 - 2 * x[:, 1:] ** 2
        assert torch.allclose(steady(setup.term, setup.u0).value, exact, atol=1e-12)
        assert read_config(setup.config.as_dict()) == setup.config
    for kappa, says in (
        ([[1.0]], "is no matrix of 2 rows and 2 columns"),
        ([[1.0, 1.0], [0.0, 1.0]], "not symmetric"),
        ([[1.0, 0.0], [0.0, "1/(x-x)"]], "is not finite in cell 0"),
    ):
        with pytest.raises(InputError, match=says):
            ready("poisson", coefficients={"kappa": kappa}, boundary={"boundary": 1.0})
    with pytest.raises(ConfigError, match="takes no matrices as diffusivities"):
        ready("schnakenberg", coefficients={"kappa_u": matrix})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scheme": "limited"}, "scheme is 'limited', and heat has no advection"),
        ({"pde": "wave", "steady": True}, "steady = true is not offered for wave"),
        ({"boundary": {"a": {"robin": {"a": 1, "coefficient": 1}}}}, "boundary.a.robin needs {a, g}"),
        ({"boundary": {"a": {"robin": {"ambient": 1}}}}, "boundary.a.robin needs {a, g}"),
        ({"boundary": {"a": {"robin": {"a": -2}}}}, "boundary.a.robin.a is -2 for u, expected a number >= 0"),
        ({"boundary": {"a": {"robin": {"a": 1}, "value": 1}}}, "both a value and a robin condition"),
        ({"pde": "porous-medium", "coefficients": {"exponent": 0.5}}, "exponent is 0.5, expected a finite number >= 1"),
        ({"pde": "wave", "coefficients": {"damping": -1}}, "damping is -1, expected a finite number >= 0"),
        ({"pde": "wave", "coefficients": {"speed": -1}}, "speed is -1, expected a finite number >= 0"),
    ],
)
def test_what_cannot_be_meant(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_config({"pde": "heat", "mesh": "a.msh", **change})


def test_names_that_are_not_known() -> None:
    for change, says in (
        ({"scheme": "supgg"}, "unknown scheme 'supgg'; known: centred, limited, supg, upwind; did you mean 'supg'"),
        ({"element": "p7"}, "unknown element 'p7'"),
    ):
        with pytest.raises(UnknownName, match=says):
            read_config({"pde": "advection", "mesh": "a.msh", **change})


def test_elements_by_name() -> None:
    setup = ready("heat", element="p2", boundary={"left": 1.0})
    assert setup.space.n == 21 * 21 and setup.config.as_dict()["element"] == "p2"
    with pytest.raises(InputError, match="element P1 lives on"):
        ready("heat", "rectangle_quads", element="p1")
