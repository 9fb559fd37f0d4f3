"""Volcanoes and earthquakes: flows of points on the sphere, by the likelihood of places held out."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.flow.held_out import fitted, parts
from benchmarks.flow.trainings import SHARED, mean_and_error, trained
from benchmarks.physics.rows import NO_TARGET, SOLVING, Absent, Found, Row
from graphpde.data import read_samples
from graphpde.flow import Flow, FlowMatching, GeodesicPath, PointVelocity, Sphere, Tangent

SECTION = "Points on the sphere"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "benchmarks/flow/sphere.py",
           "benchmarks/flow/held_out.py")  # fmt: skip
FILES = {"volcanoes": "volerup.csv", "earthquakes": "quakes_all.csv"}
SETTINGS = {
    "volcanoes": {"steps": 8000, "batch": 512, "hidden": 256, "waves": 128, "every": 1000},
    "earthquakes": {"steps": 8000, "batch": 512, "hidden": 256, "waves": 128, "every": 1000},
}
SPLITS = range(5)
UNIFORM = math.log(4 * math.pi)


def rows() -> list[Row]:
    """The table."""
    return [
        Row(SECTION, f"{name}: NLL of places held out, uniform law {UNIFORM:.2f}", NO_TARGET, lambda v: True,
            partial(_nll, name), sources=SOURCES)
        for name in FILES
    ]  # fmt: skip


def places(name: str) -> Tensor:
    """Unit vectors [k, 3] of latitudes and longitudes."""
    latitude, longitude = read_samples(SHARED / "pde" / "earth" / FILES[name]).x.deg2rad().T
    flat = latitude.cos()
    return torch.stack([flat * longitude.cos(), flat * longitude.sin(), latitude.sin()], -1).float()


def earth(name: str, split: int, steps: int, batch: int, hidden: int, waves: int, every: int) -> dict[str, float]:
    """NLL of one split, in nats by area of the unit sphere."""
    data, sphere = parts(places(name), split), Sphere()
    torch.manual_seed(split)
    net = PointVelocity(
        3, hidden=hidden, layers=4, activation=nn.functional.silu, frequencies=2, waves=waves, finest=60.0
    )
    model = Tangent(net, sphere)

    def nll(model: nn.Module, x: Tensor, **how: Any) -> float:
        with torch.no_grad():
            return -float(Flow(model, sphere.uniform, **how).log_density(x).double().mean())

    def roughly(model: nn.Module, x: Tensor) -> float:  # to choose by
        return nll(model, x[:500], stepper="rk4", dt=0.02)

    objective = FlowMatching(GeodesicPath(sphere), base=sphere.uniform)
    step = fitted(model, objective, data, roughly, steps=steps, batch=batch, rate=2e-3, every=every, seed=split)
    return {"test": nll(model, data.test), "train": nll(model, data.train[:500]), "step": step, "held": len(data.test)}


def _nll(name: str) -> Found | Absent:
    if not (SHARED / "pde" / "earth").is_dir():
        return Absent("the places are not there")
    found = trained("sphere.earth", *({"name": name, "split": k, **SETTINGS[name]} for k in SPLITS))
    mean, error = mean_and_error([run["test"] for run in found])
    std, held = error * len(found) ** 0.5, int(found[0]["held"])
    note = f"of those learned from {sum(run['train'] for run in found) / len(found):.2f}"
    return Found(mean, f"{mean:.2f} ± {std:.2f}", f"{len(found)} splits, {held} places held out of each", note)
