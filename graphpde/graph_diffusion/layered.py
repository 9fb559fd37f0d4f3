"""Networks of layers, one after the other: what the classic models have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.normalise import normalised
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.classifier import Dropout, Known
from graphpde.nets.features import Features
from graphpde.nets.linear import Linear, glorot


class Layered(nn.Module):
    """A classifier of nodes that is a number of layers: ``model(graph, x) -> logits [n, classes]``.

    A subclass yields in :meth:`states` what stands at the nodes after each of its layers, the logits last. It holds
    parameters only, so that it runs on any graph with the same features. Labels that a model may see are not looked at.

    Args:
        in_channels: features f of a node. hidden: channels c between the layers. classes: k. layers: how many.
        dropout: of the input features, and of what enters each later layer.

    Raises:
        InputError: sizes that are not positive, dropout that is no probability.
    """

    loops: float = 1.0
    normalisation: str = "symmetric"

    def __init__(self, in_channels: int, hidden: int, classes: int, *, layers: int, dropout: Dropout):
        super().__init__()
        if min(in_channels, hidden, classes, layers) < 1:
            raise InputError(
                f"got {in_channels} features, {hidden} channels, {classes} classes, {layers} layers; expected at least "
                "one of each"
            )
        dropout = Dropout(*dropout)
        for p in dropout:
            probability(p, "dropout")
        self.in_channels, self.hidden, self.classes, self.layers = in_channels, hidden, classes, layers
        self.dropout = dropout

    def prepare(self, graph: Any) -> Graph:
        """The graph that the layers sum over, made once from the one given."""
        dtype = next(self.parameters()).dtype
        return normalised(as_graph(graph), self.normalisation, loops=self.loops, dtype=dtype)

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        """What stands at the nodes of a prepared graph after each layer, [n, c], and last the logits [n, k]."""
        raise NotImplementedError(f"{type(self).__name__} does not define states(graph, x)")

    def forward(self, graph: Any, x: Features, known: Known | None = None) -> Tensor:
        graph = self.prepare(graph)
        if x.shape[-2] != graph.n:
            raise ShapeError(f"x has {x.shape[-2]} rows, expected one for each of {graph.n} nodes")
        (logits,) = deque(self.states(graph, x), maxlen=1)
        return logits


def probability(p: float, what: str) -> float:
    """p, if it can be the probability to set something to zero.

    Raises:
        InputError: it cannot.
    """
    if not 0 <= p < 1:
        raise InputError(f"{what} = {p}, expected a probability in [0, 1)")
    return float(p)


def affine(channels: int, to: int, *, bias: bool = True) -> Linear:
    """An affine map with Glorot's weights."""
    layer = Linear(channels, to, bias=bias)
    glorot(layer)
    return layer
