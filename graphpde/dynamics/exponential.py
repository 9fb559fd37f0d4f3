"""Exponential integrators: the linear part exactly, the rest by quadrature in time."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator, as_matrix
from graphpde.dynamics.stepper import STEPPERS, Carry, Estimate, Step, require_tensor
from graphpde.errors import InputError
from graphpde.ops.bound import spectral_bound
from graphpde.ops.system import System, mass_operator
from graphpde.ops.term import divide_by_mass
from graphpde.registry import unknown
from graphpde.solve.linear import LinearSolver
from graphpde.solve.phi import chebyshev, phi
from graphpde.typing import Scalar, State

_Advanced = tuple[Tensor, Estimate | None, int]
"""New state, error estimate, evaluations of F."""


class _Kept(NamedTuple):
    """The solver of a consistent mass, kept for the run."""

    mass: LinearSolver | None


class Generator:
    """A = M^-1 L at the free nodes: fixed nodes neither act nor move.

    With a lumped mass and a symmetric L it is taken in the variables sqrt(m) u, where it is symmetric.
    """

    def __init__(self, f: System, operator: LinearOperator | None, kept: _Kept, method: str, rtol: float):
        self.f, self.rtol, self.method = f, rtol, method
        self.operator = None if operator is None else as_matrix(operator)
        self.mass = kept.mass
        self.symmetric = self.operator is not None and self.operator.symmetric and kept.mass is None

    def __call__(self, x: Tensor) -> Tensor:
        """A x."""
        if self.operator is None:
            return x * 0
        y = self.clear(self.operator.matvec(self.clear(x)))
        return divide_by_mass(self.f.mass, y) if self.mass is None else self.clear(self.mass(y))

    def transposed(self, x: Tensor) -> Tensor:
        """A^T x."""
        if self.operator is None:
            return x * 0
        x = self.clear(x)
        y = divide_by_mass(self.f.mass, x) if self.mass is None else self.clear(self.mass(x))
        return self.clear(self.operator.transpose().matvec(y))

    def clear(self, x: Tensor) -> Tensor:
        return x if self.f.fixed is None else self.f.fixed.clear(x)

    def phi(self, k: int, h: Scalar, v: Tensor) -> Tensor:
        """phi_k(h A) v."""
        if self.operator is None:
            return v / math.factorial(k)
        if self.method == "chebyshev":
            return chebyshev(k, lambda x: h * self(x), v, self._bound() * float(h), rtol=self.rtol)
        root = self._root(v) if self.symmetric else None
        if root is None:
            return phi(k, lambda x: h * self(x), lambda x: h * self.transposed(x), v, rtol=self.rtol)

        def apply(x: Tensor) -> Tensor:
            return h * (root * self(x / root))

        return phi(k, apply, apply, root * v, symmetric=True, rtol=self.rtol) / root

    def _root(self, like: Tensor) -> Tensor:
        mass = self.f.mass
        return like.new_ones(1, 1) if mass is None else mass.to(like.dtype).sqrt()[:, None]  # type: ignore[union-attr]

    def _bound(self) -> float:
        bound = None
        if self.symmetric and self.operator is not None:
            bound = spectral_bound(self.operator, self.f.mass)
        if bound is None:
            raise InputError(
                f"method='chebyshev' needs a symmetric operator with a known spectral bound and a lumped mass, "
                f"got {self.f.label}; use method='krylov'"
            )
        return bound


class Exponential:
    """u' = A u + G(t, u) with A = M^-1 L at the free nodes, exactly in A.

    Dirichlet nodes are given: their values enter G through L and the mass, and moving ones may cost order (of
    ``etdrk4`` about 2 of its 4 remain in the stiff limit; Hochbruck and Ostermann 2005).

    Args:
        method: "krylov", or "chebyshev" for symmetric operators with lumped mass. rtol: of each matrix function,
            relative to the vector it acts on.

    Raises:
        UnknownName: another method.
    """

    implicit, symplectic, stiff, accepts = False, "no", "linear", "any"
    name: str
    order: float
    error_power: float | None = None

    def __init__(self, *, method: str = "krylov", rtol: float = 1e-10):
        if method not in ("krylov", "chebyshev"):
            raise unknown("method for matrix functions", method, ("krylov", "chebyshev"))
        self.method, self.rtol = method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        if f.mass is None or isinstance(f.mass, Tensor):
            return _Kept(None)
        return _Kept(LinearSolver(f.pin(mass_operator(f.mass, u)), rtol=1e-12))

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        kept = self.init(f, t, u) if carry is None else carry
        rate = f.rate(t, u)
        # a Jacobian taken by reverse mode would tie the state to itself where nobody asks for gradients
        learned = rate.requires_grad or (isinstance(dt, Tensor) and dt.requires_grad)
        with torch.set_grad_enabled(learned and torch.is_grad_enabled()):
            a = Generator(f, self._operator(f, t, u), kept, self.method, self.rtol)
            new, error, evaluations = self._advance(f, t, dt, u, a.clear(rate), a)
        return Step(new, error, kept, {"evaluations": evaluations})

    def _operator(self, f: System, t: Tensor, u: Tensor) -> LinearOperator | None:
        return f.operator

    def _advance(self, f: System, t: Tensor, dt: Scalar, u: Tensor, rate: Tensor, a: Generator) -> _Advanced:
        raise NotImplementedError(f"{type(self).__name__} does not define a step")

    def real_extent(self) -> float:
        return float("inf")


def _rate(f: System, t: Tensor, u: Tensor, a: Generator) -> Tensor:
    return a.clear(f.rate(t, u))


def _change(f: System, t: Tensor, v: Tensor, u: Tensor, rate: Tensor, a: Generator) -> Tensor:
    """G(t, v) - G(t_n, u), ``rate`` being u' at the start."""
    return _rate(f, t, v, a) - rate - a(v - u)


