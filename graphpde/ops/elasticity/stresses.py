"""What is read off stresses, and stresses at nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.errors import ShapeError
from graphpde.mesh.blocks import Block
from graphpde.ops.form import Form
from graphpde.typing import check_shape


class Principal(NamedTuple):
    """Principal stresses.

    Attributes:
        values: [*, 3], rising. directions: unit vectors as columns [*, 3, 3], in the order of the values.
    """

    values: Tensor
    directions: Tensor


def principal(stress: Tensor) -> Principal:
    """Eigenvalues and eigenvectors of stresses (or strains) [*, 3, 3].

    Their gradients are finite where the values differ.

    Raises:
        ShapeError: other shapes; likewise of all that is read off stresses.
    """
    return Principal(*torch.linalg.eigh(_checked(stress)))


def von_mises(stress: Tensor) -> Tensor:
    """sqrt(3/2 s : s) of stresses [*, 3, 3], s their deviator: [*]."""
    one = torch.eye(3, dtype=stress.dtype, device=stress.device)
    deviator = stress + hydrostatic_pressure(stress)[..., None, None] * one
    return (1.5 * deviator.square().sum((-2, -1))).sqrt()


def max_shear(stress: Tensor) -> Tensor:
    """Half of what the largest principal stress exceeds the least by, [*, 3, 3] -> [*]."""
    values = torch.linalg.eigvalsh(_checked(stress))
    return (values[..., 2] - values[..., 0]) / 2


def hydrostatic_pressure(stress: Tensor) -> Tensor:
    """Minus the mean of the normal stresses, [*, 3, 3] -> [*]; positive where the body is pressed together."""
    return -_checked(stress).diagonal(dim1=-2, dim2=-1).mean(-1)


def at_nodes(form: Form, values: Sequence[Tensor]) -> Tensor:
    """Values at the quadrature points of a form, such as stresses, at the nodes [n, ...].

    In every cell they are fitted by least squares, by a linear function where the points suffice for one (all elements
    but linear simplices), else by a constant; a node takes the mean of its cells by their volumes. So fields of that
    degree come out exactly, on the boundary as well. Where materials meet, both sides are averaged.

    Args:
        values: [m, q, ...], a tensor for each block of cells, as ``stress(u)`` gives them.

    Raises:
        ShapeError: other tensors than that.

    Reference: Hinton and Campbell 1974, Int. J. Numer. Methods Eng. 8, 461-480 (local smoothing).
    """
    space, blocks = form.domain, form.points.blocks
    expected = [[*b.volume.shape] for b in blocks]
    if [[*v.shape[:2]] for v in values] != expected:
        raise ShapeError(
            f"values at the quadrature points have shapes {[[*v.shape] for v in values]}, expected one tensor for each "
            f"block of cells that begins with {expected}"
        )
    assert space.pos is not None
    corners, weights = [], []
    for block, value in zip(blocks, values, strict=True):
        linear = space.element.degree > 1 or block.kind not in ("triangle", "tetra")
        corners.append(_fitted(block, value.flatten(2), space.pos[block.dofs], linear).flatten(0, 1))
        size = block.volume.sum(1, keepdim=True).to(value)
        weights.append(size.expand(-1, block.dofs.shape[1]).reshape(-1, 1))
    nodes = torch.cat([b.dofs.reshape(-1) for b in blocks]).cpu()
    down = Relation.from_edges(torch.arange(len(nodes)), nodes, len(nodes), space.n).to(space.device)
    weight = torch.cat(weights)
    found = down.propagate(torch.cat(corners) * weight) / down.propagate(weight)
    return found.reshape(space.n, *values[0].shape[2:])


def _fitted(block: Block, value: Tensor, x: Tensor, linear: bool) -> Tensor:
    """The fit of values [m, q, c] at places x [m, k, d] of each cell: [m, k, c]."""
    w = block.volume.to(value)
    size = w.sum(1)[:, None, None]
    mean = (w[..., None] * value).sum(1, keepdim=True) / size
    d = x.shape[-1]
    if not linear or w.shape[1] <= d:
        return mean.expand(-1, x.shape[1], -1)
    middle = (w[..., None] * block.points).sum(1, keepdim=True) / size
    arm = block.points - middle
    slope = torch.linalg.solve((arm * w[..., None]).mT @ arm, (arm * w[..., None]).mT @ value)
    return mean + (x.to(value) - middle) @ slope


def _checked(stress: Tensor) -> Tensor:
    return check_shape(stress, "* i j", "stress", i=3, j=3)
