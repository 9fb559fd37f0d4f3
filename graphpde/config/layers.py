"""Layers of a problem: defaults < file < command line, merged as plain tables before anything is checked."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphpde.config.initial_from import FieldFile
from graphpde.errors import ConfigError

_KINDS = ("value", "inflow", "robin")
"""Of a condition: one excludes the others."""
_STAR = re.compile(r"(?<![^.])\s*\*\s*(?![^.])")
"""A part of a key that stands for the rest of the cells."""
_FIGURES = ("young", "poisson", "density", "expansion", "conductivity")
"""Coefficients that are figures of a material, of which it has others beside them."""
_SAID = ("kappa", "capacity", *_FIGURES)
"""Coefficients that materials say as well."""
LARGEST = 10_000_000  # bytes of a problem file; more is not one


def load(path: str | Path) -> dict[str, Any]:
    """The tables of a problem file, the mesh's path made relative to where the file lies.

    Raises:
        ConfigError: the file is missing, not a problem file, or not TOML.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ConfigError(
                f"'{path}' is a folder; for a run folder name the problem file in it, '{path / 'config.toml'}'"
            )
        if path.suffix.lower() != ".toml":
            raise ConfigError(f"'{path}' is not a problem file (.toml); for a mesh write --pde heat --mesh {path}")
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"'{path}' has {path.stat().st_size} bytes; a problem file is small text")
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file '{path}'") from None
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}' is not text in UTF-8 (byte {error.start})") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"'{path}' is not TOML: {str(error) or 'nested too deeply'}") from None
    return anchored(values, path.parent)


def anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same tables with the paths of the mesh and of the initial values relative to ``folder``."""
    initial = values.get("initial")
    if isinstance(initial, dict) and isinstance(initial.get("from"), str) and initial["from"]:
        values = {**values, "initial": {**initial, "from": str(FieldFile.of(initial["from"], folder))}}
    mesh = values.get("mesh")
    if isinstance(mesh, str) and mesh:
        return {**values, "mesh": str(folder / mesh)}
    if isinstance(mesh, dict) and isinstance(mesh.get("path"), str) and mesh["path"]:
        return {**values, "mesh": {**mesh, "path": str(folder / mesh["path"])}}
    return values


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``over`` says on top: tables merge key by key, anything else replaces.

    What cannot stand beside what is new goes: another kind of mesh, an inflow where a value is given now (or the
    reverse), the parameters of another reaction, initial values where a file gives them now, a conductivity where
    materials are given now (or the reverse; a modulus is then that of every material), the limits of adaptive steps
    where ``rtol = 0`` asks for equal ones.
    """
    merged: dict[str, Any] = copy.deepcopy(dict(base))
    if "mesh" in over and _kind_of_mesh(merged.get("mesh")) != _kind_of_mesh(over["mesh"]):
        merged.pop("mesh", None)
    old, new = merged.get("reaction"), over.get("reaction")
    if isinstance(old, dict) and isinstance(new, Mapping) and new.get("name", old.get("name")) != old.get("name"):
        del merged["reaction"]
    start = merged.get("initial")
    if isinstance(start, dict) and "from" in _tables(over.get("initial")):
        merged["initial"] = {key: value for key, value in start.items() if key == "noise"}
    if "materials" in over and isinstance(merged.get("coefficients"), dict):
        for name in _SAID:
            merged["coefficients"].pop(name, None)
    if "kappa" in _tables(over.get("coefficients")):
        merged.pop("materials", None)
    mine = merged.get("materials")
    figures = {name: value for name, value in _tables(over.get("coefficients")).items() if name in _FIGURES}
    if isinstance(mine, dict) and figures:  # young = 2e9 is short for that of every material
        over = {**over, "coefficients": {k: v for k, v in over["coefficients"].items() if k not in figures}}
        over["materials"] = _merged({name: dict(figures) for name in mine}, _tables(over.get("materials")))
    for name, each in _tables(over.get("materials")).items():
        if isinstance(mine, dict) and isinstance(mine.get(name), str) and isinstance(each, Mapping):
            mine[name] = {"material": mine[name]}  # all = "steel" is short for that
    if _tables(over.get("time")).get("rtol") == 0 and isinstance(merged.get("time"), dict):
        merged["time"] = {k: v for k, v in merged["time"].items() if k not in ("rtol", "atol", "dt_min", "dt_max")}
    rules = merged.get("boundary")
    for name, rule in _tables(over.get("boundary")).items():
        if isinstance(rules, dict) and name in rules and not isinstance(rules[name], dict):
            rules[name] = {"value": rules[name]}  # left = 1.0 is short for that
        mine = rules.get(name) if isinstance(rules, dict) else None
        if isinstance(mine, dict) and isinstance(rule, Mapping) and sum(kind in rule for kind in _KINDS) == 1:
            for key in _KINDS:
                if key not in rule or key == "robin":
                    mine.pop(key, None)
    return _merged(merged, over)


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in over.items():
        mine = base.get(key)
        base[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return base


def _kind_of_mesh(mesh: Any) -> str:
    return "shape" if isinstance(mesh, Mapping) and "path" not in mesh else "path"


def _tables(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def assign(setting: str) -> dict[str, Any]:
    """The tables of one ``key.path=value`` of the command line; a value that is not TOML is text.

    ``time.dt=0.1``, ``initial.u=exp(-x**2)``, ``boundary."a name".value=1``, ``materials.*.young=2e11``.

    Raises:
        ConfigError: no ``=``, or a key that TOML does not know.
    """
    key, equals, value = setting.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise ConfigError(f"'{setting}' is not KEY=VALUE; write the key, =, and the value without spaces")
    key = _STAR.sub('"*"', key)
    for written in (value, json.dumps(value)):
        try:
            found = tomllib.loads(f"{key} = {written}")
        except tomllib.TOMLDecodeError:
            continue
        if "\n" not in setting:
            return found
    raise ConfigError(f"'{key}' is not a key; expected names joined by dots, such as time.dt")
