"""Flows in the plane: eight Gaussians to two moons beside torchcfm, rectified flow, densities."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.flow.trainings import mean_and_error, trained
from benchmarks.physics.rows import SOLVING, Absent, Found, Row, at_most
from graphpde.data import PLANAR
from graphpde.dynamics import Hutchinson
from graphpde.flow import (
    COUPLINGS,
    DataCoupling,
    Flow,
    FlowMatching,
    Pairs,
    PointVelocity,
    straightness,
    transport_cost,
)
from graphpde.solve import wasserstein
from graphpde.train import Adam, Cosine, Ema, fit

SECTION = "Flows in the plane"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "graphpde/data/planar.py",
           "benchmarks/flow/planar.py")  # fmt: skip
FROM, TO = "eight_gaussians", "moons"
BATCH, STEPS, SEEDS, SAMPLES, JUDGES = 256, 10_000, range(5), 1000, 3
NAMES = {"independent": "plain", "optimal": "optimal pairs"}


def rows() -> list[Row]:
    """The promises."""
    made = []
    for coupling, name in NAMES.items():
        for how in ("one Euler step", "adaptive"):
            made.append(
                _row(
                    f"8 Gaussians to moons, {name}, {how}: exact W2",
                    "<= torchcfm's mean + 1 standard error",
                    at_most(0.0),
                    partial(_beside, coupling, how),
                )
            )
        made.append(
            _row(f"training step, {name}: CPU time by torchcfm's", "<= 1", at_most(1.0), partial(_step_time, coupling))
        )
    return [
        *made,
        _row("rectified flow: largest growth of E|x1 - x0|^p over a reflow, p = 1, 1.5, 2", "<= 5 %", at_most(0.05),
             partial(_rectified, "growth")),
        _row("rectified flow: straightness after by before a reflow", "< 1", lambda v: v < 1,
             partial(_rectified, "straighter")),
        _row("rectified flow: sliced W2 of 1 step after a reflow by that of 100 steps", "<= 1.3", at_most(1.3),
             partial(_rectified, "one_step")),
        *(_row(f"{name}: integral of the learned density over the plane", "1 ± 0.01", at_most(0.01),
               partial(_density, name, "integral")) for name in ("moons", "eight_gaussians")),
        *(_row(f"{name}: NLL above that of the true law", "<= 0.05 nats", at_most(0.05),
               partial(_density, name, "above")) for name in ("moons", "eight_gaussians")),
        _row("Hutchinson's estimate: slope of its deviation over probes", "-0.5 ± 0.05", at_most(0.05), _hutchinson),
    ]  # fmt: skip


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found | Absent]) -> Row:
    return Row(SECTION, name, target, check, measure, sources=SOURCES)


class Drawn:
    """Batches of pairs, drawn anew."""

    def __init__(self, batch: int = BATCH):
        self.batch = batch

    def drawn(self, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(STEPS):
            yield PLANAR[FROM].draw(self.batch, rng), PLANAR[TO].draw(self.batch, rng)


def ours(coupling: str, seed: int, steps: int) -> dict[str, float]:
    """A flow of this library: W2 and evaluations."""
    torch.manual_seed(seed)
    model = PointVelocity(2)
    objective = FlowMatching(coupling=COUPLINGS[coupling]())
    fit(model, objective, Drawn(), update=Adam(1e-3), steps=steps, rng=torch.Generator().manual_seed(seed))
    return _judged(model, seed)


def theirs(coupling: str, seed: int, steps: int) -> dict[str, float]:
    """The same with torchcfm's matcher and its network of the same size."""
    step, model = their_step(coupling, seed)
    rng = torch.Generator().manual_seed(seed)
    for batch, _ in zip(Drawn().drawn(rng), range(steps), strict=False):
        step(*batch)
    return _judged(lambda t, x: model(torch.cat([x, t.to(x).expand(len(x), 1)], 1)), seed)


def their_step(coupling: str, seed: int) -> tuple[Callable[[Tensor, Tensor], None], nn.Module]:
    """A training step as in its examples, without noise around the paths, and the network."""
    import numpy as np
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher, ExactOptimalTransportConditionalFlowMatcher
    from torchcfm.models.models import MLP

    torch.manual_seed(seed)
    np.random.seed(seed)  # its plans are drawn from with numpy
    model = MLP(dim=2, w=64, time_varying=True)
    update = torch.optim.Adam(model.parameters(), 1e-3)
    exact = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)
    matcher = exact if coupling == "optimal" else ConditionalFlowMatcher(sigma=0.0)

    def step(x0: Tensor, x1: Tensor) -> None:
        update.zero_grad()
        t, x, v = matcher.sample_location_and_conditional_flow(x0, x1)
        loss = (model(torch.cat([x, t[:, None]], -1)) - v).square().mean()
        loss.backward()
        update.step()

    return step, model


