"""Bodies that move: stiffness and loads of statics, with inertia and damping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.checks import number, positive
from graphpde.core.block_operator import BlockSparse
from graphpde.core.graph import Graph
from graphpde.core.jacobian import Action
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse, columns
from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.per_cell import PerCell, density_of
from graphpde.mesh.space import Space
from graphpde.ops.bound import spectral_bound
from graphpde.ops.constraint import Constraint
from graphpde.ops.form import Coefficient, Energy, Form, LinearForm, Local, Values
from graphpde.ops.second_order import SecondOrder, with_rates
from graphpde.ops.separable import halves
from graphpde.ops.system import System
from graphpde.ops.term import Condition, LinearTerm, Mass, Sum, Term, times_mass

START = torch.zeros((), dtype=torch.float64)


class Elastodynamics(Sum):
    r"""rho u'' + damping = div sigma + f: what statics says of a body, set in motion, M u' = M v, M v' = F(t, u) + C v.

    The state is [*, n, 2 d], displacements and then velocities. What holds in statics holds here: conditions on the
    displacement hold the velocity at their rate, loads may depend on time, and whatever is added to the sum afterwards
    is added to the body: ``Elastodynamics(Elasticity(space, E, nu), rho) + Dirichlet("left", 0.0) + Neumann("right",
    lambda x, t: ...)``. The mass is lumped or consistent as chosen for the space. With a form on one channel such as
    Diffusion it is a rod, a string or a membrane.

    Args:
        body: a term or sum of terms and conditions on the displacement [*, n, d], such as
            :class:`~graphpde.ops.elasticity.linear.Elasticity` or an energy of large deformations.
        density: mass per volume > 0: a number, {set of cells: number}, one per cell or f(x); default that of the space.
        rayleigh: (alpha in 1/time, beta in time), both >= 0: C = -(alpha M + beta K). A mode of angular frequency omega
            then has the damping ratio alpha / (2 omega) + beta omega / 2.

    Raises:
        InputError: a density that is not positive, negative damping, nothing that pulls back, terms without a domain.

    Reference: Hughes 2000, The Finite Element Method, chapter 7.
    """

    takes_in = True

    def __init__(self, body: Any, density: PerCell | Coefficient | None = None, rayleigh: Sequence[float] = (0.0, 0.0)):
        whole = Sum.of(body)
        if not isinstance(rayleigh, Sequence) or len(rayleigh) != 2:
            raise InputError(f"rayleigh is {rayleigh!r}, expected two numbers: (alpha, beta)")
        for name, value in zip(("alpha", "beta"), rayleigh, strict=True):
            number(f"{name} of rayleigh", value)
        if any(isinstance(term, Motion) for _, term in whole.parts):
            raise InputError(f"{whole.label} moves already, expected terms and conditions on displacements alone")
        if isinstance(whole.domain, CellSpace):
            raise InputError(f"{whole.label} has its unknowns in cells, a body moves at its nodes; build a Space(mesh)")
        system = System(whole, None, START)  # refuses what does not go together
        held = {c: c.bind(whole.domain) for c in whole.conditions} if whole.domain is not None else {}
        fixing = [c for c in whole.conditions if isinstance(held[c], Constraint)]
        forces = Sum(whole._pairs(), [c for c in whole.conditions if c not in fixing])
        motion = Motion(forces, _width(system), density, rayleigh)
        if system.weak and rayleigh[1]:
            raise InputError(f"beta damps by the stiffness, but {system.label} is not linear; take alpha alone")
        super().__init__([(1.0, motion)], [_Moving(c, motion.dim) for c in fixing])
        self.body, self.density, self.rayleigh = whole, density, tuple(rayleigh)

    def __add__(self, other: Any) -> Sum:
        return Elastodynamics(Sum.of(self.body, other), self.density, self.rayleigh)

    __radd__ = __add__

    @property
    def motion(self) -> Motion:
        """The term without conditions."""
        (_, term), *_ = self.parts
        assert isinstance(term, Motion)
        return term

    @property
    def channels(self) -> tuple[str, ...]:
        """displacement_x, ..., velocity_x, ..., or () where the body does not name its own."""
        return self.motion.channels

    def energy(self, u: Tensor) -> Tensor:
        """(v . M v + u . K u) / 2, and the energies of nonlinear terms, [*, n, 2 d] -> [*]: kept where nothing damps,
        pushes or moves what holds the body."""
        return self.motion.energy(u)

    def frequency_bound(self) -> float | None:
        """Upper bound of the angular frequencies of a linear body, in 1/time: leapfrog's steps are stable to 2 over it.

        None where it is not known.
        """
        linear, *rest = self.motion.pieces()
        return None if rest or not isinstance(linear, Swing) else linear.frequency_bound()


class Motion(Term):
    """What :class:`Elastodynamics` does between its conditions."""

    def __init__(self, forces: Sum, dim: int, density: Any, rayleigh: Sequence[float]):
        super().__init__()
        self.forces, self.dim = forces, dim
        self.alpha, self.beta = rayleigh
        self.inertia, self.heavier = None, 1.0
        if isinstance(self.domain, Space):
            given = self.domain.density if density is None else density
            given = 1.0 if given is None else given
            if not callable(given):
                density_of(self.domain.mesh, given)
            turned = any(term.axisymmetric for _, term in forces.parts)
            self.inertia = Inertia(self.domain, given, axisymmetric=turned)
        elif density is not None:
            positive("density", density, finite=True)
            self.heavier = float(density)

    @property
    def domain(self) -> Graph | None:  # type: ignore[override]
        return self.forces.domain

    @property
    def label(self) -> str:
        return f"Elastodynamics({self.forces.label})"

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the displacements and the velocities."""
        own = next((t.channels for _, t in self.forces.parts if isinstance(t, Form) and t.channels), ())
        return (*own, *(name.replace("displacement", "velocity") for name in own))

    @property
    def mass(self) -> Tensor | Sparse:
        """Of one channel: lumped [n] or consistent."""
        if self.inertia is None:
            return self.domain.mass * self.heavier  # type: ignore[union-attr, return-value]
        mass = self.inertia.operator * -1.0
        assert isinstance(mass, Sparse) and isinstance(self.domain, Space)
        if bool((mass.diag.detach() <= 0).any()):
            raise InputError("the density is not positive somewhere, expected finite numbers > 0")
        return mass(torch.ones_like(mass.diag)[:, None])[:, 0] if self.domain.lumped else mass

    def pieces(self) -> tuple[Swing | Restoring, ...]:  # type: ignore[override]
        system, mass = System(self.forces, None, START), self.mass
        linear = Swing(system, mass, self.alpha, self.beta, self.dim, self.label)
        return (linear, Restoring(system, mass, self.dim, self.label)) if system.weak else (linear,)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return torch.stack([piece(t, u) for piece in self.pieces()]).sum(0)

    def energy(self, u: Tensor) -> Tensor:
        """See :meth:`Elastodynamics.energy`."""
        return torch.stack([piece.energy(u) for piece in self.pieces()]).sum(0)

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.forces.tensors(), *(() if self.inertia is None else self.inertia.tensors()))


