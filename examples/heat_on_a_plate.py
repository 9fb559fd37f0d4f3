"""Two hot bolts warm a plate that is cooled along its left side.

Equation: du/dt = div(kappa grad u), u = 1 on the bolts, u = 0 on the left side, no flux elsewhere; linear finite
elements on an unstructured mesh, backward Euler. The steady state must balance: what enters at the bolts leaves on
the left.

    python examples/heat_on_a_plate.py
"""

import torch

from graphpde.dynamics import BackwardEuler, evolve, steady
from graphpde.mesh import Space, plate_with_holes
from graphpde.ops import Diffusion, Dirichlet

mesh = plate_with_holes(size=0.05, width=2.0, height=1.0, holes=[(0.8, 0.35, 0.15), (1.5, 0.65, 0.15)])
space = Space(mesh)
diffusion = Diffusion(space, kappa=0.1)
plate = diffusion + Dirichlet("hole0", 1.0) + Dirichlet("hole1", 1.0) + Dirichlet("left", 0.0)

u0 = torch.zeros(space.n, 1, dtype=torch.float64)
times = torch.linspace(0, 4, 41, dtype=torch.float64)
warming = evolve(plate, u0, times, stepper=BackwardEuler(), dt=0.02)
final = steady(plate, u0).value


def heat_flow(u: torch.Tensor, name: str) -> float:
    """Heat that enters the plate through a named boundary: the residual of the equation at its nodes."""
    return float(-diffusion.operator(u)[space.tag(name).nodes].sum())


inflow = heat_flow(final, "hole0") + heat_flow(final, "hole1")
outflow = -heat_flow(final, "left")
imbalance = abs(inflow - outflow) / outflow
distance = float(space.norm(warming.final - final) / space.norm(final))

print(f"{space.n} unknowns, {warming.steps} steps")
print(f"steady heat flow {inflow:.4f} in, {outflow:.4f} out, relative imbalance {imbalance:.1e}")
print(f"at t = {float(times[-1]):g} the plate is within {100 * distance:.1f} % of its steady state")

if __name__ == "__main__":
    from graphpde.viz import plot_frames, save_figure

    shown = [0, 2, 8, 40]
    figure = plot_frames(mesh, times[shown], space.at_points(warming.states[shown]), label="u", unit="K")
    save_figure(figure, "heat_on_a_plate.png")
    print("picture: heat_on_a_plate.png")