def _judged(velocity: Any, seed: int) -> dict[str, float]:
    """Mean exact W2 to fresh samples of the data over some draws, and evaluations."""
    euler, adaptive, evaluations = [], [], []
    for k in range(JUDGES):
        rng = torch.Generator().manual_seed(1000 * (1 + seed) + k)
        x0, x1 = PLANAR[FROM].draw(SAMPLES, rng), PLANAR[TO].draw(SAMPLES, rng)
        with torch.no_grad():
            euler.append(wasserstein(Flow(velocity, stepper="euler", dt=1.0).push(x0).final, x1))
            run = Flow(velocity).push(x0)
        adaptive.append(wasserstein(run.final, x1))
        evaluations.append(run.statistics["evaluations"])
    found = {"one Euler step": euler, "adaptive": adaptive, "evaluations": evaluations}
    return {name: statistics.fmean(values) for name, values in found.items()}


def _beside(coupling: str, how: str) -> Found | Absent:
    if find_spec("torchcfm") is None:
        return Absent("torchcfm is not installed")
    runs = [{"coupling": coupling, "seed": seed, "steps": STEPS} for seed in SEEDS]
    (mine, error), (other, bound) = (
        mean_and_error([run[how] for run in trained(f"planar.{side}", *runs)]) for side in ("ours", "theirs")
    )
    count = statistics.fmean(run["evaluations"] for run in trained("planar.ours", *runs))
    text = f"{mine:.3f} ± {error:.3f} against {other:.3f} ± {bound:.3f}"
    on = f"{len(runs)} seeds, {STEPS:,} steps of {BATCH} pairs, 3 layers of 64, {SAMPLES} samples"
    return Found(mine - other - bound, text, on, f"{count:.0f} evaluations" if how == "adaptive" else "")


def _step_time(coupling: str) -> Found | Absent:
    """Median CPU time of 50 steps each, in turn."""
    if find_spec("torchcfm") is None:
        return Absent("torchcfm is not installed")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, objective = PointVelocity(2), FlowMatching(coupling=COUPLINGS[coupling]())
    rng = torch.Generator().manual_seed(0)
    batches = [batch for batch, _ in zip(Drawn().drawn(rng), range(200), strict=False)]
    step, _ = their_step(coupling, 0)

    def mine() -> None:
        fit(model, objective, batches, update=Adam(1e-3), steps=len(batches), rng=rng)

    def other() -> None:
        for batch in batches:
            step(*batch)

    times: dict[str, list[float]] = {}
    for _ in range(7):
        for run in (mine, other):
            start = time.process_time()
            run()
            times.setdefault(run.__name__, []).append((time.process_time() - start) / len(batches))
    seconds = {name: statistics.median(values) for name, values in times.items()}
    ratio = seconds["mine"] / seconds["other"]
    text = f"{ratio:.2f}x ({1e3 * seconds['mine']:.2f} against {1e3 * seconds['other']:.2f} ms)"
    return Found(ratio, text, f"{BATCH} pairs, 3 layers of 64, one thread, 7 rounds of {len(batches)} steps in turn")