class Swing(LinearTerm):
    """The linear part of a motion for one run."""

    def __init__(self, system: System, mass: Tensor | Sparse, alpha: float, beta: float, dim: int, label: str):
        super().__init__()
        self.domain, self.dim, self._mass, self._label = system.domain, dim, mass, label
        self._loads = [(factor, term) for factor, term in system.linear]
        heavy = Diagonal(mass) if isinstance(mass, Tensor) else mass
        pull = _pull(system, heavy, dim)
        drags = [heavy * -alpha] * (alpha > 0) + [pull * beta] * (beta > 0)
        self.second_order = SecondOrder(pull, None if not drags else sum(drags[1:], drags[0]))

    @property
    def label(self) -> str:
        return self._label

    @property
    def mass(self) -> Mass:
        return self._mass

    @property
    def operator(self) -> LinearOperator:
        """[[0, M], [A, C]] with a block for each edge."""
        pull, damping = self.second_order
        assert isinstance(pull, BlockSparse | Sparse)
        heavy = Diagonal(self._mass) if isinstance(self._mass, Tensor) else self._mass
        parts = (None, heavy, pull, damping)
        weight, diag = (
            torch.cat([torch.cat(row, -1) for row in (blocks[:2], blocks[2:])], -2)
            for blocks in zip(*(_blocks(part, pull.relation, self.dim, pull.diag) for part in parts), strict=True)
        )
        return BlockSparse(pull.relation, weight, diag)

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        q = halves(like)[0]
        found = [(factor, term.load(t, q)) for factor, term in self._loads]
        loads = [b.expand(*q.shape[-2:]) * factor for factor, b in found if b is not None]
        return None if not loads else torch.cat([torch.zeros_like(loads[0]), sum(loads[1:], loads[0])], -1)

    @property
    def autonomous(self) -> bool:
        return all(term.autonomous for _, term in self._loads)

    def energy(self, u: Tensor) -> Tensor:
        """Of the linear part."""
        q, v = halves(u)
        return ((v * times_mass(self._mass, v)).sum((-2, -1)) - (q * self.second_order.pull(q)).sum((-2, -1))) / 2

    def frequency_bound(self) -> float | None:
        """Upper bound of the angular frequencies, in 1/time: the square root of that of M^-1 K; None = not known."""
        consistent = isinstance(self._mass, Sparse)
        if consistent and not isinstance(self.domain, Space):
            return None
        share = self.domain.least_mass if consistent else 1.0  # type: ignore[union-attr]
        bound = spectral_bound(self.second_order.pull, self._mass, share)
        return bound**0.5 if bound else None

    def tensors(self) -> tuple[Tensor, ...]:
        own = (self._mass,) if isinstance(self._mass, Tensor) else self._mass.tensors()
        return (*own, *(w for _, term in self._loads for w in term.tensors()))


