"""What is measured at every saved moment: mass, energy and range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.core.linear_operator import LinearOperator, as_matrix
from graphpde.ops.form import Energy
from graphpde.ops.forms import CahnHilliard
from graphpde.ops.reaction import Reaction
from graphpde.ops.reactions.single import AllenCahn
from graphpde.ops.term import Term, times_mass
from graphpde.ops.wave import Wave
from graphpde.typing import Scalar


class Moment(NamedTuple):
    """Numbers of one saved state.

    Attributes:
        step, t: when. mass: integral of each field [c]. low, high: range of each field [c]. energy: see :class:`Meter`.
        content: integral of the density times each field [c], which is what a closed domain keeps.
        dt, rejected: where steps adapt, the last one and how many were refused so far.
    """

    step: int
    t: float
    mass: list[float]
    low: list[float]
    high: list[float]
    energy: float
    content: Sequence[float] = ()
    dt: float | None = None
    rejected: int = 0

    def row(self, fields: Sequence[str]) -> dict[str, Any]:
        """One line of metrics.jsonl; with several fields their names are appended to the keys."""
        out: dict[str, Any] = {"t": self.t, "step": self.step, "energy": self.energy}
        if self.dt is not None:
            out |= {"dt": self.dt, "rejected": self.rejected}
        for key, values in (("mass", self.mass), ("min", self.low), ("max", self.high)):
            for name, value in zip(fields, values, strict=True):
                out[key if len(fields) == 1 else f"{key}_{name}"] = value
        return {key: value if math.isfinite(value) else None for key, value in out.items()}  # JSON knows no infinity


class Meter:
    r"""Measures states of a problem.

    The energy is \frac12 \int kappa |grad u|^2 - \int f u - \int_boundary g u where the problem is the gradient flow of
    that (diffusion with sources and inflows), with the energies of :class:`~graphpde.ops.form.Energy` forms and of
    reactions that have one (Allen-Cahn) added where there are any, that of :class:`~graphpde.ops.wave.Wave` for waves,
    else \frac12 \int |u|^2.

    Attributes:
        data: least and largest initial or boundary value so far. wave: the wave term, or None. mixture: the term of a
            mixture that separates, or None.
        gradient_flow: whether it is a linear one. forms, wells: where it is a nonlinear one, its energies that are
            integrated and those that reactions have at the nodes, with their factors.
    """

    def __init__(self, setup: Setup):
        self.setup = setup
        operator = setup.system.operator
        self.operator: LinearOperator | None = None if operator is None else as_matrix(operator)
        known = (
            setup.u0 if setup.stepper is not None or setup.system.fixed is None else setup.system.fixed.take(setup.u0)
        )
        self.data = (float(known.min()), float(known.max()))
        self.gradient_flow = not setup.system.nonlinear and self.operator is not None and self.operator.symmetric
        weak, symmetric = setup.system.weak, self.operator is None or self.operator.symmetric
        energies = [(float(factor), term) for factor, term in weak if isinstance(term, Energy)]
        wells = [(float(c), term.f) for c, term in setup.system.rates if _has_energy(c, term)]
        pointwise = not wells or isinstance(setup.system.mass, Tensor)  # coupled by the mass, it is no gradient
        complete = len(energies) == len(weak) and len(wells) == len(setup.system.rates)
        descends = symmetric and pointwise and complete
        self.forms: list[tuple[float, Energy]] = energies if descends else []
        self.wells: list[tuple[float, Any]] = wells if descends else []
        parts = [] if setup.term is None else [term for _, term in setup.term.parts]
        self.mixture = next((term for term in parts if isinstance(term, CahnHilliard)), None)
        self.wave = next((term for _, term in setup.system.linear if isinstance(term, Wave)), None)

    @property
    def energy_text(self) -> str:
        """What the energy is, for captions."""
        if self.wave is not None:
            return "kinetic and elastic, which neither grows nor falls where nothing damps or drives"
        if self.mixture is not None:
            return "that of the phases and of the interfaces between them, which can only fall"
        if self.wells:
            return f"that of {self.energy_name}, which can only fall while the given data stay the same in time"
        if self.gradient_flow or self.forms:
            return "it can only fall while the given data stay the same in time"
        return "half the integral of the square, which need not fall here"

    @property
    def energy_name(self) -> str:
        """What the energy is called; empty for one without a name of its own."""
        return "Ginzburg-Landau" if any(isinstance(f, AllenCahn) for _, f in self.wells) else ""

    @torch.no_grad()
    def follow(self, t: float) -> None:
        """Widen the range of the given data, ``data``, by the boundary values at time t."""
        fixed = self.setup.system.fixed
        if fixed is None or fixed.constant:
            return
        values = fixed.value(torch.tensor(t, dtype=torch.float64, device=self.setup.u0.device), self.setup.u0)
        self.data = (min(self.data[0], float(values.min())), max(self.data[1], float(values.max())))

    @torch.no_grad()
    def at(self, step: int, t: float, u: Tensor) -> Moment:
        """The numbers of the state u [n, c] at time t."""
        return Moment(
            step,
            t,
            self.setup.space.integral(u).double().tolist(),
            u.amin(0).double().tolist(),
            u.amax(0).double().tolist(),
            self.energy(t, u),
            self.content(u),
        )

    def content(self, u: Tensor) -> list[float]:
        """Integral of the density times each field of u [n, c]."""
        if getattr(self.setup.space, "density", None) is None:
            return self.setup.space.integral(u).double().tolist()
        return times_mass(self.setup.space.mass, u).double().sum(0).tolist()

    def energy(self, t: float, u: Tensor) -> float:
        """The energy of u [n, c] at time t."""
        if self.wave is not None:
            return float(self.wave.energy(u))
        if self.mixture is not None:
            return float(self.mixture.energy(u))
        if not (self.gradient_flow or self.forms or self.wells):
            return float(self.setup.space.integral(u * u).sum() / 2)
        now = torch.tensor(t, dtype=torch.float64, device=u.device)
        total = torch.zeros((), dtype=torch.float64, device=u.device)
        for factor, form in self.forms:
            total = total + factor * form.energy(u, now).double()
        for factor, reaction in self.wells:
            total = total + factor * times_mass(self.setup.system.mass, reaction.energy(u)).sum().double()
        if self.operator is not None:
            total = total - (u * self.operator.matvec(u)).sum().double() / 2
        load = self.setup.system.load(now, u)
        return float(total if load is None else total - (load * u).sum())

    def energy_scale(self, u: Tensor) -> float:
        """The size of the terms that the energy is a difference of: below 1e-16 of it there is only rounding."""
        if self.forms or self.wells:
            return abs(self.energy(float(self.setup.times[0]), u))
        if not self.gradient_flow or self.operator is None:
            return float(self.setup.space.integral(u * u).sum() / 2)
        diagonal = self.operator.diagonal()
        if diagonal is None:
            return 0.0
        d = diagonal.abs()
        return float(((d[:, None] if d.dim() == 1 else d) * u * u).sum().double() / 2)


def _has_energy(factor: Scalar, term: Term) -> bool:
    """Whether a rate is minus the gradient of an energy at each node, times one factor for all fields."""
    if not isinstance(term, Reaction) or term.timed or not hasattr(term.f, "energy"):
        return False
    return not isinstance(factor, Tensor) or factor.numel() == 1
