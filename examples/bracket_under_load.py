"""A bracket of steel with a hole hangs from its top and carries a load at its end: displacements, stresses, forces.

Equation: 0 = div sigma, sigma = C : strain, in space; quadratic tetrahedra. What must come out: the support takes the
load and its moment, and half way up the arm the outer fibre has the stress of a beam that is pulled and bent,
F / A + F e / W with the arm's section A, its modulus W and the load's distance e (Timoshenko 1930, Strength of
Materials).

    python examples/bracket_under_load.py
"""

import torch

from graphpde.dynamics import steady
from graphpde.mesh import Space, extrude, l_bracket
from graphpde.ops import Dirichlet, Neumann
from graphpde.ops.elasticity import Elasticity, at_nodes, reactions, resultant, von_mises

SIZE, THICK, WIDE, LOAD = 0.1, 0.02, 0.04, 2000.0  # m, m, m (the arms), N
flat = l_bracket(0.07)
solid = extrude(flat, [0.0, THICK / SIZE / 2, THICK / SIZE], cells="tetra", ends=("back", "front"))
mesh = solid.with_points(SIZE * solid.points)
space = Space(mesh, "p2")

body = Elasticity(space, young=2.07e11, poisson=0.3)
pull = torch.tensor([0.0, -LOAD / (WIDE * THICK), 0.0], dtype=torch.float64)
bracket = body + Dirichlet("top", 0.0) + Neumann("right", pull)
u = steady(bracket, torch.zeros(space.n, 3, dtype=torch.float64)).value

stress = at_nodes(body, body.stress(u))
mises = von_mises(stress)
wall = resultant(space, reactions(bracket, u), "top", about=(SIZE, WIDE / 2, THICK / 2))
lost = float((wall.force - torch.tensor([0.0, LOAD, 0.0])).abs().max()) / LOAD

x = space.pos
fibre = (x[:, 0] < 1e-9) & ((x[:, 1] - 0.7 * SIZE).abs() < 0.04 * SIZE)
found = float(stress[fibre, 1, 1].mean())
section, modulus = WIDE * THICK, THICK * WIDE**2 / 6
bent = LOAD / section - LOAD * (SIZE - WIDE / 2) / modulus
sunk = float(-u[x[:, 0] > SIZE - 1e-9, 1].mean())

print(f"{3 * space.n} unknowns; the end sinks by {1e6 * sunk:.1f} um")
peak = 1e-6 * float(mises.max())
print(f"largest von Mises stress {peak:.1f} MPa in the inner corner, which is sharp: finer cells see more")
print(f"outer fibre: {1e-6 * found:.2f} MPa, by beam theory {1e-6 * bent:.2f} MPa")
print(f"the top carries {float(wall.force[1]):.6f} N of {LOAD:g} N, the load by {lost:.0e} of it")

if __name__ == "__main__":
    from graphpde.viz import plot_deformed, save_figure

    moved, shown = space.at_points(u), space.at_points(1e-6 * mises[:, None])[:, 0]
    words = {"label": "von Mises stress", "unit": "MPa", "title": "A bracket under load"}
    figure, _ = plot_deformed(space.mesh, moved, shown, **words)
    save_figure(figure, "bracket_under_load.png")
    print("picture: bracket_under_load.png")
