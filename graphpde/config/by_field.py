"""Values that may differ from field to field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphpde.config.section import Section, quantity
from graphpde.errors import ConfigError
from graphpde.formula import Formula

ByField = Mapping[str, float | Formula]


def by_field(value: Any, where: str, fields: Sequence[str], names: Sequence[str], who: str) -> ByField:
    """A number or formula in ``names`` for each of ``fields``: a table, or a list in their order.

    One value is enough where there is one field, and 0 stands for all of them.

    Raises:
        ConfigError: one value for several fields, or a list of another length. UnknownName: no such field.
    """
    if isinstance(value, list | tuple):
        if len(value) != len(fields):
            raise ConfigError(
                f"{where} has {len(value)} values, expected {len(fields)}: one for each of {', '.join(fields)}"
            )
        return {name: quantity(names)(part, f"{where}[{k}]") for k, (name, part) in enumerate(zip(fields, value))}
    if not isinstance(value, Mapping):
        if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
            return dict.fromkeys(fields, 0.0)
        if len(fields) > 1:
            table = ", ".join(f"{name} = ..." for name in fields)
            raise ConfigError(
                f"{where} is one value and {who} has fields {', '.join(fields)}; give {where} = {{{table}}}, "
                f"on the command line {fields[0]}=VALUE, for a set NAME=VALUE,VALUE"
            )
        return {fields[0]: quantity(names)(value, where)}
    section = Section(value, where)
    found = {name: section.take(name, quantity(names), None) for name in fields}
    section.close()
    return {name: part for name, part in found.items() if part is not None}


def every_field(value: Any, where: str, fields: Sequence[str], names: Sequence[str], who: str) -> ByField:
    """The same, and none may be missing.

    Raises:
        ConfigError: as :func:`by_field`, or a field without a value.
    """
    found = by_field(value, where, fields, names, who)
    missing = [name for name in fields if name not in found]
    if missing:
        raise ConfigError(f"{where} says nothing about {', '.join(missing)}; it needs every field of {who}")
    return found
