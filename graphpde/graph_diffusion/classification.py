"""Learning to classify nodes: the objective, and what of the labels a model may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.classifier import Known
from graphpde.graph_diffusion.sampling import Sampled


class NodeClassification:
    """Mean cross-entropy at the training nodes; a batch is (graph, x [n, f], y [n]), or a :class:`Sampled`.

    Args:
        train: nodes whose labels are learned from, bool [n]; unknown ones (-1) among them do not count.
        labels: of all nodes [n], for batches that are parts of their graph.
        reveal: share of the training labels that a model which reads labels is shown in a step; it learns from the
            others only, so that no node is asked for what it was told.
        smoothing: of the labels, towards uniform.

    Raises:
        InputError: a share that is none, no training node.
    """

    def __init__(self, train: Tensor, labels: Tensor | None = None, *, reveal: float = 0.5, smoothing: float = 0.0):
        if not 0 <= reveal < 1 or not 0 <= smoothing < 1:
            raise InputError(f"reveal = {reveal:g}, smoothing = {smoothing:g}, expected shares in [0, 1)")
        if train.dtype != torch.bool or train.dim() != 1 or not bool(train.any()):
            raise InputError(
                f"the training mask is {train.dtype} {list(train.shape)} with {int(train.sum())} nodes, expected truth "
                "values [n] with at least one true; of several splits take one column"
            )
        self.train, self.labels, self.reveal, self.smoothing = train, labels, reveal, smoothing

    def __call__(self, model: nn.Module, batch: Any, rng: torch.Generator | None = None) -> Mapping[str, Tensor]:
        graph, x, y, train, asked = self._parts(batch)
        if not len(asked):
            raise InputError(
                "the batch has no training node with a known label to learn from; draw batches around such nodes, as "
                "by NeighbourSampler(..., seeds=split.train.nonzero()[:, 0])"
            )
        shown = known(model, train, y)
        if getattr(model, "reads", "") == "labels":
            drawn = torch.rand(len(y), generator=rng).to(y.device) < self.reveal
            shown = Known(train & drawn, y)
            hidden = asked[~drawn[asked]]
            if len(hidden):
                asked = hidden
            else:
                shown = Known(torch.zeros_like(train), y)
        logits = model(graph, x, shown)
        loss = nn.functional.cross_entropy(logits[asked], y[asked], label_smoothing=self.smoothing)
        return {"cross_entropy": loss}

    def _parts(self, batch: Any) -> tuple[Any, Any, Tensor, Tensor, Tensor]:
        """Graph, features, labels, training mask, and the nodes that are asked for."""
        if isinstance(batch, Sampled):
            if self.labels is None:
                raise InputError(
                    "the batches are parts of a graph; give NodeClassification the labels of all its nodes"
                )
            y, train = self.labels[batch.nodes], self.train[batch.nodes] & (self.labels[batch.nodes] >= 0)
            return batch.graph, batch.x, y, train, batch.seeds[train[batch.seeds]]
        graph, x, y = batch
        if self.train.shape != y.shape:
            raise ShapeError(f"the training mask has shape {list(self.train.shape)}, expected {list(y.shape)}")
        train = self.train & (y >= 0)
        return graph, x, y, train, train.nonzero()[:, 0]


def known(model: nn.Module, train: Tensor, y: Tensor, *, labels: bool = False) -> Known | None:
    """What a model is told beside the graph, or None where it does not ask.

    Args:
        train: bool [n]. y: labels [n].
        labels: whether a model that reads labels gets those of the training nodes, as it does in use; one that asks for
            "places" only, such as GRAND++, is told where they are and nothing of their labels.
    """
    reads = getattr(model, "reads", "nothing")
    if reads == "places":
        return Known(train, torch.full_like(y, -1))
    return Known(train, y) if labels and reads == "labels" else None
