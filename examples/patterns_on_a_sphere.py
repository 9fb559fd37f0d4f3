"""A Gray-Scott labyrinth grows over a sphere.

Equations: du/dt = D_u lap u - u v^2 + F (1 - u), dv/dt = D_v lap v + u v^2 - (F + k) v (Pearson 1993, Science 261,
eq. 2) with the Laplace-Beltrami operator of the surface. Two spots of v at the poles grow into
stripes until they meet everywhere.

    python examples/patterns_on_a_sphere.py
"""

import torch

from graphpde.core import components
from graphpde.dynamics import Euler, evolve
from graphpde.mesh import Space, sphere
from graphpde.ops import REACTIONS, Diffusion, Reaction

space = Space(sphere(level=5, radius=0.3), channels=2)
diffusion = Diffusion(space, torch.tensor([[2e-5, 1e-5]], dtype=torch.float64))
gray_scott = diffusion + Reaction(REACTIONS["gray-scott"](feed=0.037, kill=0.06))

u0 = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(space.n, 1)
poles = space.pos[:, 2].abs() > 0.28
u0[poles] = torch.tensor([0.5, 0.25], dtype=torch.float64)
times = torch.tensor([0.0, 500.0, 1500.0, 5000.0], dtype=torch.float64)
pattern = evolve(gray_scott, u0, times, stepper=Euler(), dt=1.0)


def count_pieces(v: torch.Tensor, level: float = 0.15) -> int:
    """Connected pieces of the surface where v is above ``level``."""
    return int(components(space, v > level).max()) + 1


pieces = [count_pieces(state[:, 1]) for state in pattern.states]
coverage = [float(space.integral((s[:, 1:] > 0.15).to(s)) / space.measure.sum()) for s in pattern.states]

print(f"{space.n} unknowns, {pattern.steps} steps")
for t, n, share in zip(times, pieces, coverage):
    print(f"t = {float(t):4g}: {n} pieces cover {100 * share:.0f} % of the sphere")

if __name__ == "__main__":
    from graphpde.viz import plot_field, save_figure

    v = space.at_points(pattern.final)[:, 1]
    save_figure(plot_field(space.mesh, v, title="t = 5000", label="v", length_unit=None), "patterns_on_a_sphere.png")
    print("picture: patterns_on_a_sphere.png")
