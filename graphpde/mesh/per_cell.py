"""Values given by material: one number per cell from a number, named sets of cells or a tensor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from graphpde.errors import InputError, MeshError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.registry import unknown

PerCell = float | Tensor | Mapping[str, float]
"""A number, one per cell [m], or {set of cells: number} with "*" for the rest."""


def per_cell(mesh: Mesh, given: PerCell, what: str = "value") -> Tensor:
    """One value per cell [m].

    Raises:
        InputError: a cell in no set or in two. UnknownName: no such set. ShapeError: a tensor of another length.
    """
    m = mesh.n_cells
    if isinstance(given, Mapping):
        return _by_set(mesh, given, what)
    if not isinstance(given, Tensor | float | int):
        raise InputError(f"{what} is a {type(given).__name__}, expected a number, {{set of cells: number}} or a tensor")
    values = torch.as_tensor(given, dtype=torch.float64)
    if values.dim() > 1 or (values.dim() == 1 and len(values) not in (1, m)):
        raise ShapeError(f"{what} has shape {list(values.shape)}, expected one entry or one per cell: {m}")
    return values.expand(m)


def density_of(mesh: Mesh, given: PerCell) -> Tensor:
    """What multiplies u', one value per cell [m].

    Raises:
        InputError, UnknownName, ShapeError: as :func:`per_cell`; a density that is not positive.
    """
    values = per_cell(mesh, given, "density")
    bad = ~(torch.isfinite(values) & (values > 0)).detach()
    if bool(bad.any()):
        raise InputError(
            f"the density is not positive in {int(bad.sum())} cells of '{mesh.name}', first "
            f"{float(values[bad][0]):g} in cell {int(bad.nonzero()[0, 0])}; expected finite numbers > 0"
        )
    return values


def cells_of(mesh: Mesh, name: str | int) -> Tensor:
    """Cell numbers of a named set of cells (a material).

    Raises:
        MeshError: the set does not hold cells.
    """
    tag = mesh.tag(name)
    if tag.dim != mesh.dim:
        raise MeshError(
            f"set '{name}' of '{mesh.name}' has dimension {tag.dim}, a material needs cells of dimension {mesh.dim}"
        )
    return tag.ids


def _by_set(mesh: Mesh, given: Mapping[str, float], what: str) -> Tensor:
    solids = [k for k, t in mesh.tags.items() if t.dim == mesh.dim]
    values = torch.zeros(mesh.n_cells, dtype=torch.float64)
    owner = torch.full((mesh.n_cells,), -1)
    names = [name for name in given if name != "*"]
    for number, name in enumerate(names):
        if name not in solids:
            raise unknown(f"set of cells of '{mesh.name}'", name, [*solids, "*"])
        ids = cells_of(mesh, name)
        taken = ids[owner[ids] >= 0]
        if len(taken):
            other = names[int(owner[taken[0]])]
            raise InputError(f"{len(taken)} cells of '{mesh.name}' lie in two materials, '{other}' and '{name}'")
        owner[ids] = number
        values = torch.where(owner == number, torch.as_tensor(given[name], dtype=torch.float64), values)
    left = owner < 0
    if "*" in given:
        values = torch.where(left, torch.as_tensor(given["*"], dtype=torch.float64), values)
    elif bool(left.any()):
        raise InputError(
            f"{int(left.sum())} of {mesh.n_cells} cells of '{mesh.name}' have no {_word(what)}; name them or give '*'"
        )
    return values


def _word(what: str) -> str:
    return "material" if what == "value" else what