@STEPPERS.add("etd1")
class ExponentialEuler(Exponential):
    """u + dt phi_1(dt A) u': order 1, exact for linear equations that do not depend on time.

    Reference: Cox and Matthews 2002, eq. (4).
    """

    name, order = "etd1", 1.0

    def _advance(self, f: System, t: Tensor, dt: Scalar, u: Tensor, rate: Tensor, a: Generator) -> _Advanced:
        return f.reset(t + dt, u + dt * a.phi(1, dt, rate)), None, 1


@STEPPERS.add("etd2rk")
class Etd2Rk(Exponential):
    """An exponential Euler step, corrected by dt phi_2(dt A) of the change in G: order 2.

    Reference: Cox and Matthews 2002, eq. (22).
    """

    name, order = "etd2rk", 2.0
    error_power: float | None = 2.0

    def _advance(self, f: System, t: Tensor, dt: Scalar, u: Tensor, rate: Tensor, a: Generator) -> _Advanced:
        first = f.reset(t + dt, u + dt * a.phi(1, dt, rate))
        correction = dt * a.phi(2, dt, _change(f, t + dt, first, u, rate, a))
        return first + correction, lambda: correction, 2


@STEPPERS.add("etdrk4")
class Etdrk4(Exponential):
    """Four stages: order 4; stages of Krogstad, which hold up better under stiffness than the first ones published.

    Reference: Cox and Matthews 2002, eq. (29); Krogstad 2005, J. Comput. Phys. 203, eq. (51).
    """

    name, order = "etdrk4", 4.0

    def _advance(self, f: System, t: Tensor, dt: Scalar, u: Tensor, rate: Tensor, a: Generator) -> _Advanced:
        middle, end, half = t + 0.5 * dt, t + dt, 0.5 * dt
        start = u + half * a.phi(1, half, rate)
        one = _change(f, middle, f.reset(middle, start), u, rate, a)
        two = _change(f, middle, f.reset(middle, start + dt * a.phi(2, half, one)), u, rate, a)
        whole = u + dt * a.phi(1, dt, rate)
        three = _change(f, end, f.reset(end, whole + 2 * dt * a.phi(2, dt, two)), u, rate, a)
        both = one + two
        new = whole + dt * a.phi(2, dt, 2 * both - three) + dt * a.phi(3, dt, 4 * (three - both))
        return f.reset(end, new), None, 4


@STEPPERS.add("exp_rosenbrock")
class ExponentialRosenbrock(Exponential):
    """Exponential Rosenbrock-Euler: u + dt phi_1(dt J) u' with the Jacobian J of the whole right-hand side. Order 2.

    What depends on time alone enters as dt phi_2(dt J) (F(t + dt, u) - F(t, u)).

    Reference: Hochbruck, Ostermann and Schweitzer 2009, SIAM J. Numer. Anal. 47, eq. (2.16).
    """

    name, order, stiff = "exp_rosenbrock", 2.0, "all"

    def _operator(self, f: System, t: Tensor, u: Tensor) -> LinearOperator | None:
        return f.linearise(t, u)

    def _advance(self, f: System, t: Tensor, dt: Scalar, u: Tensor, rate: Tensor, a: Generator) -> _Advanced:
        later = _rate(f, t + dt, f.reset(t + dt, u), a) - rate
        new = u + dt * a.phi(1, dt, rate) + dt * a.phi(2, dt, later)
        return f.reset(t + dt, new), None, 2
