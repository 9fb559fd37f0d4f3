r"""SympNets: maps of positions and momenta that are symplectic by construction, on any graph.

Each layer moves one half by a gradient of the other, p + dV(q), then q + dT(p), with

    V(q) = sum_i v(q_i) + sum_edges w(q_j - q_i),      v(x) = sum_k a_k S(K_k . x + b_k),  S' = sigma

so that the product of the layers is symplectic whatever the parameters are. Edge terms see differences only and are
even, so that what one end gains the other loses and the direction of an edge does not matter.

Reference: Jin, Zhang, Zhu, Tang and Karniadakis 2020, Neural Networks 132: eqs. (3) to (7), G- and LA-SympNets.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError
from graphpde.ops.separable import halves

KINDS = ("gradient", "linear_activation")
_EVERY = 3  # layer of a "linear_activation" map is an activation; odd, so that both halves get them in turn


class Ridge(nn.Module):
    """The gradient of sum_k a_k S(K_k . x + b_k): K^T (a sigma(K x + b)), [*, d] -> [*, d].

    Args:
        d: of x. width: number of ridges k. even: without shifts, so that it is odd for an odd sigma.
    """

    def __init__(self, d: int, width: int, activation: Callable[[Tensor], Tensor], *, even: bool = False):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(width, d) / d**0.5)
        self.size = nn.Parameter(0.1 * torch.randn(width) / width**0.5)
        self.shift = None if even else nn.Parameter(torch.zeros(width))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        z = x @ self.directions.T
        z = z if self.shift is None else z + self.shift
        return (self.size * self.activation(z)) @ self.directions


class Linear(nn.Module):
    """The gradient of a quadratic form and a linear one: x A + b with a symmetric A, [*, d] -> [*, d]."""

    def __init__(self, d: int):
        super().__init__()
        self.matrix, self.shift = nn.Parameter(0.1 * torch.randn(d, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.matrix + self.matrix.T) + self.shift


class Activation(nn.Module):
    """a sigma(x), component by component: the gradient of a sum of functions of one variable."""

    def __init__(self, d: int, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.size, self.activation = nn.Parameter(0.1 * torch.randn(d)), activation

    def forward(self, x: Tensor) -> Tensor:
        return self.size * self.activation(x)


class Layer(nn.Module):
    """One half is moved by a gradient of the other: the nodes' own, and one of differences over edges."""

    def __init__(self, node: nn.Module, edge: nn.Module | None):
        super().__init__()
        self.node, self.edge = node, edge

    def forward(self, x: Tensor, edges: Incidence | None) -> Tensor:
        moved = self.node(x)
        if self.edge is None:
            return moved
        assert edges is not None
        return moved - edges.divergence(self.edge(edges.difference(x)))


class SympNet(nn.Module):
    """A symplectic map of states [*, n, 2 d] over a fixed time, the same on every graph.

    Args:
        d: positions of each node. layers: how many; they move momenta and positions in turn. width: ridges of each.
        kind: "gradient" (G-SympNet) or "linear_activation" (LA-SympNet: two linear layers before each activation,
            of which the first moves momenta, the next positions, and so on).
        on_edges: whether there are terms of differences over the edges too.
        activation: sigma; odd where ``on_edges``, as tanh is.

    Raises:
        InputError: an unknown kind, sizes that are no whole numbers >= 1, edges that nothing sees.
    """

    def __init__(
        self,
        d: int,
        *,
        layers: int = 8,
        width: int = 32,
        kind: str = "gradient",
        on_edges: bool = False,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
    ):
        super().__init__()
        sizes = whole("d", d), whole("layers", layers), whole("width", width)
        if kind not in KINDS:
            raise InputError(f"kind='{kind}', expected one of: {', '.join(KINDS)}")
        d, layers, width = sizes
        self.on_edges = on_edges
        if on_edges:
            _require_odd(activation)
        made: list[Layer] = []
        for k in range(layers):
            edge = Ridge(d, width, activation, even=True) if on_edges else None
            if kind == "gradient":
                made.append(Layer(Ridge(d, width, activation), edge))
            elif k % _EVERY == _EVERY - 1:
                made.append(Layer(Activation(d, activation), edge))
            else:
                made.append(Layer(Linear(d), edge))
        self.layers = nn.ModuleList(made)

    def forward(self, u: Tensor, edges: Incidence | None = None) -> Tensor:
        """The state after the time that was learned, [*, n, 2 d]."""
        self._require(edges)
        q, p = halves(u)
        for k, layer in enumerate(self.layers):
            if k % 2 == 0:
                p = p + layer(q, edges)
            else:
                q = q + layer(p, edges)
        return torch.cat([q, p], -1)

    def back(self, u: Tensor, edges: Incidence | None = None) -> Tensor:
        """The state that is led to u: the inverse map, in closed form."""
        self._require(edges)
        q, p = halves(u)
        for k, layer in reversed(list(enumerate(self.layers))):
            if k % 2 == 0:
                p = p - layer(q, edges)
            else:
                q = q - layer(p, edges)
        return torch.cat([q, p], -1)

    def path(self, u: Tensor, steps: int, edges: Incidence | None = None) -> Tensor:
        """The states after 0, 1, ..., ``steps`` applications [steps + 1, *, n, 2 d]."""
        states = [u]
        for _ in range(whole("steps", steps, 0)):
            states.append(self(states[-1], edges))
        return torch.stack(states)

    def _require(self, edges: Incidence | None) -> None:
        if (edges is None) == self.on_edges:
            what = (
                "no edges were given and on_edges is True"
                if self.on_edges
                else "edges were given and on_edges is False"
            )
            raise InputError(f"{what}; expected both or neither")


def _require_odd(activation: Callable[[Tensor], Tensor]) -> None:
    """Refuse functions by which the direction of an edge, which is a matter of numbering, would count.

    Raises:
        InputError: the function is not odd.
    """
    x = torch.tensor([0.3, 1.7], dtype=torch.float64)
    if not torch.allclose(activation(-x), -activation(x)):
        name = getattr(activation, "__name__", type(activation).__name__)
        raise InputError(f"activation {name} is not odd, which on_edges needs; take torch.tanh or torch.sin")
