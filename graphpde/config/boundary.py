"""The tables [boundary.NAME]: a value, an inflow or an exchange with the surroundings on each named set; several of
them, beside loads and springs, on the sides of bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphpde.config.by_field import ByField, by_field, every_field
from graphpde.config.schema import BoundaryRule
from graphpde.config.section import Section, number, numbers, quantity, truth
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.boundary import Neumann, Robin
from graphpde.ops.term import Condition
from graphpde.problems import Pde
from graphpde.problems.pde import SPACE
from graphpde.problems.values import as_field

KINDS = ("value", "inflow", "robin")
_TIME = (*SPACE, "t")


def read_boundary(value: Any, where: str, pde: Pde) -> dict[str, BoundaryRule]:
    """The rule of every set; ``outer = 0.0`` is short for ``[boundary.outer] value = 0.0``, and so are fields by name.

    Raises:
        ConfigError: none of a value, an inflow and an exchange on one set, several where the PDE has no ``side_rules``,
            or fields left out.
    """
    out = {}
    held = by_field if pde.partly_held else every_field
    for name, rule in Section(value, where).values.items():
        fields = isinstance(rule, Mapping) and rule and set(rule) <= set(pde.held_fields)
        whole = isinstance(rule, Mapping) and (pde.partly_held or not fields)
        section = Section(rule if whole else {"value": rule}, f"{where}.{name}")
        given = section.take("value", lambda v, at: held(v, at, _fields(v, pde), _TIME, pde.name), None)
        given = _components(section, given, pde) if pde.partly_held else given
        inflow = section.take("inflow", lambda v, at: by_field(v, at, pde.pushed_fields, _TIME, pde.name), None)
        robin = section.take("robin", lambda v, at: _robin(v, at, pde), None)
        override = section.take("override", truth, False)
        sides = {key: section.take(key, _SIDES[key], None) for key in pde.side_rules}
        sides = {key: part for key, part in sides.items() if part is not None}
        section.close()
        kinds = [kind for kind, part in zip(KINDS, (given, inflow, robin), strict=True) if part is not None]
        kinds += sides
        if not kinds or (len(kinds) > 1 and not pde.side_rules):
            got = f"both {' and '.join(_ARTICLE[k] for k in kinds)}" if kinds else "neither a value nor an inflow"
            raise ConfigError(f"{where}.{name} has {got}, expected one of {', '.join((*KINDS, *pde.side_rules))}")
        if override and given is None:
            raise ConfigError(
                f"{where}.{name} overrides with {_ARTICLE[kinds[0]]}, which takes nothing from other sets; leave it out"
            )
        out[str(name)] = BoundaryRule(given, inflow, override, robin, sides)
    return out


def _components(section: Section, given: ByField | None, pde: Pde) -> ByField | None:
    """The value, or the fields that stand in its place beside other rules."""
    found = {name: section.take(name, quantity(_TIME), None) for name in pde.held_fields}
    fields = {name: part for name, part in found.items() if part is not None}
    if fields and given is not None:
        raise ConfigError(
            f"{section.path} has a value and {', '.join(fields)} beside it; give the components inside of value"
        )
    return fields or given


_ARTICLE = {"value": "a value", "inflow": "an inflow", "robin": "a robin condition"}
_ARTICLE |= {key: f"a {key}" for key in ("traction", "force", "pressure", "symmetry", "spring")}


def _fields(value: Any, pde: Pde) -> tuple[str, ...]:
    """The fields that a value speaks of: the first two of three for a list of two, where the mesh decides."""
    short = pde.by_dimension and isinstance(value, list | tuple) and len(value) == 2
    return pde.held_fields[: len(value)] if short else pde.held_fields


def _parts(read: Any) -> Any:
    """A list of two or three, each as ``read`` takes it."""

    def parts(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list | tuple) or not 2 <= len(value) <= 3:
            raise ConfigError(f"{where} is {value!r}, expected one number for each axis, such as [0.0, -1.0]")
        return [read(part, f"{where}[{k}]") for k, part in enumerate(value)]

    return parts


def _yes(value: Any, where: str) -> bool:
    if not truth(value, where):
        raise ConfigError(f"{where} is false; leave it out, sides are free where nothing is said")
    return True


_SIDES: dict[str, Any] = {
    "traction": _parts(quantity(_TIME)),
    "force": _parts(number()),
    "pressure": quantity(_TIME),
    "symmetry": _yes,
    "spring": numbers(0.0),
}


def _robin(value: Any, where: str, pde: Pde) -> tuple[ByField, ByField]:
    """a and g, said as {a, g} or as {coefficient, ambient}: then g = coefficient ambient."""
    section, fields = Section(value, where), pde.pushed_fields

    def exchange(v: Any, at: str) -> ByField:
        found = every_field(v, at, fields, SPACE, pde.name)
        for name, part in found.items():
            if isinstance(part, float) and part < 0:
                raise ConfigError(f"{at} is {part:g} for {name}, expected a number >= 0: a negative one feeds on u")
        return found

    def gain(v: Any, at: str) -> ByField:
        return by_field(v, at, fields, _TIME, pde.name)

    a, g = section.take("a", exchange, None), section.take("g", gain, None)
    coefficient, ambient = section.take("coefficient", exchange, None), section.take("ambient", gain, None)
    section.close()
    if a is not None and coefficient is None and ambient is None:
        return a, g or {}
    if coefficient is not None and a is None and g is None:
        return coefficient, {name: _times(coefficient[name], part) for name, part in (ambient or {}).items()}
    raise ConfigError(f"{where} needs {{a, g}}: kappa du/dn + a u = g, or {{coefficient, ambient}}: g their product")


def _times(a: float | Formula, b: float | Formula) -> float | Formula:
    if isinstance(a, float) and isinstance(b, float):
        return a * b
    texts = [f"({part.text})" if isinstance(part, Formula) else repr(part) for part in (a, b)]
    return Formula(" * ".join(texts), _TIME)


def conditions(
    place: str, rule: BoundaryRule, pde: Pde, space: Space | CellSpace, coefficients: Mapping[str, Any]
) -> Iterator[Condition]:
    """The conditions that a rule stands for.

    Raises:
        ConfigError: loads or springs where everything that they could move is held.
    """
    moved = {part for parts in pde.vectors.values() for part in parts}
    if rule.sides and moved <= set(rule.value or ()):
        raise ConfigError(
            f"boundary.{place} holds every displacement, so its {' and '.join(rule.sides)} can do nothing; "
            f"leave one of them out"
        )
    for side in rule.sides.items():
        yield pde.side(place, *side, space, coefficients)
    if rule.inflow is not None:
        yield Neumann(place, as_field(rule.inflow, pde.fields))
    if rule.robin is not None:
        yield Robin(place, *(as_field(part, pde.fields) for part in rule.robin))
    if rule.value is not None and pde.partly_held:
        yield pde.held_parts(place, rule.value, override=rule.override)
    elif rule.value is not None:
        yield pde.held(place, as_field(rule.value, pde.held_fields), override=rule.override)
