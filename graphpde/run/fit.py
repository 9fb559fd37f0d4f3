"""Coefficients and sources from measurements: a problem and a table in, the run folder of the fitted problem out."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.config import Config, Setup, prepare
from graphpde.config.prepare import build_term
from graphpde.dynamics import evolve, steady
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.io import write_mesh
from graphpde.mesh.space import Space
from graphpde.ops.system import System
from graphpde.problems.values import conductivity, per_cell
from graphpde.registry import unknown
from graphpde.run.folder import MANIFEST, RunFolder
from graphpde.run.measurements import Measurements, read_measurements
from graphpde.run.run_result import RunResult
from graphpde.run.simulate import simulate
from graphpde.train import LBFGS, History, Inverse, Misfit, PerTag, Positive, Tikhonov, discrepancy, fit

STEPS = 300
_QUANTITIES = ("kappa", "source")
FITTED = "fields/fitted.vtu"


@dataclass(frozen=True)
class Fitted:
    """What a fit came to.

    Attributes:
        run: of the fitted problem. values: by quantity a number, numbers by set of cells, or the range of a field.
        misfit: mean squared residual in units of the noise; 1 is what the noise alone makes. points: measurements.
        history: of the fit that was kept. weight: of the roughness, where a field was fitted. assumed: the deviation of
            the noise where the table does not say any.
    """

    run: RunResult
    values: Mapping[str, Any]
    misfit: float
    points: int
    history: History
    weight: float | None
    assumed: float | None

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "values": dict(self.values), "misfit": self.misfit, "measurements": self.points, "steps": len(self.history),
            "reason": self.history.reason, "weight": self.weight, "sigma_assumed": self.assumed,
        }  # fmt: skip


class _Signed(nn.Module):
    """A number or a field that may be negative, in units of its scale."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.scale = float(start.abs().max()) or 1.0
        self.free = nn.Parameter(start / self.scale)

    def forward(self) -> Tensor:
        return self.free * self.scale


class Fittable(nn.Module):
    """A prepared problem some of whose coefficients learn; called, it gives the states at the moments [s, n, c].

    Args:
        setup: the problem as it starts. wanted: "kappa" or "source" -> whether a field is wanted, not numbers.

    Raises:
        ConfigError: the problem has no such coefficient, or not in a form that can learn.
    """

    def __init__(self, setup: Setup, wanted: Mapping[str, bool], moments: Sequence[float]):
        super().__init__()
        self.setup, self.wanted, self.moments = setup, dict(wanted), list(moments)
        makers = {"kappa": _kappa, "source": _source}
        self.learned = nn.ModuleDict({name: makers[name](setup, field) for name, field in wanted.items()})
        mesh, space = setup.space.mesh, setup.space
        self.rough: dict[str, Tikhonov] = {}
        for name in (name for name, field in wanted.items() if field):
            self.rough[name] = Tikhonov(mesh if name == "kappa" or not isinstance(space, Space) else space)

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
        found = evolve(self.term(), setup.u0, times, stepper=setup.stepper, dt=setup.dt, control=setup.control).states
        return found if self.moments[0] <= start else found[1:]


def fit_run(
    config: Config, data: str | os.PathLike[str], wanted: Sequence[str], path: str | os.PathLike[str], **options: Any
) -> Fitted:
    """Fit a problem to measurements and run what was found.

    Args:
        config: the problem; its coefficients are where the fit starts.
        data: a table, see :func:`~graphpde.run.measurements.read_measurements`.
        wanted: "kappa" (a number, or one for each set of cells where the problem gives such), "kappa=field" (one value
            per cell), "source" (a number), "source=field" (one per node). Fields are as smooth as the noise allows:
            the weight of their roughness is chosen by the discrepancy principle.
        path: the run folder. options: of :func:`~graphpde.run.simulate.simulate`.

    Raises:
        ConfigError: what is wanted cannot be fitted, or the table does not fit the problem. SolveError: no fit explains
            the data, or a solver failed.
    """
    asked = _asked(wanted)
    setup = prepare(config)
    if config.device != "cpu" or config.dtype != "float64":
        raise ConfigError(f"a fit runs on the cpu in float64, and the problem asks for {config.device}, {config.dtype}")
    seen = read_measurements(data, setup)
    model = Fittable(setup, asked, seen.moments)
    history, weight = _carry_out(model, seen)
    found, field = _found(model)
    fitted = prepare(_with_numbers(config, setup, found))
    if field:
        term = model.term()
        with torch.no_grad():
            system = System(term, None, setup.times[0])
        note = f"config.toml holds what the fit started from; the fitted field lies in {FITTED}"
        fitted = replace(fitted, term=term, system=system, notes=(*fitted.notes, note))
    run = simulate(fitted, path, **options)
    sigma = float(seen.sigma[0]) if seen.assumed else None
    last = history["misfit"][-1]
    result = Fitted(run, {**found, **_ranges(field)}, last, len(seen), history, weight, sigma)
    files = _write(result, setup, field)
    return replace(result, run=replace(run, files=files))


