"""Learned symplectic maps: SympNets of a pendulum, and of a chain by nodes and edges."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.hamiltonian.fitted import fitted
from benchmarks.hamiltonian.steppers import symplectic_defect
from benchmarks.hamiltonian.trainings import trained
from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.core.incidence import Incidence
from graphpde.dynamics import evolve
from graphpde.hamiltonian import Particles, Quartic, RateMatch, SympNet, pendulum
from graphpde.ops.pair import Fput

SECTION = "Symplectic maps"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "graphpde/train", "benchmarks/hamiltonian/maps.py",
           "benchmarks/hamiltonian/steppers.py", "benchmarks/hamiltonian/fitted.py")  # fmt: skip
DTYPE = torch.float64
STEP, SEEN, PATHS = 0.1, 50, 40
SETTINGS: dict[str, dict[str, Any]] = {
    "pendulum": {"seed": 0, "layers": 10, "width": 16, "adam": 100, "lbfgs": 400},
    "chain": {"seed": 0, "layers": 8, "width": 8, "adam": 100, "lbfgs": 500},
}
TITLES = {"pendulum": "pendulum", "chain": "chain of 4 springs"}
AMPLITUDE = 0.25  # of the chain


def rows() -> list[Row]:
    """The promises."""
    return [
        *(Row(SECTION, f"{TITLES[name]}: |M^T J M - J| of the map {when} training", "<= 1e-10", at_most(1e-10),
              partial(_defect, name, when), sources=SOURCES) for name in SETTINGS for when in ("before", "after")),
        *(Row(SECTION, f"{TITLES[name]}: mean square error of motions ten times as long as those learned from",
              "<= 1e-3", at_most(1e-3), partial(_far, name), sources=SOURCES) for name in SETTINGS),
    ]  # fmt: skip


def system(name: str) -> Particles:
    """The pendulum of strength 1, or five masses of 1 in a row, free at both ends, each in a weak well of its own."""
    if name == "pendulum":
        return pendulum().system
    links = Incidence.of_pairs(torch.arange(4), torch.arange(1, 5), 5)
    return Particles(torch.ones(5, dtype=DTYPE), Fput(0.0, 0.0), edges=links, field=Quartic(0.5, 0.0))


def starts(name: str, count: int, seed: int) -> Tensor:
    """States [count, n, 2]: a pendulum at rest at up to 1.5 rad, a chain with its centre at rest in its place."""
    rng = torch.Generator().manual_seed(seed)
    if name == "pendulum":
        angle = 3 * torch.rand(count, 1, 1, generator=rng, dtype=DTYPE) - 1.5
        return torch.cat([angle, torch.zeros_like(angle)], -1)
    x = AMPLITUDE * torch.randn(count, 5, 2, generator=rng, dtype=DTYPE)
    return x - x.mean(1, keepdim=True)


class Mapped(nn.Module):
    """A map as a model of (t, u)."""

    def __init__(self, net: SympNet, edges: Incidence | None):
        super().__init__()
        self.net, self.edges = net, edges

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.net(u, self.edges)


def motions(name: str, u: Tensor, steps: int) -> Tensor:
    """States [steps + 1, count, n, 2] at multiples of the step."""
    times = STEP * torch.arange(steps + 1, dtype=DTYPE)
    return evolve(system(name), u, times, stepper="yoshida6", dt=STEP / 2).states


def mapped(name: str, seed: int, layers: int, width: int, adam: int, lbfgs: int) -> dict[str, float]:
    """A map over one step learned from pairs of states; its symplecticity, and far motions of others."""
    edges = system(name).edges if name == "chain" else None
    seen = motions(name, starts(name, PATHS, seed), SEEN)
    batch = seen[:-1].flatten(0, 1), seen[1:].flatten(0, 1)
    torch.manual_seed(seed)
    model = Mapped(SympNet(1, layers=layers, width=width, on_edges=name == "chain").double(), edges)
    before = _of_map(model, batch[0][0])
    loss = fitted(model, RateMatch(), batch, adam=adam, lbfgs=lbfgs)
    u = starts(name, PATHS, 1000 + seed)
    exact = motions(name, u, 10 * SEEN)
    with torch.no_grad():
        path = model.net.path(u, 10 * SEEN, edges)
    return {
        "before": before, "after": _of_map(model, batch[0][0]), "error": float((path - exact).square().mean()),
        "size": float(exact.square().mean()), "loss": loss,
    }  # fmt: skip


def _of_map(model: Mapped, u: Tensor) -> float:
    zero = torch.zeros((), dtype=DTYPE)
    m = torch.autograd.functional.jacobian(lambda x: model(zero, x.reshape(u.shape)).flatten(), u.flatten())
    return symplectic_defect(m, 1)


def _of(name: str) -> dict[str, float]:
    return trained("maps.mapped", {"name": name, **SETTINGS[name]})[0]


def _on(name: str) -> str:
    how = SETTINGS[name]
    kind = "of differences over edges too" if name == "chain" else "of one node"
    return f"G-SympNet {kind}, {how['layers']} layers of {how['width']} ridges"


def _defect(name: str, when: str) -> Found:
    off = _of(name)[when]
    return Found(off, f"{off:.1e}", f"{_on(name)}, the whole Jacobian at one state")


def _far(name: str) -> Found:
    found = _of(name)
    wells = f"each mass in a well q^2 / 4, amplitude {AMPLITUDE:g}; " if name == "chain" else ""
    span = f"{PATHS} motions of t = {SEEN * STEP:g} learned from, {PATHS} others of t = {10 * SEEN * STEP:g}"
    on = f"{wells}{_on(name)}; {span}"
    free = "; without wells and at amplitude 0.5, where it drifts away, 1.4e-2 at best" if name == "chain" else ""
    note = f"mean square of the states {found['size']:.2g}, of the error of one step {found['loss']:.1e}{free}"
    return Found(found["error"], f"{found['error']:.1e}", on, note)