def rectified(seed: int, steps: int) -> dict[str, float]:
    """A flow, pairs made by it, and the flow trained on them."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    first, base = PointVelocity(2, hidden=128), PLANAR[FROM]
    update = Adam(1e-3, schedule=Cosine(steps))
    fit(first, FlowMatching(), Drawn(), update=update, steps=steps, rng=rng)
    x0 = base.draw(50_000, rng)
    made = Pairs(x0, Flow(first).push(x0).final.detach())
    second = PointVelocity(2, hidden=128)
    second.load_state_dict(first.state_dict())

    class Made:
        def drawn(self, rng: torch.Generator) -> Iterator[Pairs]:
            for _ in range(steps):
                chosen = torch.randint(0, len(x0), (4 * BATCH,), generator=rng)
                yield Pairs(made.x0[chosen], made.x1[chosen])

    update, average = Adam(2e-3, schedule=Cosine(steps)), Ema(0.999)
    fit(second, FlowMatching(coupling=DataCoupling()), Made(), update=update, steps=steps, rng=rng, hooks=(average,))
    x0, x1 = base.draw(10_000, rng), PLANAR[TO].draw(10_000, rng)
    with torch.no_grad(), average.swapped(second):
        ends = [Flow(v, stepper="rk4", dt=0.01).push(x0).final for v in (first, second)]
        one = Flow(second, stepper="euler", dt=1.0).push(x0).final
        hundred = Flow(second, stepper="euler", dt=0.01).push(x0).final
        costs = [[transport_cost(Pairs(x0, end), p) for p in (1.0, 1.5, 2.0)] for end in ends]
        fresh = PLANAR[TO].draw(10_000, rng)
        return {
            "growth": max(after / before - 1 for before, after in zip(*costs, strict=True)),
            "straighter": straightness(Flow(second), x0[:2000]) / straightness(Flow(first), x0[:2000]),
            "one_step": sliced(one, x1) / sliced(hundred, x1),
            "one": sliced(one, x1),
            "hundred": sliced(hundred, x1),
            "floor": sliced(fresh, x1),
        }


def sliced(x: Tensor, y: Tensor, directions: int = 64) -> float:
    """The sliced Wasserstein distance of order 2 of two sets of as many points in the plane."""
    angle = torch.arange(directions) * torch.pi / directions
    onto = torch.stack([angle.cos(), angle.sin()])
    gap = (x @ onto).sort(0).values - (y @ onto).sort(0).values
    return float(gap.square().mean().sqrt())


def _rectified(what: str) -> Found:
    (found,) = trained("planar.rectified", {"seed": 0, "steps": STEPS})
    sizes = f"sliced W2 {found['one']:.3f} and {found['hundred']:.3f}, between two draws of the data"
    notes = {"one_step": f"{sizes} {found['floor']:.3f}"}
    return Found(found[what], f"{found[what]:.3g}", "8 Gaussians to moons, 3 layers of 128, one reflow",
                 notes.get(what, ""))  # fmt: skip


def density(name: str, steps: int) -> dict[str, float]:
    """A flow from a normal law, trained by matching: the integral of its density, its NLL and that of the law."""
    torch.manual_seed(0)
    law, rng = PLANAR[name], torch.Generator().manual_seed(0)
    spread = 3.0

    class Data:
        def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
            for _ in range(steps):
                yield law.draw(512, rng) / spread

    model = PointVelocity(2, hidden=128, layers=4, frequencies=2, activation=nn.functional.silu)
    update, average = Adam(5e-3, schedule=Cosine(steps)), Ema(0.999)
    matching = FlowMatching(coupling=COUPLINGS["optimal"]())
    fit(model, matching, Data(), update=update, steps=steps, rng=rng, hooks=(average,))
    flow = Flow(model)
    with torch.no_grad(), average.swapped(model):
        side = torch.linspace(-9, 9, 361)
        grid = torch.cartesian_prod(side, side)
        total = float(flow.log_density(grid / spread).double().exp().sum()) / spread**2 * float(side[1] - side[0]) ** 2
        x = law.draw(20_000, rng)
        nll = -float(flow.log_density(x / spread).double().mean()) + 2 * torch.tensor(spread).log().item()
    true = -float(law.log_density(x).double().mean())
    return {"integral": abs(total - 1), "total": total, "above": nll - true, "nll": nll, "true": true}


def _density(name: str, what: str) -> Found:
    (found,) = trained("planar.density", {"name": name, "steps": STEPS})
    text = {"integral": f"{found['total']:.4f}", "above": f"{found['above']:+.3f}"}[what]
    note = "" if what == "integral" else f"{found['nll']:.3f} and {found['true']:.3f} nats, 20,000 points"
    return Found(found[what], text, "exact divergence, 361 x 361 points" if what == "integral" else "exact divergence",
                 note)  # fmt: skip


def _hutchinson() -> Found:
    """The deviation of log p(x) by 1 to 64 probes over 100 draws of them."""
    torch.manual_seed(0)
    model = PointVelocity(2, activation=torch.tanh).double()
    flow, x = Flow(model, stepper="rk4", dt=0.25), torch.randn(64, 2, dtype=torch.float64)
    counts, found = (1, 2, 4, 8, 16), []
    rng = torch.Generator().manual_seed(1)
    for count in counts:
        with torch.no_grad():
            told = torch.stack([flow.log_density(x, Hutchinson.draw(x, count, rng=rng)) for _ in range(100)])
        found.append(float(told.std(0).mean()))
    slope = _slope(counts, found)
    return Found(abs(slope + 0.5), f"{slope:.3f}", "1 to 16 probes, 100 draws, 64 points, an untrained flow")


def _slope(x: Any, y: Any) -> float:
    logs = [torch.tensor(v, dtype=torch.float64).log() for v in (x, y)]
    centred = [v - v.mean() for v in logs]
    return float((centred[0] * centred[1]).sum() / centred[0].square().sum())
