"""The rotation of a plane flow."""

from __future__ import annotations

from torch import Tensor

from graphpde.errors import InputError, ShapeError
from graphpde.mesh.space import Space
from graphpde.ops.integration import Integration
from graphpde.solve.linear import solve


def vorticity(space: Space, u: Tensor) -> Tensor:
    r"""The function of the space nearest in L2 to dv/dx - du/dy, [*, n, 1].

    Args:
        space: in the plane. u: the velocity in the first two channels [*, n, c]; what follows is not read.

    Raises:
        InputError: a space that is not in the plane. ShapeError: fewer than two channels.
    """
    if space.mesh.space_dim != 2 or space.mesh.dim != 2:
        raise InputError(f"vorticity is that of a flow in the plane, '{space.mesh.name}' is no mesh of it")
    if u.shape[-1] < 2:
        raise ShapeError(f"the state has shape {list(u.shape)}, expected two components of the velocity: [*, n, 2]")
    points = Integration(space, 2 * space.element.degree)
    turning = []
    for _, grad in points.fields(u[..., :2]):
        turning.append(((grad[..., 1, 0] - grad[..., 0, 1])[..., None], None))
    return solve(space.consistent_mass, points.integrate(turning))
