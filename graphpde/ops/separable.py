"""Positions and momenta that move each other: q' = drift(t, p), p' = kick(t, q)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add, mul
from typing import Any

import torch
from torch import Tensor

from graphpde.core.jacobian import by_reverse_mode
from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError, ShapeError
from graphpde.ops.noise import SDE, Noise
from graphpde.ops.term import Term
from graphpde.typing import Scalar, check_spreads

Half = Callable[[Tensor, Tensor], Tensor]


class Separable(Term):
    """q' = drift(t, p), p' = kick(t, q), such as q' = dT/dp, p' = -dV/dq of an energy T(p) + V(q).

    The state is [*, n, 2 d]: the d positions of every node, then its d momenta. Steppers of Hamiltonian systems
    (``leapfrog``, ``yoshida4``, ...) call the halves one at a time; every other stepper takes both together.

    Args:
        kick: (t, q [*, n, d]) -> p' [*, n, d]. drift: (t, p [*, n, d]) -> q' [*, n, d]; None: q' = p. What only pushes,
            beside another system, is a :class:`Force`.
        slow: a part of p' that changes slowly, (t, q) -> [*, n, d], which ``respa`` asks for less often; ``kick`` is
            then the rest.

    Attributes:
        constrained: whether positions are held to something, so that only ``rattle`` may move them.

    Raises:
        InputError: halves that cannot be called.
    """

    constrained = False
    _drift: Half | None = None
    _slow: Half | None = None

    def __init__(self, kick: Half, drift: Half | None = None, slow: Half | None = None):
        super().__init__()
        for name, half in (("kick", kick), ("drift", drift), ("slow", slow)):
            if half is None and name != "kick":
                continue
            if not callable(half):
                raise InputError(
                    f"{name} is a {type(half).__name__}, expected a function (t, x [*, n, d]) -> [*, n, d]"
                )
        self._kick, self._drift, self._slow = kick, drift, slow

    @property
    def splits(self) -> bool:
        """Whether a part of p' is slow."""
        return self._slow is not None

    def fast(self, t: Tensor, q: Tensor) -> Tensor:
        """p' without its slow part, [*, n, d]."""
        return self._kick(t, q)

    def slow(self, t: Tensor, q: Tensor) -> Tensor:
        """The slow part of p' [*, n, d]."""
        return torch.zeros_like(q) if self._slow is None else self._slow(t, q)

    def kick(self, t: Tensor, q: Tensor) -> Tensor:
        """p' [*, n, d] at positions q [*, n, d]."""
        return self.fast(t, q) + self.slow(t, q) if self.splits else self.fast(t, q)

    def drift(self, t: Tensor, p: Tensor) -> Tensor:
        """q' [*, n, d] at momenta p [*, n, d]."""
        return p if self._drift is None else self._drift(t, p)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        q, p = halves(u)
        return torch.cat([self.drift(t, p), self.kick(t, q)], -1)

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        """The Jacobian by reverse mode alone: energies may be differentiated by autograd themselves."""
        return by_reverse_mode(lambda v: self(t, v), u)


def summed(parts: Sequence[tuple[Scalar, Separable]]) -> Separable:
    """Several terms with their factors as one.

    Raises:
        InputError: more than one of them moves positions without having been given a drift, so that they would move
            several times as fast.
    """
    if len(parts) == 1 and isinstance(parts[0][0], float) and parts[0][0] == 1.0:
        return parts[0][1]

    def total(half: str, among: Sequence[tuple[Scalar, Separable]]) -> Half:
        return lambda t, x: reduce(add, (factor * getattr(term, half)(t, x) for factor, term in among))

    refuse_moved_twice([term for _, term in parts])
    slow = [(factor, term) for factor, term in parts if term.splits]
    whole = Separable(total("fast", parts), total("drift", parts), total("slow", slow) if slow else None)
    whole.constrained = any(term.constrained for _, term in parts)
    return whole


def refuse_moved_twice(terms: Sequence[Term]) -> None:
    """Refuse several terms each of which would move the positions by the momenta, all together too fast.

    Raises:
        InputError: names two of them.
    """
    own = [term.label for term in terms if isinstance(term, Separable) and term._drift is None]
    if len(own) > 1:
        raise InputError(
            f"{own[0]} and {own[1]} both move the positions by their momenta, expected one term that does; give what "
            f"only pushes as Force(kick)"
        )


