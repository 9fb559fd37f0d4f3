"""Weak forms given by a local function of values and gradients at quadrature points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Where
from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import ConditionError, InputError, ShapeError
from graphpde.mesh.space import Space
from graphpde.ops.integration import Integration
from graphpde.ops.point_derivatives import Slopes, gradient, slopes, slopes_of_energy, slopes_of_linear
from graphpde.ops.term import LinearTerm, Mass, Term
from graphpde.ops.values import at_least, evaluate, require_each
from graphpde.registry import Registry
from graphpde.typing import check_shape

FORMS: Registry[type[Form]] = Registry("form")

Values = Mapping[str, Any]
Local = tuple[Tensor | None, Tensor | None]
Coefficient = float | Tensor | Callable[..., Any] | Mapping[str, float]


class Form(Term):
    r"""A conservation law in weak form: M u' = F(u), F_i = \int s N_i + f . grad N_i, one shape function N_i a node.

    s is the source and f the flux of u' + div f = s, both local functions of the place, the time, u and grad u: heat
    is s = 0, f = -kappa grad u. Where nothing is said no flux crosses the boundary. A subclass gives :meth:`local`;
    quadrature, assembly, the sparse Jacobian and derivatives by coefficients and node positions follow.

    Args:
        domain: a space on any cells.
        degree: the quadrature is exact for polynomials of this degree; default: twice that of the element, which keeps
            the element's order.
        where: facets (a named set, numbers or a predicate); the integrals then run over these facets, and gradients
            are tangential. None = the cells.
        coefficients: what :meth:`local` finds in ``p``: a number, a tensor without dimensions, f(x [k, d], t), and on
            cells {set of cells: number} or a tensor with one row per cell [m, ...].

    Attributes:
        channels: names of the channels, or () for any number. symmetric: whether the Jacobian is.
        units: what the coefficients are measured in. reference: source of the equation.

    Raises:
        InputError: the domain is no space. ShapeError: a coefficient has neither one value nor one per cell.
        ConditionError, UnknownName: no such facets, or no such set of cells.
    """

    channels: tuple[str, ...] = ()
    symmetric: bool = False
    units: ClassVar[Mapping[str, str]] = {}
    reference: ClassVar[str] = ""

    def __init__(
        self, domain: Any, *, degree: int | None = None, where: Where | None = None, **coefficients: Coefficient
    ):
        super().__init__()
        if not isinstance(domain, Space):
            raise InputError(f"a form is integrated over cells, got {domain!r}; build a Space from a mesh")
        self.domain: Space = domain
        self.degree = 2 * domain.element.degree if degree is None else degree
        self.where = where
        self._given: dict[str, Any] = {}
        for name, value in coefficients.items():
            value = _checked(domain, name, value, on_cells=where is None)
            self._given[name] = value
            if isinstance(value, Tensor | torch.nn.Module):
                setattr(self, name, value)
        self._points: Integration | None = None
        _ = self.points  # refuses now, not in the first step

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        """Source [*, m, q, c] and flux [*, m, q, c, d] at the quadrature points; None for one that is zero.

        Args:
            t: time. x: points [m, q, d]. u: [*, m, q, c]. grad: du_c/dx_d [*, m, q, c, d].
            p: the coefficients by name: a number, or [m, q, 1 or c] or [m, 1, ...] at the points.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define local(t, x, u, grad, p)")

    @property
    def points(self) -> Integration:
        """The quadrature; kept unless the node positions are being learned."""
        if self._points is None:
            found = Integration(self.domain, self.degree, self.where)
            if self.domain.mesh.points.requires_grad:
                return found
            self._points = found
        return self._points

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        points = self.points
        parts = [self._local(t, k, points, *fields) for k, fields in enumerate(self._fields(points, u))]
        return points.integrate(parts)

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        """The assembled Jacobian at u [n, c]; for a batch its action alone."""
        if u.dim() != 2:
            return super().linearise(t, u)
        points = self.points
        slopes = [self._slopes(t, k, points, *fields) for k, fields in enumerate(self._fields(points, u))]
        return self._matrix(points, slopes)

    def _matrix(self, points: Integration, slopes: Sequence[Slopes]) -> LinearOperator:
        """The assembled Jacobian from its densities at the points."""
        return points.matrix(slopes, symmetric=self.symmetric, near_null=self.near_null())

    def near_null(self) -> Tensor | None:
        """States [n, c, q] that the Jacobian takes to almost nothing, such as rigid motions, where they are known."""
        return None

    def tensors(self) -> tuple[Tensor, ...]:
        materials = [v for given in self._given.values() if isinstance(given, Mapping) for v in given.values()]
        mine = [v for v in (*vars(self).values(), *materials, self.domain.mesh.points) if isinstance(v, Tensor)]
        return (*self.parameters(), *(v for v in mine if v.requires_grad))

    def _fields(self, points: Integration, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        check_shape(u, "* n c", "state", n=self.domain.n)
        if self.channels and u.shape[-1] != len(self.channels):
            raise ShapeError(
                f"{self.label} needs {len(self.channels)} channels ({', '.join(self.channels)}), "
                f"the state has {u.shape[-1]}"
            )
        return points.fields(u)

    def _local(self, t: Tensor, k: int, points: Integration, u: Tensor, grad: Tensor) -> Local:
        return self._shaped(*self.local(t, points.blocks[k].points, u, grad, self._at(t, k, points)), u, grad)

    def _shaped(self, source: Tensor | None, flux: Tensor | None, u: Tensor, grad: Tensor) -> Local:
        for what, value, like in (("source", source, u), ("flux", flux, grad)):
            if value is not None and value.shape != like.shape:
                raise ShapeError(
                    f"the {what} of {self.label} has shape {list(value.shape)}, expected {list(like.shape)}"
                )
        if source is None and flux is None:
            return torch.zeros_like(u), None
        return source, flux

    def _slopes(self, t: Tensor, k: int, points: Integration, u: Tensor, grad: Tensor) -> Slopes:
        """The Jacobians at the points of block k."""
        return slopes(lambda v, g: self._local(t, k, points, v, g), u, grad)

    def _at(self, t: Tensor, k: int, points: Integration) -> dict[str, Any]:
        """The coefficients at the points of block k."""
        block, found = points.blocks[k], {}
        for name, given in self._given.items():
            value = getattr(self, name) if isinstance(given, Tensor | torch.nn.Module) else given
            if isinstance(value, Mapping):  # of materials with a number that is being learned
                value = self.domain.cell_values(value, name).to(self.domain.device, self.domain.dtype)
            if callable(value):
                at = evaluate(value, block.points.flatten(0, 1), t, f"{name} of {self.label}")
                value = at.unflatten(0, block.points.shape[:2])
            elif isinstance(value, Tensor) and value.dim():
                value = (value if len(value) == 1 else value[block.ids])[:, None]
                value = value[..., None] if value.dim() == 2 else value
            found[name] = at_least(value, block.points.dtype) if isinstance(value, Tensor) else value
        return found

    @torch.no_grad()
    def _require(self, name: str, fine: Callable[[Tensor], Tensor], expected: str, told: str | None = None) -> None:
        """Refuse a coefficient with a value that is not fine at t = 0, by its name or as ``told``.

        Raises:
            InputError: with the first cell, and what was expected.
        """
        start, points = torch.zeros((), dtype=torch.float64, device=self.domain.device), self.points
        for k, block in enumerate(points.blocks):
            require_each(told or name, self._at(start, k, points)[name], block.ids, fine, expected)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Term:
        self._points = None
        return super()._apply(fn, recurse)


class LinearForm(LinearTerm, Form):
    """A form whose source and flux are linear in u and grad u and do not depend on time: assembled once.

    Attributes:
        homogeneous: whether :meth:`local` does not read x, so that places differ by their coefficients alone: it is
            then evaluated once for all points that share them.
    """

    homogeneous: bool = False
    _cached: LinearOperator | None = None

    @property
    def operator(self) -> LinearOperator:
        if self._cached is not None:
            return self._cached
        with torch.enable_grad():  # whether anything is being learned must not depend on who asks first
            start = torch.zeros((), dtype=torch.float64, device=self.domain.device)
            operator = self._at_time(start)
            self._refuse_time(start)
        if not any(w.requires_grad for w in operator.tensors()):
            self._cached = operator
        return operator

    def _at_time(self, t: Tensor) -> LinearOperator:
        points, c = self.points, max(len(self.channels), 1)
        zero = torch.zeros((), dtype=self.domain.dtype, device=self.domain.device)
        slopes = []
        for k, block in enumerate(points.blocks):
            m, q, d = block.points.shape
            slopes.append(self._slopes(t, k, points, zero.expand(m, q, c), zero.expand(m, q, c, d)))
        return self._matrix(points, slopes)

    def _slopes(self, t: Tensor, k: int, points: Integration, u: Tensor, grad: Tensor) -> Slopes:
        """They are the same at every state."""
        p, block = self._at(t, k, points), points.blocks[k]
        m, q = block.volume.shape
        if self.homogeneous:
            given = (v.shape[:2] for v in p.values() if isinstance(v, Tensor) and v.dim())
            m, q = torch.broadcast_shapes((1, 1), *given)
        x = block.points[:m, :q]

        def local(v: Tensor, g: Tensor) -> Local:
            return self._shaped(*self.local(t, x, v, g, p), v, g)

        return slopes_of_linear(local, (m, q, *grad.shape[-2:]), grad, points.shares(k) if q > 1 else None)

    def _refuse_time(self, t: Tensor) -> None:
        """Refuse coefficients that change in time: the operator is that of one moment."""
        names = [name for name, value in self._given.items() if callable(value)]
        blocks = range(len(self.points.blocks)) if names else ()
        for k in blocks:
            now, later = (self._at(at, k, self.points) for at in (t, t + 1))
            moving = [name for name in names if not torch.equal(now[name], later[name])]
            if moving:
                raise ConditionError(
                    f"{', '.join(moving)} of {self.label} changes in time, which a form that is assembled once cannot "
                    f"follow; derive it from Form instead"
                )

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return LinearTerm.forward(self, t, u)

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        return self.operator

    def tensors(self) -> tuple[Tensor, ...]:
        return Form.tensors(self)


class Energy(Form):
    r"""A form that descends an energy: M u' = -E'(u), E(u) = \int e(x, u, grad u).

    A subclass gives :meth:`density`; its derivatives are taken automatically. Along the exact flow E never grows, and
    the Jacobian is symmetric.

    Attributes:
        convex: whether e is convex in (u, grad u); then E does not grow in any step of backward Euler either.
    """

    symmetric = True
    convex: bool = False

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        """The energy density e [*, m, q] at the quadrature points; arguments as in :meth:`Form.local`."""
        raise NotImplementedError(f"{type(self).__name__} does not define density(t, x, u, grad, p)")

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        by_u, by_grad = gradient(lambda v, g: self.density(t, x, v, g, p).sum(), u, grad)
        return -by_u, -by_grad

    def _slopes(self, t: Tensor, k: int, points: Integration, u: Tensor, grad: Tensor) -> Slopes:
        if type(self).local is Energy.local:  # else a subclass says more than its energy
            at = self._at(t, k, points)
            x = points.blocks[k].points
            found = slopes_of_energy(lambda v, g: self.density(t, x, v, g, at).sum(), u, grad)
            if found is not None:
                return found
        return super()._slopes(t, k, points, u, grad)

    def energy(self, u: Tensor, t: float | Tensor = 0.0) -> Tensor:
        """E(u) [*] of u [*, n, c]."""
        points, now = self.points, torch.as_tensor(t, dtype=torch.float64, device=u.device)
        parts = []
        for k, (v, g) in enumerate(self._fields(points, u)):
            e = self.density(now, points.blocks[k].points, v, g, self._at(now, k, points))
            if e.shape != v.shape[:-1]:
                raise ShapeError(
                    f"the density of {self.label} has shape {list(e.shape)}, expected {list(v.shape[:-1])}"
                )
            parts.append(e)
        return points.total(parts)


class PartOf(Form):
    """A part of a whole for one run: its domain, coefficients, points, channels and mass."""

    def __init__(self, whole: Form):
        super().__init__(whole.domain, degree=whole.degree, where=whole.where, **whole._given)
        self.channels, self.algebraic = whole.channels, whole.algebraic
        self.whole: tuple[Any] = (whole,)  # not a part of this one

    @property
    def mass(self) -> Mass:
        mass: Mass = self.whole[0].mass
        return mass


def beside_gradients(v: Any) -> Any:
    """A coefficient [m, q, 1 or c] with the axes of gradients, [m, q, 1 or c, 1]; numbers as they are."""
    return v[..., None] if isinstance(v, Tensor) and v.dim() else v


def _checked(domain: Space, name: str, value: Coefficient, *, on_cells: bool) -> Any:
    """The coefficient as it is kept: materials become one value per cell."""
    m = domain.mesh.n_cells
    if isinstance(value, Mapping):
        if not on_cells:
            raise InputError(f"{name} is given by sets of cells, a form on facets takes a number or f(x, t)")
        found = domain.cell_values(value, name).to(domain.device, domain.dtype)
        return dict(value) if found.requires_grad else found
    if isinstance(value, Tensor):
        rows = (1, m) if on_cells else (1,)
        if value.dim() and len(value) not in rows:
            raise ShapeError(f"{name} has shape {list(value.shape)}, expected one entry or one per cell: {m}")
        return value
    if callable(value):
        return value
    if isinstance(value, list | tuple):
        return _checked(domain, name, torch.tensor(value, dtype=domain.dtype), on_cells=on_cells)
    if not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise InputError(f"{name} is {value!r}, expected a finite number, {{set: number}}, one per cell or f(x, t)")
    return float(value)
