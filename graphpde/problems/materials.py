"""Materials by name: what heat and elasticity need to know of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from graphpde.errors import ConfigError, InputError
from graphpde.problems.units import LENGTHS, STRESSES, Units
from graphpde.registry import Registry


class Material(NamedTuple):
    """Properties of a material; None for one that is not known.

    Attributes:
        name: as in the table, or whatever its owner calls it.
        conductivity: k in W/(m K). density: rho in kg/m^3. heat_capacity: c in J/(kg K), at constant pressure.
        temperature: K at which the thermal figures hold, or None. source: where they are from.
        note: what exactly it is.
        young: E in Pa. poisson: nu. expansion: thermal, in 1/K. yield_strength: in Pa, where it begins to flow.
    """

    name: str
    conductivity: float | None = None
    density: float | None = None
    heat_capacity: float | None = None
    temperature: float | None = None
    source: str = ""
    note: str = ""
    young: float | None = None
    poisson: float | None = None
    expansion: float | None = None
    yield_strength: float | None = None

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
        if self.conductivity is None:
            raise InputError(f"material '{self.name}' has no conductivity, which heat needs; give it")
        return self.conductivity / self.capacity

    @property
    def text(self) -> str:
        """The figures in SI units, on one line."""
        return self.told(Units())

    def told(self, units: Units) -> str:
        """The figures in these units, on one line."""
        si = units.metres == 1 and units.pascals == 1
        spread, heat = ("W/(m K)", "J/(kg K)") if si else (f"{units.force}/(s K)", f"{units.length}^2/(s^2 K)")
        told = {"k": (self.conductivity, f" {spread}"), "rho": (self.density, f" {units.density}")}
        told |= {"c": (self.heat_capacity, f" {heat}"), "E": (self.young, f" {units.stress}"), "nu": (self.poisson, "")}
        told |= {"expansion": (self.expansion, " 1/K"), "yields at": (self.yield_strength, f" {units.stress}")}
        parts = [f"{key} = {value:g}{unit}" for key, (value, unit) in told.items() if value is not None]
        held = f" at {self.temperature:g} K" if self.temperature is not None else ""
        return f"{self.name}: {', '.join(parts)}{held}" + (f"; {self.source}" if self.source else "")

    def in_units(self, units: Units) -> Material:
        """A material of the table with its figures in other units that go together.

        Raises:
            ConfigError: units that are not known.
        """
        metres, pascals = units.metres, units.pascals
        if not (metres > 0 and pascals > 0):
            raise ConfigError(
                f"'{self.name}' cannot be told in output.units of length ({units.length}) and stress ({units.stress}), "
                f"which are not known; give its figures (young, poisson, ...), or take {', '.join(LENGTHS)} and "
                f"{', '.join(STRESSES)}"
            )
        sizes = {"young": 1 / pascals, "yield_strength": 1 / pascals, "density": metres**2 / pascals}
        sizes |= {"conductivity": 1 / (pascals * metres**2), "heat_capacity": 1 / metres**2}
        given = {key: getattr(self, key) for key in sizes}
        # rounded as they are written, so that a problem file says the same as the run
        told: dict[str, Any] = {k: float(f"{v * sizes[k]:.12g}") for k, v in given.items() if v is not None}
        return self._replace(**told)

    def as_dict(self) -> dict[str, Any]:
        """As a problem file writes it."""
        found = {"material": self.name, **{key: getattr(self, key) for key in FIGURES}}
        return {key: value for key, value in found.items() if value is not None}


FIGURES = ("conductivity", "density", "heat_capacity", "young", "poisson", "expansion", "yield_strength")
"""What a material may say of itself."""

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
# name, E [GPa], nu, expansion [1e-6/K], yield strength [MPa]: Callister and Rethwisch, appendix B
_ELASTIC: dict[str, tuple[float, float, float, float | None]] = {
    "aluminium": (69, 0.33, 23.6, 34),
    "aluminium-2024": (72.4, 0.33, 22.9, 345),
    "brass": (110, 0.35, 19.9, 75),
    "copper": (115, 0.33, 17.0, 69),
    "gold": (77, 0.42, 14.2, None),
    "magnesium": (45, 0.35, 26.0, None),
    "nickel": (204, 0.31, 13.3, 148),
    "silver": (74, 0.37, 19.7, 55),
    "stainless-steel": (193, 0.30, 17.2, 205),
    "steel": (207, 0.30, 11.7, 250),
    "titanium": (103, 0.34, 8.6, 170),
    "tungsten": (400, 0.28, 4.5, 760),
    "alumina": (380, 0.22, 7.4, None),
    "concrete": (30, 0.20, 12.0, None),
    "glass": (69, 0.23, 9.0, None),
}
_MORE = "; elastic figures: Callister and Rethwisch, Materials Science and Engineering, appendix B"
for _row in _TABLE:
    _known = Material(*_row)
    if _known.name in _ELASTIC:
        _young, _poisson, _expansion, _yield = _ELASTIC[_known.name]
        _known = _known._replace(young=_young * 1e9, poisson=_poisson, expansion=_expansion / 1e6,
                                 yield_strength=None if _yield is None else _yield * 1e6,
                                 source=_known.source + _MORE)  # fmt: skip
    MATERIALS.add(_known.name)(_known)
