"""From a mesh to the unknowns on it: element, periodic sides, and what the mass is weighted with."""

from __future__ import annotations

from graphpde.config.schema import Config
from graphpde.mesh.elements import ELEMENTS
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space


def open_space(config: Config, mesh: Mesh, channels: int) -> Space:
    """The space that the problem asks for; unknowns are renumbered where the mesh's order is scattered.

    Raises:
        MeshError: the element does not live on these cells, or periodic sides do not match. InputError: materials that
            leave cells out or overlap. UnknownName: no such set.
    """
    element = None if config.element is None else ELEMENTS[config.element]()
    density = None
    if config.materials and not config.steady:
        density = {name: material.capacity for name, material in config.materials.items()}
    return Space(mesh, element, channels, periodic=config.periodic, density=density, reorder=None)
