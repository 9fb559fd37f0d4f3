"""Steps of their own for every sample of one batch: each has its time, its step and its error.

All take a step together, each of its own length; where the error of one is too large, that one alone stays where it
was. Samples that have arrived wait. A batch of easy and hard ones costs as many evaluations as the hardest alone needs,
and each sees the steps that it would see alone. Rates are asked with a time for each sample, t [*, n, 1] beside the
state.

Reference: Lienen and Guennemann 2022 (torchode): the steps of one sample do not depend on who else is in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.dynamics.state import combine, largest, leaves
from graphpde.errors import InputError, ShapeError, StepUnderflow
from graphpde.typing import check_shape

if TYPE_CHECKING:
    from graphpde.dynamics.control import Adaptive, Leg
    from graphpde.dynamics.stepper import Foresight, Step, Stepper
    from graphpde.ops.system import System
    from graphpde.typing import State

EACH = ("node", "state", "graph")


class Groups:
    """The samples of a state: nodes, states [n, c], or the graphs of a disjoint union.

    Attributes:
        shape: of one number for each sample.

    Raises:
        InputError: no union, nothing to step, nodes that depend on each other. ShapeError: a state of other samples.
    """

    def __init__(self, each: str, u: State, f: System):
        first, domain = leaves(u)[0], f.domain
        check_shape(first, "* n c", "the state")
        if not first.numel():
            raise InputError(f"the state has shape {list(first.shape)}: no samples that could step")
        if each == "node" and not f.nodewise:
            raise InputError(f"each='node' lets every node step alone, and {f.label} ties them together; use 'state'")
        self.members: Relation | None = None
        if each == "graph":
            if domain is None or domain.batch is None:
                raise InputError("each='graph' needs the graphs of a union: a domain with batch")
            nodes = torch.arange(domain.n, device=domain.device)
            self.members = Relation.from_edges(nodes, domain.batch, domain.n, len(domain.ptr) - 1)
            self.shape: tuple[int, ...] = (*first.shape[:-2], self.members.n_dst)
        self.dims = 2 if each == "state" else 1
        if each != "graph":
            self.shape = tuple(first.shape[: first.dim() - self.dims])
        for x in leaves(u):
            if x.shape[:-2] != first.shape[:-2] or (self.dims == 1 and x.shape[-2] != first.shape[-2]):
                raise ShapeError(
                    f"a part of the state has shape {list(x.shape)}, expected samples as {list(first.shape)}"
                )

    def total(self, x: Tensor) -> Tensor:
        """Sums over the entries of each sample."""
        sums = x.flatten(-self.dims).sum(-1)
        return sums if self.members is None else self.members.propagate(sums[..., None])[..., 0]

    def spread(self, value: Tensor) -> Tensor:
        """One number for each sample, in the dimensions of the state."""
        if self.members is not None:
            return self.members.transpose().propagate(value[..., None])
        return value.reshape(*value.shape, *[1] * self.dims)


class AdaptingEach:
    """One run of :class:`Adaptive` with ``each``: a controller for every sample.

    Raises:
        InputError: a stepper that takes one step for all, or times that require a gradient.
    """

    adapts = True

    def __init__(self, control: Adaptive, f: System, stepper: Stepper, u: State, times: Tensor):
        if not getattr(stepper, "steps_each", False):
            raise InputError(f"steps for each sample are taken by explicit Runge-Kutta methods, not by {stepper.name}")
        self.control, self.stepper, self.power = control, stepper, float(stepper.error_power or 1)
        assert control.each is not None
        if times.requires_grad:
            raise InputError(
                "steps for each sample give no gradient in times; detach them, or take a control without each="
            )
        self.groups, self.dtype, self.device = Groups(control.each, u, f), leaves(u)[0].dtype, leaves(u)[0].device
        ends = times.detach()
        self.end, span = float(ends[-1]), float(ends[-1] - ends[0])
        self.longest = min(control.dt_max or math.inf, span or math.inf)
        self.shortest = control.dt_min or 16 * 2.0**-52 * max(float(ends.abs().max()), span)
        with torch.no_grad():
            self.t = self._all(ends[0])
            first = self._first(f, u) if control.dt0 is None else torch.full_like(self.t, control.dt0)
        self.wanted = first.clamp(self.shortest, self.longest)
        self.before = torch.full_like(self.t, 0.1)
        self.refused = torch.zeros_like(self.t, dtype=torch.bool)
        self.steps = torch.zeros_like(self.t, dtype=torch.int64)
        self.rejected = torch.zeros_like(self.steps)
        self.evaluations = 0 if control.dt0 is not None else 2

    def _all(self, t: Tensor) -> Tensor:
        """One time for each sample, in double precision beside the state."""
        return t.to(self.device).expand(self.groups.shape).clone()

    def enter(self, start: Tensor, end: Tensor) -> Leg:
        self.t = self._all(start)
        return self._leg(start, end, 0)

    def after(self, leg: Leg) -> Leg | None:
        arrived = bool((self.t >= float(leg.end)).all())
        return None if arrived else self._leg(leg.start, leg.end, leg.number + 1)

    def again(self, leg: Leg) -> Leg:
        return self._leg(leg.start, leg.end, leg.number)

    def fit(self, leg: Leg, ahead: Foresight, u: Tensor) -> Leg:
        return leg

    def _leg(self, start: Tensor, end: Tensor, number: int) -> Leg:
        from graphpde.dynamics.control import Leg

        left = float(end) - self.t
        count = torch.ceil(left / self.wanted * (1 - 1e-9)).clamp(min=1)
        self.dt = torch.where(count <= 2, left / count, self.wanted)
        self.last = count <= 1
        until = float((self.t + self.dt).min())
        t, dt = (self.groups.spread(x).to(self.dtype) for x in (self.t, self.dt))
        return Leg(t, dt, until, number, 0.0, start, end)

    def accepts(self, f: System, leg: Leg, step: Step | None, u: State) -> bool | Tensor:
        """Which samples may go on, as a mask that spreads over the state; sets the steps that are wanted next.

        Raises:
            StepUnderflow: a wanted step is below the shortest one.
        """
        least, most = self.control.limits
        with torch.no_grad():
            moving = self.dt > 0
            error = self._error(f, step, u)
            good = error <= 1
            bounded = error.clamp(1e-10, 1e10)
            alone, damped = self.control.factors(bounded, self.before, self.power)
            factor = torch.where(bounded < 0.1, alone, damped)
            factor = factor.clamp(least, most).where(~self.refused, factor.clamp(least, 1.0))
            shrink = alone.clamp(least, 0.9)
            following = self.dt * torch.where(good, factor, shrink)
            short = good & (self.dt < 0.5 * self.wanted)  # cut short by a saved time
            free = torch.minimum(self.wanted, self.dt * alone)
            following = torch.where(short, torch.maximum(following, free), following)
            self.wanted = torch.where(moving, following.clamp(max=self.longest), self.wanted)
            if bool((self.wanted < self.shortest).any()):
                worst = int(self.wanted.reshape(-1).argmin())
                suspect = f"{f.label} in sample {worst}"
                t, dt = float(self.t.reshape(-1)[worst]), float(self.wanted.min())
                raise StepUnderflow(t, dt, largest(u), suspect, False, u)
            self.before = torch.where(good & moving, error.clamp(min=0.1), self.before)
            self.refused = ~good
            ahead = torch.where(self.last, float(leg.end), self.t + self.dt)
            self.t = torch.where(good & moving, ahead, self.t)
            self.steps += good & moving
            self.rejected += ~good
        if not bool((good & moving).any()):
            return False
        return True if bool(good.all()) else self.groups.spread(good.to(torch.float64)) > 0.5

    def _error(self, f: System, step: Step | None, u: State) -> Tensor:
        if step is None or step.error is None:
            return torch.full_like(self.t, math.inf)
        return torch.nan_to_num(self._size(f, step.error(), u, step.u), nan=math.inf, posinf=math.inf)

    def _size(self, f: System, error: State, u0: State, u1: State) -> Tensor:
        """The root mean square of the scaled error of every sample."""
        total, count = torch.zeros_like(self.t), torch.zeros_like(self.t)
        for e, a, b in list(zip(leaves(error), leaves(u0), leaves(u1), strict=True))[: f.controlled]:
            e, a, b = (x.detach() for x in (e, a, b))
            share = (e / (self.control.atol + self.control.rtol * torch.maximum(a.abs(), b.abs()))).square()
            free = torch.ones_like(share)
            if f.fixed is not None:
                share, free = f.fixed.clear(share), f.fixed.clear(free)
            total = total + self.groups.total(share).double()
            count = count + self.groups.total(free).double()
        return (total / count.clamp(min=1)).sqrt()

    def _first(self, f: System, u: State) -> Tensor:
        """As for one sample: explicit Euler errs by a hundredth of the tolerance."""
        t = self.groups.spread(self.t).to(self.dtype)
        slope = f.rate(t, u)
        d0, d1 = self._size(f, u, u, u), self._size(f, slope, u, u)
        sound = torch.isfinite(d0) & torch.isfinite(d1) & (torch.minimum(d0, d1) >= 1e-5)
        h = torch.where(sound, 0.01 * d0 / d1, torch.full_like(d0, 1e-6))
        step = self.groups.spread(h).to(self.dtype)
        there = f.rate(t + step, f.reset(t + step, combine(u, [step], [slope])))
        d2 = self._size(f, combine(there, [-1.0], [slope]), u, u) / h
        steep = torch.maximum(d1, d2)
        longer = torch.where(
            steep <= 1e-15, (1e-3 * h).clamp(min=1e-6), (0.01 / steep) ** (1 / (self.stepper.order + 1))
        )
        return torch.where(torch.isfinite(steep), torch.minimum(100 * h, longer), h)

    def steps_left(self, leg: Leg, after: float) -> int:
        return math.ceil(max(self.end - after, 0.0) / float(self.wanted.min()) * (1 - 1e-9))

    def statistics(self) -> Mapping[str, Any]:
        """Steps that each sample took, and that it was refused."""
        return {"steps_each": self.steps, "rejected_each": self.rejected}