class Restoring(Term):
    """The forces of nonlinear terms, on the velocities."""

    def __init__(self, system: System, mass: Tensor | Sparse, dim: int, label: str):
        super().__init__()
        self.domain, self.dim, self._mass, self._label, self._weak = system.domain, dim, mass, label, system.weak

    @property
    def label(self) -> str:
        return self._label

    @property
    def mass(self) -> Mass:
        return self._mass

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        q = halves(u)[0]
        first, *rest = (term(t, q) * factor for factor, term in self._weak)
        return torch.cat([torch.zeros_like(q), sum(rest, first)], -1)

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        first, *rest = (term.linearise(t, halves(u)[0]) * factor for factor, term in self._weak)
        pull, d = sum(rest, first), self.dim
        if isinstance(pull, BlockSparse | Sparse):
            blocks = _blocks(pull, pull.relation, d, pull.diag)
            return BlockSparse(pull.relation, *(torch.nn.functional.pad(x, (0, d, d, 0)) for x in blocks))
        back = pull.transpose()
        return Action(
            pull.n,
            lambda x: torch.cat([torch.zeros_like(x[..., :d]), pull.matvec(x[..., :d])], -1),
            lambda y: torch.cat([back.matvec(y[..., d:]), torch.zeros_like(y[..., d:])], -1),
        )

    def energy(self, u: Tensor) -> Tensor:
        """What the terms that know it say."""
        q = halves(u)[0]
        known = (term.energy(q) * factor for factor, term in self._weak if isinstance(term, Energy))
        return sum(known, torch.zeros_like(u[..., 0, 0]))


class Inertia(LinearForm):
    r"""-\int rho u N_i: minus the consistent mass; about an axis with the radius."""

    units: ClassVar = {"density": "mass/volume"}
    reference = "Hughes 2000, The Finite Element Method, section 7.1"
    symmetric = True

    def __init__(self, domain: Any, density: Coefficient = 1.0, *, axisymmetric: bool = False, **options: Any):
        super().__init__(domain, density=density, **options)
        self.axisymmetric = axisymmetric

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        weight = p["density"] * x[..., :1] if self.axisymmetric else p["density"]
        return -weight * u, None


class _Moving(Condition):
    """A condition on displacements as one on both halves of the state."""

    def __init__(self, alone: Condition, dim: int):
        self.alone, self.dim, self.place = alone, dim, alone.place

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on both halves."""
        return with_rates(self.alone.bind(domain), self.dim)


def _width(system: System) -> int:
    """How many components the displacement has.

    Raises:
        InputError: nothing pulls back, terms that are rates, or that have no time derivative.
    """
    if system.rates:
        raise InputError(
            f"{system.rates[0][1].label} has no domain, so nobody knows which mass it moves; give forces per volume as "
            f"Source(space, f)"
        )
    if system.algebraic:
        names = ", ".join(system.algebraic)
        raise InputError(f"{names} of {system.label} has no inertia, so it cannot be set in motion")
    if system.operator is None and not system.weak:
        raise InputError(
            f"nothing in {system.label} pulls a body back, expected a term such as Elasticity(space, E, nu)"
        )
    named = [len(t.channels) for _, t in (*system.linear, *system.weak) if isinstance(t, Form) and t.channels]
    return named[0] if named else 1 if system.operator is None else system.operator.channels


def _pull(system: System, heavy: LinearOperator, dim: int) -> BlockSparse | Sparse:
    """The operator of the linear terms, which may be nothing beside nonlinear ones."""
    operator = system.operator
    if operator is None:
        assert system.domain is not None
        edges, like = system.domain.edges, heavy.diagonal()
        assert like is not None
        return Sparse(edges, like.new_zeros(edges.n_edges), torch.zeros_like(like), symmetric=True)
    operator = operator.assembled()
    if not isinstance(operator, BlockSparse | Sparse):
        raise InputError(f"the operators of {system.label} have no common sparsity; build all terms on one space")
    return operator


def _blocks(part: LinearOperator | None, relation: Any, d: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks [e, d, d] and [n, d, d] of an operator on this relation."""
    if isinstance(part, BlockSparse):
        return part.weight, part.diag
    if isinstance(part, Sparse):
        weight, diag = part.weight, part.diag
    else:
        weight = like.new_zeros(relation.n_edges)
        diag = like.new_zeros(relation.n_dst) if part is None else part.diagonal()  # type: ignore[assignment]
    weight, diag = (torch.diag_embed(columns(x).expand(-1, d)) for x in (weight, diag))
    return weight, diag.to(like.dtype)
