"""From a mesh to the unknowns on it: element, periodic sides, and what the mass is weighted with."""

from __future__ import annotations

from graphpde.config.schema import Config
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.elements import ELEMENTS
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.problems import PDES

CELLS = "dg0"
NAMES = (*ELEMENTS, CELLS)
"""What ``element`` takes: finite elements, and "dg0" for finite volumes."""


def open_space(config: Config, mesh: Mesh, channels: int) -> Space | CellSpace:
    """The space that the problem asks for, or cell averages for the element "dg0".

    The unknowns of finite elements are renumbered where the order of the mesh is scattered.

    Raises:
        MeshError: the element does not live on these cells, or periodic sides do not match. InputError: materials that
            leave cells out or overlap. UnknownName: no such set.
    """
    if config.element == CELLS:
        return CellSpace(mesh, channels, periodic=config.periodic, density=density_of(config))
    element = None if config.element is None else ELEMENTS[config.element]()
    return Space(mesh, element, channels, periodic=config.periodic, density=density_of(config), reorder=None)


def density_of(config: Config) -> dict[str, float] | None:
    """Capacity per volume where materials say it; a steady state has no use for it, and the terms of bodies that deform
    hold it themselves."""
    if not config.materials or config.steady or PDES[config.pde].elastic:
        return None
    return {name: material.capacity for name, material in config.materials.items()}
