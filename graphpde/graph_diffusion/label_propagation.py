"""Labels that spread along the edges: no features, nothing to learn."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.combined import pin
from graphpde.core.graph import Graph, unbatch
from graphpde.core.linear_operator import Sparse
from graphpde.core.normalise import normalised
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.classifier import Known
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features
from graphpde.solve.linear import LinearSolver


def propagate_labels(
    graph: Graph,
    known: Known,
    classes: int,
    *,
    alpha: float = 0.9,
    clamped: bool = False,
    tolerance: float = 1e-8,
) -> Tensor:
    """Scores [n, k] of the classes from known labels, the rest state of a diffusion with the labels Y as source.

    f = (1 - a)(I - a S)^-1 Y with S = D^-1/2 W D^-1/2, found by f <- a S f + (1 - a) Y, whose error falls by a in every
    step. ``clamped``: the harmonic extension of the labels, f = Y at the known nodes and f = P f with P = D^-1 W at the
    others, found by a linear solve; where no label can be reached it is zero.

    Args:
        graph: with weights >= 0. known: labels 0 ... k - 1 under its mask. classes: k.
        alpha: a in [0, 1), how far labels spread; not looked at if ``clamped``.
        tolerance: to which the error falls; if ``clamped``, the relative residual of an iterative solve.

    Raises:
        InputError: alpha outside of [0, 1), a tolerance outside of (0, 1), labels that are no classes.
        ShapeError: not one label for each node.

    Reference: Zhou et al. 2004, section 2; Zhu et al. 2003, eq. (2) for ``clamped``.
    """
    if not 0 <= alpha < 1 or not 0 < tolerance < 1:
        raise InputError(f"got alpha = {alpha:g}, tolerance = {tolerance:g}; expected them in [0, 1) and in (0, 1)")
    target = indicators(graph.n, known, classes)
    if clamped:
        return _harmonic(graph, known.mask, target, max(tolerance, 1e-12))
    moving = normalised(graph, "symmetric", dtype=target.dtype)
    f = target  # as many steps on every graph, so that a batch is a loop
    for _ in range(math.ceil(math.log(tolerance) / math.log(alpha)) if alpha else 0):
        f = torch.lerp(target, moving.edges.propagate(f, weight=moving.weight), alpha)
    return f


def _harmonic(graph: Graph, mask: Tensor, target: Tensor, rtol: float) -> Tensor:
    """The solution of (D - W) f = 0 at the nodes that labels reach, f = ``target`` [n, k] at all others."""
    if graph.batch is not None:  # each graph has a solve of its own, so that a batch is a loop
        sizes = graph.ptr.diff().tolist()
        parts = zip(unbatch(graph), mask.split(sizes), target.split(sizes), strict=True)
        return torch.cat([_harmonic(*part, rtol) for part in parts])
    plain = normalised(graph, "none", dtype=target.dtype)
    edges, weight = plain.edges, plain.weight
    symmetric = edges.is_symmetric and torch.equal(weight, edges.transpose().own(weight))
    held = mask | ~_reached(plain, mask)
    operator = pin(-Sparse.laplacian(edges, weight, symmetric=symmetric), held)
    source = torch.where(held[:, None], target, edges.propagate(target, weight=weight))
    # nothing is left open; naming it keeps to iterations, since networks fill the factors of a direct solve
    return LinearSolver(operator, rtol=rtol, null_space="constants" if symmetric else None)(source)


def _reached(graph: Graph, start: Tensor) -> Tensor:
    """The nodes to which edges with a weight lead from the nodes of ``start``, these included; bool [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    n, (src, dst), kept = graph.n, graph.edges.pairs(), graph.weight > 0
    first = start.nonzero()[:, 0]
    src, dst = torch.cat([src[kept], torch.full_like(first, n)]).cpu(), torch.cat([dst[kept], first]).cpu()
    table = coo_array((torch.ones(len(src)).numpy(), (src.numpy(), dst.numpy())), shape=(n + 1, n + 1)).tocsr()
    found = torch.zeros(n + 1, dtype=torch.bool)
    found[torch.from_numpy(breadth_first_order(table, n, return_predecessors=False)).long()] = True
    return found[:n].to(start.device)


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
    """f = (1 - a)(I - a S)^-1 Y, S = D^-1/2 W D^-1/2, of the known labels Y alone: :func:`propagate_labels`.

    It has no parameters and no hidden channels; the features say only which type the scores have.

    Raises:
        InputError: no known labels are given.
    """

    reads = "labels"
    learns = False

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
