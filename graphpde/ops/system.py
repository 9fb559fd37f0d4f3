"""A sum of terms made ready for a run: conditions bound, linear parts merged into one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch

from graphpde.core.cached import cached
from graphpde.core.combined import Scaled, pin
from graphpde.core.graph import Graph
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.errors import ConditionError, InputError, ShapeError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.bound import spectral_bound
from graphpde.ops.boundary import Exchange, Placed, refuse_without_effect
from graphpde.ops.constraint import Constraint, Fixed
from graphpde.ops.finite_volume_conditions import split, through_facets
from graphpde.ops.form import Form
from graphpde.ops.noise import SDE, Noise
from graphpde.ops.separable import refuse_moved_twice
from graphpde.ops.source import Load
from graphpde.ops.term import Free, LinearTerm, Mass, Sum, Term, common_mass, divide_by_mass, times_mass
from graphpde.solve.linear import LinearSolver
from graphpde.typing import Scalar


class System:
    """M u' = L u + b(t) + N(t, u) with some nodes fixed: what steppers and steady solvers work on.

    A value for one run: it holds the merged operator, so it is built anew whenever parameters may have changed.

    Args:
        f: a Term, a sum of terms and conditions, a callable (t, u) -> u', or an SDE.
        domain: where the state lives when no term says so.
        t: start, for checking conditions. brownian: the path that drives the noise.

    Attributes:
        operator: L or None. fixed: the Dirichlet nodes or None. mass: lumped [n], operator or None = identity.
        controlled: how many leaves of the state have a say in the length of a step; None = all of them.
        frozen: whether it holds what depends on the state as it was at the start of one step, and serves for that only.
        noise, calculus: what stands before dW, or None, and what the integral means.

    Raises:
        ConditionError: conditions without a domain, clashing ones, or a flux where only values are held. UnknownName: a
            set the domain does not have.
    """

    def __init__(self, f: Any, domain: Graph | None, t: Tensor, *, brownian: Any = None):
        self.noise: Noise | None = None
        self.calculus, self.brownian = "ito", brownian
        if isinstance(f, SDE):
            self.noise, self.calculus, f = f.noise, f.calculus, f.terms
        total = Sum.of(f)
        self.controlled: int | None = getattr(f, "controlled", None)
        self.frozen = False
        own = total.domain
        self.domain = domain if own is None else own
        parts = [(factor, piece) for factor, term in total.parts for piece in term.pieces()]
        constraints: list[Constraint] = []
        at_nodes, at_facets = split(total.conditions, self.domain)
        if at_facets and isinstance(self.domain, CellSpace):
            parts = through_facets(parts, at_facets, self.domain, t)
        elif self.domain is not None:
            refuse_without_effect([c for c in at_nodes if isinstance(c, Placed)], self.domain)
        for condition in at_nodes:
            if self.domain is None:
                raise ConditionError(
                    f"the condition on {condition.place} needs a domain; add a term that has one or pass domain="
                )
            bound = condition.bind(self.domain)
            if isinstance(bound, Constraint):
                bound.check(t)
                constraints.append(bound)
            else:
                parts.append((1.0, bound))
        named = [len(term.channels) for _, term in parts if isinstance(term, Form) and term.channels]
        parts = [(factor, term.within(named[0])) for factor, term in parts] if named else parts
        if any(term.axisymmetric for _, term in parts):
            parts = [(factor, term.about_axis()) for factor, term in parts]
        for _, term in parts:
            if isinstance(term, Load | Exchange):
                term.check(t)
        refuse_moved_twice([term for _, term in parts])
        _refuse_other_tests([term for _, term in parts])
        self.linear = [(factor, term) for factor, term in parts if isinstance(term, LinearTerm)]
        self.rates = [(c, term) for c, term in parts if not isinstance(term, LinearTerm) and term.domain is None]
        self.weak = [(c, term) for c, term in parts if not isinstance(term, LinearTerm) and term.domain is not None]
        self.mass: Mass = common_mass([term for _, term in parts])
        self._operators = [term.operator for _, term in self.linear]  # asked for once: some are assembled each time
        found = zip(self.linear, self._operators, strict=True)
        self.operator = _total([_times(factor, each) for (factor, _), each in found if each is not None])
        self.fixed: Fixed | None = None
        if constraints and self.domain is not None:
            self.fixed = Fixed(constraints, self.domain.n, t, self._width)
            self.weak = [(factor, term.with_fixed(self.fixed.whole)) for factor, term in self.weak]

    @property
    def nonlinear(self) -> bool:
        """Whether there is anything beyond L u + b(t)."""
        return bool(self.rates or self.weak)

    @property
    def nodewise(self) -> bool:
        """Whether no term that says what it does ties nodes together; of plain functions nothing is known."""
        known = self.operator is None or isinstance(self.operator, Diagonal | BlockDiagonal)
        alone = known and all(term.pointwise for _, term in self.weak)
        return alone and not isinstance(self.mass, LinearOperator)

    @cached
    def autonomous_map(self) -> LinearOperator | None:
        """A of u' = A u + b where that is all there is, with an identity as mass, nothing held, and b constant."""
        plain = self.mass is None and self.fixed is None and not self.nonlinear
        return self.operator if plain and all(term.autonomous for _, term in self.linear) else None

    @property
    def algebraic(self) -> tuple[str, ...]:
        """Names of what has no time derivative, such as the pressure of a flow."""
        return tuple(dict.fromkeys(name for _, term in self._parts() for name in term.algebraic))

    @property
    def label(self) -> str:
        """The terms, for messages."""
        return " + ".join(term.label for _, term in self._parts()) or "nothing"

    @property
    def _width(self) -> int | None:
        """How many channels the state has, where a term says so."""
        named = [len(term.channels) for _, term in self._parts() if isinstance(term, Form) and term.channels]
        coupled = [self.operator.channels] if self.operator is not None and self.operator.channels > 1 else []
        return next(iter((*named, *coupled)), None)

    def _parts(self) -> list[tuple[Scalar, Term]]:
        return [*self.linear, *self.rates, *self.weak]

    def check_state(self, u: Any) -> None:
        """Refuse a state without one row per node, on another device, or with other channels than the operator.

        Raises:
            ShapeError: [*, n, c] with another n or c. InputError: another device.
        """
        on = self.domain
        if on is None or not isinstance(u, Tensor):
            return
        if u.dim() < 2 or u.shape[-2] != on.n:
            raise ShapeError(
                f"the state has shape {list(u.shape)}, expected [*, {on.n}, c]: one row per node of {on!r}"
            )
        if u.device != on.device:
            raise InputError(f"the state is on {u.device} and {on!r} on {on.device}; move one of them with .to(device)")
        channels = 1 if self.operator is None else self.operator.channels
        if channels not in (1, u.shape[-1]):
            raise ShapeError(f"the coefficients have {channels} channels, the state has {u.shape[-1]}")

    # the parts of the right-hand side

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        """The sum of the loads b(t) [n, c], or None."""
        loads = [(factor, term.load(t, like)) for factor, term in self.linear]
        total = _total([_times(factor, b) for factor, b in loads if b is not None])
        tests = next((term.last_tests for _, term in self.linear if term.last_tests is not None), None)
        if total is None or tests is None:
            return total
        return torch.cat([total[..., :-1], tests(total[..., -1:])], -1)

    def rest(self, t: Tensor, u: Tensor) -> Tensor | None:
        """The nonlinear part N(t, u) of the weak form, or None."""
        weak = [_times(factor, term(t, u)) for factor, term in self.weak]
        if self.rates:
            weak.append(times_mass(self.mass, self._rates(t, u)))
        return _total(weak)

    def _rates(self, t: Tensor, u: Tensor) -> Tensor:
        return _total([_times(factor, term(t, u)) for factor, term in self.rates])

    def __call__(self, t: Tensor, u: Tensor) -> Tensor:
        """The weak form F(t, u), Dirichlet nodes included as if free."""
        linear = None if self.operator is None else self.operator(u)
        parts = [p for p in (linear, self.load(t, u), self.rest(t, u)) if p is not None]
        return _total(parts) if parts else torch.zeros_like(u)

    def rate(self, t: Tensor, u: Any) -> Any:
        """u' = M^-1 F, with the rates of the Dirichlet values at the fixed nodes."""
        if isinstance(self.mass, LinearOperator) and (self.linear or self.weak):
            return self._rate_by_solving(self.mass, self(t, u), t)
        weak = [b for b in [self.load(t, u)] if b is not None]
        weak += [_times(factor, term(t, u)) for factor, term in self.weak]
        parts = [divide_by_mass(self.mass, _total(weak))] if weak else []
        parts += [self._rates(t, u)] if self.rates else []  # spared the mass and its inverse
        r = _total(parts)
        if self.operator is not None:
            r = self._linear_rate(u, r)
        elif r is None:
            r = torch.zeros_like(u)
        return r if self.fixed is None else self.fixed.put(r, self.fixed.rate(t, u))

    def _linear_rate(self, u: Tensor, rest: Tensor | None) -> Tensor:
        """M^-1 L u + rest for a lumped mass; factors of the channels and the mass are one for each number of the state.

        Torch multiplies [n, c] by [n, 1] or [c] several times slower than by [n, c].
        """
        whole = self.operator
        assert whole is not None
        base, factor = (whole.base, whole.factor) if isinstance(whole, Scaled) and not whole.before else (whole, None)
        if self.mass is None and factor is None:
            return base(u) if rest is None else base(u) + rest
        assert self.mass is None or isinstance(self.mass, Tensor)
        given = [x for x in (self.mass, factor) if isinstance(x, Tensor)]
        if any(x.requires_grad for x in given) or _functorch.maybe_current_level() is not None:
            r = divide_by_mass(self.mass, whole(u))
            return r if rest is None else r + rest
        key = (u.shape[-1], u.dtype)
        if key not in self._factors:
            with torch.inference_mode(False):  # what is kept must serve calls with gradients as well
                ones = torch.ones(base.n, u.shape[-1], dtype=u.dtype, device=u.device)
                one = ones if factor is None else ones * (factor.to(u.dtype) if isinstance(factor, Tensor) else factor)
                self._factors[key] = divide_by_mass(self.mass, one)
        if rest is None:
            return base(u) * self._factors[key]
        return torch.addcmul(rest, base(u), self._factors[key])  # one pass over memory

    @cached
    def _factors(self) -> dict[Any, Tensor]:
        return {}

    def _rate_by_solving(self, mass: LinearOperator, f: Tensor, t: Tensor) -> Tensor:
        """M^-1 f; fixed nodes move as they are told and drag their neighbours along through the mass."""
        still = self.massless
        if self.fixed is None:
            return self._mass_solver(f if still is None else f.masked_fill(still, 0.0))
        values = self.fixed.rate(t, f)
        f = self.fixed.lift(mass, f, values)
        return self.fixed.put(self._mass_solver(f if still is None else f.masked_fill(still, 0.0)), values)

    @cached
    def _mass_solver(self) -> LinearSolver:
        assert isinstance(self.mass, LinearOperator)
        still = self.massless
        return LinearSolver(self.pin(self.mass if still is None else pin(self.mass, still)), rtol=1e-12)

    @cached
    def massless(self) -> Tensor | None:
        """Entries without a time derivative, such as pressures, bool [n, c]; they have no rate, it is given as 0."""
        if not self.algebraic or not isinstance(self.mass, LinearOperator):
            return None
        diagonal = self.mass.diagonal()
        return None if diagonal is None or diagonal.dim() == 1 else diagonal == 0

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        """dF/du of the weak form, Dirichlet nodes included as if free."""
        parts = [] if self.operator is None else [as_matrix(self.operator)]
        parts += [term.linearise(t, u) * factor for factor, term in self.weak]
        for factor, term in self.rates:
            jacobian = term.linearise(t, u) * factor
            parts.append(jacobian if self.mass is None else _weighted(self.mass, jacobian))
        return _total(parts) if parts else Diagonal(u.new_zeros(u.shape[-2]))

    def free(self) -> Free | None:
        """What a term knows to be free at rest, see :meth:`graphpde.ops.term.Term.free`; None: no term knows.

        Beside a nonlinear term nothing is known: what that holds, such as a contact, cannot be told.
        """
        if len(self.rates) + len(self.weak) > 1:
            return None
        held = None if self.fixed is None else self.fixed.mask
        for _, term in self.weak if self.nonlinear else self.linear:
            found = zip(self.linear, self._operators, strict=True)
            free = term.free(held, [each for (_, other), each in found if each is not None and other is not term])
            if free is not None:
                return free
        return None

    def refuse_free(self) -> None:
        """Refuse what is free at rest.

        Raises:
            ConditionError: names it.
        """
        free = self.free()
        if free is not None and free.motions:
            raise ConditionError(free.told)

    def reset(self, t: Tensor, u: Any) -> Any:
        """u with the Dirichlet values at time t."""
        return u if self.fixed is None else self.fixed.put(u, self.fixed.value(t, u))

    def pin(self, operator: LinearOperator) -> LinearOperator:
        """The operator with the fixed nodes eliminated symmetrically."""
        return operator if self.fixed is None else pin(operator, self.fixed.mask)

    def at(self, t: Tensor, u: Tensor) -> System:
        """The system with every state-dependent structure frozen for the coming step."""
        parts = self._parts()
        fresh = [(factor, term.at(t, u)) for factor, term in parts]
        if all(new is old for (_, new), (_, old) in zip(fresh, parts, strict=True)):
            return self
        again = System(Sum(fresh), self.domain, t)
        again.fixed, again.frozen = self.fixed, True
        if [term for _, term in again.linear] == [term for _, term in self.linear]:
            again.operator = self.operator  # the same object, so that steppers keep its factors
        again.noise, again.calculus, again.brownian = self.noise, self.calculus, self.brownian
        if again.mass is self.mass and "_mass_solver" in self.__dict__:
            again.__dict__["_mass_solver"] = self._mass_solver
        return again

    # what the loop asks

    def spectral_bound(self) -> float | None:
        """Bound on the eigenvalues of M^-1 L, or None where none is known.

        For a mass with a streamline part it is an estimate: see :attr:`graphpde.mesh.space.Space.least_mass`.
        """
        if self.operator is None:
            return None
        matrix = as_matrix(self.operator)
        if isinstance(self.mass, LinearOperator) and isinstance(self.domain, Space):
            return spectral_bound(matrix, self.mass, self.domain.least_mass)
        return spectral_bound(matrix, self.mass)

    def _rate_of(self, term: Term, t: Tensor, u: Tensor) -> Tensor:
        """The rate of one term; entries without a time derivative have none, it is given as 0."""
        still = self.massless
        if term.domain is None or still is None:
            return term.rate(t, u)
        f = term(t, u).masked_fill(still, 0.0)
        f = f if self.fixed is None else self.fixed.clear(f)
        return self._mass_solver(f) if bool(torch.isfinite(f).all()) else f

    def blame(self, times: Sequence[Tensor], u: Tensor, node: int) -> str:
        """The condition with a non-finite value, or the term with the largest (or a non-finite) rate at a node.

        Args:
            times: ends of the step that failed: its stages lie between. u: last good state.
        """
        conditions = [] if self.fixed is None else self.fixed.constraints
        for c in conditions:
            if not all(bool(torch.isfinite(c.value(t)).all()) for t in times):
                return c.label
        sizes: list[tuple[float, str]] = []
        for t in times:
            for factor, term in self._parts():
                r = self._rate_of(term, t, u) * factor
                r = (r[..., node, :] if r.dim() > 1 else r).abs().amax()
                sizes.append((float(torch.nan_to_num(r, nan=float("inf"))), term.label))
        return max(sizes, default=(0.0, "nothing"))[1]


