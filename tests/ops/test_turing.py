"""The linear analysis: conditions, bands, spectra of any domain, and the errors that circulate about it."""

from __future__ import annotations

import math

import networkx
import pytest
import torch
from torch import Tensor

from graphpde.core import Lattice, barabasi_albert
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import P2, Space, rectangle, sphere
from graphpde.ops import Diffusion, analyse, conditions, dispersion, predict, unstable_band
from graphpde.ops.reactions import GrayScott, MimuraMurray, Schnakenberg, growth_rate
from graphpde.ops.spectral import eigenvalues_below, modes

SCHNAKENBERG = Schnakenberg(0.1, 0.9)
REST = (1.0, 0.9)


class Linear(torch.nn.Module):
    """f(u) = J u."""

    def __init__(self, rows: list[list[float]]):
        super().__init__()
        self.j = torch.tensor(rows, dtype=torch.float64)

    def forward(self, u: Tensor) -> Tensor:
        return u @ self.j.T


TUTORIAL = Linear([[0.9, -1.0], [1.5, -1.6]])
"""A textbook Jacobian; with kappa = (0.05, 1) its numbers are known: k2 = 3.42, sigma = 0.455, band 0.07 .. 16.3."""


def test_a_textbook_example() -> None:
    found = analyse(TUTORIAL, (0, 0), (0.05, 1.0))
    assert found.kind == "turing" and found.conditions is not None and all(found.conditions.each)
    assert found.fastest.k2 == pytest.approx(3.42, abs=5e-3)
    assert found.fastest.rate == pytest.approx(0.455, abs=5e-4)
    assert found.fastest.wavelength == pytest.approx(2 * math.pi / math.sqrt(3.42), rel=1e-3)
    ((low, high),) = found.bands
    assert low == pytest.approx(0.0735, abs=1e-4) and high == pytest.approx(16.3265, abs=1e-4)
    assert analyse(TUTORIAL, (0, 0), (1.0, 1.0)).kind == "stable"  # equal diffusion makes no pattern


def test_schnakenberg_by_hand() -> None:
    c = conditions(SCHNAKENBERG, REST, (1.0, 40.0))  # J = [[0.8, 1], [-1.8, -1]]
    assert c == pytest.approx((-0.2, 1.0, 31.0, 2 * math.sqrt(40)))
    root = math.sqrt(31**2 - 4 * 40)
    assert unstable_band(SCHNAKENBERG, REST, (1.0, 40.0))[0] == pytest.approx(((31 - root) / 80, (31 + root) / 80))


def test_the_first_three_conditions_do_not_imply_the_fourth() -> None:
    """Between kappa_v / kappa_u = 1.25 and 8.6 Schnakenberg meets three of them and nothing grows."""
    three = conditions(SCHNAKENBERG, REST, (1.0, 5.0))
    assert three.each == (True, True, True, False)
    assert unstable_band(SCHNAKENBERG, REST, (1.0, 5.0)) == ()
    assert analyse(SCHNAKENBERG, REST, (1.0, 5.0)).kind == "stable"


@pytest.mark.parametrize("ratio", [0.5, 5.0, 8.5, 8.7, 20.0, 1000.0])
@pytest.mark.parametrize("f", [SCHNAKENBERG, TUTORIAL, MimuraMurray()], ids=lambda f: type(f).__name__)
def test_four_conditions_are_a_band(f: torch.nn.Module, ratio: float) -> None:
    rest = f.equilibria()[0] if hasattr(f, "equilibria") else (0.0, 0.0)
    found = analyse(f, rest, (1.0, ratio))
    assert found.conditions is not None
    assert all(found.conditions.each) == (found.kind == "turing") == (len(found.bands) == 1)


def test_gray_scott_makes_no_turing_patterns() -> None:
    """The presets called spots, labyrinth and holes have no homogeneous state with v > 0; the one called stripes has
    one that is unstable before anything diffuses."""
    for feed, kill, root in ((0.030, 0.062, "-0.129"), (0.029, 0.057, "-0.020"), (0.039, 0.065, "-0.109")):
        reaction = GrayScott(feed, kill)
        assert reaction.equilibria() == [(1.0, 0.0)]
        assert f"= {root} < 0" in reaction.remark() and "not Turing's" in reaction.remark()
        found = analyse(reaction, (1.0, 0.0), (0.16, 0.08))
        assert found.kind == "stable" and found.bands == ()
    stripes = GrayScott(0.022, 0.051)
    kinds = [analyse(stripes, state, (0.16, 0.08)).kind for state in stripes.equilibria()]
    assert kinds == ["stable", "unstable", "unstable"] and stripes.remark() == ""
    assert conditions(stripes, stripes.equilibria()[2], (0.16, 0.08)).trace > 0


def test_mimura_murray_on_networks() -> None:
    """The critical ratio 15.5 of Nakao and Mikhailov 2010."""
    reaction = MimuraMurray()
    assert reaction.equilibria()[0] == (5.0, 10.0)
    kinds = [analyse(reaction, (5.0, 10.0), (0.12, 0.12 * ratio)).kind for ratio in (15.4, 15.6)]
    assert kinds == ["stable", "turing"]


