"""The rows of patterns, waves and heat in small: they measure what they say, and a planted error is seen."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.graph import gray_scott, growth, heat, patterns, waves
from benchmarks.physics.rows import Found
from graphpde.core import Lattice, barabasi_albert
from graphpde.mesh import Space, sphere
from graphpde.ops.reactions import Schnakenberg


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in patterns.rows()]
    assert len(set(names)) == len(names) == 31
    assert all(callable(row.measure) and row.sources for row in patterns.rows())


@pytest.mark.parametrize(
    "domain",
    [Lattice(12, 12), Space(sphere(level=2)), barabasi_albert(60, 3, 0)],
    ids=["grid", "sphere", "network"],
)
def test_modes_grow_as_predicted(domain, monkeypatch: pytest.MonkeyPatch) -> None:
    where = growth.place(domain, "small", at=8)
    errors, fastest = growth.growth_errors(where, count=16)
    assert len(errors) > 2 and max(errors) < 0.02 * fastest
    assert fastest == pytest.approx(0.411, abs=0.2)
    # a reaction of another rate than the one the theory is told of
    monkeypatch.setattr(type(where), "term", _faster)
    wrong, _ = growth.growth_errors(where, count=16)
    assert max(wrong) > 0.02 * fastest


def _faster(self: growth.Place, kappa: tuple[float, float] | None = None) -> object:
    from graphpde.ops import Diffusion, Reaction

    each = torch.tensor([kappa or self.kappa], dtype=torch.float64)
    return Diffusion(self.domain, each) + Reaction(Schnakenberg(0.1, 0.9, rate=1.1))


def test_the_winner_lies_in_the_band_and_equal_diffusion_decays() -> None:
    where = growth.place(Lattice(16, 16), "small", at=8)
    value, (low, high) = growth.dominant(where, count=60)
    assert low < value < high
    assert growth.left_of_noise(where, end=20.0) < math.exp(-2.0)


def test_eigenspaces() -> None:
    values = torch.tensor([0.0, 1.0, 1.0 + 1e-9, 1.1, 2.0, 2.0], dtype=torch.float64)
    assert growth._spaces(values) == [[0], [1, 2], [3], [4, 5]]


def test_the_step_is_that_of_finite_differences() -> None:
    assert gray_scott.difference(1, side=32) <= 1e-15
    assert gray_scott.difference(200, side=32) <= 1e-12


ALL = ((0.030, 0.062), (0.029, 0.057), (0.039, 0.058), (0.060, 0.045))


@pytest.mark.parametrize(
    ("side", "end", "presets"),
    [(48, 1500.0, (ALL[0], ALL[3])), pytest.param(64, 3000.0, ALL, marks=pytest.mark.slow)],
)
def test_gray_scott_keeps_its_classes_in_small(
    side: int, end: float, presets: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the area or less and five squares, once each."""
    monkeypatch.setattr(gray_scott, "SQUARES", 5)
    monkeypatch.setattr(gray_scott, "MOMENTS", (end - 500, end))
    monkeypatch.setattr(gray_scott.squares, "__defaults__", (side,))
    for preset in presets:
        assert gray_scott.pattern(Lattice(side, side), *preset, seed=1).shape == gray_scott.PRESETS[preset], preset


def test_a_pulse_is_slower_on_a_coarse_grid() -> None:
    """Second order: the error at twice the spacing is four times as large."""
    exact = 1.0818  # the row's own, from h = 0.25 and 0.125
    errors = [
        exact - waves.speed(Lattice(round(60 / h), spacing=h, periodic=False), 8.0, 25.0, 50.0) for h in (1.0, 0.5)
    ]
    assert errors[0] > 0 and math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.3)


def test_a_broken_wave_turns() -> None:
    found = waves.spiral(Lattice(50, 50, spacing=1.2, periodic=False), 15.0, 200.0, 0.2)
    assert found.turns >= 1 and 30 < found.period < 50


def test_heat_rows() -> None:
    for row in heat.rows():
        found = row.measure()
        assert isinstance(found, Found) and row.check(found.value), row.name


def test_one_command_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    from benchmarks.physics import record

    monkeypatch.setattr(record, "CACHE", tmp_path / "runs" / "verification.json")
    monkeypatch.setattr("sys.argv", ["patterns", "--only", "mass after 400"])
    assert patterns.main() == 0 and capsys.readouterr().out.startswith("met     mass after 400 Euler steps")
    assert (tmp_path / "runs" / "verification.json").is_file()
    monkeypatch.setattr("sys.argv", ["patterns", "--only", "no such row"])
    assert patterns.main() == 2
    monkeypatch.setattr("sys.argv", ["patterns", "--list"])
    assert patterns.main() == 0 and len(capsys.readouterr().out.splitlines()) == 31
