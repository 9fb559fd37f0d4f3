"""Units of bodies go together, and materials are told in them."""

from __future__ import annotations

import pytest

from graphpde.errors import ConfigError
from graphpde.problems.materials import MATERIALS
from graphpde.problems.units import Units, units_of_bodies


@pytest.mark.parametrize(
    ("given", "stress", "force"),
    [
        ({}, "Pa", "N"),
        ({"length": "mm"}, "MPa", "N"),
        ({"length": "mm", "stress": "N/mm^2"}, "N/mm^2", "N"),
        ({"length": "mm", "stress": "GPa"}, "GPa", "kN"),
        ({"length": "um", "stress": "MPa"}, "MPa", "uN"),
        ({"length": "mm", "force": "kN"}, "GPa", "kN"),
        ({"length": "in", "stress": "psi"}, "psi", "lbf"),
        ({"length": "cm", "stress": "bar"}, "bar", "bar cm^2"),
    ],
)
def test_what_is_left_out_follows(given: dict[str, str], stress: str, force: str) -> None:
    found = units_of_bodies(given)
    assert (found.stress, found.force) == (stress, force)


@pytest.mark.parametrize("given", [{}, {"length": "mm"}, {"length": "in", "stress": "psi"}, {"length": "um"}])
def test_speeds_and_times_are_the_same_in_all_units(given: dict[str, str]) -> None:
    """sqrt(E / rho) is a speed, k / (rho c) an area per time, E alpha / (rho c) has no unit of length at all."""
    si, units = MATERIALS["steel"], units_of_bodies(given)
    steel = si.in_units(units)
    assert steel.young / steel.density * units.metres**2 == pytest.approx(si.young / si.density, rel=1e-11)
    assert steel.diffusivity * units.metres**2 == pytest.approx(si.diffusivity, rel=1e-11)
    assert steel.young / steel.capacity == pytest.approx(si.young / si.capacity, rel=1e-11)
    assert steel.yield_strength / steel.young == pytest.approx(si.yield_strength / si.young, rel=1e-11)


def test_steel_in_millimetres() -> None:
    steel = MATERIALS["steel"].in_units(units_of_bodies({"length": "mm"}))
    assert steel.young == 207000.0 and steel.density == pytest.approx(7.854e-9)
    assert "E = 207000 MPa" in steel.told(units_of_bodies({"length": "mm"}))
    assert "rho = 7.854e-09 t/mm^3" in steel.told(units_of_bodies({"length": "mm"}))


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"length \(mm\), stress \(Pa\) and force \(N\) do not go together: Pa mm\^2 is"
    ):
        units_of_bodies({"length": "mm", "stress": "Pa", "force": "N"})
    with pytest.raises(ConfigError, match="'steel' cannot be told in output.units of length .furlong."):
        MATERIALS["steel"].in_units(units_of_bodies({"length": "furlong"}))
    assert Units() == units_of_bodies({})
