"""From the tables of a problem to what runs, whatever it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphpde.config import prepare, read_config
from graphpde.errors import ConfigError
from graphpde.hamiltonian.catalogue import PARTICLES
from graphpde.problems import PDES
from graphpde.registry import unknown


def ready(problem: Mapping[str, Any]) -> Any:
    """A problem on a mesh, or a system of particles, made ready to run.

    Raises:
        InputError: whatever the user must change, said before anything is computed or written.
    """
    name = problem.get("pde")
    if isinstance(name, str) and name in PARTICLES:
        from graphpde.run.particles.config import prepare_particles, read_particles

        return prepare_particles(read_particles(problem))
    if isinstance(name, str) and name not in PDES:
        raise unknown("pde", name, [*PDES, *PARTICLES])
    return prepare(read_config(problem))


def refuse_particles(problem: Mapping[str, Any], what: str) -> None:
    """Refuse what belongs to meshes.

    Raises:
        ConfigError: the problem is one of particles.
    """
    if problem.get("pde") in PARTICLES:
        raise ConfigError(
            f"{what} is of problems on meshes, and {problem['pde']} is a system of particles; leave it out"
        )
