"""Incompressible flow: velocity and pressure as the channels of one state, so that every stepper and condition works.

On a second-order space the velocity is quadratic and the pressure linear (Taylor and Hood 1973): its test functions are
those of the corners, and at the nodes between them it takes the mean of the corners, by rows of its own. On a
first-order space of simplices both are linear and the pressure is stabilised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.cached import cached
from graphpde.core.graph import Graph, Where
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.errors import ConditionError, InputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.second_order import MIDDLES
from graphpde.mesh.space import Space
from graphpde.ops.boundary import Dirichlet
from graphpde.ops.constraint import Constraint
from graphpde.ops.form import FORMS, Coefficient, Form, LinearForm, Local, Values, beside_gradients
from graphpde.ops.integration import Integration
from graphpde.ops.point_derivatives import Slopes
from graphpde.ops.system import System
from graphpde.ops.term import Mass, Sum
from graphpde.typing import Field

_AXES = ("x", "y", "z")


def flow_channels(dim: int) -> tuple[str, ...]:
    """Names of the channels of a flow in ``dim`` dimensions: velocity_x, ..., pressure."""
    return (*(f"velocity_{axis}" for axis in _AXES[:dim]), "pressure")


@FORMS.add("stokes")
class Stokes(LinearForm):
    r"""Slow viscous flow, rho u' = div(mu grad u) - grad p, div u = 0, with p as the last channel of the state.

    Tested with v and q: F_v = \int p div v - mu grad u : grad v, F_q = \int q div u, which is symmetric. Where nothing
    is said about the velocity the traction mu du/dn - p n is zero, so that a developed flow leaves a channel unchanged.

    P2 and Q2 give Taylor and Hood's pair, of third order in the velocity and second in the pressure. P1 adds
    \int (p - P p)(q - P q) / mu, P the mean over a cell, to F_q (Bochev, Dohrmann and Gunzburger 2006, SIAM J. Numer.
    Anal. 44): second and first order.

    Args:
        domain: a Space on cells of full dimension with P2, Q2 (or P1 on simplices).
        viscosity: mu > 0, dynamic, in mass/(length time): a number, {set: number}, one per cell or f(x).
        density: rho > 0 in mass/length^d: a number.
        symmetric: use mu (grad u + grad u^T), whose boundary term is the true traction; needed where mu varies.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: a space of other cells or elements, or a density that is not positive.
    """

    units: ClassVar = {"viscosity": "mass/(length time)", "density": "mass/volume"}
    reference = "Taylor and Hood 1973, Computers and Fluids 1; Bochev, Dohrmann and Gunzburger 2006"
    algebraic = ("pressure",)

    def __init__(
        self,
        domain: Any,
        viscosity: Coefficient = 1.0,
        density: float = 1.0,
        *,
        symmetric: bool = False,
        **options: Any,
    ):
        space = checked_space(domain)
        super().__init__(space, viscosity=viscosity, **options)
        if not 0 < float(density) < float("inf"):
            raise InputError(f"density = {density:g}, expected a positive number")
        self.density, self.transposed = float(density), symmetric
        self.channels = flow_channels(space.mesh.space_dim)
        self.symmetric = space.element.degree == 1  # else but for the rows between corners

    @property
    def constant_viscosity(self) -> float | Tensor | None:
        """mu where it is one number, else None."""
        mu = getattr(self, "viscosity", self._given["viscosity"])
        if isinstance(mu, Tensor):
            return mu.reshape(()) if mu.numel() == 1 else None
        return mu if isinstance(mu, float) else None

    @property
    def mass(self) -> Mass:
        return self._flow_mass

    @cached
    def _flow_mass(self) -> LinearOperator:
        return flow_mass(self.domain, self.density)

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        d = x.shape[-1]
        mu = p["viscosity"]
        velocity, pressure = grad[..., :d, :], u[..., d]
        strain = velocity + velocity.mT if self.transposed else velocity
        rate = velocity.diagonal(dim1=-2, dim2=-1).sum(-1)
        one = torch.eye(d, dtype=u.dtype, device=u.device)
        flux = pressure[..., None, None] * one - beside_gradients(mu) * strain
        continuity = torch.cat([torch.zeros_like(u[..., :d]), rate[..., None]], -1)
        if self.domain.element.degree > 1:
            return continuity, torch.cat([flux, torch.zeros_like(grad[..., d:, :])], -2)
        from_centre = x - x.mean(-2, keepdim=True)  # the rules on simplices have the centroid as their mean
        along = (grad[..., d, :] * from_centre).sum(-1, keepdim=True)
        inverse = 1 / mu if not isinstance(mu, Tensor) else (1 / mu).expand(*along.shape)
        return continuity, torch.cat([flux, (inverse * along * from_centre)[..., None, :]], -2)

    def _matrix(self, points: Integration, slopes: Sequence[Slopes]) -> LinearOperator:
        if self.domain.element.degree == 1:
            return points.in_blocks(points.local_matrices(slopes), symmetric=self.symmetric)
        d = len(self.channels) - 1
        local = [
            at_corners(a, between(block.kind, a), d)
            for block, a in zip(points.blocks, points.local_matrices(slopes), strict=True)
        ]
        matrix = points.in_blocks(local)
        means = corner_means(self.domain)
        at = torch.zeros(d + 1, d + 1, dtype=matrix.diag.dtype, device=matrix.diag.device)
        at[d, d] = 1
        return BlockSparse(
            matrix.relation,
            matrix.weight + means.weight[:, None, None] * at,
            matrix.diag + means.diag[:, None, None] * at,
        )


@FORMS.add("convection")
class Convection(Form):
    """What a flow carries along: - rho (u . grad) u for the velocity, nothing for the pressure.

    Added to :class:`Stokes` it gives the Navier-Stokes equations. Galerkin's method: boundary layers of a width
    mu / (rho |u|) need a few cells.

    Args:
        domain: as for :class:`Stokes`. density: rho. options: ``degree``.

    Raises:
        InputError: as for :class:`Stokes`.
    """

    units: ClassVar = {"density": "mass/volume"}
    reference = "Navier 1823; Stokes 1845"

    def __init__(self, domain: Any, density: float = 1.0, **options: Any):
        space = checked_space(domain)
        super().__init__(space, density=density, **{"degree": 3 * space.element.degree - 1, **options})
        self.channels = flow_channels(space.mesh.space_dim)

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        d = x.shape[-1]
        carried = torch.einsum("...e,...ae->...a", u[..., :d], grad[..., :d, :])
        return torch.cat([-p["density"] * carried, torch.zeros_like(u[..., d:])], -1), None


def checked_space(domain: Any) -> Space:
    """The space of a flow.

    Raises:
        InputError: no space, a surface or network, or an element whose pressure would oscillate.
    """
    if not isinstance(domain, Space):
        raise InputError(f"a flow is computed with finite elements, got {domain!r}; build a Space with P2 from a mesh")
    mesh = domain.mesh
    if mesh.dim != mesh.space_dim or mesh.dim == 1:
        raise InputError(
            f"a flow needs cells that fill a plane or space, '{mesh.name}' is {mesh.dim}-D in {mesh.space_dim}-D"
        )
    if any(CELLS[kind].corners == "pyramid" for kind in mesh.cells):
        raise InputError(f"a flow has no elements on pyramids, '{mesh.name}' has some; split them into tetrahedra")
    if domain.element.degree == 1 and any(CELLS[kind].corners not in ("triangle", "tetra") for kind in mesh.cells):
        raise InputError(
            f"a flow on first-order elements is stabilised on triangles and tetrahedra alone, '{mesh.name}' has "
            f"{', '.join(mesh.cells)}; take the second-order element: Space(mesh, 'q2')"
        )
    return domain


class Velocity(Dirichlet):
    """u = value on ``where``, the pressure free: a wall, an inlet, a moving lid.

    Args:
        where, override: as for ``Dirichlet``. value: a number (of every component), a tensor [d] or f(x [k, d], t) ->
            [k, d].
    """

    def __init__(self, where: Where, value: Field = 0.0, *, override: bool = False):
        super().__init__(where, value, override=override)

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on the channels of the velocity."""
        channels = range(checked_space(domain).mesh.space_dim)
        return Dirichlet(self.where, self.value, override=self.override, channels=channels).bind(domain)


