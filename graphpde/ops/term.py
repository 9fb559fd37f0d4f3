"""The right-hand side of anything: terms M u' = F(t, u) that add, scale and know their mass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import mul
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.core.incidence import Incidence
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import LinearOperator
from graphpde.core.relation import Relation
from graphpde.core.tracing import followed, following
from graphpde.errors import InputError
from graphpde.mesh.blocks import Quadrature
from graphpde.solve.linear import solve
from graphpde.typing import Scalar, check_spreads

Mass = Tensor | LinearOperator | None


class Free(NamedTuple):
    """What nothing fixes at rest: how many ways there are, and a sentence that names some, "" for none."""

    motions: int
    told: str


Factor = Scalar | tuple[Scalar, ...]


class Term(nn.Module):
    """A right-hand side F of M u' = F(t, u); a value without state between calls.

    With a ``domain`` the term returns the weak form F and takes the domain's mass; without one it returns a rate u'.
    Terms add and scale: ``0.1 * Diffusion(space) + Reaction(f) + Dirichlet("inlet", 1.0)``.

    Attributes:
        domain: graph or space the term was built on, or None.
        algebraic: names of state leaves without time derivative.
        pointwise: whether F at a node depends on u at that node only, so that the Jacobian is one small block a node.
        plain_load: whether it is a load on the cells, tested with the shape functions alone.
        own_tests: whether it is tested with functions of its own, so that a load beside it would be tested otherwise.
        carries_flux: whether given inflows through the boundary of a cell space enter through this term.
        takes_in: whether what is added to it becomes part of it.
        axisymmetric: whether its integrals are those of a body about the axis x = 0, per radian.
        last_tests: what makes loads on the last channel those of the functions that it is tested with; None: nothing.
    """

    domain: Graph | None = None
    pointwise: bool = False
    plain_load: bool = False
    own_tests: bool = False
    carries_flux: bool = False
    takes_in: bool = False
    axisymmetric: bool = False
    last_tests: LinearOperator | None = None
    algebraic: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How messages name the term."""
        return type(self).__name__

    @property
    def mass(self) -> Mass:
        """Lumped [n], consistent (operator) or None = identity."""
        return None if self.domain is None else self.domain.mass

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """F(t, u), t 0-d, u [*, n, c] -> [*, n, c]."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(t, u)")

    def rate(self, t: Tensor, u: Tensor) -> Tensor:
        """u' = M^-1 F(t, u)."""
        return divide_by_mass(self.mass, self(t, u))

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        """The Jacobian dF/du at (t, u) as an operator, by forward and reverse mode."""

        def f(v: Tensor) -> Tensor:
            return self(t, v)

        if self.pointwise:  # the gradient of the sum of channel k over all nodes is row k of every block at once
            return BlockDiagonal(_rows(f, u))

        def jvp(v: Tensor) -> Tensor:
            return torch.func.jvp(f, (u,), (v,))[1]

        def vjp(v: Tensor) -> Tensor:
            return torch.func.vjp(f, u)[1](v)[0]

        return Action(u.shape[-2], jvp, vjp)

    def at(self, t: Tensor, u: Tensor) -> Term:
        """The term with everything that depends on the state frozen for the coming step; default: itself."""
        return self

    def with_boundary(self, conditions: Any, factor: Scalar = 1.0) -> Term:
        """The term with what holds on the boundary facets of a cell space; default: itself, it has no fluxes there.

        Args:
            conditions: :class:`~graphpde.ops.finite_volume_conditions.FacetConditions`. factor: of the term in its sum.
        """
        return self

    def within(self, channels: int) -> Term:
        """The term on a state of so many channels, where it may speak of the first ones alone."""
        return self

    def about_axis(self) -> Term:
        """The term beside one that is axisymmetric: with the radius, the first coordinate, in its integrals.

        Raises:
            InputError: a term with a domain that cannot tell.
        """
        if self.axisymmetric or self.domain is None:
            return self
        raise InputError(
            f"{self.label} is integrated over the plane and stands beside a body about the axis x = 0; "
            f"leave it out, or take another kind of body"
        )

    def with_fixed(self, fixed: Tensor) -> Term:
        """The term where the nodes of ``fixed`` [n] bool take given values, whatever F is there; default: itself."""
        return self

    def free(self, held: Tensor | None, supports: Sequence[LinearOperator]) -> Free | None:
        """What nothing fixes at rest, beyond the level of a field without Dirichlet nodes; None: not known.

        Args:
            held: entries with given values, bool [n] or [n, c]. supports: operators of the linear terms beside this.
        """
        return None

    def defect(self, t: Tensor, u: Tensor) -> str:
        """What is wrong with a state at which F is not finite, a sentence; default: nothing that the term knows of."""
        return ""

    def pieces(self) -> tuple[Term, ...]:
        """A linear piece and the rest, for terms that come apart so; their sum is the term. Default: the term alone."""
        return (self,)

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor the term reads that may need a gradient, parameter or not."""
        return tuple(self.parameters())

    # arithmetic

    def __add__(self, other: Any) -> Sum:
        if getattr(other, "takes_in", False) and not getattr(self, "takes_in", False):
            return other + self
        return Sum.of(self, other)

    __radd__ = __add__

    def __mul__(self, factor: Scalar) -> Sum:
        return Sum.of(self).scaled(factor)

    __rmul__ = __mul__

    def __neg__(self) -> Sum:
        return self * -1.0

    def __sub__(self, other: Any) -> Sum:
        return self + (-other)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Term:
        """Moving a term moves its structures as well."""
        super()._apply(fn, recurse)
        probe = fn(torch.zeros(1, dtype=torch.float64))
        for key, value in list(self.__dict__.items()):
            if isinstance(value, Graph | LinearOperator | Quadrature | Incidence):
                object.__setattr__(self, key, value.to(probe.device, probe.dtype))
            elif isinstance(value, Relation):
                object.__setattr__(self, key, value.to(probe.device))
            elif isinstance(value, Tensor):
                object.__setattr__(self, key, fn(value) if value.is_floating_point() else value.to(probe.device))
        return self


class LinearTerm(Term):
    """M u' = L u + b(t)."""

    @property
    def operator(self) -> LinearOperator | None:
        """The operator L, or None for a pure load."""
        return None

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        """The load b(t) with the dtype and device of ``like``, or None."""
        return None

    @property
    def autonomous(self) -> bool:
        """Whether the load is known not to depend on t."""
        return type(self).load is LinearTerm.load

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        operator, load = self.operator, self.load(t, u)
        if operator is None:
            return torch.zeros_like(u) if load is None else load.expand_as(u)
        f = operator(u)
        return f if load is None else f + load

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        operator = self.operator
        return super().linearise(t, u) if operator is None else operator