def halves(u: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and momenta of a state [*, n, 2 d].

    Raises:
        ShapeError: an odd number of channels.
    """
    if u.dim() < 2 or u.shape[-1] % 2:
        raise ShapeError(f"the state has shape {list(u.shape)}, expected [*, n, 2 d]: d positions, then d momenta")
    d = u.shape[-1] // 2
    return u[..., :d], u[..., d:]


class Force(Separable):
    """p' = kick(t, q), q' = 0: to be added to a system that moves its positions, such as ``Particles``.

    Args:
        kick: (t, q [*, n, d]) -> p' [*, n, d]; None: all of it is slow. slow: see :class:`Separable`.

    Raises:
        InputError: neither of them.
    """

    def __init__(self, kick: Half | None = None, slow: Half | None = None):
        if kick is None and slow is None:
            raise InputError("a Force has neither kick nor slow, expected one at least")
        super().__init__(_still if kick is None else kick, _still, slow)


def _still(t: Tensor, x: Tensor) -> Tensor:
    return torch.zeros_like(x)


class Friction(Term):
    """p' = -friction p on the momenta of a state [*, n, 2 d].

    Args:
        friction: >= 0 in 1/time, a number or a tensor that fits the momenta, such as [n, 1].
    """

    def __init__(self, friction: float | Tensor):
        super().__init__()
        self.friction = _rates(friction, "friction", least=0.0)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        p = halves(u)[1]
        return torch.cat([torch.zeros_like(p), -self.of(p) * p], -1)

    def of(self, p: Tensor) -> Any:
        """The friction for momenta [*, n, d]."""
        return _fitting(self.friction, p, "friction")

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(x for x in (self.friction,) if isinstance(x, Tensor))


class Thermal(Noise):
    """sqrt(2 friction temperature mass) dW on the momenta: with the friction beside it every state of energy H comes
    up in proportion to exp(-H / temperature).

    Args:
        friction: > 0 in 1/time. temperature: >= 0 in the unit of the energy (k T). mass: > 0; each a number or a tensor
            that fits the momenta, such as [n, 1].
    """

    kind = "additive"

    def __init__(self, friction: float | Tensor, temperature: float | Tensor, mass: float | Tensor = 1.0):
        super().__init__()
        self.friction = _rates(friction, "friction", least=0.0)
        self.temperature = _rates(temperature, "temperature", least=0.0)
        self.mass = _rates(mass, "mass", least=math.ulp(0.0))

    def variance(self, p: Tensor) -> Tensor:
        """2 friction temperature mass: what the noise adds to the variance of momenta [*, n, d] in a unit of time."""
        factors = (("friction", self.friction), ("temperature", self.temperature), ("mass", self.mass))
        return 2 * reduce(mul, (torch.as_tensor(_fitting(x, p, name)).to(p) for name, x in factors))

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        p = halves(u)[1]
        return torch.cat([torch.zeros_like(p), self.variance(p).sqrt() * halves(dw)[1]], -1)

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(x for x in (self.friction, self.temperature, self.mass) if isinstance(x, Tensor))


def langevin(f: Term, *, friction: float | Tensor, temperature: float | Tensor, mass: float | Tensor = 1.0) -> SDE:
    """Langevin dynamics of a Hamiltonian system: dq = f_q dt, dp = f_p dt - friction p dt + sqrt(2 friction kT m) dW.

    Args:
        f: the system without friction, such as ``Separable``; ``mass`` is the one that its drift divides by.
        friction, temperature, mass: see :class:`Thermal`.

    Returns:
        An equation for ``evolve`` with ``baoab``, which keeps the temperature, or any stepper for additive noise.

    Raises:
        InputError: numbers that are negative or not finite.
    """
    return SDE(f + Friction(friction), Thermal(friction, temperature, mass))


def _rates(x: float | Tensor, name: str, *, least: float) -> float | Tensor:
    """A number or tensor of numbers >= least.

    Raises:
        InputError: anything else.
    """
    given = x.detach() if isinstance(x, Tensor) else x
    try:
        values = torch.as_tensor(given, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"{name} is a {type(x).__name__}, expected a number or a tensor that fits the momenta"
        ) from None
    if not bool(torch.isfinite(values).all()) or bool((values < least).any()):
        raise InputError(
            f"{name} reaches {float(values.min()):g}, expected finite numbers {'> 0' if least else '>= 0'}"
        )
    return x


def _fitting(x: float | Tensor, p: Tensor, name: str) -> Any:
    return check_spreads(x, p.shape, name).to(p) if isinstance(x, Tensor) else x
