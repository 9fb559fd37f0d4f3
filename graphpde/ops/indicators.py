"""Where a finite-element solution is wrong: indicators of the error in the energy norm, one number a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from graphpde.core.graph import Where
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh.elements import P1
from graphpde.mesh.geometry import cell_measures, facet_measures, facet_normals
from graphpde.mesh.per_cell import PerCell, per_cell
from graphpde.mesh.selection import facets_where
from graphpde.mesh.space import Space
from graphpde.ops.values import evaluate
from graphpde.typing import Field


def residual_indicator(
    space: Space,
    u: Tensor,
    *,
    kappa: PerCell = 1.0,
    source: Field = 0.0,
    fixed: Where | None = "boundary",
    flux: Mapping[str, Field] | None = None,
) -> Tensor:
    r"""eta_K of -div(kappa grad u) = f, from what the solution leaves of the equation.

    eta_K^2 = h_K^2 / k_K ||f||_K^2 + 1/2 sum over inner facets h_F / k_F ||[kappa du/dn]||_F^2 + over facets that are
    not fixed h_F / k_F ||g - kappa du/dn||_F^2, h the (dim)-th root of a cell's size, k the (largest) kappa beside.
    The sum of the squares bounds the squared energy error from both sides, up to constants of the cells' shapes.

    Args:
        space: P1 on simplices. u: [n, c]; the squares of its channels are added.
        kappa: number, {set: number} or one a cell [m]. source: f, a number or a function f(x, t) at the cells' centres.
        fixed: facets with given values, which leave no residual; None where there are none.
        flux: g on named sets of facets; 0 on the rest of the boundary.

    Returns:
        [m], in the order of the cells of ``space.mesh``.

    Raises:
        InputError: another element than P1.

    Reference: Verfuerth 1996, section 1.2; weights for jumping kappa: Bernardi and Verfuerth 2000, Numer. Math. 85.
    """
    _require_linear(space)
    mesh, dim = space.mesh, space.mesh.dim
    gradient = cell_gradients(space, u)
    k = per_cell(mesh, kappa, "kappa").to(u.dtype)
    size = cell_measures(mesh)
    h = size ** (1 / dim)
    centres = torch.cat([mesh.points[nodes].mean(1) for nodes in mesh.cells.values()])
    f = evaluate(source, centres, 0.0, "source").to(u.dtype)
    square = (h**2 / k * size)[:, None] * f**2
    square = square.expand(-1, u.shape[-1]).sum(1) if f.shape[1] in (1, u.shape[-1]) else square.sum(1)

    return (square + _jumps(space, k[:, None, None] * gradient, k, h, fixed, flux or {})).sqrt()


def _jumps(space: Space, flow: Tensor, k: Tensor, h: Tensor, fixed: Where | None, flux: Mapping[str, Field]) -> Tensor:
    """The part of the facets in eta_K^2 [m]; flow [m, d, c] is kappa grad u."""
    mesh, dim, channels = space.mesh, space.mesh.dim, flow.shape[-1]
    ids = torch.arange(len(mesh.facets.nodes))
    one, other = mesh.facets.cells.unbind(1)
    normals, areas = facet_normals(mesh, ids), facet_measures(mesh, ids)
    out = (flow[one] * normals[..., None]).sum(1)  # kappa du/dn [facets, c]
    inner = other >= 0
    jump = torch.where(inner[:, None], out - (flow[other] * normals[..., None]).sum(1), -out)
    given = torch.zeros(len(ids), dtype=torch.bool)
    if fixed is not None:
        given[facets_where(mesh, fixed, mesh.boundary_facets, "the indicator")] = True
    for name, g in flux.items():
        where = facets_where(mesh, name, mesh.boundary_facets, "the indicator")
        middles = _centres(mesh.points, mesh.facets.nodes[where])
        asked = evaluate(g, middles, 0.0, "flux").to(flow.dtype).expand(-1, channels)
        jump = jump.index_put((where,), jump[where] + asked)
    jump = torch.where(given[:, None], 0.0, jump)  # values held on facets inside leave none there, either
    beside = torch.where(inner, torch.maximum(k[one], k[other]), k[one])
    across = areas ** (1 / (dim - 1)) if dim > 1 else torch.where(inner, torch.minimum(h[one], h[other]), h[one])
    square_of_facets = across / beside * areas * (jump**2).sum(1)
    owned = Relation.from_edges(torch.cat([ids, ids[inner]]), torch.cat([one, other[inner]]), len(ids), mesh.n_cells)
    shared = torch.where(inner, 0.5, 1.0) * square_of_facets
    return owned.propagate(shared[:, None])[:, 0]


def recovery_indicator(space: Space, u: Tensor) -> Tensor:
    """||G u - grad u||_K of each cell [m], G u the continuous gradient that averages those of the cells round a node.

    Args:
        space: P1 on simplices. u: [n, c].

    Raises:
        InputError: another element than P1.

    Reference: Zienkiewicz and Zhu 1987, Int. J. Numer. Methods Eng. 24.
    """
    _require_linear(space)
    gradient = cell_gradients(space, u)
    (block,) = space.blocks(2)
    size = block.volume.sum(1)
    flat, (m, k) = gradient.flatten(1), block.dofs.shape
    touched = Relation.from_edges(torch.arange(m).repeat_interleave(k), block.dofs.reshape(-1), m, space.n)
    smooth = touched.propagate(size[:, None] * flat) / touched.propagate(size[:, None])
    there = torch.einsum("qk,mkg->mqg", block.values.to(u.dtype), smooth[block.dofs])
    return (block.volume[..., None] * (there - flat[:, None]) ** 2).sum((1, 2)).sqrt()


def energy_norm(space: Space, u: Tensor, *, kappa: PerCell = 1.0) -> float:
    r"""The root of :math:`\int \kappa |\nabla u|^2` of a P1 field [n, c], summed over its channels.

    Raises:
        InputError: another element than P1.
    """
    square = (cell_gradients(space, u) ** 2).sum((1, 2))
    return float((per_cell(space.mesh, kappa, "kappa").to(u) * cell_measures(space.mesh) * square).sum().sqrt())


def energy_error(
    space: Space, u: Tensor, slope: Callable[[Tensor], Tensor], *, kappa: PerCell = 1.0, degree: int = 6
) -> float:
    r"""The root of :math:`\int \kappa |\nabla u - s|^2`, how far a P1 field [n, c] is from a solution that is known.

    Args:
        slope: s, the gradient of that solution: points [m, q, d] -> [m, q, d], or [m, q, d, c].
        degree: of the quadrature.

    Raises:
        InputError: another element than P1.
    """
    gradient = cell_gradients(space, u)
    (block,) = space.blocks(degree)
    there = slope(block.points)
    there = there[..., None] if there.dim() == block.points.dim() else there
    square = (block.volume * ((there - gradient[:, None]) ** 2).sum((-2, -1))).sum(1)
    return float((per_cell(space.mesh, kappa, "kappa").to(u) * square).sum().sqrt())


def cell_gradients(space: Space, u: Tensor) -> Tensor:
    """The gradient of a P1 field in each cell, [n, c] -> [m, d, c].

    Raises:
        InputError: another element than P1.
    """
    _require_linear(space)
    (block,) = space.blocks(1)
    return torch.einsum("mkd,mkc->mdc", block.gradients[:, 0].to(u.dtype), u[block.dofs])


def _require_linear(space: Space) -> None:
    if not isinstance(space.element, P1) or len(space.mesh.cells) != 1:
        raise InputError(f"error indicators need linear elements on cells of one kind, got {space!r}; take P1()")


def _centres(points: Tensor, nodes: Tensor) -> Tensor:
    used = (nodes >= 0).to(points.dtype)[..., None]
    return (points[nodes.clamp(min=0)] * used).sum(1) / used.sum(1)