class Rate(Term):
    """Any callable (t, u) -> u' as a term without domain.

    Raises:
        ShapeError, InputError: when called, a rate that does not fit the state.
    """

    def __init__(self, f: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.f = f

    @property
    def label(self) -> str:
        return getattr(self.f, "__name__", type(self.f).__name__)

    def forward(self, t: Tensor, u: Any) -> Any:
        rate = self.f(t, u)
        if isinstance(u, Tensor) and isinstance(rate, Tensor):
            if rate.shape != u.shape:
                check_spreads(rate, u.shape, f"the rate of {self.label}")
        elif isinstance(u, Tensor) or isinstance(rate, Tensor) or (isinstance(u, tuple) and len(rate) != len(u)):
            wanted = (
                f"a tensor that fits {list(u.shape)}" if isinstance(u, Tensor) else f"a tuple of {len(u)}, as the state"
            )
            raise InputError(f"the rate of {self.label} is a {type(rate).__name__}, expected {wanted}")
        return rate


class Condition:
    """Something that holds on a part of the domain; not a term until bound.

    Attributes:
        place: how messages name the part.
    """

    place: str

    def bind(self, domain: Graph) -> Any:
        """What the condition becomes on a domain: a term or a constraint."""
        raise NotImplementedError(f"{type(self).__name__} does not define bind(domain)")


class Sum(Term):
    """Terms with factors and conditions on them, as one term.

    Built by ``+`` and ``*``. Terms with a domain contribute weak forms, terms without one contribute rates
    (multiplied by the common mass). Scaling touches terms only, never conditions, and called as a plain term the sum
    ignores its conditions: they are bound when it is run (:class:`graphpde.ops.system.System`).

    Raises:
        InputError: two different domains, or a summand that is neither term, condition nor callable.
    """

    def __init__(self, parts: Sequence[tuple[Factor, Term]], conditions: Sequence[Condition] = ()):
        super().__init__()
        domains = {id(term.domain): term.domain for _, term in parts if term.domain is not None}
        if len(domains) > 1:
            first, second = list(domains.values())[:2]
            raise InputError(f"terms live on two domains, {first!r} and {second!r}; build them on one")
        # kept apart, not as their product: one that is being learned is read anew in each call
        self._factors = [factor if isinstance(factor, tuple) else (factor,) for factor, _ in parts]
        self._terms = nn.ModuleList(term for _, term in parts)
        self.conditions = tuple(conditions)

    @classmethod
    def of(cls, *things: Any) -> Sum:
        """One sum of terms, sums, conditions and plain callables (t, u) -> u'."""
        parts: list[tuple[Factor, Term]] = []
        conditions: list[Condition] = []
        for thing in things:
            if isinstance(thing, Sum):
                parts += thing._pairs()
                conditions += thing.conditions
            elif isinstance(thing, Term):
                parts.append((1.0, thing))
            elif isinstance(thing, Condition):
                conditions.append(thing)
            elif hasattr(thing, "noise"):
                raise InputError(f"a {type(thing).__name__} is no summand; add terms to its drift")
            elif callable(thing):
                parts.append((1.0, Rate(thing)))
            elif not (isinstance(thing, int) and thing == 0):  # the built-in sum() starts at 0
                raise InputError(f"got {type(thing).__name__}, expected a Term, a condition or a callable (t, u)")
        return cls(parts, conditions)

    @property
    def parts(self) -> list[tuple[Scalar, Term]]:
        """(factor, term) pairs."""
        return [(reduce(mul, factors), term) for factors, term in self._pairs()]

    def _pairs(self) -> list[tuple[tuple[Scalar, ...], Term]]:
        return list(zip(self._factors, cast(Iterable[Term], self._terms), strict=True))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Sum:
        super()._apply(fn, recurse)
        self._factors = [tuple(fn(f) if isinstance(f, Tensor) else f for f in factors) for factors in self._factors]
        return self

    def scaled(self, factor: Scalar) -> Sum:
        """Every term times ``factor``."""
        return Sum([((*factors, factor), term) for factors, term in self._pairs()], self.conditions)

    @property
    def domain(self) -> Graph | None:  # type: ignore[override]
        return next((term.domain for _, term in self.parts if term.domain is not None), None)

    @property
    def label(self) -> str:
        return " + ".join(term.label for _, term in self.parts) or "nothing"

    @property
    def mass(self) -> Mass:
        return common_mass([term for _, term in self.parts])

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        total = torch.zeros_like(u)
        for factor, term in self.parts:
            f = term(t, u) * factor
            total = total + (times_mass(self.mass, f) if term.domain is None else f)
        return total

    def at(self, t: Tensor, u: Tensor) -> Sum:
        fresh = [(factor, term.at(t, u)) for factor, term in self.parts]
        same = all(new is old for (_, new), (_, old) in zip(fresh, self.parts, strict=True))
        return self if same else Sum(fresh, self.conditions)

    def tensors(self) -> tuple[Tensor, ...]:
        found = [w for _, term in self.parts for w in term.tensors()]
        return (*found, *(f for factors in self._factors for f in factors if isinstance(f, Tensor)))


def _rows(f: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """Jacobians [*, n, c, c] of a map [*, n, c] -> [*, n, c] that acts on every node alone.

    By reverse mode: torch's forward mode costs several times more here, and seconds of imports the first time.
    """
    keep = torch.is_grad_enabled()
    with following():
        v = followed(u)
        sums = f(v).sum(tuple(range(u.dim() - 1)))
        rows = [
            torch.autograd.grad(s, v, create_graph=keep, retain_graph=True, allow_unused=True)[0]
            if s.requires_grad
            else None
            for s in sums
        ]
    return torch.stack([torch.zeros_like(u) if row is None else row for row in rows], -2)


def common_mass(terms: Sequence[Term]) -> Mass:
    """The mass of a sum: that of its domain, unless one term tests with functions of its own.

    Raises:
        InputError: two terms that do, or one beside a source that is tested with the shape functions.
    """
    placed = [(term, term.mass, term.domain.mass) for term in terms if term.domain is not None]
    own = [(term, mass) for term, mass, of_domain in placed if mass is not of_domain]
    if len(own) > 1 and any(mass is not own[0][1] for _, mass in own):
        raise InputError(f"{own[0][0].label} and {own[1][0].label} each bring a mass of their own; take one of them")
    loads = [term for term, _, _ in placed if term.plain_load]
    if own and own[0][0].own_tests and loads:
        raise InputError(
            f"{own[0][0].label} tests with functions of its own, the {loads[0].label} beside it with the shape "
            f"functions; give it as {own[0][0].label}(..., source=f)"
        )
    return own[0][1] if own else next((mass for _, mass, _ in placed), None)


def divide_by_mass(mass: Mass, f: Tensor) -> Tensor:
    """M^-1 f."""
    if mass is None:
        return f
    if isinstance(mass, Tensor):
        return f / mass.to(f.dtype)[:, None]
    return solve(mass, f)


def times_mass(mass: Mass, u: Tensor) -> Tensor:
    """M u."""
    if mass is None:
        return u
    return mass.to(u.dtype)[:, None] * u if isinstance(mass, Tensor) else mass(u)