def test_dispersion_is_the_root_of_the_quadratic() -> None:
    x = torch.linspace(0, 1.2, 50, dtype=torch.float64)
    found = dispersion(SCHNAKENBERG, REST, (1.0, 40.0), x)
    trace, det = -0.2 - 41 * x, 40 * x**2 - 31 * x + 1
    expected = (trace + torch.sqrt(torch.complex(trace**2 - 4 * det, torch.zeros_like(x)))) / 2
    assert torch.allclose(found, torch.complex(expected.real, expected.imag.abs()), atol=1e-12)
    assert torch.allclose(found.real, growth_rate(SCHNAKENBERG, REST, (1.0, 40.0), x))
    assert found[0].imag > 0.99 and dispersion(SCHNAKENBERG, REST, (1.0, 40.0), 0.2).shape == ()


def test_three_species_may_wave() -> None:
    """A third that only decays changes nothing; one that spreads fast lets two others oscillate at short waves."""
    aside = Linear([[0.9, -1.0, 0.0], [1.5, -1.6, 0.0], [0.0, 0.0, -2.0]])
    three = analyse(aside, (0, 0, 0), (0.05, 1.0, 1.0))
    assert three.conditions is None and three.kind == "turing"
    assert three.bands[0] == pytest.approx(unstable_band(TUTORIAL, (0, 0), (0.05, 1.0))[0], rel=1e-9)
    # u and w oscillate and are damped by the slow v, which diffuses away at short waves
    wave = Linear([[2.0, 3.0, -1.0], [-4.0, 0.0, -2.0], [-1.0, 3.0, -3.0]])
    found = analyse(wave, (0, 0, 0), (0.01, 0.01, 1.0))
    scan = torch.linspace(0, 200, 20001, dtype=torch.float64)
    grows = scan[found.rates(scan).real > 0]
    assert found.alone.real < 0 and found.kind == "wave" and found.frequency > 1
    assert len(found.bands) == 1 and float(grows.min()) == pytest.approx(found.bands[0][0], abs=0.02)
    assert float(grows.max()) == pytest.approx(found.bands[0][1], abs=0.02)
    with pytest.raises(InputError, match="the four conditions are about two species, got 3"):
        conditions(wave, (0, 0, 0), (1, 1, 1))


def test_a_band_without_end() -> None:
    """An activator that does not diffuse grows at every short wave."""
    ((low, high),) = unstable_band(TUTORIAL, (0, 0), (0.0, 1.0))
    assert high == math.inf and float(dispersion(TUTORIAL, (0, 0), (0.0, 1.0), 1e4).real) > 0
    assert abs(float(dispersion(TUTORIAL, (0, 0), (0.0, 1.0), low).real)) < 1e-12


@pytest.mark.parametrize(
    ("rows", "kappa", "k2", "rate"),
    [
        ([[0.8, 1.0], [-1.8, -1.0]], (0.0, 1.0), math.inf, 0.8),  # rises towards the activator's own rate
        ([[0.8, 1.0], [-1.8, -1.0]], (1.0, 0.0), 0.0, -0.1),
        ([[0.8, 1.0], [1.8, -1.0]], (0.0, 1.0), 0.0, -0.1 + math.sqrt(0.01 + 2.6)),  # falls towards it from above
        ([[0.9, -1.0, 0.0], [1.5, -1.6, 0.0], [0.0, 0.0, 0.1]], (0.05, 1.0, 0.0), 3.4222, 0.4550),  # a maximum above it
        ([[-0.5, -2.0, 0.5], [2.0, -0.5, 0.5], [1.0, 0.0, -9.0]], (0.0, 0.0, 1.0), None, None),  # oscillates there
        ([[0.0, 0.0], [0.0, 0.0]], (0.0, 1.0), 0.0, 0.0),
    ],
)
def test_the_fastest_mode_where_a_species_stays(rows: list, kappa: tuple, k2: float | None, rate: float | None) -> None:
    found = analyse(Linear(rows), (0.0,) * len(rows), kappa)
    scan = found.rates(torch.logspace(-6, 5, 4001, dtype=torch.float64)).real
    assert found.fastest.rate >= float(scan.max()) - 1e-9
    if k2 is not None:
        assert found.fastest.k2 == pytest.approx(k2, rel=1e-3) and found.fastest.rate == pytest.approx(rate, abs=1e-4)
    assert math.isinf(found.fastest.k2) == (found.fastest.wavelength == 0.0)


@pytest.mark.parametrize("ratio", [1e4, 1e11])
def test_diffusivities_far_apart(ratio: float) -> None:
    """The ends of the band are the roots of kappa_v L^2 - (0.8 kappa_v - 1) L + 1, the small one by Vieta."""
    found = analyse(SCHNAKENBERG, REST, (1.0, ratio))
    b = 0.8 - 1 / ratio
    high = (b + math.sqrt(b * b - 4 / ratio)) / 2
    assert found.bands[0] == pytest.approx((1 / ratio / high, high), rel=1e-9)
    scan = torch.logspace(-14, 2, 20001, dtype=torch.float64)
    assert found.fastest.rate == pytest.approx(float(found.rates(scan).real.max()), abs=1e-6)