class Pressure(Dirichlet):
    """p = value at some corners: where the velocity is given all round, at one of them, as else only grad p is known.

    On a part of the boundary that something flows through it is the traction that is known, not the pressure: give
    ``Neumann(where, value)`` there, or nothing for an outlet into the open.
    """

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on the channel of the pressure."""
        space = checked_space(domain)
        found = Dirichlet(self.where, self.value, override=self.override, channels=[space.mesh.space_dim]).bind(domain)
        between = (~corner_nodes(space)[found.nodes]).nonzero()[:, 0]
        if len(between):
            raise ConditionError(
                f"pressure on {self.place} is given at node {int(found.nodes[between[0]])} between corners, where it "
                f"is their mean; give it at corners"
            )
        return found


def flow_mass(space: Space, density: float = 1.0) -> LinearOperator:
    """The mass of the velocity, density times that of the space, and none for the pressure."""
    d = space.mesh.space_dim
    each = torch.ones(d + 1, dtype=torch.float64, device=space.device) * density
    each[d] = 0
    mass = space.mass
    if isinstance(mass, Tensor):
        return Diagonal(mass[:, None] * each.to(mass.dtype))
    weight, diag = (x[:, None] * each.to(x.dtype) for x in (mass.weight, mass.diag))
    return Sparse(mass.relation, weight, diag, symmetric=True)


def corner_nodes(space: Space) -> Tensor:
    """Unknowns at the corners of cells, where a linear pressure lives, bool [n]."""
    corner = torch.zeros(space.n, dtype=torch.bool, device=space.device)
    for block in space.blocks(0):
        corner[block.dofs[:, : CELLS[CELLS[block.kind].corners].nodes].reshape(-1).to(corner.device)] = True
    return corner


def between(kind: str, like: Tensor) -> Tensor:
    """Linear shape functions of the corners at all nodes of a complete second-order cell [k, corners]."""
    corners = CELLS[CELLS[kind].corners].nodes
    rows = [[c] for c in range(corners)] + [list(b) for b in MIDDLES.get(kind, ())]
    table = torch.zeros(len(rows), corners, dtype=like.dtype, device=like.device)
    for k, row in enumerate(rows):
        table[k, row] = 1 / len(row)
    return table


def at_corners(local: Tensor, table: Tensor, d: int) -> Tensor:
    """Local matrices [m, k, k, a, b] of a linear pressure: R^T on its rows and R on its columns, R ``table``."""
    corners = table.shape[1]
    rows = torch.zeros_like(local)
    rows[..., :d, :] = local[..., :d, :]
    rows[:, :corners, :, d, :] = torch.einsum("kc,mkjb->mcjb", table, local[..., d, :])
    out = torch.zeros_like(local)
    out[..., :d] = rows[..., :d]
    out[:, :, :corners, :, d] = torch.einsum("kc,mika->mica", table, rows[..., d])
    return out


def corner_stiffness(space: Space) -> tuple[Sparse, Tensor]:
    r"""The Laplacian of linear functions on the corners, \int grad q_i . grad q_j, and their lumped mass [n].

    Nodes between corners have rows and columns of zeros.
    """
    points, local, lumped = Integration(space, 2 * space.element.degree), [], []
    for block in points.blocks:
        table = between(block.kind, block.values)
        gradient = torch.einsum("mqkd,kc->mqcd", block.gradients.expand(-1, block.volume.shape[1], -1, -1), table)
        k, corners = table.shape
        each = torch.zeros(len(block.dofs), k, k, dtype=gradient.dtype, device=gradient.device)
        each[:, :corners, :corners] = torch.einsum("mqid,mqjd,mq->mij", gradient, gradient, block.volume)
        local.append(each)
        mass = torch.zeros(len(block.dofs), k, dtype=gradient.dtype, device=gradient.device)
        mass[:, :corners] = torch.einsum("qk,kc,mq->mc", block.values, table, block.volume)
        lumped.append(mass.reshape(-1))
    matrix = points.assembled(local, symmetric=True)
    return matrix, space.assemble_vector([x.cpu() for x in lumped])


def corner_means(space: Space) -> Sparse:
    """(own value - mean of the corners beside) times the lumped mass at nodes between corners; 0 at corners."""
    local = []
    for block in space.blocks(0):
        table = between(block.kind, block.volume)
        k, corners = table.shape
        one = torch.zeros(k, k, dtype=table.dtype)
        one[corners:, :corners] = (table[corners:] > 0).to(table.dtype)
        local.append(one.expand(len(block.dofs), -1, -1))
    relation, present = space.edges, (space.assemble_weight(local) > 0).to(space.dtype)
    count = relation.collect(present[:, None])[:, 0]
    share = torch.where(count > 0, space.measure / count.clamp(min=1), 0.0)
    _, dst = relation.pairs()
    return Sparse(relation, -present * share[dst], torch.where(count > 0, space.measure, 0.0))


def to_corners(space: Space) -> LinearOperator:
    """R^T: loads tested with quadratic functions as those tested with the linear ones of the corners, R = 1 at corners,
    the mean of the corners beside elsewhere."""
    means = corner_means(space)
    between = means.diag > 0
    _, dst = means.relation.pairs()
    share = torch.where(between, 1 / space.measure.clamp_min(torch.finfo(space.dtype).tiny), 0.0)
    return Sparse(means.relation, -means.weight * share[dst], (~between).to(means.diag)).transpose()


def level_is_free(total: Sum, space: Space) -> bool:
    """Whether the pressure of a flow is only known up to a constant: adding one moves no free velocity.

    Args:
        total: terms and conditions of a flow on ``space``.
    """
    with torch.no_grad():
        f = System(total, None, torch.zeros((), dtype=torch.float64, device=space.device))
        one = torch.zeros(space.n, space.mesh.space_dim + 1, dtype=space.dtype, device=space.device)
        one[:, -1] = 1
        if f.operator is None or (f.fixed is not None and bool(f.fixed.take(one).any())):
            return False
        push = f.operator(one)[:, :-1]
        scale = space.measure.abs().max() ** ((space.mesh.dim - 1) / space.mesh.dim)
        moved = push if f.fixed is None else f.fixed.clear(torch.nn.functional.pad(push, (0, 1)))[:, :-1]
        rounding = max(1e-9, 1e3 * torch.finfo(space.dtype).eps)
        return float(moved.abs().max()) <= rounding * float(scale)


def lowest_corner(space: Space) -> int:
    """The corner of a cell that comes first in order of y and then x (z, y, x), a place to hold the pressure at."""
    assert space.pos is not None
    corners = corner_nodes(space).nonzero()[:, 0]
    rank = space.pos[corners].double()
    for axis in range(rank.shape[1]):
        order = torch.argsort(rank[:, axis].round(decimals=12), stable=True)
        corners, rank = corners[order], rank[order]
    return int(corners[0])
