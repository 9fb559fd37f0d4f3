"""Large deformations beside exact solutions: rubber pulled, sheared, turned, bent and let go."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import BackwardEuler, evolve
from graphpde.mesh import Space, box, random_cube, random_square, rectangle
from graphpde.ops import Dirichlet, Neumann
from graphpde.ops.elasticity import Elasticity, NeoHookean, load_steps

SECTION = "Large deformations"
SOURCES = (*SOLVING, "benchmarks/mechanics/large_deformations.py")
F64 = torch.float64
YOUNG, NU = 200.0, 0.3
MU, LAMBDA = YOUNG / (2 * (1 + NU)), YOUNG * NU / ((1 + NU) * (1 - 2 * NU))


def rows() -> list[Row]:
    """The rows."""
    exact, rounding = at_most(0.01), at_most(1e-12)
    found = [
        ("rubber pulled to three times its length, solid", "1 %", exact, _stretch),
        ("rubber sheared by 1.5, random tetrahedra", "1 %", exact, _shear),
        ("a turn costs rubber nothing: energy and forces", "1e-12", rounding, _turn),
        ("order at which small strains become linear elasticity", "2 +- 0.05", at_most(0.05), _small),
        ("tip of a cantilever bent by 60 % of its length, beside the elastica", "1 %", exact, _elastica),
        ("rubber let go: rise of its energy in any step of backward Euler", "0", at_most(0.0), _let_go),
    ]
    return [Row(SECTION, name, target, check, measure, "", SOURCES) for name, target, check, measure in found]


def _zeros(space: Space, channels: int) -> Tensor:
    return torch.zeros(space.n, channels, dtype=F64)


def _waves(space: Space) -> Tensor:
    """Numbers between -1 and 1 without order, a row a node."""
    noise = torch.randn(space.n, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    return torch.sin(9 * noise + torch.arange(space.mesh.space_dim))


def _stretch() -> Found:
    """Free sides: mu (b^2 - 1) + lambda ln(a b^2) = 0 for the stretch b across, sigma = (mu (a^2 - 1) + ...) / J."""
    from scipy.optimize import brentq

    space, a = Space(box(3, 2, 2)), 3.0
    b = float(brentq(lambda b: MU * (b * b - 1) + LAMBDA * math.log(a * b * b), 0.1, 1.0, xtol=1e-15))
    body = NeoHookean(space, YOUNG, NU)
    sides = [Dirichlet(lambda x, k=k: x[:, k] < 1e-9, 0.0, channels=[k]) for k in range(3)]
    pulled = Dirichlet("right", lambda x, t: t * (a - 1) + 0 * x[:, 0], channels=[0])
    branch = load_steps(sum([pulled, *sides], body), _zeros(space, 3))
    assert space.pos is not None
    error = float((branch.values[-1] - space.pos * torch.tensor([a - 1, b - 1, b - 1], dtype=F64)).abs().max())
    pull = (MU * (a * a - 1) + LAMBDA * math.log(a * b * b)) / (a * b * b)
    off = max(abs(float(s[..., 0, 0].mean()) / pull - 1) for s in body.stress(branch.values[-1]))
    worst = max(error / (a - 1), off)
    note = f"width {b:.4f}, Cauchy stress {pull / YOUNG:.4f} E, {len(branch.values) - 1} load steps"
    return Found(worst, f"{worst:.1e}", f"tetrahedra, {space.n} nodes", note)


def _shear() -> Found:
    """F = I + g e_x e_y: sigma_xy = mu g, sigma_xx = mu g^2."""
    space, g = Space(random_cube(3, seed=1)), 1.5
    body = NeoHookean(space, YOUNG, NU)
    held = Dirichlet("boundary", lambda x, t: torch.nn.functional.pad(t * g * x[:, 1:2], (0, 2)))
    u = load_steps(body + held, _zeros(space, 3)).values[-1]
    right = torch.zeros(3, 3, dtype=F64)
    right[0, 0], right[0, 1], right[1, 0] = MU * g * g, MU * g, MU * g
    worst = max(float((s - right).abs().max()) for s in body.stress(u)) / (MU * g)
    return Found(worst, f"{worst:.1e}", f"{space.n} nodes", "of the largest error of Cauchy's stress, over mu g")


def _turn() -> Found:
    space = Space(random_cube(3, seed=1))
    body = NeoHookean(space, YOUNG, NU)
    turn = torch.matrix_exp(2.0 * torch.tensor([[0, 1, 0.3], [-1, 0, 0.5], [-0.3, -0.5, 0]], dtype=F64))
    assert space.pos is not None
    u = space.pos @ (turn - torch.eye(3, dtype=F64)).T
    force = float(body(torch.zeros((), dtype=F64), u).abs().max()) / YOUNG
    worst = max(abs(float(body.energy(u))) / YOUNG, force)
    return Found(worst, f"{worst:.1e}", f"{space.n} nodes, 2.3 rad", "over E")


def _small() -> Found:
    space = Space(random_cube(3, seed=1))
    body, linear, now = NeoHookean(space, YOUNG, NU), Elasticity(space, YOUNG, NU), torch.zeros((), dtype=F64)
    u = _waves(space)
    off = [float((body(now, h * u) - linear(now, h * u)).norm()) for h in (1e-3, 5e-4)]
    order = math.log2(off[0] / off[1])
    return Found(abs(order - 2), f"{order:.3f}", f"{space.n} nodes, forces of strains near 1e-3")


def _elastica() -> Found:
    """theta'' = -(P / E' I) cos theta, clamped, P L^2 = 3 E' I (Bisshopp and Drucker 1945), E' = E / (1 - nu^2)."""
    from scipy.integrate import solve_bvp

    s = np.linspace(0, 1, 101)
    bent = solve_bvp(
        lambda s, y: np.stack([y[1], -3 * np.cos(y[0])]), lambda a, b: np.array([a[0], b[1]]), s, np.zeros((2, 101)) + s
    )
    theta = bent.sol(np.linspace(0, 1, 2001))[0]
    down, along = float(np.trapezoid(np.sin(theta), dx=1 / 2000)), float(np.trapezoid(np.cos(theta), dx=1 / 2000))
    length, height = 40.0, 1.0
    space = Space(rectangle(80, 2, width=length, height=height, cells="quad"), "q2")
    force = 3 * YOUNG / (1 - NU**2) * height**3 / 12 / length**2
    pull = torch.tensor([0.0, -force / height], dtype=F64)
    terms = NeoHookean(space, YOUNG, NU) + Dirichlet("left", 0.0) + Neumann("right", lambda x, t: t * pull.expand_as(x))
    branch = load_steps(terms, _zeros(space, 2))
    tip = branch.values[-1][space.nodes_of("right")].mean(0) / length
    found = (-float(tip[1]), 1 + float(tip[0]))
    worst = max(abs(found[0] / down - 1), abs(found[1] / along - 1))
    note = f"down {found[0]:.4f} L, along {found[1]:.4f} L; elastica {down:.4f} and {along:.4f}"
    return Found(worst, percent(worst), f"Q2, {space.n} nodes, length 40 heights, {len(branch.values) - 1} steps", note)


def _let_go() -> Found:
    space = Space(random_square(6, seed=1))
    body = NeoHookean(space, YOUNG, NU)
    u0 = 0.05 * _waves(space)
    energies = []
    for dt in (1e-4, 1e-2, 1.0):
        run = evolve(body + Dirichlet("left", 0.0), u0, [k * dt for k in range(9)], stepper=BackwardEuler())
        energies += [[float(body.energy(u)) for u in run.states[1:]]]
    rise = max(b - a for e in energies for a, b in pairwise(e))
    return Found(max(rise, 0.0), f"{max(rise, 0.0):.1g}", f"{space.n} nodes, 24 steps of 1e-4 to 1")
