"""Materials by name: what heat needs to know of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from graphpde.errors import InputError
from graphpde.registry import Registry


class Material(NamedTuple):
    """Thermal properties of a material.

    Attributes:
        name: as in the table, or whatever its owner calls it.
        conductivity: k in W/(m K). density: rho in kg/m^3. heat_capacity: c in J/(kg K), at constant pressure. The last
            two may be None where only steady states are asked for.
        temperature: K at which the figures hold, or None. source: where they are from.
        note: what exactly it is.
    """

    name: str
    conductivity: float
    density: float | None = None
    heat_capacity: float | None = None
    temperature: float | None = None
    source: str = ""
    note: str = ""

    @property
    def capacity(self) -> float:
        """rho c, heat per volume and temperature, in J/(m^3 K).

        Raises:
            InputError: the density or the heat capacity is not known.
        """
        if self.density is None or self.heat_capacity is None:
            raise InputError(
                f"material '{self.name}' has no {'density' if self.density is None else 'heat_capacity'}, which heat "
                f"in time needs; give it, or ask for the steady state"
            )
        return self.density * self.heat_capacity

    @property
    def diffusivity(self) -> float:
        """k / (rho c) in m^2/s."""
        return self.conductivity / self.capacity

    @property
    def text(self) -> str:
        """The figures with their units, on one line."""
        parts = [f"k = {self.conductivity:g} W/(m K)"]
        if self.density is not None:
            parts.append(f"rho = {self.density:g} kg/m^3")
        if self.heat_capacity is not None:
            parts.append(f"c = {self.heat_capacity:g} J/(kg K)")
        held = f" at {self.temperature:g} K" if self.temperature is not None else ""
        return f"{self.name}: {', '.join(parts)}{held}" + (f"; {self.source}" if self.source else "")

    def as_dict(self) -> dict[str, Any]:
        """As a problem file writes it."""
        found = {"material": self.name, "conductivity": self.conductivity}
        found |= {"density": self.density, "heat_capacity": self.heat_capacity}
        return {key: value for key, value in found.items() if value is not None}


MATERIALS: Registry[Material] = Registry("material")
"""Materials at room temperature and atmospheric pressure. Textbook figures of typical grades: a real part may differ by
some per cent (metals) or some ten (building materials)."""

_BOOK = "Incropera and DeWitt, Fundamentals of Heat and Mass Transfer, table A."
_METALS, _SOLIDS, _BUILDING, _GASES, _WATER = (_BOOK + str(k) for k in (1, 2, 3, 4, 6))

# name, k [W/(m K)], rho [kg/m^3], c [J/(kg K)], T [K], source, what it is
_TABLE = (
    ("aluminium", 237.0, 2702.0, 903.0, 300.0, _METALS, "pure"),
    ("aluminium-2024", 177.0, 2770.0, 875.0, 300.0, _METALS, "alloy 2024-T6"),
    ("brass", 110.0, 8530.0, 380.0, 300.0, _METALS, "cartridge brass, 70% Cu, 30% Zn"),
    ("bronze", 52.0, 8800.0, 420.0, 300.0, _METALS, "commercial bronze, 90% Cu, 10% Al"),
    ("copper", 401.0, 8933.0, 385.0, 300.0, _METALS, "pure"),
    ("gold", 317.0, 19300.0, 129.0, 300.0, _METALS, "pure"),
    ("iron", 80.2, 7870.0, 447.0, 300.0, _METALS, "pure"),
    ("lead", 35.3, 11340.0, 129.0, 300.0, _METALS, "pure"),
    ("magnesium", 156.0, 1740.0, 1024.0, 300.0, _METALS, "pure"),
    ("nickel", 90.7, 8900.0, 444.0, 300.0, _METALS, "pure"),
    ("silicon", 148.0, 2330.0, 712.0, 300.0, _METALS, "pure"),
    ("silver", 429.0, 10500.0, 235.0, 300.0, _METALS, "pure"),
    ("stainless-steel", 14.9, 7900.0, 477.0, 300.0, _METALS, "AISI 304"),
    ("steel", 60.5, 7854.0, 434.0, 300.0, _METALS, "plain carbon steel, Mn <= 1%, Si <= 0.1%"),
    ("tin", 66.6, 7310.0, 227.0, 300.0, _METALS, "pure"),
    ("titanium", 21.9, 4500.0, 522.0, 300.0, _METALS, "pure"),
    ("tungsten", 174.0, 19300.0, 132.0, 300.0, _METALS, "pure"),
    ("zinc", 116.0, 7140.0, 389.0, 300.0, _METALS, "pure"),
    ("alumina", 36.0, 3970.0, 765.0, 300.0, _SOLIDS, "aluminium oxide, polycrystalline"),
    ("brick", 0.72, 1920.0, 835.0, 300.0, _BUILDING, "common brick"),
    ("concrete", 1.4, 2300.0, 880.0, 300.0, _BUILDING, "stone mix"),
    ("glass", 1.4, 2500.0, 750.0, 300.0, _BUILDING, "plate glass, soda lime"),
    ("ice", 1.88, 920.0, 2040.0, 273.0, _BUILDING, "at its melting point"),
    ("oak", 0.16, 720.0, 1255.0, 300.0, _BUILDING, "hardwoods (oak, maple)"),
    ("pine", 0.12, 510.0, 1380.0, 300.0, _BUILDING, "softwoods (fir, pine)"),
    ("polystyrene-foam", 0.027, 55.0, 1210.0, 300.0, _BUILDING, "rigid, extruded"),
    ("air", 0.0263, 1.1614, 1007.0, 300.0, _GASES, "at rest"),
    ("water", 0.613, 997.0, 4179.0, 300.0, _WATER, "at rest"),
)
for _row in _TABLE:
    MATERIALS.add(_row[0])(Material(*_row))
