"""Labels that spread along the edges: no features, nothing to learn."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.normalise import normalised
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.classifier import Known
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features


def propagate_labels(
    graph: Graph,
    known: Known,
    classes: int,
    *,
    alpha: float = 0.9,
    clamped: bool = False,
    tolerance: float = 1e-8,
    most: int = 1000,
) -> Tensor:
    """Scores [n, k] of the classes from known labels, the rest state of a diffusion with the labels Y as source.

    f = (1 - a)(I - a S)^-1 Y with S = D^-1/2 W D^-1/2, found by f <- a S f + (1 - a) Y, whose error falls by a in every
    step. ``clamped``: f <- P f with P = D^-1 W and f = Y held at the known nodes, the harmonic extension of the labels;
    where no label can be reached it stays zero.

    Args:
        graph: with weights >= 0. known: labels 0 ... k - 1 under its mask. classes: k.
        alpha: a in [0, 1), how far labels spread; not looked at if ``clamped``.
        tolerance: to which the error falls; if ``clamped``, the change in a step at which it ends. most: steps, if
            ``clamped``, where the graph alone says how fast the error falls.

    Raises:
        InputError: alpha outside of [0, 1), a tolerance outside of (0, 1), labels that are no classes.
        ShapeError: not one label for each node.

    Reference: Zhou et al. 2004, section 2; Zhu et al. 2003, eq. (2) for ``clamped``.
    """
    if not 0 <= alpha < 1 or not 0 < tolerance < 1:
        raise InputError(f"got alpha = {alpha:g}, tolerance = {tolerance:g}; expected them in [0, 1) and in (0, 1)")
    target = indicators(graph.n, known, classes)
    moving = normalised(graph, "incoming" if clamped else "symmetric", dtype=target.dtype)
    f = target
    if not clamped:  # as many steps on every graph, so that a batch is a loop
        for _ in range(math.ceil(math.log(tolerance) / math.log(alpha)) if alpha else 0):
            f = torch.lerp(target, moving.edges.propagate(f, weight=moving.weight), alpha)
        return f
    for _ in range(most):
        new = torch.where(known.mask[:, None], target, moving.edges.propagate(f, weight=moving.weight))
        done = torch.allclose(new, f, rtol=0, atol=tolerance)
        f = new
        if done:
            break
    return f


def indicators(n: int, known: Known, classes: int) -> Tensor:
    """1 at the class of each known node, zero elsewhere, [n, k], float64.

    Raises:
        InputError: a label that is no class. ShapeError: not one label for each node.
    """
    mask, labels = known
    if mask.shape != (n,) or labels.shape != (n,) or mask.dtype != torch.bool:
        raise ShapeError(
            f"the known labels have mask {list(mask.shape)} ({mask.dtype}) and labels {list(labels.shape)}, expected "
            f"[{n}] of both, the mask bool"
        )
    nodes = mask.nonzero()[:, 0]
    chosen = labels[nodes]
    if bool(((chosen < 0) | (chosen >= classes)).any()):
        wrong = nodes[(chosen < 0) | (chosen >= classes)][0]
        raise InputError(
            f"the label of known node {int(wrong)} is {int(labels[wrong])}, expected 0..{classes - 1}; take it out of "
            "the mask"
        )
    out = torch.zeros(n, classes, dtype=torch.float64, device=mask.device)
    out[nodes, chosen] = 1.0
    return out


@MODELS.add("label_propagation")
class LabelPropagation(nn.Module):
    """:func:`propagate_labels` with the call of a model: scores come from the known labels alone.

    It has no parameters; the features say only which type the scores have.

    Raises:
        InputError: no known labels are given.
    """

    reads = "labels"

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        alpha: float = 0.9,
        clamped: bool = False,
        tolerance: float = 1e-8,
    ):
        super().__init__()
        if min(in_channels, hidden, classes) < 1:
            raise InputError(f"got {in_channels} features, {hidden} channels, {classes} classes; expected at least one")
        self.classes, self.alpha, self.clamped, self.tolerance = classes, alpha, clamped, tolerance

    def forward(self, graph: Any, x: Features, known: Known | None = None) -> Tensor:
        if known is None:
            raise InputError("label propagation has no labels to spread; call it with known=Known(mask, labels)")
        graph = as_graph(graph)
        if x.shape[-2] != graph.n:
            raise ShapeError(f"x has {x.shape[-2]} rows, expected one for each of {graph.n} nodes")
        scores = propagate_labels(
            graph, known, self.classes, alpha=self.alpha, clamped=self.clamped, tolerance=self.tolerance
        )
        return scores.to(x.dtype)
