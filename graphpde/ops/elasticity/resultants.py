"""Forces of the supports, and what forces at nodes add up to."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.graph import Graph, Where
from graphpde.ops.boundary import Exchange
from graphpde.ops.system import System
from graphpde.typing import check_shape


class Resultant(NamedTuple):
    """What forces at nodes add up to.

    Attributes:
        force: [d]. moment: about the point asked for, a number [1] in the plane, positive from x to y, or [3].
    """

    force: Tensor
    moment: Tensor


def reactions(total: Any, u: Tensor, *, t: float = 0.0, domain: Graph | None = None) -> Tensor:
    """The forces of the supports on a body at rest [n, d]: those of held entries and of springs, zero elsewhere.

    At every held entry it is what the loads and the stresses beside leave over, F(u) of the whole sum with its sign
    turned, so that loads and reactions add up to zero force and moment as well as the solution was solved for.

    Args:
        total: the term or sum with its conditions, as given to :func:`graphpde.dynamics.steady`. u: its solution
            [n, c]. t: the time of the loads. domain: when no term has one.
    """
    now = torch.tensor(t, dtype=torch.float64, device=u.device)
    f = System(total, domain, now)
    f.check_state(u)
    springs = [term.operator(u) * factor for factor, term in f.linear if isinstance(term, Exchange)]
    out = sum(springs, torch.zeros_like(u))
    return out if f.fixed is None else f.fixed.put(out, f.fixed.take(out - f(now, u)))


def resultant(
    space: Graph, forces: Tensor, where: Where | None = None, *, about: Tensor | tuple[float, ...] | None = None
) -> Resultant:
    """The sum and the moment of forces [n, d] at the nodes of ``where`` (None: all).

    Args:
        where: a named set, node numbers (or a mask) or a predicate on positions. about: a point [d]; None = the origin.
    """
    assert space.pos is not None
    d = space.pos.shape[1]
    check_shape(forces, "n d", "forces", n=space.n, d=d)
    nodes = torch.arange(space.n, device=space.device) if where is None else torch.unique(space.nodes_of(where))
    f, arm = forces[nodes], space.pos[nodes].to(forces)
    if about is not None:
        arm = arm - check_shape(torch.as_tensor(about), "d", "about", d=d).to(forces)
    turning = torch.linalg.cross(arm, f) if d == 3 else arm[:, :1] * f[:, 1:] - arm[:, 1:] * f[:, :1]
    return Resultant(f.sum(0), turning.sum(0))