def mass_operator(mass: Mass, like: Tensor) -> LinearOperator:
    """The mass as an operator on the nodes of ``like`` [*, n, c]."""
    if mass is None:
        return Diagonal(like.new_ones(like.shape[-2]))
    return Diagonal(mass.to(like.dtype)) if isinstance(mass, Tensor) else mass


def _times(factor: Scalar, f: Any) -> Any:
    return f if isinstance(factor, float) and factor == 1.0 else f * factor


def _weighted(mass: Tensor | LinearOperator, rate: LinearOperator) -> LinearOperator:
    """M J for the Jacobian J of a rate."""
    if isinstance(mass, Tensor) and isinstance(rate, BlockDiagonal):
        return BlockDiagonal(mass.to(rate.blocks.dtype)[:, None, None] * rate.blocks)
    left = Diagonal(mass) if isinstance(mass, Tensor) else mass
    back, right = left.transpose(), rate.transpose()
    return Action(left.n, lambda x: left.matvec(rate.matvec(x)), lambda y: right.matvec(back.matvec(y)))


def _total(parts: list[Any]) -> Any:
    """Their sum, or None of nothing."""
    total = parts[0] if parts else None
    for part in parts[1:]:
        total = total + part
    return total


def _refuse_other_tests(terms: Sequence[Term]) -> None:
    """Refuse an exchange of a field that is tested with functions of its own."""
    own = next((term for term in terms if term.last_tests is not None), None)
    for term in terms if own is not None else ():
        diagonal = term.operator.diagonal() if isinstance(term, Exchange) else None
        if diagonal is not None and bool((diagonal if diagonal.dim() == 1 else diagonal[:, -1]).any()):
            raise ConditionError(
                f"the {term.label} exchanges a field of {own.label} that is linear on a space of second order; "  # type: ignore[union-attr]
                f"give values or inflows there, or take element='p1'"
            )