def _asked(wanted: Sequence[str]) -> dict[str, bool]:
    out: dict[str, bool] = {}
    for text in wanted:
        name, equals, kind = text.partition("=")
        if name not in _QUANTITIES:
            raise unknown("quantity to fit", name, _QUANTITIES)
        if equals and kind != "field":
            raise ConfigError(f"--fit takes {name} for numbers or {name}=field for a field, got '{text}'")
        if name in out:
            raise ConfigError(f"--fit names {name} twice")
        out[name] = bool(equals)
    if not out:
        raise ConfigError("--fit names no quantity, expected kappa, source, or either with =field, after the table")
    return out


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


def _carry_out(model: Fittable, seen: Measurements) -> tuple[History, float | None]:
    """Fit; with fields as often as it takes to find the weight of their roughness."""
    misfit = Misfit(seen.of, seen.values, seen.sigma)
    if not model.rough:
        return fit(model, Inverse(misfit), update=LBFGS(change=1e-8), steps=STEPS), None
    objective = Inverse(misfit, {"roughness": lambda m: m.roughness()})
    kept: list[History] = []

    def at(weight: float) -> float:
        rule = LBFGS(memory=30, change=1e-5)
        kept.append(fit(model, objective, update=rule, steps=STEPS, weights={"roughness": weight}))
        return kept[-1]["misfit"][-1]

    chosen = discrepancy(at)
    return kept[-1], chosen.weight


def _found(model: Fittable) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Numbers, and fields, by quantity."""
    numbers: dict[str, Any] = {}
    fields: dict[str, Tensor] = {}
    for name, module in model.learned.items():
        value = module()
        if isinstance(value, dict):
            numbers[name] = {key: float(v.detach()) for key, v in value.items()}
        elif value.dim():
            fields[name] = value.detach()
        else:
            numbers[name] = float(value.detach())
    return numbers, fields


def _with_numbers(config: Config, setup: Setup, found: Mapping[str, Any]) -> Config:
    if "kappa" in found:
        config = replace(config, coefficients={**config.coefficients, "kappa": found["kappa"]})
    if "source" in found:
        config = replace(config, source={setup.pde.fields[0]: found["source"]})
    return config


def _ranges(fields: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: {"min": float(v.min()), "max": float(v.max())} for name, v in fields.items()}


def _write(result: Fitted, setup: Setup, fields: Mapping[str, Tensor]) -> list[Any]:
    """The history, the fitted fields and the summary beside the run; the files of the folder."""
    folder = RunFolder(result.run.folder)
    text = io.StringIO()
    table = csv.DictWriter(text, result.history.columns, lineterminator="\n")
    table.writeheader()
    table.writerows(result.history.rows)
    folder.write("fit.csv", text.getvalue())
    if fields:
        space, mesh = setup.space, setup.space.mesh
        cells = {name: v for name, v in fields.items() if name == "kappa"}
        points = {name: space.at_points(v)[:, 0] for name, v in fields.items() if name != "kappa"}
        write_mesh(folder.path / FITTED, mesh.with_data(points, cells))
    manifest = json.loads((folder.path / MANIFEST).read_text(encoding="utf-8"))
    folder.write_manifest({**manifest, "fit": result.as_dict()})
    return folder.files()
