"""Energies on graphs and meshes: labels from few known nodes, momentum, total variation and its dual.

python -m benchmarks.graph --only energies
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most
from graphpde.core import Graph
from graphpde.data import sbm, two_moons
from graphpde.graph_diffusion.ginzburg_landau import GinzburgLandau, minimise, segment
from graphpde.mesh import CellSpace, jittered, rectangle
from graphpde.mesh.corner_space import CornerSpace
from graphpde.ops.denoising import Denoised, denoise
from graphpde.ops.total_variation import DiscreteTotalVariation

SECTION = "Energies on graphs and meshes"
SOURCES = (
    *SOLVING,
    "graphpde/graph_diffusion/ginzburg_landau.py",
    "graphpde/graph_diffusion/convex_split.py",
    "benchmarks/graph/energies.py",
)
D = torch.float64
SEEDS, LABELLED = 5, 0.05
FEW = (
    "In one draw of five the classes have 6, 16, 13 and 25 known nodes, and the one with 6 is taken up by that with 25 "
    "(26 % wrong); the other four draws have 0.6 to 1.1 %. Nothing in the energy asks for classes of equal size."
)
TAUS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e4, 1e6)  # in units of the time in which the well separates


def rows() -> list[Row]:
    """Figures of the Ginzburg-Landau classifier and of discrete total variation."""

    def row(name: str, target: str, bound: float, measure: Callable[[], Found], because: str = "") -> Row:
        return Row(SECTION, name, target, at_most(bound), measure, because, SOURCES)

    return [
        row("two moons from 5 % of the labels, errors", "< 5 %", 0.05, _two_moons),
        row("two blocks from 5 % of the labels, errors", "< 5 %", 0.05, _two_blocks),
        row("four blocks from 5 % of the labels, errors", "< 5 %", 0.05, _four_blocks, FEW),
        row("split descent, largest rise of the energy", "none, any step", 1e-12, _rises),
        row("momentum at a large step, steps to 1.01 x final energy", "< those without", 0.999, _momentum_large),
        row("momentum at a small step, steps to 1.01 x final energy", NO_TARGET, math.inf, _momentum_small),
        row("momentum, narrow layers, runs that end in a higher minimum", NO_TARGET, math.inf, _astray),
        row("total variation of cell averages and its dual", "1e-8", 1e-8, _dual),
        row("total variation denoising, duality gap", "1e-6 of the energy", 1e-6, _gap),
        row("total variation denoising, gain in PSNR", "> 5 dB", -5.0, _gain),
    ]


def moons(n: int, noise: float, seed: int) -> tuple[Graph, Tensor]:
    """Two half circles joined to their 10 nearest neighbours, and their classes."""
    data = two_moons(n, noise, seed=seed)
    return data.graph, data.y


def blocks(n: int, inside: float, between: float, classes: int, seed: int) -> tuple[Graph, Tensor]:
    """A stochastic block model and its classes."""
    chance = torch.full((classes, classes), between, dtype=D)
    return sbm([n // classes] * classes, chance.fill_diagonal_(inside), seed=seed)


def known_few(y: Tensor, seed: int) -> Tensor:
    """5 % of the nodes, bool [n]."""
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[: int(LABELLED * len(y))]] = True
    return mask


def _errors(cases: list[tuple[Graph, Tensor]], on: str) -> Found:
    wrong = []
    for seed, (graph, y) in enumerate(cases):
        mask = known_few(y, seed)
        found = segment(graph, torch.where(mask, y, -1), mask)
        wrong.append(float((found.labels != y)[~mask].to(D).mean()))
    spread = torch.tensor(wrong, dtype=D)
    text = f"{100 * float(spread.mean()):.2f} +- {100 * float(spread.std()):.2f} %"
    return Found(float(spread.mean()), text, f"{on}, {len(cases)} seeds", f"worst {100 * max(wrong):.2f} %")


def _two_moons() -> Found:
    return _errors([moons(1000, 0.1, s) for s in range(SEEDS)], "1000 points, noise 0.1, 10 neighbours")


def _two_blocks() -> Found:
    return _errors([blocks(1000, 0.03, 0.006, 2, s) for s in range(SEEDS)], "1000 nodes, degree 15 inside, 3 across")


def _four_blocks() -> Found:
    return _errors([blocks(1200, 0.06, 0.01, 4, s) for s in range(SEEDS)], "1200 nodes, degree 18 inside, 9 across")


@cache
def _energy(seed: int, wide: float) -> tuple[GinzburgLandau, Tensor, float]:
    """Two moons with a few labels, the start with equal shares elsewhere, and the time in which the well separates.

    Args:
        wide: width^2 times the mean degree over the curvature of the well: 1 is a layer of a few edges.
    """
    graph, y = moons(1000, 0.1, seed)
    mask = known_few(y, seed)
    known = torch.nn.functional.one_hot(y, 2).to(D)
    width = (wide * 8 / (float(graph.weight.sum()) / graph.n)) ** 0.5
    energy = GinzburgLandau(graph, width=width, known=known, mask=mask, fidelity=80 / width, shares=True)
    return energy, torch.where(mask[:, None], known, 0.5), width / energy.well.curvature


def _rises() -> Found:
    energy, start, unit = _energy(0, 0.25)
    random = torch.randn(len(start), 1, generator=torch.Generator().manual_seed(0), dtype=D)
    u = 0.5 + torch.cat([random, -random], 1)
    worst = -math.inf
    for step in TAUS:
        found = minimise(energy, u, tau=step * unit, steps=50, momentum=False)
        worst = max(worst, float((found.energies.diff() / found.energies[:-1]).max()))
    text = "none" if worst < 0 else f"{worst:.1e}"
    return Found(worst, text, f"two moons, 50 steps each of {TAUS[0]:g} to {TAUS[-1]:g} well times", f"{worst:.1e}")


@cache
def _descents(step: float, steps: int, wide: float) -> list[tuple[Tensor, Tensor]]:
    """Energies without momentum and with it, for several choices of labels."""
    out = []
    for seed in range(SEEDS):
        energy, start, unit = _energy(seed, wide)
        plain, fast = (minimise(energy, start, tau=step * unit, steps=steps, momentum=m) for m in (False, True))
        out.append((plain.energies, fast.energies))
    return out


def _ratio(step: float, steps: int) -> Found:
    counts = []
    for plain, fast in _descents(step, steps, 1.0):
        low = 1.01 * min(plain[-1], fast[-1])
        counts.append([int((e <= low).nonzero()[0, 0]) if bool((e <= low).any()) else steps for e in (plain, fast)])
    text = ", ".join(f"{b} of {a}" for a, b in counts)
    on = f"two moons, step {step:g} well times, {SEEDS} choices of labels"
    return Found(max(b / a for a, b in counts), text, on)


def _momentum_large() -> Found:
    return _ratio(10.0, 80)


def _momentum_small() -> Found:
    return _ratio(0.1, 300)


def _astray() -> Found:
    pairs = _descents(10.0, 80, 0.25)
    higher = sum(bool(fast[-1] > 1.01 * plain[-1]) for plain, fast in pairs)
    ends = ", ".join(f"{float(plain[-1]):.3g} and {float(fast[-1]):.3g}" for plain, fast in pairs)
    return Found(higher, f"{higher} of {len(pairs)}", "the same with layers half as wide, from equal shares", ends)


def _dual() -> Found:
    """The supremum over Raviart-Thomas fields as a linear program, its constraints read from the mesh's facets."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix

    mesh = jittered(rectangle(12, 12), 0.25, seed=3)
    u = torch.randn(mesh.n_cells, 1, generator=torch.Generator().manual_seed(0), dtype=D)
    cells = mesh.facets.cells[:, :2]
    inner = (cells >= 0).all(1)
    ends = mesh.points[mesh.facets.nodes[inner][:, :2]]
    length = (ends[:, 0] - ends[:, 1]).norm(dim=1).numpy()
    one, other = cells[inner].numpy().T
    k = len(length)
    leaving = coo_matrix(([1.0] * k + [-1.0] * k, ([*one, *other], [*range(k)] * 2)), shape=(mesh.n_cells, k))
    best = linprog(-(leaving.T @ u[:, 0].numpy()), bounds=[(-x, x) for x in length], method="highs")
    difference = abs(float(DiscreteTotalVariation(CellSpace(mesh))(u)) + float(best.fun))
    return Found(difference, f"{difference:.1e}", f"{mesh.n_cells} uneven triangles, random values, linear program")


