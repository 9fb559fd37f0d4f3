"""GRAND++: diffusion fed at the nodes whose labels are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import ShapeError
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.coupling import Attention, Coupling
from graphpde.graph_diffusion.models import MODELS
from graphpde.ops.term import Term
from graphpde.ops.weighted_diffusion import HeldRate, WeightedDiffusion

_ATTENTION = Attention()


@MODELS.add("grand++")
class GrandPlusPlus(Classifier):
    r"""u_i' = alpha ((A - I) u)_i + beta \sum_{j known} delta_ij (u_j(0) - m), m the mean of u(0) over the known nodes.

    The source is switched on where ``known.mask`` is true, so that the limit for long times is no constant and few
    labels suffice; the labels themselves are not read, and without ``known`` there is no source. With several graphs in
    a batch each has its own mean. alpha = sigmoid(a), a = 0 at the start; beta, 1 at the start, is learned too, the
    paper has 1.

    Args:
        attention: A, see :class:`~graphpde.graph_diffusion.coupling.Attention`; None = D^-1/2 (A + I) D^-1/2.

    Raises:
        ShapeError: a mask that is not bool [n].

    Reference: Thorpe et al. 2022, "GRAND++: Graph Neural Diffusion with a Source Term".
    """

    reads = "places"

    def __init__(
        self, in_channels: int, hidden: int, classes: int, *, attention: Attention | None = _ATTENTION, **evolution: Any
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        self.coupling = Coupling(hidden, attention)
        self.normalisation = self.coupling.normalisation
        self.alpha, self.beta = nn.Parameter(torch.zeros(())), nn.Parameter(torch.ones(()))

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        speed = torch.sigmoid(self.alpha)
        source = None if known is None else self.beta * departure(graph, u0, known.mask)

        def build(weight: Tensor) -> Term:
            diffusion = WeightedDiffusion(graph, weight, decay=1.0, speed=speed)
            return diffusion if source is None else diffusion + HeldRate(source)

        return self.coupling.term(graph, u0, build, (speed, source))


def departure(graph: Graph, u: Tensor, mask: Tensor) -> Tensor:
    """u minus its mean over the nodes under the mask [n], of each graph of a batch; 0 at the other nodes.

    Raises:
        ShapeError: a mask that is not bool [n].
    """
    if mask.dtype != torch.bool or tuple(mask.shape) != (graph.n,):
        raise ShapeError(
            f"known.mask is {mask.dtype} {list(mask.shape)}, expected one truth value a node: [{graph.n}]; "
            "take one column of several splits"
        )
    nodes = mask.nonzero()[:, 0]
    if graph.batch is None:
        group, graphs = torch.zeros_like(nodes), 1
    else:
        group, graphs = graph.batch[nodes], len(graph.ptr) - 1
    members = Relation.from_edges(nodes, group, graph.n, graphs)
    mean = members.transpose().propagate(members.propagate(u, reduce="mean"))  # one edge at most ends in a node
    return torch.where(mask[:, None], u - mean, torch.zeros_like(u))
