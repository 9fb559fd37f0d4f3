"""Hot water enters a cold pipe: the shock strains the steel more than the heat that stays.

Equations: div sigma = 0, sigma = law(e - alpha T 1), rho c T' = div(k grad T), in a quarter of a long steel pipe (plane
strain) whose inner side is suddenly 100 K warmer than the outer one. In the end T = 100 ln(b/r) / ln(b/a), and the
hoop stress is known (Timoshenko and Goodier 1970, Theory of Elasticity, section 151). At first a thin warm layer cannot
grow along the cold pipe behind it: -E alpha 100 / (1 - nu). Displacements and temperature are one state, taken through
time at once; the heat does not feel the body, so taking them one after the other gives the same.

    python examples/thermal_stress.py
"""

import math

import torch

from graphpde.dynamics import BackwardEuler, Staggered, evolve
from graphpde.mesh import Space, annulus_sector
from graphpde.ops import Dirichlet
from graphpde.ops.elasticity import Elasticity, Symmetry, ThermoElasticity, at_nodes

young, poisson, expansion = 210e9, 0.3, 12e-6  # Pa, 1, 1/K
conductivity, capacity = 45.0, 3.7e6  # W/(m K), J/(m^3 K)
inner, outer, hot = 0.05, 0.1, 100.0  # m, m, K
mesh = annulus_sector(0.008, inner, outer, cells="quad")
space = Space(mesh, "q2")
body = Elasticity(space, young, poisson, expansion=expansion)
pipe = ThermoElasticity(body, conductivity, capacity) + Symmetry("start") + Symmetry("end")
pipe = pipe + Dirichlet("inner", hot, channels=[2]) + Dirichlet("outer", 0.0, channels=[2])

second = (outer - inner) ** 2 * capacity / conductivity  # how long heat takes to cross the wall
times = second * torch.cat([torch.zeros(1), torch.logspace(-4, 0, 81, dtype=torch.float64)])  # steps of 12 % more each
u0 = torch.zeros(space.n, 3, dtype=torch.float64)
runs = [evolve(pipe, u0, times, stepper=stepper) for stepper in (BackwardEuler(), Staggered([2], [0, 1]))]
apart = float((runs[0].states - runs[1].states).abs().amax((0, 1))[2] / hot)

x = space.pos / space.pos.norm(dim=1, keepdim=True)
along = torch.stack([-x[:, 1], x[:, 0]], 1)


def hoop(u: torch.Tensor) -> torch.Tensor:
    """Stress around the pipe at the nodes [n], in Pa."""
    stress = at_nodes(pipe.parts[0][1], pipe.parts[0][1].stress(u))[:, :2, :2]
    return (along[:, None] @ stress @ along[..., None])[:, 0, 0]


wet, shown = space.nodes_of("inner"), [21, 41, 61, 81]
stresses = torch.stack([hoop(u) for u in runs[0].states[shown]]) / 1e6
at_inside = stresses[:, wet].mean(1).tolist()
log, ring = math.log(outer / inner), outer**2 / (outer**2 - inner**2)
exact = young * expansion * hot / (2 * (1 - poisson) * log) * (1 - 2 * ring * log) / 1e6
shock = -young * expansion * hot / (1 - poisson) / 1e6
error = abs(at_inside[-1] / exact - 1)

print(f"{space.n} nodes, {runs[0].steps} steps; one after the other differs by {apart:.0e}")
print(f"hoop stress inside after {float(times[shown[0]]):.1f} s: {at_inside[0]:.0f} MPa, at once {shock:.0f} MPa")
print(f"in the end {at_inside[-1]:.1f} MPa, exact {exact:.1f} MPa ({100 * error:.2f} % off)")

if __name__ == "__main__":
    from graphpde.viz import plot_frames, save_figure

    states = space.at_points(stresses[..., None])
    figure = plot_frames(space.mesh, times[shown], states, label="hoop stress", unit="MPa", show_mesh=False)
    save_figure(figure, "thermal_stress.png")
    print("picture: thermal_stress.png")
