"""``graphpde turing``: what it prints, draws and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import InputError, ShapeError
from graphpde.mesh import rectangle, write_mesh
from graphpde.viz import plot_dispersion

ASKED = ("turing", "--pde", "schnakenberg", "--set", "kappa_u=1", "kappa_v=40")


def test_free_space(graphpde) -> None:
    done = graphpde(*ASKED)
    assert done.code == 0 and done.err == ""
    for said in (
        "homogeneous state (u, v) = (1, 0.9): stable alone, unstable to standing patterns with diffusion (Turing)",
        "31 > 12.6491",
        "modes grow for eigenvalues 0.0337257 .. 0.741274, wavelengths 7.298 .. 34.21",
        "fastest: eigenvalue 0.176857, wavelength 14.94, rate 0.411011",
    ):
        assert said in done.out
    assert done.out.count("holds") == 4 and "by default" not in done.out


def test_an_activator_that_stays_has_no_fastest_mode(graphpde) -> None:
    line = ("turing", "--pde", "schnakenberg", "--set", "kappa_u=0", "kappa_v=1", "--grid", "16")
    done = graphpde(*line)
    assert "no fastest mode: rates rise towards 0.8 as eigenvalues grow" in done.out and "1.25 .. infinity" in done.out
    assert "fastest of them: number 255, eigenvalue 8, rate 0.612749" in done.out
    (state,) = graphpde(*line, "--json", "-o", "curve.png").json["states"]
    assert state["fastest"]["eigenvalue"] is None and state["fastest"]["wavelength"] is None
    assert state["fastest"]["rate"] == pytest.approx(0.8) and Path("curve.png").exists()


@pytest.mark.parametrize("grid", ["3", "3x3x3", "16x8", "12", "30", "100x3"])
@pytest.mark.parametrize("name", ["schnakenberg", "brusselator", "mimura-murray"])
def test_on_every_grid_the_fastest_mode_is_one_of_it_by_default(graphpde, name: str, grid: str) -> None:
    found = graphpde("turing", "--pde", name, "--grid", grid, "--json").json
    (state,) = (each for each in found["states"] if each["kind"] == "turing")
    # the diffusivities have two digits, which moves it by 5 % at most
    assert state["modes"]["fastest"]["eigenvalue"] == pytest.approx(state["fastest"]["eigenvalue"], rel=0.06)


def test_conditions_name_the_species(graphpde) -> None:
    done = graphpde("turing", "--pde", "fitzhugh-nagumo")
    for named in ("f_u + g_w <", "f_u g_w - f_w g_u >", "kappa_w f_u + kappa_u g_w >", "sqrt(kappa_u kappa_w det"):
        assert named in done.out


def test_three_conditions_hold_and_nothing_grows(graphpde) -> None:
    done = graphpde("turing", "--pde", "schnakenberg", "--set", "kappa_u=1", "kappa_v=5")
    assert done.out.count("holds") == 3 and done.out.count("fails") == 1 and "modes grow" not in done.out


def test_gray_scott_is_not_turing(graphpde) -> None:
    done = graphpde("turing", "--pde", "gray-scott", "--set", "feed=0.03", "kill=0.062", "--grid", "64")
    assert "note: no homogeneous state has v > 0, since 1 - 4 (F + k)^2 / F = -0.129 < 0" in done.out
    assert "none of the 4096 modes of the domain grows" in done.out
    stripes = graphpde("turing", "--pde", "gray-scott", "--set", "feed=0.022", "kill=0.051")
    assert "note" not in stripes.out and stripes.out.count("unstable already without diffusion") == 2


def test_a_grid_with_a_picture(graphpde) -> None:
    found = graphpde(*ASKED, "--grid", "32x48", "-o", "curve.png", "--json").json
    assert Path("curve.png").stat().st_size > 10_000 and found["picture"] == "curve.png"
    (state,) = found["states"]
    angle = [2 - 2 * np.cos(2 * np.pi * np.arange(n) / n) for n in (32, 48)]
    values = angle[0][:, None] + angle[1]
    low, high = state["bands"][0]
    assert state["modes"]["unstable"] == ((values > low) & (values < high)).sum() and state["modes"]["complete"]
    assert state["modes"]["growth_time"] == pytest.approx(1 / state["modes"]["fastest"]["rate"])
    assert found["domain"] == {"nodes": 1536, "edges": 3072} and found["kappa"] == {"u": 1.0, "v": 40.0}


def test_a_network_by_default_has_growing_modes(graphpde) -> None:
    done = graphpde("turing", "--pde", "mimura-murray", "--network", "ba:120:4:7")
    assert done.code == 0 and "on the network ba:120:4:7 (120 nodes, 464 links)" in done.out
    assert "kappa_u, kappa_v by default" in done.out and "modes grow" in done.out and "wavelength" not in done.out
    again = graphpde("turing", "--pde", "mimura-murray", "--network", "ba:120:4:7")
    assert again.out == done.out
    assert graphpde("turing", "--pde", "mimura-murray", "--network", "ba:120:4:8").out != done.out


def test_a_mesh_by_default_has_the_coefficients_of_simulate(graphpde) -> None:
    write_mesh("square.vtu", rectangle(24, 24))
    found = graphpde("turing", "--pde", "schnakenberg", "--mesh", "square.vtu", "--json").json
    dry = graphpde("simulate", "--pde", "schnakenberg", "--mesh", "square.vtu", "--dry-run", "--json").json
    assert f"{found['kappa']['u']:g}" in str(dry) and found["states"][0]["modes"]["unstable"] > 10


@pytest.mark.parametrize(
    "name", ["allen-cahn", "brusselator", "decay", "fitzhugh-nagumo", "gierer-meinhardt", "logistic"]
)
def test_every_other_reaction_has_an_analysis(graphpde, name: str) -> None:
    done = graphpde("turing", "--pde", name, "--grid", "16", "--json")
    assert done.code == 0 and done.json["states"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--pde", "schnakenburg"), "did you mean 'schnakenberg'?"),
        (
            ("--pde", "schnakenberg", "--set", "alpha=1"),
            "unknown constant of 'schnakenberg' 'alpha'; known: a, b, kappa_u",
        ),
        (("--pde", "schnakenberg", "--set", "a"), "--set takes NAME=NUMBER, such as a=0.1, got 'a'"),
        (("--pde", "schnakenberg", "--set", "a=x"), "got 'a=x'"),
        (("--pde", "schnakenberg", "--set", "b=-1"), "b = -1 of Schnakenberg"),
        (("--pde", "schnakenberg", "--set", "a=1e200"), "with a = 1e+200, b = 0.9, rate = 1 has no homogeneous state"),
        (("--pde", "schnakenberg", "--set", "kappa_u=1", "kappa_v=1e300"), "expected at most a ratio of 1e+12"),
        (("--pde", "schnakenberg", "--set", "kappa_u=-1"), "expected finite numbers >= 0"),
        (("--pde", "schnakenberg", "--network", "ba:10"), "expected ba:NODES:LINKS, such as ba:1000:3"),
        (("--pde", "schnakenberg", "--network", "bb:10:2"), "unknown network 'bb'; known: ba, er, ws"),
        (("--pde", "schnakenberg", "--network", "ba:10:20"), "expected 1 <= m < n"),
        (("--pde", "schnakenberg", "--network", "er:9999999:0.5"), "at most 5,000: all modes count"),
        (("--pde", "schnakenberg", "--network", "er:9:0"), "the domain has no edges"),
        (("--pde", "schnakenberg", "--grid", "big"), "--grid takes N or NxM, such as 64 or 64x32, got 'big'"),
        (("--pde", "schnakenberg", "--grid", "1"), "1 points along an axis"),
        (("--pde", "schnakenberg", "--grid", "99999"), "at most a million"),
        (("--pde", "schnakenberg", "--grid", "8", "--mesh", "a.msh"), "not allowed with"),
        (("--pde", "schnakenberg", "--mesh", "no.msh"), "there is no such file"),
        (("--pde", "schnakenberg", "-o", "curve.doc"), "cannot save a picture as 'curve.doc'"),
        ((), "--pde"),
    ],
)
def test_refusals_are_one_sentence(graphpde, words: tuple[str, ...], says: str) -> None:
    done = graphpde("turing", *words)
    assert done.code == 2 and done.out == "" and says in done.err
    assert done.err.startswith("error: ") and done.err.count("\n") == 1


def test_a_picture_needs_a_curve() -> None:
    x = torch.linspace(0, 1, 5)
    with pytest.raises(ShapeError, match="got 5 and 0 eigenvalues for 4 and 0 rates"):
        plot_dispersion(x, x[:4])
    with pytest.raises(InputError, match="at least two finite rates"):
        plot_dispersion(x[:1], x[:1])
    figure = plot_dispersion(x, 0.1 - 5 * x, eigenvalues=[0.01, 0.5], rates=[0.05, -2.4], bands=[(0.0, 0.02)])
    (axes,) = figure.axes
    assert axes.get_ylim()[0] > -0.3  # what decays fast does not press the band flat


def test_a_problem_stands_for_its_reaction(graphpde) -> None:
    write_mesh("square.vtu", rectangle(8, 8))
    found = graphpde("turing", "--pde", "fisher-kpp", "--mesh", "square.vtu", "--json").json
    dry = graphpde("simulate", "--pde", "fisher-kpp", "--mesh", "square.vtu", "--dry-run", "--json").json
    assert found["reaction"] == "logistic" and f"{found['kappa']['u']:g}" in str(dry)
    assert graphpde("turing", "--pde", "heat").err.startswith("error: unknown reaction 'heat'; known: ")
