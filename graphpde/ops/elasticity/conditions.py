"""Loads on the sides of a body and what holds it.

Beside ``Elasticity(kind="axisymmetric")`` all of them, as well as Source, Neumann and Robin, are integrated with the
radius: they are given per area (volume) of the turned body, and forces are per radian.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph, Where
from graphpde.errors import ConditionError
from graphpde.mesh.area_vectors import unit_normals
from graphpde.mesh.space import Space
from graphpde.ops.boundary import Exchange, Neumann, Placed, Robin
from graphpde.ops.constraint import Constraint
from graphpde.ops.elasticity.linear import checked_space
from graphpde.ops.source import Load
from graphpde.ops.term import Condition
from graphpde.ops.values import evaluate, require_finite
from graphpde.typing import Field


class PressureLoad(Neumann):
    """The traction -p n on ``where``, n outwards: a pressure of the undeformed body.

    Fields beside the displacements, a temperature or the pressure of water, it leaves alone.

    Args:
        where: a named set of facets, facet numbers or a predicate.
        pressure: force per area, a number or f(x [k, d], t) -> [k]; positive presses.
    """

    def __init__(self, where: Where, pressure: Field):
        super().__init__(where, pressure)

    def bind(self, domain: Graph) -> Load:
        """The load on a space.

        Raises:
            ConditionError: facets between two cells, or more than one number a point. InputError: not a body.
        """
        super().bind(domain)  # refuses what no flux can be given on
        space, what = checked_space(domain), f"pressure on {self.place}"
        ids, degree = _outer_facets(space, self.where, what), 2 * space.element.degree
        points = torch.cat([b.points.flatten(0, 1) for b in space.facets(ids, degree)])
        width = evaluate(self.inflow, points, 0.0, what).shape[1]
        if width != 1:
            raise ConditionError(f"{what} has {width} components, expected one number a point; Neumann takes tractions")
        normals = torch.cat([n.flatten(0, 1) for n in unit_normals(space, ids, degree)]).to(space.device, space.dtype)
        return Load(space, self.inflow, where=self.where, what=what, times=-normals, partial=True)


class PointLoad(Condition):
    """A total force, shared evenly by the nodes of ``where``: what other programs know as loads of nodes.

    Stresses beside a single node grow with every finer mesh; forces of the supports do not.

    Args:
        where: a named set, node numbers or a predicate. force: [d], or f(t) -> [d]; about an axis per radian.

    Raises:
        ConditionError: not d finite components. InputError: not a body.
    """

    def __init__(self, where: Where, force: Any):
        self.where, self.force, self.place = where, force, Placed(where).place

    def bind(self, domain: Graph) -> Load:
        """The load on a space."""
        space, what = checked_space(domain), f"force on {self.place}"
        nodes = torch.unique(space.nodes_of(self.where))
        d = space.mesh.space_dim

        def vector(t: Tensor) -> Tensor:
            given = self.force(t) if callable(self.force) else self.force
            force = require_finite(torch.as_tensor(given, dtype=space.dtype, device=space.device), what)
            if force.shape != (d,):
                raise ConditionError(
                    f"{what} has shape {list(force.shape)}, expected [{d}]: one component for each axis"
                )
            return force.new_zeros(space.n, d).index_copy(0, nodes, (force / len(nodes)).expand(len(nodes), d))

        vector(torch.zeros((), dtype=torch.float64, device=space.device))
        f = (lambda x, t: 0.0) if callable(self.force) else 0.0  # says whether it changes in time
        return Load(space, f, vector=vector, what=what, partial=True)


class Symmetry(Condition):
    """No displacement through a plane: what a plane of symmetry, a roller or a bearing without friction does.

    Args:
        where: facets of planes across one axis: a named set, facet numbers or a predicate.
    """

    def __init__(self, where: Where):
        self.where, self.place = where, Placed(where).place

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on one component of the displacement.

        Raises:
            ConditionError: the facets are not all across one axis. InputError: not a body.
        """
        space, what = checked_space(domain), f"symmetry on {self.place}"
        ids = _outer_facets(space, self.where, what)
        normals = torch.cat([n.detach().flatten(0, 1) for n in unit_normals(space, ids, 2 * space.element.degree)])
        along = normals.abs()
        axis = int(along[0].argmax())
        off = (along[:, axis] - 1).abs()
        if float(off.max()) > 1e-6:
            n = [round(v, 4) + 0.0 for v in normals[int(off.argmax())].tolist()]
            raise ConditionError(
                f"{what} meets a facet with the normal {n}, expected planes across the {'xyz'[axis]}-axis alone; name "
                f"each plane by a set of its own, and turn the mesh so that they lie across the axes"
            )
        nodes = torch.unique(torch.cat([b.dofs.reshape(-1) for b in space.facets(ids)])).to(space.device)
        zero = torch.zeros(len(nodes), 1, dtype=space.dtype, device=space.device)
        assert space.pos is not None
        places = space.pos[nodes]
        return Constraint(
            nodes, lambda t: zero, f"Symmetry on {self.place}", constant=True, places=places, channels=(axis,)
        )


class ElasticSupport(Robin):
    """Springs on ``where`` that pull back with -k u: a Winkler foundation, a soft mount. Displacements alone feel them.

    Args:
        where: a named set of facets, facet numbers or a predicate.
        stiffness: k >= 0, force per area and displacement: a number for all directions, a tensor [d] with one for each
            axis, or f(x, t) -> [k] or [k, d], constant in time.

    Raises:
        ConditionError: a stiffness below zero.
    """

    def __init__(self, where: Where, stiffness: Field):
        super().__init__(where, stiffness)
        if not callable(stiffness):
            least = float(torch.as_tensor(stiffness).detach().min())
            if not 0 <= least < float("inf"):
                raise ConditionError(
                    f"the stiffness of the elastic support on {self.place} is {least:g}, expected numbers >= 0"
                )

    def bind(self, domain: Graph) -> Exchange:
        """The term on a space.

        Raises:
            ConditionError: not one stiffness, or one for each direction. InputError: not a body.
        """
        space, what = checked_space(domain), f"elastic support on {self.place}"
        d = space.mesh.space_dim
        if isinstance(self.a, Tensor) and self.a.numel() not in (1, d):
            raise ConditionError(f"{what} has {self.a.numel()} stiffnesses, expected one, or one for each axis: {d}")
        _outer_facets(space, self.where, what)
        return Exchange(space, self.a, Neumann(self.where, 0.0).bind(space), self.where, what, first=d)


def _outer_facets(space: Space, where: Where, what: str) -> Tensor:
    """Facets of the boundary [k]; those between two cells have no outside."""
    ids = space.facet_ids(where).cpu()
    inner = space.mesh.facets.cells[ids, 1] >= 0
    if bool(inner.any()):
        raise ConditionError(
            f"{what} acts on {int(inner.sum())} facets between two cells, which have no outside; "
            f"name facets of the boundary"
        )
    return ids
