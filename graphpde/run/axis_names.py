"""Short names for what a sweep varies: ``kappa`` instead of ``materials."*".conductivity``, ``dt`` of ``time.dt``."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from typing import Any

from graphpde.config.toml import dotted
from graphpde.errors import ConfigError
from graphpde.ops.reaction import REACTIONS
from graphpde.problems import PDES

_TIME = {"dt": "dt", "end": "end", "t-end": "end", "start": "start", "stepper": "stepper", "frames": "frames"}
_TIME |= {key: key for key in ("rtol", "atol")}
_TOP = ("seed", "dtype", "element", "steady", "pde", "mesh")
_FIGURES = {"kappa": "conductivity", "conductivity": "conductivity", "density": "density",
            "heat_capacity": "heat_capacity"}  # fmt: skip
"""Figures of a material by the names that a sweep may give them."""


def key_of(name: str, problem: Mapping[str, Any]) -> str:
    """The key of a problem file that a name stands for; one with dots that no short name fits stands for itself.

    Where the problem has materials, ``kappa`` (or ``conductivity``), ``density`` and ``heat_capacity`` are those of its
    one material, ``material`` is its name, and ``steel.kappa`` is that of the material on the set ``steel``.

    Raises:
        ConfigError: a name that the problem does not know, or a figure that several materials have.
    """
    found = _of_materials(name, problem)
    if found is not None:
        return found
    if "." in name:
        return _written_out(name)
    coefficients, constants = _parameters(problem)
    if name in coefficients:
        return f"coefficients.{name}"
    if name in constants:
        return f"reaction.{name}"
    if name in _TIME:
        return f"time.{_TIME[name]}"
    if name in _TOP:
        return name
    if name == "size":
        return "mesh.size"
    known = [*coefficients, *constants, "dt", "end", "stepper", "frames", "rtol", "seed", "dtype", "element", "size"]
    raise ConfigError(
        f"--sweep does not know '{name}'; known: {', '.join(known)}, or any key with dots such as boundary.left.value"
    )


def short_name(name: str, problem: Mapping[str, Any]) -> str:
    """How pictures, tables and folders call what ``name`` stands for: the shortest text that means the same."""
    key = key_of(name, problem)
    path = _path(name)
    if len(path) < 2:
        return name
    candidates = [path[-1], f"{path[-2]}.{path[-1]}"]
    if path[0] == "materials" and len(path) == 2:
        candidates = ["material", f"{path[1]}.material"]
    return next((text for text in candidates if _means(text, key, problem)), name)


def _means(text: str, key: str, problem: Mapping[str, Any]) -> bool:
    try:
        return key_of(text, problem) == key
    except ConfigError:
        return False


def _of_materials(name: str, problem: Mapping[str, Any]) -> str | None:
    """The key of a figure of a material, or of its name; None where ``name`` speaks of something else."""
    materials = problem.get("materials")
    if not isinstance(materials, Mapping) or not materials:
        return None
    where, dot, figure = name.rpartition(".")
    if figure not in (*_FIGURES, "material") or (dot and where not in materials):
        return None
    if not dot and len(materials) > 1:
        each = ", ".join(f"{part}.{figure}" for part in materials)
        raise ConfigError(f"--sweep {figure} fits {len(materials)} materials; take one of {each}")
    path = ["materials", where if dot else next(iter(materials))]
    return dotted(path if figure == "material" else [*path, _FIGURES[figure]])


def _parameters(problem: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Coefficients of the equation, and constants of its reaction."""
    if problem.get("pde") not in PDES:
        return [], []
    pde = PDES[problem["pde"]]
    chosen = problem.get("reaction")
    reaction = chosen.get("name", pde.reaction) if isinstance(chosen, Mapping) else pde.reaction
    constants = list(inspect.signature(REACTIONS[str(reaction)]).parameters) if reaction in REACTIONS else []
    return list(pde.coefficients), constants


def _written_out(name: str) -> str:
    """The key with quotes where TOML wants them, so that one key has one form."""
    path = _path(name)
    return dotted(path) if path else name


def _path(name: str) -> list[str]:
    """Parts of a key with dots; empty where TOML does not know it for one."""
    try:
        table: Any = tomllib.loads(f"{name} = 0")
    except tomllib.TOMLDecodeError:
        return []
    path = []
    while isinstance(table, Mapping):
        (part, table), *_ = table.items()
        path.append(part)
    return path
