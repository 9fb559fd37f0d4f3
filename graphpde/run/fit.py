"""Coefficients and sources from measurements: a problem and a table in, the run folder of the fitted problem out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.config import Config, Setup, prepare
from graphpde.errors import ConfigError
from graphpde.ops.system import System
from graphpde.registry import unknown
from graphpde.run.determined import determined
from graphpde.run.estimate import estimate
from graphpde.run.fit_record import FITTED, INTERRUPTED, FitRecord
from graphpde.run.fittable import Fittable
from graphpde.run.folder import RunFolder, next_folder
from graphpde.run.measurements import Measurements, read_measurements
from graphpde.run.run_result import RunResult
from graphpde.run.simulate import simulate
from graphpde.train import LBFGS, History, Hook, Inverse, Misfit, discrepancy, fit

STEPS = 300
CONSTANT = 1e-3
"""Spread of a field, relative to its largest value, below which it counts as constant."""
_QUANTITIES = ("kappa", "source")

Stop = Callable[[], bool]


class Fitted(NamedTuple):
    """The run of the fitted problem, and how that was fitted."""

    run: RunResult
    record: FitRecord


def fit_run(
    config: Config,
    data: str | os.PathLike[str],
    wanted: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    *,
    stop: Stop | None = None,
    **options: Any,
) -> Fitted:
    """Fit a problem to measurements and run what was found.

    Args:
        config: the problem; its coefficients are where the fit starts.
        data: a table, see :func:`~graphpde.run.measurements.read_measurements`.
        wanted: "kappa" (a number, or one for each set of cells where the problem gives such), "kappa=field" (one value
            per cell), "source" (a number), "source=field" (one per node). Fields are as smooth as the noise allows:
            the weight of their roughness is chosen by the discrepancy principle.
        path: the run folder, by default the next free one. stop: asked after every step of the fit and of the run; True
            ends both with what they have, and the status is "interrupted".
        options: of :func:`~graphpde.run.simulate.simulate`.

    Raises:
        OutputError: the folder cannot be used; said before anything is computed.
        ConfigError: what is wanted cannot be fitted, or the table does not fit the problem. SolveError: no fit explains
            the data, or a solver failed.
    """
    asked = _asked(wanted)
    _refuse(config)
    setup = prepare(config)
    seen = read_measurements(data, setup)
    model = Fittable(setup, asked, seen.moments)
    if len(seen) < len(model.numbers):
        raise ConfigError(
            f"'{data}' holds {len(seen)} measurements for {len(model.numbers)} numbers ({', '.join(model.numbers)}), "
            f"expected at least as many; measure more or fit fewer"
        )
    folder = RunFolder(next_folder(f"{setup.name}-fit") if path is None else path, estimate(setup).disk)
    try:
        record, notes = _fit(model, seen, stop or _never)
        fitted = _fitted(model, record, notes)
        return Fitted(simulate(fitted, folder.path, stop=stop, fitted=record, **options), record)
    finally:
        folder.abandon()  # which leaves a folder that holds a run


def _never() -> bool:
    return False


def _refuse(config: Config) -> None:
    if config.device != "cpu" or config.dtype != "float64":
        raise ConfigError(f"a fit runs on the cpu in float64, and the problem asks for {config.device}, {config.dtype}")
    if config.adapt is not None:
        raise ConfigError(
            "a fit needs one mesh and adapt refines it; leave adapt out of the fit, and give it to a run of the fitted "
            "problem"
        )


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


def _fit(model: Fittable, seen: Measurements, stop: Stop) -> tuple[FitRecord, list[str]]:
    """Fit, and judge the result: what is remarkable about it, one sentence each."""
    misfit = Misfit(seen.of, seen.values, seen.sigma)
    notes: list[str] = []
    if model.rough:
        history, notes = _fit_fields(model, misfit, stop)
    else:
        rule = LBFGS(change=1e-8)
        history = fit(model, Inverse(misfit), update=rule, steps=STEPS, hooks=[_hook(stop)])
    deviations: Mapping[str, float | None] = {}
    if history.reason != INTERRUPTED:
        deviations, lost = determined(model, seen)
        if lost:
            those = " and ".join(lost)
            how = f"{those} can change together" if len(lost) > 1 else f"{those} can change"
            notes.append(
                f"the measurements do not determine {those}: {how} without a trace above their "
                f"noise, and what was found depends on the start; give all but what they determine, or measure "
                f"something else"
            )
    numbers, fields = _found(model)
    with torch.no_grad():
        computed = seen.of(model())
    return FitRecord(model.setup, seen, computed, numbers, fields, deviations, history), notes


def _fit_fields(model: Fittable, misfit: Misfit, stop: Stop) -> tuple[History, list[str]]:
    """Fit as often as it takes to find the weight of the roughness; the history of all of it."""
    objective = Inverse(misfit, {"roughness": lambda m: m.roughness()})
    whole = History()

    def at(weight: float) -> float:
        rule, hooks = LBFGS(memory=30, change=1e-5), [_hook(stop)]
        own = fit(model, objective, update=rule, steps=STEPS, weights={"roughness": weight}, hooks=hooks)
        _append(whole, own, weight)
        return own["misfit"][-1]

    def constant() -> bool:
        return whole["misfit"][-1] <= 1 and all(
            float(v.max() - v.min()) <= CONSTANT * float(v.abs().max()) for v in _found(model)[1].values()
        )

    discrepancy(at, enough=lambda: stop() or constant())
    if stop():
        whole.reason = INTERRUPTED
    elif constant():
        names = " and ".join(model.rough)
        return whole, [f"a constant {names} explains the measurements: they say nothing of a field beyond their noise"]
    return whole, []


def _hook(stop: Stop) -> Hook:
    return lambda _: INTERRUPTED if stop() else None


def _append(whole: History, own: History, weight: float) -> None:
    """The steps of one more fit, counted on."""
    before = whole.rows[-1] if whole.rows else {"step": 0, "evaluations": 0, "seconds": 0.0}
    for row in own.rows:
        counted = {key: before[key] + row[key] for key in ("step", "evaluations", "seconds")}
        whole.rows.append({**row, **counted, "weight": weight})
    whole.reason, whole.converged = own.reason, own.converged


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


def _fitted(model: Fittable, record: FitRecord, notes: Sequence[str]) -> Setup:
    """The problem with what was found."""
    setup = model.setup
    config = _with_numbers(setup.config, setup, record.numbers)
    fitted = prepare(config)
    if record.fields:
        term = model.term()
        with torch.no_grad():
            system = System(term, None, setup.times[0])
        note = f"config.toml holds what the fit started from; the fitted field lies in {FITTED}"
        fitted = replace(fitted, term=term, system=system, notes=(*fitted.notes, note))
    return replace(fitted, notes=(*fitted.notes, *notes))


def _with_numbers(config: Config, setup: Setup, found: Mapping[str, Any]) -> Config:
    if "kappa" in found:
        config = replace(config, coefficients={**config.coefficients, "kappa": found["kappa"]})
    if "source" in found:
        config = replace(config, source={setup.pde.fields[0]: found["source"]})
    return config