@pytest.mark.parametrize(
    ("state", "kappa", "error", "says"),
    [
        ((1.0, 1.0), (1.0, 40.0), InputError, r"\(1, 1\) is no homogeneous state: its rate is 0.1"),
        ((1.0, 0.9), (1.0,), ShapeError, "got 1 diffusivities for 2 species"),
        ((1.0, 0.9), (1.0, -1.0), InputError, "expected finite numbers >= 0"),
        ((1.0, 0.9), (1.0, math.nan), InputError, "expected finite numbers >= 0"),
        ((1.0, 0.9), (1.0, 1e300), InputError, r"at most a ratio of 1e\+12 between those that are not 0"),
        ((1e160, 0.0), (1.0, 1.0), InputError, r"around \(1e\+160, 0\) the rate is too steep"),
    ],
)
def test_what_is_no_question(state: tuple, kappa: tuple, error: type[Exception], says: str) -> None:
    for ask in (analyse, unstable_band, conditions):
        with pytest.raises(error, match=says):
            ask(SCHNAKENBERG, state, kappa)


def test_domains_by_every_door() -> None:
    graph = Lattice(12, 12)
    kappa = (0.5, 20.0)
    alike = [predict(d, SCHNAKENBERG, kappa) for d in (graph, graph.eigenvalues())]
    by_hand = (dispersion(SCHNAKENBERG, REST, kappa, graph.eigenvalues()).real > 0).sum()
    assert [p.unstable for p in alike] == [int(by_hand)] * 2 and all(p.complete for p in alike)
    club = networkx.karate_club_graph()
    for edge in club.edges:
        club.edges[edge]["weight"] = 1.0
    found = predict(club, SCHNAKENBERG, (0.1, 4.0), k=5)
    assert found.vectors is not None and found.vectors.shape == (34, 5)
    assert float(found.eigenvalues[1]) == pytest.approx(networkx.algebraic_connectivity(club, tol=1e-12), rel=1e-7)
    with pytest.raises(InputError, match="does not say where it rests"):
        predict(club, TUTORIAL, (1.0, 1.0))
    assert predict(club, TUTORIAL, (0.05, 1.0), state=(0, 0)).unstable > 0


def test_what_is_found_of_a_large_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanczos with enough modes counts what LAPACK counts, and says where it stops."""
    from graphpde.ops import spectral

    space = Space(sphere(level=3))
    kappa = (0.05, 1.0)
    every = predict(space, SCHNAKENBERG, kappa)
    assert every.complete and every.below == math.inf and len(every.eigenvalues) == space.n
    monkeypatch.setattr(spectral, "_DENSE", 100)
    some = predict(space, SCHNAKENBERG, kappa)
    assert some.complete and len(some.eigenvalues) < space.n and some.unstable == every.unstable
    assert some.growth_time == pytest.approx(every.growth_time, rel=1e-6)
    monkeypatch.setattr(spectral, "_MOST", 60)
    few = predict(space, SCHNAKENBERG, (0.005, 0.1))
    assert not few.complete and len(few.eigenvalues) == 60


def test_spectra_of_a_square() -> None:
    """pi^2 (i^2 + j^2), from linear and quadratic elements with their own masses."""
    exact = sorted(math.pi**2 * (i * i + j * j) for i in range(4) for j in range(4))[:6]
    for space, rel in ((Space(rectangle(20, 20)), 0.02), (Space(rectangle(10, 10), P2()), 2e-3)):
        assert modes(space, 6).values.tolist()[1:] == pytest.approx(exact[1:], rel=rel)
        assert eigenvalues_below(space, 1.0).values.tolist()[1:6] == pytest.approx(exact[1:], rel=rel)


def test_a_growing_mode_of_a_network() -> None:
    """One eigenvector of a scale-free network, pushed by 1e-6, grows at its predicted rate."""
    from graphpde.dynamics import Rk4, evolve
    from graphpde.ops import Reaction

    graph, kappa = barabasi_albert(60, 3, 1), (0.05, 2.0)
    found = predict(graph, SCHNAKENBERG, kappa, k=20)
    k = found.fastest
    assert found.vectors is not None and float(found.rates[k].imag) == 0.0
    value, vector = torch.linalg.eig(
        found.analysis.jacobian - found.eigenvalues[k] * torch.diag(torch.tensor(kappa, dtype=torch.float64))
    )
    growing = vector[:, value.real.argmax()].real
    start = torch.tensor([REST], dtype=torch.float64) + 1e-6 * found.vectors[:, k : k + 1] * growing
    term = Diffusion(graph, torch.tensor([kappa], dtype=torch.float64)) + Reaction(SCHNAKENBERG)
    run = evolve(term, start, [0.0, 2.0], stepper=Rk4(), dt=0.005)
    size = (run.states - torch.tensor(REST, dtype=torch.float64)).norm(dim=(1, 2))
    assert float((size[1] / size[0]).log() / 2) == pytest.approx(float(found.rates[k].real), rel=1e-5)
