"""Ten thousand orbits of Jupiter, 119,000 years, in steps of 400 days: why long orbits want a symplectic stepper.

Five bodies, ten edges; forces are edge messages that cancel in pairs. Leapfrog asks for one force a step. Its energy
trembles and does not drift, and momentum and angular momentum stay to rounding. The classical Runge-Kutta method asks
for four forces a step, so it has four times the work here, and loses the planets within a hundred orbits. (In steps of
20 days, for a hundred orbits, it would be the more exact of the two: docs/hamiltonian.md.)

    python examples/planets_for_ten_thousand_orbits.py
"""

import math

import torch

from graphpde.dynamics import evolve
from graphpde.hamiltonian import outer_planets
from graphpde.hamiltonian.balance import kept

PERIOD, STEP = 4332.6, 400.0  # days
orbits = 10_000 if __name__ == "__main__" else 200  # when it is imported, a part of it

system, u0 = outer_planets()
times = torch.linspace(0, orbits * PERIOD, orbits + 1, dtype=torch.float64)
path = evolve(system, u0, times, stepper="leapfrog", dt=STEP)
energy = system.energy(path.states)
change = (energy - energy[0]) / energy[0].abs()
drift = float(change[-orbits // 4 :].mean() - change[: orbits // 4].mean())
start, end = kept(system, u0), kept(system, path.states[-1])
angular = math.dist(end.angular, start.angular) / math.hypot(*start.angular)

soon = torch.linspace(0, 100 * PERIOD, 401, dtype=torch.float64)
classical = evolve(system, u0, soon, stepper="rk4", dt=STEP)
lost = system.energy(classical.states) / energy[0].abs() + 1

print(f"leapfrog, {orbits} orbits of Jupiter in {path.steps} steps of {STEP:g} days")
print(f"  energy within {100 * float(change.abs().max()):.2f} %, drift {drift:.1e}; angular momentum to {angular:.0e}")
print(f"rk4, 100 orbits, four forces a step: energy off by {100 * float(lost.abs().max()):.0f} %")

if __name__ == "__main__":
    from graphpde.viz import save_figure
    from graphpde.viz.particles import plot_ways

    late = evolve(system, path.states[-1], torch.linspace(0, 60_200, 400), stepper="leapfrog", dt=STEP / 4)
    figure = plot_ways(late.states[..., :2], ("x [AU]", "y [AU]"), title="The outer planets after 119,000 years")
    save_figure(figure, "planets_for_ten_thousand_orbits.png")
    print("picture: planets_for_ten_thousand_orbits.png")
