"""Values that may differ from field to field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphpde.config.section import Section, quantity
from graphpde.errors import ConfigError
from graphpde.formula import Formula

ByField = Mapping[str, float | Formula]


def by_field(value: Any, where: str, fields: Sequence[str], names: Sequence[str], who: str) -> ByField:
    """A number or formula in ``names`` for each of ``fields``; one alone is enough where there is one field.

    Raises:
        ConfigError: one value for several fields. UnknownName: no such field.
    """
    if not isinstance(value, Mapping):
        if len(fields) > 1:
            table = ", ".join(f"{name} = ..." for name in fields)
            raise ConfigError(
                f"{where} is one value and {who} has fields {', '.join(fields)}; give {where} = {{{table}}}, "
                f"on the command line {fields[0]}=VALUE"
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
