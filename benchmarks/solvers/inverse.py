"""Inverse problems: what a field of noisy measurements says about coefficients, sources, starts and shapes.

python -m benchmarks.solvers.inverse                # every row, in about two minutes

Conductivity, source and initial state live on meshes/plate_with_holes.msh and are measured at 5 % of its nodes, chosen
far from each other, with independent noise of 1 % of the root mean square of each state. The weight of a penalty is the
one that the noise asks for (Morozov), never one chosen by looking at the truth.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import BackwardEuler, CrankNicolson, evolve, steady
from graphpde.mesh import Mesh, Space, plate_with_holes, read_mesh, rectangle
from graphpde.mesh.geometry import cell_centroids, cell_measures
from graphpde.mesh.samples import Samples
from graphpde.ops import Diffusion, Dirichlet, Neumann, Reaction, Source
from graphpde.train import (
    LBFGS,
    Inverse,
    Misfit,
    PerTag,
    Positive,
    RoundHole,
    Tikhonov,
    TotalVariation,
    discrepancy,
    fit,
)

SECTION = "Inverse problems"
SOURCES = (*SOLVING, "graphpde/train", "benchmarks/solvers/inverse.py", "meshes")
MESHES = Path(__file__).resolve().parents[2] / "meshes"
F64 = torch.float64
NOISE = 0.01
BOUND = at_most(0.05)


def plate() -> Space:
    return Space(read_mesh(MESHES / "plate_with_holes.msh"))


def sensors(space: Space, share: float = 0.05) -> Tensor:
    """Nodes far from each other: each is the farthest from those before it [q]."""
    x = space.pos
    assert x is not None
    chosen, distance = [0], (x - x[0]).square().sum(1)
    while len(chosen) < round(share * space.n):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(1))
    return torch.tensor(sorted(chosen))


def measured(u: Tensor, nodes: Tensor, seed: int = 0) -> Misfit:
    """Noisy values of the truth u [*, n, c] at nodes; every column (and moment) has noise of its own size."""
    exact = u[..., nodes, :]
    sigma = NOISE * exact.square().mean(-2, keepdim=True).sqrt()
    noise = torch.randn(exact.shape, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return Misfit(nodes, exact + sigma * noise, sigma)


def away(found: Tensor, true: Tensor, weight: Tensor) -> float:
    """Relative error in L2."""
    found, true = found.detach().reshape(-1), true.reshape(-1)
    return float((weight @ (found - true).square() / (weight @ true.square())).sqrt())


class Modelled(nn.Module):
    """Something learned, and the states that follow from it."""

    def __init__(self, learned: nn.Module, states: Callable[[Any], Tensor]):
        super().__init__()
        self.learned, self.states = learned, states

    def forward(self) -> Tensor:
        return self.states(self.learned())


class Free(nn.Module):
    """A tensor that learns as it is, in units of ``scale``."""

    def __init__(self, *shape: int, scale: float = 1.0):
        super().__init__()
        self.free, self.scale = nn.Parameter(torch.zeros(*shape, dtype=F64)), scale

    def forward(self) -> Tensor:
        return self.free * self.scale


class Recovered(NamedTuple):
    """The weight of the penalty, the misfit with it and what it cost."""

    weight: float
    misfit: float
    evaluations: int
    seconds: float

    def __str__(self) -> str:
        return f"misfit {self.misfit:.2f} of the noise, {self.evaluations} gradients, {self.seconds:.1f} s"


def recover(model: Modelled, misfit: Misfit, penalty: Callable[[Tensor], Tensor], start: float = 1.0) -> Recovered:
    """Fit with the weight that leaves the misfit of the noise; each fit goes on from the last."""
    objective = Inverse(misfit, {"penalty": lambda m: penalty(m.learned.free)})
    evaluations, clock = 0, time.perf_counter()

    def at(weight: float) -> float:
        nonlocal evaluations
        history = fit(model, objective, update=LBFGS(memory=30, change=1e-5), steps=300, weights={"penalty": weight})
        evaluations += int(history["evaluations"][-1])
        return history["misfit"][-1]

    found = discrepancy(at, start=start)
    return Recovered(found.weight, found.misfit, evaluations, time.perf_counter() - clock)


# conductivity


def drives(space: Space) -> Callable[[Tensor], Tensor]:
    """kappa [m] -> 33 steady states [n, 33]: inflow through one of the sides and holes, or one heated spot each."""
    across, up = ((torch.arange(k, dtype=F64) + 0.5) / k for k in (7, 4))
    places = torch.cartesian_prod(2 * across, up)
    sides = ("right", "top", "bottom", "hole0", "hole1")
    count = len(sides) + len(places)

    def heat(x: Tensor, t: Tensor) -> Tensor:
        spots = (-(x[:, None] - places).square().sum(-1) / (2 * 0.15**2)).exp() / (2 * torch.pi * 0.15**2)
        return torch.cat([x.new_zeros(len(x), len(sides)), 2 * spots], 1)

    source, one = Source(space, heat), torch.eye(count, dtype=F64)
    given = [Neumann(side, one[k]) for k, side in enumerate(sides)]

    def states(kappa: Any) -> Tensor:
        total = Diffusion(space, kappa) + source + Dirichlet("left", 0.0)
        for inflow in given:
            total = total + inflow
        return steady(total, torch.zeros(space.n, count, dtype=F64)).value

    return states


def smooth_plate(mesh: Mesh) -> Tensor:
    """A conductivity between 0.55 and 1.8."""
    x = cell_centroids(mesh)
    return torch.exp(0.6 * torch.sin(torch.pi * x[:, 0]) * torch.cos(torch.pi * x[:, 1]))


def two_inclusions(mesh: Mesh) -> Tensor:
    """1 with a rectangle of 2 and one of 1/2."""
    x, y = (cell_centroids(mesh) / torch.tensor([2.0, 1.0], dtype=F64)).unbind(1)
    better, worse = (x > 0.1) & (x < 0.35) & (y > 0.5) & (y < 0.9), (x > 0.6) & (x < 0.9) & (y > 0.1) & (y < 0.5)
    return 1 + better.to(F64) - 0.5 * worse.to(F64)


def conductivity(truth: Callable[[Mesh], Tensor], penalty: Callable[[Mesh], Any]) -> Found:
    space = plate()
    states, true = drives(space), truth(space.mesh)
    misfit = measured(states(true), sensors(space))
    model = Modelled(Positive(torch.ones(space.mesh.n_cells, dtype=F64)), states)
    took = recover(model, misfit, penalty(space.mesh))
    error = away(model.learned(), true, cell_measures(space.mesh))
    on = f"{space.mesh.n_cells} values, 33 steady states at {len(misfit.data)} of {space.n} nodes"
    return Found(error, percent(error), on, str(took))


def materials() -> Found:
    space = Space(read_mesh(MESHES / "mixed_boundaries.msh"))

    def states(kappa: Any) -> Tensor:
        heated = Neumann("heater", 1.0) + Diffusion(space, kappa) + Dirichlet("cooler", 0.0)
        return steady(heated, torch.zeros(space.n, 1, dtype=F64)).value

    true = {"steel": 0.15, "copper": 4.0}
    misfit = measured(states(true), sensors(space))
    model = Modelled(PerTag({"steel": 1.0, "copper": 1.0}), states)
    history = fit(model, Inverse(misfit), update=LBFGS(), steps=100)
    error = max(abs(float(v.detach()) / true[name] - 1) for name, v in model.learned().items())
    on = f"one steady state at {len(misfit.data)} of {space.n} nodes"
    return Found(error, percent(error), on, f"misfit {history['misfit'][-1]:.2f} of the noise")


# sources and starts


def bumps(x: Tensor) -> Tensor:
    """Two smooth hills and a hollow [k, 1]."""
    hills = ((0.45, 0.7, 1.0), (1.5, 0.35, 1.5), (1.0, 0.8, -0.6))
    parts = [h * (-((x[:, 0] - a) ** 2 + (x[:, 1] - b) ** 2) / (2 * 0.25**2)).exp() for a, b, h in hills]
    return torch.stack(parts, 1).sum(1, keepdim=True)


def source() -> Found:
    space = plate()
    assert space.pos is not None
    true, times = bumps(space.pos), [0.05 * k for k in range(13)]

    def states(f: Tensor) -> Tensor:
        total = Diffusion(space, 0.05) + Source(space, f)
        u0 = torch.zeros(space.n, 1, dtype=F64)
        return evolve(total, u0, times, stepper=CrankNicolson()).states[1:]

    misfit = measured(states(true), sensors(space))
    model = Modelled(Free(space.n, 1), states)
    took = recover(model, misfit, Tikhonov(space))
    error = away(model.learned(), true, space.measure)
    on = f"{space.n} values, 12 moments at {misfit.data.shape[-2]} nodes"
    return Found(error, percent(error), on, str(took))


def initial_state() -> Found:
    space = plate()
    assert space.pos is not None
    true, times = bumps(space.pos), [0.0, 0.005, 0.01, 0.02, 0.04]

    def states(u0: Tensor) -> Tensor:
        return evolve(Diffusion(space, 0.3), u0, times, stepper=BackwardEuler(), dt=0.005).states[1:]

    misfit = measured(states(true), sensors(space))
    model = Modelled(Free(space.n, 1), states)
    took = recover(model, misfit, Tikhonov(space))
    error = away(model.learned(), true, space.measure)
    on = f"{space.n} values, 4 moments at {misfit.data.shape[-2]} nodes"
    return Found(error, percent(error), on, str(took))


# shape


def square_with_hole(centre: tuple[float, float], radius: float, size: float) -> Mesh:
    """A square of side 2 with a round hole."""
    return plate_with_holes(size, 2.0, 2.0, ((*centre, radius),))


def potentials(mesh: Mesh) -> tuple[Space, Tensor]:
    """Four currents that leave through the left side, the hole insulated: potentials [n, 4]."""
    space, one = Space(mesh), torch.eye(4, dtype=F64)

    def through_right(x: Tensor, t: Tensor) -> Tensor:
        return one[0] + (x[:, 1:] - 1) * one[3]

    total = Diffusion(space, 1.0) + Neumann("right", through_right) + Dirichlet("left", 0.0)
    total = total + Neumann("top", one[1]) + Neumann("bottom", one[2])
    return space, steady(total, torch.zeros(space.n, 4, dtype=F64)).value


class Pierced(nn.Module):
    """A square with a hole to be found: potentials at nodes of its outer side."""

    def __init__(self, mesh: Mesh, modes: int):
        super().__init__()
        self.hole = RoundHole(mesh, "hole0", modes=modes)

    def forward(self) -> Tensor:
        return potentials(self.hole())[1]


def hole(modes: tuple[tuple[float, float], ...]) -> Found:
    """The truth is computed on a finer mesh of its own; the search starts from a round hole in the middle.

    The mesh follows the hole until a cell would turn over; then the square is meshed anew around what has been found.
    """
    centre, radius = (1.25, 0.85), 0.35
    fine = RoundHole(square_with_hole(centre, radius, 0.03), "hole0", modes=len(modes))
    seen = square_with_hole((1.0, 1.0), 0.25, 0.1)
    places = seen.points[seen.tag("outer").nodes]
    places = places[places[:, 0] > 0]  # on the left the potential is given
    with torch.no_grad():
        fine.modes.copy_(torch.tensor(modes, dtype=F64).reshape(-1, 2))
        space, u = potentials(fine())
        exact = Samples(space, places)(u)
    sigma = NOISE * exact.square().mean(0).sqrt()
    data = exact + sigma * torch.randn(exact.shape, dtype=F64, generator=torch.Generator().manual_seed(0))
    middle, size, shape, gradients = (1.0, 1.0), 0.25, torch.zeros(len(modes), 2, dtype=F64), 0
    for _ in range(4):
        mesh = square_with_hole(middle, size, 0.05)
        model = Pierced(mesh, len(modes))
        with torch.no_grad():
            model.hole.modes.copy_(shape)
        misfit = Misfit(Samples(Space(mesh), places), data, sigma)  # the outer side stays where it is
        history = fit(model, Inverse(misfit), update=LBFGS(first=0.05, change=1e-5), steps=60)
        found, gradients = model.hole, gradients + int(history["evaluations"][-1])
        middle, size = tuple(found.centre.tolist()), float(found.log_radius.detach().exp())
        shape = found.modes.detach()
    if modes:
        apart = torch.cdist(found.boundary().detach(), _dense(fine.boundary().detach())).amin(1)
        error, what = float(apart.square().mean().sqrt()) / radius, "distance between the curves over the radius"
    else:
        error = max(float(torch.dist(found.centre.detach(), torch.tensor(centre, dtype=F64))), abs(size - radius))
        error, what = error / radius, "the larger error of centre and radius, over the radius"
    on = f"{3 + 2 * len(modes)} numbers, 4 currents, potentials at {len(places)} boundary points"
    note = f"{what}; misfit {history['misfit'][-1]:.2f} of the noise, {gradients} gradients, 4 meshes"
    return Found(error, percent(error), on, note)


def _dense(curve: Tensor) -> Tensor:
    """A closed curve with many points between those of the mesh, which are numbered along it or not [k, 2]."""
    middle = curve.mean(0)
    order = torch.atan2(*(curve - middle).unbind(1)).argsort()
    ring = curve[order]
    share = torch.linspace(0, 1, 20, dtype=F64)[:, None, None]
    return (ring + share * (ring.roll(-1, 0) - ring)).reshape(-1, 2)


# Taylor's theorem


def remainders(loss: Callable[[Tensor], Tensor], x: Tensor, size: float) -> tuple[float, float]:
    """Observed orders of what is left after the gradient, and after the Hessian."""
    x = x.detach().requires_grad_()
    v = size * torch.randn(x.shape, dtype=F64, generator=torch.Generator().manual_seed(3))
    value = loss(x)
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    first = (slope * v).sum()
    second = 0.5 * (torch.autograd.grad(first, x)[0] * v).sum()
    rest = []
    for h in (1e-2, 5e-3):
        with torch.no_grad():
            change = loss(x + h * v) - value
            rest.append((abs(float(change - h * first)), abs(float(change - h * first - h**2 * second))))
    (a, b), (c, d) = rest
    order = torch.log2(torch.tensor([a / c, b / d], dtype=F64)).tolist()
    return order[0], order[1]


def taylor(learn: str, steady_state: bool) -> Found:
    """The misfit of a nonlinear problem as a function of what is learned; the worse of both orders is judged."""
    mesh = rectangle(12, 10)
    space = Space(mesh)
    draw = torch.Generator().manual_seed(1)
    goal = torch.randn(space.n, 1, dtype=F64, generator=draw)
    field = torch.randn(space.n, 1, dtype=F64, generator=draw)
    start, size = {
        "coefficient": (torch.rand(mesh.n_cells, dtype=F64, generator=draw) + 0.5, 0.3),
        "source": (field, 3.0),
        "boundary value": (torch.tensor([0.7], dtype=F64), 1.0),
        "initial state": (field, 3.0),
        "node positions": (mesh.points, 0.02),
    }[learn]

    def loss(x: Tensor) -> Tensor:
        on = Space(mesh.with_points(x)) if learn == "node positions" else space
        total = Diffusion(on, x if learn == "coefficient" else 0.5) + Source(on, x if learn == "source" else 1.0)
        total = total + Reaction(lambda u: u - u**3) + Dirichlet("left", x if learn == "boundary value" else 0.5)
        u0 = x if learn == "initial state" else torch.zeros(on.n, 1, dtype=F64)
        if steady_state:
            return (steady(total, u0, rtol=1e-14).value - goal).square().sum()
        return (evolve(total, u0, [0.0, 0.1], stepper=CrankNicolson(), dt=0.05).final - goal).square().sum()

    two, three = remainders(loss, start, size)
    how = "a steady state by Newton's method" if steady_state else "two steps of crank_nicolson with Newton's method"
    return Found(max(abs(two - 2), abs(three - 3)), f"{two:.3f} and {three:.3f}", how)


def rows() -> list[Row]:
    """Every row."""
    target = "relative error <= 5 %"

    def row(name: str, measure: Callable[[], Found], goal: str = target, check: Any = BOUND, because: str = "") -> Row:
        return Row(SECTION, name, goal, check, measure, because, SOURCES)

    out = [
        row("conductivity of a plate, smooth", partial(conductivity, smooth_plate, Tikhonov)),
        row(
            "conductivity of a plate, two inclusions",
            partial(conductivity, two_inclusions, partial(TotalVariation, smoothing=0.02)),
            NO_TARGET,
            at_most(1.0),
        ),
        row("conductivity of two metals", materials),
        row("source of heat", source),
        row("initial state", initial_state),
        row("hole: centre and radius", partial(hole, ())),
        row("hole: centre, radius and two modes", partial(hole, ((0.15, -0.05), (0.0, 0.08)))),
    ]
    for learn in ("coefficient", "source", "boundary value", "initial state", "node positions"):
        for settled in (True, False):
            if settled and learn == "initial state":
                continue
            name = f"Taylor remainders, {learn}, {'steady' if settled else 'in time'}"
            out.append(row(name, partial(taylor, learn, settled), "orders 2 and 3 within 0.1", at_most(0.1)))
    return out


def main() -> int:
    torch.set_num_threads(1)
    missed = 0
    for row in rows():
        clock = time.process_time()
        found = row.measure()
        assert isinstance(found, Found)
        met = row.check(found.value)
        missed += not met
        spent = time.process_time() - clock
        said = f"{row.name}: {found.text} ({found.on}; {found.note or row.target})"
        print("ok  " if met else "MISS", said, f"{spent:.1f} s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
