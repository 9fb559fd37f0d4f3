"""Noise: stochastic differential equations du = f(t, u) dt + g(t, u) dW beside a drift of terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.tracing import followed, following, learned_by, plain
from graphpde.errors import InputError, ShapeError
from graphpde.ops.term import Sum
from graphpde.typing import check_same, check_shape, check_spreads

CALCULI = ("ito", "stratonovich")
Level = float | Tensor | Callable[[Tensor], Tensor | float]
Factor = Callable[[Tensor, Tensor], Tensor]


class Noise(nn.Module):
    """What stands before dW.

    Attributes:
        kind: "additive": it does not depend on the state; "diagonal": every entry of the state has a Brownian motion of
            its own, with a factor that depends on that entry (and on time) only; "general": anything else.
    """

    kind: str

    def motion(self, u: Tensor) -> Tensor:
        """A tensor with one entry for each Brownian motion; default: one for each entry of the state [*, n, c]."""
        return u

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        """g(t, u) dw, [*, n, c]."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(t, u, dw)")

    def at(self, t: Tensor, u: Tensor) -> Any:
        """The factors of diagonal noise [*, n, c]: what it makes of dw = 1."""
        return self(t, u, torch.ones_like(u))

    def drift(self, t: Tensor, u: Tensor) -> Tensor | None:
        """sum_j g_ij dg_kj/du_i, of which half is the difference of both calculi; None where it is 0.

        Of diagonal noise g dg/du, by reverse mode: the gradient of the sum of all entries holds the derivative of each.

        Raises:
            InputError: it is not known for this kind of noise.
        """
        if self.kind == "additive":
            return None
        if self.kind != "diagonal":
            raise InputError(
                f"{type(self).__name__} is neither additive nor diagonal, so the drift beside it cannot be taken to "
                f"another calculus; write the equation in that of the stepper (euler_maruyama: Ito, stochastic_heun: "
                f"Stratonovich)"
            )
        keep = torch.is_grad_enabled()
        with following():
            v = followed(u)
            g = self.at(plain(t), v)
            if not g.requires_grad:
                return torch.zeros_like(u)
            keep = keep and (u.requires_grad or any(x is not v for x in learned_by([g])))
            (slope,) = torch.autograd.grad(g.sum(), v, create_graph=keep, allow_unused=True)
        if slope is None:
            return torch.zeros_like(u)
        return g * slope if keep else (g * slope).detach()

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor it reads that may need a gradient."""
        return tuple(self.parameters())


class Additive(Noise):
    """g(t): the same whatever the state is, such as sqrt(2 / beta) of Langevin dynamics.

    Args:
        level: a number, a tensor that fits the state [*, n, c], or a function of time that returns one of these.

    Raises:
        InputError: none of these.
    """

    kind = "additive"

    def __init__(self, level: Level):
        super().__init__()
        if not callable(level):
            _refuse_unless_level(level)
        self._level = level

    def at(self, t: Tensor, u: Tensor) -> Tensor | float:
        """The level at time t.

        Raises:
            ShapeError: it does not fit the state. InputError: neither number nor tensor.
        """
        level = self._level(t) if callable(self._level) else self._level
        if isinstance(level, Tensor):
            return check_spreads(level, u.shape, "the noise").to(u)
        return _refuse_unless_level(level)

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        return self.at(t, u) * dw

    def tensors(self) -> tuple[Tensor, ...]:
        own = (self._level,) if isinstance(self._level, Tensor) else ()
        return (*self.parameters(), *own)


class Diagonal(Noise):
    """g(t, u) [*, n, c], a factor for each entry that depends on that entry only, such as sigma u.

    That it does is not checked; where entries depend on others, use :class:`General`: steppers that need the derivative
    of g would take a wrong one and lose their order.

    Args:
        factor: (t, u) -> [*, n, c], a function or a module.
    """

    kind = "diagonal"

    def __init__(self, factor: Factor):
        super().__init__()
        self.factor = factor

    def at(self, t: Tensor, u: Tensor) -> Tensor:
        """The factors at (t, u).

        Raises:
            ShapeError: not one for each entry of the state. InputError: no tensor.
        """
        return check_same(self.factor(t, u), u.shape, "the noise", "that of the state: ")

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        return self.at(t, u) * dw


class General(Noise):
    """g(t, u) dW with Brownian motions of any number and place.

    Args:
        apply: (t, u, dw) -> g(t, u) dw [*, n, c], linear in dw.
        motion: u -> a tensor with one entry for each Brownian motion.

    Raises:
        ShapeError: when called, what is applied has another shape than the state.
    """

    kind = "general"

    def __init__(self, apply: Callable[[Tensor, Tensor, Tensor], Tensor], motion: Callable[[Tensor], Tensor]):
        super().__init__()
        self.apply_to, self._motion = apply, motion

    def motion(self, u: Tensor) -> Tensor:
        return self._motion(u)

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        return check_same(self.apply_to(t, u, dw), u.shape, "the noise", "that of the state: ")


class EdgeNoise(Noise):
    r"""Noise in the flows along edges: :math:`m_i du_i = \sum_e D_{ei} \sigma_e dW_e`.

    What leaves one node arrives at another, so the integral of u over the graph does not fluctuate. With diffusion of
    weights w, sigma_e = sqrt(2 w_e T) has the equilibrium in which nodes are independent with variance T / m_i, but for
    the integral.

    Args:
        graph: undirected; ``measure`` [n] counts as 1 where it is missing. sigma: a number or [E], one for each
            undirected edge.

    Raises:
        GraphError: an edge without its partner. ShapeError: sigma has neither one entry nor E.

    Reference: Landau and Lifshitz 1980, Statistical Physics 2, section 88 (fluctuating flows of conserved quantities).
    """

    kind = "additive"

    def __init__(self, graph: Graph, sigma: float | Tensor = 1.0):
        super().__init__()
        self.domain = as_graph(graph)
        self.incidence, self.sigma = self.domain.incidence, sigma
        if isinstance(sigma, Tensor) and sigma.shape not in ((), (1,), (self.incidence.n_edges,)):
            raise ShapeError(f"sigma has shape {list(sigma.shape)}, expected one number or [{self.incidence.n_edges}]")

    def motion(self, u: Tensor) -> Tensor:
        check_shape(u, "* n c", "the state", n=self.domain.n)
        return u.new_empty(*u.shape[:-2], self.incidence.n_edges, u.shape[-1])

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        sigma = self.sigma.to(dw)[..., None] if isinstance(self.sigma, Tensor) else self.sigma
        flow = self.incidence.divergence(sigma * dw)
        return flow if self.domain.measure is None else flow / self.domain.measure.to(flow)[:, None]

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.sigma,) if isinstance(self.sigma, Tensor) else ()


class SDE(nn.Module):
    """du = f(t, u) dt + g(t, u) dW, to be evolved by a stochastic stepper along a Brownian path.

    Args:
        drift: a Term, a sum of terms and conditions, or a callable (t, u) -> u'. Fixed nodes stay fixed.
        noise: :class:`Additive`, :class:`Diagonal`, ... or a number (or 0-d tensor) for additive noise.
        calculus: what the integral with dW means: "ito" or "stratonovich". Steppers of the other calculus take the
            drift over, where the noise is additive or diagonal.

    Raises:
        InputError: a drift or noise that is none, an unknown calculus.
    """

    def __init__(self, drift: Any, noise: Noise | float | Tensor, *, calculus: str = "ito"):
        super().__init__()
        if calculus not in CALCULI:
            raise InputError(f"calculus='{calculus}', expected one of: {', '.join(CALCULI)}")
        if isinstance(noise, Tensor) and noise.dim() == 0:
            noise = Additive(noise)
        if isinstance(noise, int | float) and not isinstance(noise, bool):
            noise = Additive(float(noise))
        if not isinstance(noise, Noise):
            raise InputError(
                f"noise is a {type(noise).__name__}, expected a number or such as Diagonal(lambda t, u: 0.1 * u)"
            )
        self.terms, self.noise, self.calculus = Sum.of(drift), noise, calculus

    @property
    def domain(self) -> Graph | None:
        """Where the drift lives, or None."""
        return self.terms.domain

    def tensors(self) -> tuple[Tensor, ...]:
        """Every differentiable tensor of drift and noise."""
        return (*self.terms.tensors(), *self.noise.tensors())


def _refuse_unless_level(level: Any) -> Any:
    if isinstance(level, bool) or not isinstance(level, Tensor | int | float):
        raise InputError(f"the level of the noise is {level!r}, expected a number or a tensor that fits the state")
    return level
