"""What goes on inside of a classifier of nodes: energy by depth or time, and how gradients get through."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.dynamics.state import tree_map
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.acmp import Acmp
from graphpde.graph_diffusion.classification import known as told
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.grand import Grand
from graphpde.graph_diffusion.grand_plus_plus import GrandPlusPlus
from graphpde.graph_diffusion.gread import Gread
from graphpde.graph_diffusion.label_propagation import LabelPropagation, indicators
from graphpde.graph_diffusion.layered import Layered
from graphpde.graph_diffusion.pde_gcn import PdeGcn
from graphpde.graph_diffusion.rdgnn import Rdgnn
from graphpde.graph_diffusion.smoothing import Smoothing
from graphpde.nets.features import Features
from graphpde.typing import State

MOMENTS = 17
"""Times at which a model that evolves is looked at where nobody says when."""


class States(NamedTuple):
    """What stands at the nodes inside of a model.

    Attributes:
        positions: times, or numbers of layers 1, 2, ... states: [n, c] at each; logits [n, k] last where there are
            layers. unit: "time" or "layer".
    """

    positions: list[float]
    states: list[Tensor]
    unit: str


class Energies(NamedTuple):
    """How smooth the states of a model are.

    Attributes:
        positions, unit: as in :class:`States`. kind, loops: of the Laplacian, see :class:`Smoothing`.
        energy: <u, L u> / |u|^2 at each. distance: |u - limit| / |u|, the limit of each component for itself.
    """

    positions: list[float]
    unit: str
    kind: str
    loops: float
    energy: list[float]
    distance: list[float]


class GradientNorms(NamedTuple):
    """How the gradient of the loss gets back through a model.

    Attributes:
        loss: mean cross-entropy at the training nodes, without dropout.
        positions, unit: as in :class:`States`. states: |d loss / d u| at each of them.
        parameters: |d loss / d theta| of each group of parameters, in the order of the model; a layer is a group.
    """

    loss: float
    positions: list[float]
    unit: str
    states: list[float]
    parameters: dict[str, float]


def states_of(
    model: nn.Module,
    graph: Any,
    x: Features,
    times: Sequence[float] | None = None,
    *,
    layers: Sequence[int] | None = None,
    known: Known | None = None,
) -> States:
    """The states of any model of ``MODELS``, in evaluation mode and without gradients.

    Label propagation has two, at the layers 0 and 1: the labels given and what they come to.

    Args:
        times: of a model that evolves, rising; default 17 from 0 to its T. layers: numbers of those that are wanted;
            default all.
        known: labels that the model may see.

    Raises:
        InputError: times of a model with layers, layers of one that evolves, or numbers out of range.
    """
    with torch.no_grad():
        found, _ = _walk(model, graph, x, times, known)
    if layers is None:
        return States(found.positions, [_of(model, u) for u in found.states], found.unit)
    missing = [k for k in layers if k not in found.positions]
    if found.unit == "time" or missing:
        has = "a time of its own" if found.unit == "time" else f"layers 1 to {len(found.states)}"
        raise InputError(f"layers = {list(layers)} of a {type(model).__name__} with {has}; give such positions")
    chosen = [found.positions.index(k) for k in layers]
    return States([float(k) for k in layers], [_of(model, found.states[k]) for k in chosen], found.unit)


def natural_kind(model: nn.Module) -> tuple[str, float]:
    """The Laplacian whose rest states are those of the averaging in a model, and the loops it has.

    Weights D^-1/2 W D^-1/2 are at rest on D^1/2 1; attention, means of neighbours and differences on constants.
    """
    symmetric = getattr(model, "normalisation", "") == "symmetric" and not isinstance(model, Acmp | PdeGcn)
    return ("symmetric" if symmetric else "random_walk"), float(getattr(model, "loops", 1.0))


def natural_speed(model: nn.Module) -> float:
    """alpha of the diffusion -alpha L u in a model, the mean over channels where they have one each; 1 for others."""
    with torch.no_grad():
        if isinstance(model, Grand | GrandPlusPlus | Gread):
            return float(torch.sigmoid(model.alpha).mean())
        return float(model.diffusion.exp().mean()) if isinstance(model, Rdgnn) else 1.0


def energies(
    model: nn.Module,
    graph: Any,
    x: Features,
    times: Sequence[float] | None = None,
    *,
    kind: str | None = None,
    known: Known | None = None,
) -> Energies:
    """The Dirichlet energy by depth or time, and the distance to where averaging for ever would end.

    Args:
        times, known: see :func:`states_of`. kind: of :class:`Smoothing`; default :func:`natural_kind`.
    """
    found = states_of(model, graph, x, times, known=known)
    own, loops = natural_kind(model)
    smoothing = Smoothing.of(graph, kind or own, loops)
    return Energies(
        found.positions, found.unit, smoothing.kind, loops,
        [float(smoothing.energy(u)) for u in found.states], [float(smoothing.distance(u)) for u in found.states],
    )  # fmt: skip


def gradient_norms(
    model: nn.Module,
    graph: Any,
    x: Features,
    y: Tensor,
    train: Tensor,
    times: Sequence[float] | None = None,
) -> GradientNorms:
    """Norms of the gradients of the training loss at every state and of every group of parameters, without dropout.

    The gradient at a state is that of what follows: a source or attention that reads u(0) counts at the encoder, not at
    the state at time 0. A model that evolves is integrated from each of the times to the next.

    Args:
        y: labels [n]. train: bool [n]. times: of a model that evolves, those before its T, which is the last of them
            anyway; default 17.

    Raises:
        InputError: no training node of a known label, or a model without parameters. ShapeError: not one label a node.
    """
    if y.shape != train.shape or len(y) != x.shape[-2]:
        raise ShapeError(f"y has shape {list(y.shape)}, train {list(train.shape)}; expected [{x.shape[-2]}] of both")
    asked = train & (y >= 0)
    theta = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not bool(asked.any()) or not theta:
        raise InputError("gradients need a training node with a known label, and a model with parameters to learn")
    if times is not None and isinstance(model, Classifier):
        times = [*(t for t in times if t < model.time), model.time]
    with torch.enable_grad():
        found, logits = _walk(model, graph, x, times, told(model, train, y))
        loss = nn.functional.cross_entropy(logits[asked], y[asked])
        leaves = [list(_leaves(u)) for u in found.states]
        inputs = [leaf for group in leaves for leaf in group]
        gradients = iter(torch.autograd.grad(loss, [*inputs, *theta.values()], allow_unused=True))
    states = [_norm([next(gradients) for _ in group]) for group in leaves]
    groups: dict[str, list[Tensor | None]] = {}
    for name in theta:
        groups.setdefault(_group(name), []).append(next(gradients))
    return GradientNorms(
        float(loss.detach()),
        found.positions,
        found.unit,
        states,
        {name: _norm(parts) for name, parts in groups.items()},
    )


class _Walked(NamedTuple):
    positions: list[float]
    states: list[State]
    unit: str


def _walk(
    model: nn.Module, graph: Any, x: Features, times: Sequence[float] | None, known: Known | None
) -> tuple[_Walked, Tensor]:
    """Whole states on the way, each made from the one before it, and the logits."""
    with _resting(model):
        if isinstance(model, Classifier):
            return _evolved(model, graph, x, times, known)
        if times is not None:
            raise InputError(f"times of a {type(model).__name__}, which does not evolve; leave them out")
        if isinstance(model, Layered):
            if x.shape[-2] != as_graph(graph).n:
                raise ShapeError(f"x has {x.shape[-2]} rows, expected one for each of {as_graph(graph).n} nodes")
            states: list[State] = list(model.states(model.prepare(graph), x))
            assert isinstance(states[-1], Tensor)
            return _Walked([float(k) for k in range(1, len(states) + 1)], states, "layer"), states[-1]
        logits = model(graph, x, known)
        if isinstance(model, LabelPropagation) and known is not None:
            return _Walked([0.0, 1.0], [indicators(len(logits), known, model.classes), logits], "layer"), logits
        return _Walked([1.0], [logits], "layer"), logits


def _evolved(
    model: Classifier, graph: Any, x: Features, times: Sequence[float] | None, known: Known | None
) -> tuple[_Walked, Tensor]:
    if times is None:
        moments = torch.linspace(0, model.time, MOMENTS, dtype=torch.float64).tolist()
    else:
        moments = [float(t) for t in times]
    if len(moments) < 1 or moments[0] < 0 or any(b <= a for a, b in itertools.pairwise(moments)):
        raise InputError(f"times = {moments[:8]}, expected rising times >= 0")
    prepared = model.prepare(graph)
    if x.shape[-2] != prepared.n:
        raise ShapeError(f"x has {x.shape[-2]} rows, expected one for each of {prepared.n} nodes")
    u0 = model.encode(x, known)
    term = model.term(prepared, u0, known)
    # a tensor of its own: gradients at time 0 are those of what follows, not of what else reads u(0)
    state, now, states = tree_map(torch.clone, model.begin(u0)), 0.0, []
    for t in moments:
        if t > now:
            path = model.integrate(term, state, [now, t])
            state, now = tree_map(lambda part: part[-1], path.states), t
        states.append(state)
    return _Walked(moments, states, "time"), model.decode(model.end(state))


@contextmanager
def _resting(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, with gradients as they are outside."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _of(model: nn.Module, state: State) -> Tensor:
    """What is decoded of a state, which may be a part of it."""
    u = model.end(state) if isinstance(model, Classifier) else state
    assert isinstance(u, Tensor)
    return u.detach()


def _leaves(state: State) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    else:
        for part in state:
            yield from _leaves(part)


def _norm(gradients: Sequence[Tensor | None]) -> float:
    """Of all of them together; what the loss does not depend on counts nothing."""
    return float(sum(float(g.double().square().sum()) for g in gradients if g is not None) ** 0.5)


def _group(name: str) -> str:
    """The layer that a parameter belongs to: its name up to the first number, or the module it is in."""
    words = name.split(".")
    for k, word in enumerate(words):
        if word.isdigit():
            return ".".join(words[: k + 1])
    return words[0]
