"""Nested tables of plain values as TOML text; the reader is tomllib of the standard library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphpde.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dump(table: Mapping[str, Any]) -> str:
    """TOML text that ``tomllib.loads`` turns into the same table; None and empty tables are left out.

    Raises:
        ConfigError: a value that TOML has no form for.
    """
    lines: list[str] = []
    _write(table, (), lines)
    return "\n".join(lines).strip() + "\n"


def dotted(path: Sequence[str]) -> str:
    """The key of a value in nested tables, such as ``materials."*".conductivity``."""
    return ".".join(_key(part) for part in path)


def _write(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, Mapping)}
    if plain and path:
        lines += ["", f"[{dotted(path)}]"]
    lines += [f"{_key(k)} = {_value(v, '.'.join((*path, k)))}" for k, v in plain.items()]
    for k, v in table.items():
        if isinstance(v, Mapping):
            _write(v, (*path, k), lines)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # a JSON string is a TOML basic string, but for DEL and for characters outside the basic plane
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, where: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case str():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(_value(part, where) for part in value) + "]"
    raise ConfigError(f"{where} is {value!r}, which a problem file cannot hold; expected a number, text, list or table")
