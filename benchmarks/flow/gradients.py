"""Gradients by checkpoints, the adjoint and undone steps, and the memory they take."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn

from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.core import Graph, Relation
from graphpde.dynamics import Adaptive, Checkpoints, evolve
from graphpde.ops import Reaction
from graphpde.ops.weighted_diffusion import WeightedDiffusion

SECTION = "Gradients"
SOURCES = (*SOLVING, "benchmarks/flow/gradients.py")
BUDGET = 20


def rows() -> list[Row]:
    """The promises."""
    return [
        Row(SECTION, "checkpointed gradient against that of all steps", "equal", at_most(0.0), _checkpoint,
            sources=SOURCES),
        Row(SECTION, "adjoint gradient against that of all steps, tolerance 1e-9", "<= 1e-6 relative", at_most(1e-6),
            _adjoint, sources=SOURCES),
        Row(SECTION, "gradient by undone steps against that of all steps", "<= 1e-10 relative", at_most(1e-10),
            _reversible, sources=SOURCES),
        Row(SECTION, "numbers kept for the gradient, 1000 steps by 100: adjoint", "<= 1.2", at_most(1.2),
            partial(_growth, "adjoint"), sources=SOURCES),
        Row(SECTION, "numbers kept for the gradient, 1000 steps by 100: checkpoints", "about sqrt(10) = 3.2",
            lambda v: 2.0 <= v <= 4.5, partial(_growth, "checkpoint"), sources=SOURCES),
        Row(SECTION, "numbers kept for the gradient, 1000 steps by 100: all steps", ">= 5", lambda v: v >= 5,
            partial(_growth, "direct"), sources=SOURCES),
        Row(SECTION, f"states kept for the gradient of 1000 steps, budget of {BUDGET}", f"<= {BUDGET}",
            at_most(BUDGET), _budget, sources=SOURCES),
    ]  # fmt: skip


class Term(nn.Module):
    """Learned diffusion on a ring with a reaction."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.2 * torch.rand(40, dtype=torch.float64, generator=_rng(1)))
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return (
            self.weight[:20, None] * (u.roll(1, -2) - u)
            + self.weight[20:, None] * (u.roll(-1, -2) - u)
            + torch.sin(self.rate * u)
        )


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def ring() -> Graph:
    k = torch.arange(40)
    return Graph(Relation.from_edges(torch.cat([k, k]), torch.cat([(k + 1) % 40, (k - 1) % 40]), 40, 40))


def _gradients(run: Callable[[nn.Module, Tensor, str], Tensor], grads: tuple[str, str]) -> float:
    """Relative difference of the gradients in parameters and in the initial state."""
    found = []
    for grad in grads:
        term, u0 = Term(), torch.rand(20, 3, dtype=torch.float64, generator=_rng(2)).requires_grad_()
        loss = run(term, u0, grad)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*term.parameters(), u0])]))
    return float((found[1] - found[0]).norm() / found[0].norm())


def _checkpoint() -> Found:
    def run(term: nn.Module, u0: Tensor, grad: str) -> Tensor:
        return evolve(term, u0, [0.0, 1.0], stepper="rk4", dt=0.01, grad=grad).final.square().sum()

    off = _gradients(run, ("direct", "checkpoint"))
    return Found(off, f"{off:.1e}", "rk4, 100 steps, parameters and start")


def _adjoint() -> Found:
    def run(term: nn.Module, u0: Tensor, grad: str) -> Tensor:
        control = Adaptive(rtol=1e-9, atol=1e-9)
        return evolve(term, u0, [0.0, 1.0], stepper="dopri5", control=control, grad=grad).final.square().sum()

    off = _gradients(run, ("direct", "adjoint"))
    return Found(off, f"{off:.1e}", "dopri5, edge weights, a rate and the start")


def _reversible() -> Found:
    def run(term: nn.Module, u0: Tensor, grad: str) -> Tensor:
        return evolve(term, u0, [0.0, 1.0], stepper="reversible_heun", dt=0.005, grad=grad).final.square().sum()

    off = _gradients(run, ("direct", "reversible"))
    return Found(off, f"{off:.1e}", "reversible Heun, 200 steps")


def _growth(grad: str) -> Found:
    kept = {steps: _kept(grad, steps) for steps in (100, 1000)}
    ratio = kept[1000] / kept[100]
    return Found(ratio, f"{ratio:.2f}", f"{kept[100]:,} and {kept[1000]:,} numbers, rk4, 40 nodes x 8")


def _budget() -> Found:
    states = _kept(Checkpoints(states=BUDGET), 1000) / (40 * 8)
    return Found(states, f"{states:.1f}", "rk4, 40 nodes x 8", "weights and graph included, as parts of a state")


def _kept(grad: str | Checkpoints, steps: int) -> int:
    """Numbers in memory between forward and backward: those that autograd keeps, and those that Python holds."""
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        sizes[x.data_ptr()] = x.numel()
        return x

    w = torch.rand(80, dtype=torch.float64, generator=_rng(3)).requires_grad_()
    u0 = torch.rand(40, 8, dtype=torch.float64, generator=_rng(4)).requires_grad_()
    f = WeightedDiffusion(ring(), w) + Reaction(lambda u: -(u**3))
    gc.collect()
    before = {x.data_ptr() for x in _tensors()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        final = evolve(f, u0, [0.0, 1.0], stepper="rk4", dt=1 / steps, grad=grad).final
    sizes |= {x.data_ptr(): x.numel() for x in _tensors() if x.data_ptr() not in before}
    assert final.requires_grad
    return sum(sizes.values())


def _tensors() -> list[Tensor]:
    return [x for x in gc.get_objects() if type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided]
