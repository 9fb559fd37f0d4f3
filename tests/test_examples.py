"""Every example runs and its headline number holds."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str) -> dict[str, Any]:
    """The names an example leaves behind; its picture part runs only as a program."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")


def test_heat_entering_a_plate_leaves_it_in_the_end() -> None:
    found = run("heat_on_a_plate")
    assert found["imbalance"] < 1e-10  # the steady discrete equations sum to zero; only the solver's rounding is left
    assert 0.12 < found["inflow"] < 0.14
    assert 0 < found["distance"] < 0.05
    assert float(found["warming"].states.max()) <= 1 + 1e-12


def test_a_labyrinth_covers_half_of_the_sphere() -> None:
    found = run("patterns_on_a_sphere")
    assert found["pieces"][0] == 2
    assert found["coverage"][0] < 0.1
    assert 0.5 < found["coverage"][-1] < 0.62
    assert bool((found["pattern"].states >= -1e-12).all())


def test_a_rumour_decays_at_the_algebraic_connectivity() -> None:
    found = run("diffusion_on_a_network")
    # Crank-Nicolson at dt = 0.01 changes the rate by lambda^3 dt^2 / 12 = 1.4e-5
    assert found["rate"] == pytest.approx(found["connectivity"], rel=3e-5)
    assert found["drift"] < 1e-12


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_examples_stay_short(path: Path) -> None:
    assert 40 <= len(path.read_text().splitlines()) <= 90
