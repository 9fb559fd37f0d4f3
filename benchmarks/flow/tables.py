"""Tables of real numbers: flows beside a Gaussian and a mixture of ten, by the likelihood of rows held out."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.flow.held_out import fitted, parts
from benchmarks.flow.trainings import SHARED, mean_and_error, trained
from benchmarks.physics.rows import SOLVING, Absent, Found, Row
from graphpde.data import read_samples
from graphpde.flow import Flow, FlowMatching, PointVelocity

SECTION = "Tables of real numbers"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "benchmarks/flow/tables.py",
           "benchmarks/flow/held_out.py")  # fmt: skip
SETTINGS = {
    "kin40k": {"steps": 12_000, "batch": 512, "hidden": 256, "rate": 2e-3, "every": 3000, "noise": 0.0},
    "pendulum": {"steps": 3000, "batch": 256, "hidden": 64, "rate": 2e-3, "every": 100, "noise": 0.1},
}
SPLITS = {"kin40k": 1, "pendulum": 5}


def rows() -> list[Row]:
    """The promises."""
    return [
        Row(SECTION, f"{name}: log-likelihood of rows held out above that of the {other}", "> 0", lambda v: v > 0,
            partial(_above, name, kind), sources=SOURCES)
        for name in SETTINGS for kind, other in (("gaussian", "Gaussian"), ("mixture", "mixture of ten Gaussians"))
    ]  # fmt: skip


def table(name: str, split: int, **how: float) -> dict[str, float]:
    """Mean log-likelihood in nats of the test rows of one split, columns in units of their deviation."""
    from sklearn.mixture import GaussianMixture

    data = parts(read_samples(SHARED / "pde" / "uci" / f"{name}.csv.gz").x, split)
    mean, std = data.train.mean(0), data.train.std(0)
    data = type(data)(*((x - mean).div(std).float() for x in data))
    torch.manual_seed(split)
    model = PointVelocity(data.train.shape[1], hidden=int(how["hidden"]), layers=4, activation=nn.functional.silu,
                          frequencies=2)  # fmt: skip

    def nll(model: nn.Module, x: Tensor) -> float:
        with torch.no_grad():
            flow = Flow(model, stepper="rk4", dt=0.05)
            return -float(torch.cat([flow.log_density(part) for part in x.split(2000)]).double().mean())

    step = fitted(model, FlowMatching(), data, nll, steps=int(how["steps"]), batch=int(how["batch"]),
                  rate=how["rate"], every=int(how["every"]), seed=split, noise=how["noise"])  # fmt: skip
    mixtures = {
        label: GaussianMixture(count, random_state=0, n_init=3, reg_covar=1e-6).fit(data.train.numpy())
        for label, count in (("gaussian", 1), ("mixture", 10))
    }
    others = {label: float(mixture.score(data.test.numpy())) for label, mixture in mixtures.items()}
    return {"flow": -nll(model, data.test), **others, "step": step, "test": len(data.test)}


def _above(name: str, other: str) -> Found | Absent:
    if not (SHARED / "pde" / "uci").is_dir():
        return Absent("the tables are not there")
    found = trained("tables.table", *({"name": name, "split": k, **SETTINGS[name]} for k in range(SPLITS[name])))
    gaps = [run["flow"] - run[other] for run in found]
    count, test = len(found), int(found[0]["test"])
    if count == 1:
        text = f"{found[0]['flow']:.3f} against {found[0][other]:.3f} nats"
        return Found(gaps[0], text, f"one split, {test} rows held out, standardised columns")
    (mine, error), (theirs, spread) = (mean_and_error([run[key] for run in found]) for key in ("flow", other))
    text = f"{mine:.2f} ± {error:.2f} against {theirs:.2f} ± {spread:.2f} nats"
    above = f"above in {sum(gap > 0 for gap in gaps)} of {count} splits"
    return Found(sum(gaps) / count, text, f"{count} splits, {test} rows held out of each, standardised columns", above)
