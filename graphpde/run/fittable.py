"""A prepared problem some of whose coefficients learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.config import Setup
from graphpde.config.prepare import build_term
from graphpde.dynamics import evolve, steady
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.space import Space
from graphpde.problems.values import conductivity, per_cell
from graphpde.train import PerTag, Positive, Tikhonov


class _Signed(nn.Module):
    """A number or a field that may be negative, in units of its scale."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.scale = float(start.abs().max()) or 1.0
        self.free = nn.Parameter(start / self.scale)

    def forward(self) -> Tensor:
        return self.free * self.scale


class Way(NamedTuple):
    """A way in which what is learned may change: along ``direction`` of the parameter ``free`` that it has.

    Attributes:
        name: of the number, or of the field whose size it is. scale: of the number, for one step of the parameter.
        signed: whether the number may be 0, so that its own size says nothing.
    """

    name: str
    free: nn.Parameter
    direction: Tensor
    scale: float
    signed: bool


class Fittable(nn.Module):
    """A prepared problem some of whose coefficients learn; called, it gives the states at the moments [s, n, c].

    Args:
        setup: the problem as it starts. wanted: "kappa" or "source" -> whether a field is wanted, not numbers.

    Raises:
        ConfigError: the problem has no such coefficient, or not in a form that can learn; a stepper whose bound moves
            with what is learned.
    """

    def __init__(self, setup: Setup, wanted: Mapping[str, bool], moments: Sequence[float]):
        super().__init__()
        _refuse_moving_bound(setup, wanted)
        self.setup, self.wanted, self.moments = setup, dict(wanted), list(moments)
        makers = {"kappa": _kappa, "source": _source}
        self.learned = nn.ModuleDict({name: makers[name](setup, field) for name, field in wanted.items()})
        mesh, space = setup.space.mesh, setup.space
        self.rough: dict[str, Tikhonov] = {}
        for name in (name for name, field in wanted.items() if field):
            self.rough[name] = Tikhonov(mesh if name == "kappa" or not isinstance(space, Space) else space)

    @property
    def numbers(self) -> list[str]:
        """Names of the numbers that learn."""
        return [way.name for way in self.ways() if not self.wanted[way.name.partition(" of ")[0]]]

    def ways(self) -> list[Way]:
        """One for each number, and one for the size of each field."""
        found = []
        for name, module in self.learned.items():
            free, scale = next(module.parameters()), 1.0
            if self.wanted[name] or not isinstance(module, PerTag):
                signed = isinstance(module, _Signed)
                scale = module.scale if isinstance(module, _Signed) else float(module().detach().abs().max())
                found.append(Way(name, free, torch.ones_like(free), scale, signed))
                continue
            units = torch.eye(len(module.names), dtype=free.dtype)
            sizes = module.values().detach().tolist()
            found += [
                Way(f"{name} of {key}", free, unit, size, False)
                for key, unit, size in zip(module.names, units, sizes, strict=True)
            ]
        return found

    def roughness(self) -> Tensor:
        """Of the fields, each in its own units (of kappa: the roughness of its logarithm)."""
        parts = [rough(self.learned[name].get_parameter("free")) for name, rough in self.rough.items()]
        return torch.stack(parts).sum()

    def term(self) -> Any:
        """The right-hand side with what has been learned."""
        setup, config = self.setup, self.setup.config
        if "kappa" in self.learned:
            config = replace(config, coefficients={**config.coefficients, "kappa": self.learned["kappa"]()})
        if "source" in self.learned:
            config = replace(config, source={setup.pde.fields[0]: self.learned["source"]()})
        return build_term(setup.pde, setup.space, config)

    def forward(self) -> Tensor:
        setup = self.setup
        start = float(setup.times[0])
        if setup.stepper is None:
            return steady(self.term(), setup.u0, t=start, method=setup.config.solver.method).value[None]
        times = [start, *(t for t in self.moments if t > start)]
        found = evolve(
            self.term(),
            setup.u0,
            times,
            stepper=setup.stepper,
            dt=setup.dt,
            control=setup.control,
            allow_unstable=setup.config.solver.allow_unstable,
        ).states
        return found if self.moments[0] <= start else found[1:]


def _refuse_moving_bound(setup: Setup, wanted: Mapping[str, bool]) -> None:
    """A step chosen for the first kappa is too long for a larger one, and the fit would end at that wall."""
    stepper = setup.stepper
    if "kappa" not in wanted or stepper is None or setup.control is not None:
        return
    if not stepper.implicit and stepper.stiff == "none":
        raise ConfigError(
            f"the longest stable step of {stepper.name} changes with the kappa that is fitted, and the step stays; "
            f"take an implicit stepper, such as --stepper crank_nicolson"
        )


def _kappa(setup: Setup, field: bool) -> nn.Module:
    if not setup.pde.conducts:
        raise ConfigError(f"{setup.pde.name} has no kappa that could be fitted; fit source")
    if setup.config.materials:
        raise ConfigError("kappa comes from [materials]; give it as numbers per set (--kappa SET=VALUE) to fit them")
    given = conductivity(setup.space, setup.config.coefficients["kappa"])
    if field:
        if isinstance(given, Tensor) and given.dim() > 1:
            raise ConfigError("kappa is a tensor, and only isotropic fields can be fitted; give a number to start from")
        return Positive(per_cell(setup.space, given).to(torch.float64).expand(setup.space.mesh.n_cells))
    if isinstance(given, Tensor):
        raise ConfigError("kappa is a formula in space; give numbers to start from, or ask for kappa=field")
    return PerTag(given) if isinstance(given, Mapping) else Positive(float(given))


def _source(setup: Setup, field: bool) -> nn.Module:
    if len(setup.pde.fields) > 1:
        raise ConfigError(
            f"a source can be fitted for a single field, and {setup.pde.name} has {len(setup.pde.fields)}"
        )
    given = setup.config.source.get(setup.pde.fields[0], 0.0)
    if isinstance(given, Formula) and not given.constant:
        raise ConfigError("the source is a formula; give a number to start from")
    start = torch.tensor(float(given(torch.zeros(1, 1))) if isinstance(given, Formula) else float(given)).double()
    if not field:
        return _Signed(start)
    if not isinstance(setup.space, Space):
        raise ConfigError("source=field needs values at nodes; take an element such as p1")
    return _Signed(start.expand(setup.space.n, 1).clone())
