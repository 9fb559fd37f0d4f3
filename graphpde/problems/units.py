"""Units that go together: of length, stress and force, with seconds and kelvins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from graphpde.errors import ConfigError

LENGTHS = {"m": 1.0, "dm": 0.1, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9, "km": 1e3}
LENGTHS |= {"in": 0.0254, "ft": 0.3048}
STRESSES = {"Pa": 1.0, "kPa": 1e3, "MPa": 1e6, "N/mm^2": 1e6, "GPa": 1e9, "bar": 1e5}
STRESSES |= {"psi": 6894.757293168, "ksi": 6894757.293168}
FORCES = {"N": 1.0, "mN": 1e-3, "uN": 1e-6, "µN": 1e-6, "nN": 1e-9, "kN": 1e3, "MN": 1e6, "lbf": 4.4482216152605}


class Units(NamedTuple):
    """Names of the units of a body, and how many m and Pa they are; NaN for those that are not known."""

    length: str = "m"
    stress: str = "Pa"
    force: str = "N"
    metres: float = 1.0
    pascals: float = 1.0

    @property
    def density(self) -> str:
        """That in which force = mass times acceleration."""
        return {(1.0, 1.0): "kg/m^3", (1e-3, 1e6): "t/mm^3"}.get(
            (self.metres, self.pascals), f"{self.force} s^2/{self.length}^4"
        )


def units_of_bodies(given: Mapping[str, str]) -> Units:
    """Units of which some are given; those left out follow, the force being N where it may.

    Raises:
        ConfigError: a length, a stress and a force that do not go together.
    """
    length, stress, force = given.get("length", "m"), given.get("stress"), given.get("force")
    metres = LENGTHS.get(length, math.nan)
    if stress is None:
        pascals = FORCES.get(force or "N", math.nan) / metres**2
        stress = _name(STRESSES, pascals) or f"{force or 'N'}/{length}^2"
    pascals = STRESSES.get(stress, math.nan) if stress in STRESSES else FORCES.get(force or "N", math.nan) / metres**2
    newtons = pascals * metres**2
    if force is None:
        force = _name(FORCES, newtons) or f"{stress} {length}^2"
    elif force in FORCES and newtons > 0 and not math.isclose(FORCES[force], newtons, rel_tol=1e-6):
        told = _name(FORCES, newtons) or f"{newtons:g} N"
        raise ConfigError(
            f"output.units of length ({length}), stress ({stress}) and force ({force}) do not go together: {stress} "
            f"{length}^2 is {told}; leave one of them out"
        )
    return Units(length, stress, force, metres, pascals)


def _name(known: Mapping[str, float], size: float) -> str | None:
    return next((name for name, each in known.items() if math.isclose(each, size, rel_tol=1e-6)), None)