@cache
def _denoised() -> tuple[CellSpace, Tensor, Tensor, Denoised]:
    """A picture of a disk and a square on 8192 triangles, with noise, and what is left without it."""
    space = CellSpace(rectangle(64, 64))
    x = space.pos
    assert x is not None
    disk = (x - torch.tensor([0.35, 0.6], dtype=D)).norm(dim=1) < 0.22
    square = ((x[:, 0] - 0.7).abs() < 0.15) & ((x[:, 1] - 0.3).abs() < 0.2)
    clean = (disk.to(D) + 0.6 * square.to(D))[:, None]
    noisy = clean + 0.15 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=D)
    return space, clean, noisy, denoise(DiscreteTotalVariation(space), noisy, 0.003)


def _gap() -> Found:
    found = _denoised()[3]
    on = f"8192 cell averages, {found.iterations} iterations"
    space = CornerSpace(rectangle(16, 16))
    noisy = space.from_cells((CellSpace(space.mesh).pos[:, :1] < 0.5).to(D))  # type: ignore[index]
    noisy = noisy + 0.15 * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(0), dtype=D)
    other = denoise(DiscreteTotalVariation(space), noisy, 0.003)
    note = f"1536 corners of linear functions that jump: {other.residual:.1e} after {other.iterations}"
    return Found(max(found.residual, other.residual), f"{found.residual:.1e}", on, note)


def _gain() -> Found:
    space, clean, noisy, found = _denoised()
    before, after = (
        float(-10 * torch.log10(space.inner(u - clean, u - clean) / space.measure.sum())) for u in (noisy, found.value)
    )
    return Found(before - after, f"{after - before:.1f} dB", f"8192 cell averages, from {before:.1f} to {after:.1f} dB")
