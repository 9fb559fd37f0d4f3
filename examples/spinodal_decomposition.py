"""Two liquids that mixed when hot separate when cold: the Cahn-Hilliard equation, whose domains grow like t^(1/3).

Equation: c' = Laplace mu, mu = c^3 - c - Laplace c, on a periodic square of side 64 (Cahn and Hilliard 1958). The
energy, the integral of (1 - c^2)^2 / 4 + |grad c|^2 / 2, falls, and the amount of each liquid stays. First waves of
length 2 pi sqrt(2) grow fastest. Then large domains grow at the cost of small ones, their size as t^(1/3) where they
are far larger than the interfaces between them (Lifshitz and Slyozov 1961); it is read off the energy, which sits in
the interfaces, 2 sqrt(2) / 3 on each unit of length.

    python examples/spinodal_decomposition.py
"""

import math

import torch

from graphpde.dynamics import Sbdf2, evolve
from graphpde.mesh import Space, rectangle
from graphpde.ops import CahnHilliard

side = 64.0
square = rectangle(64, 64, width=side, height=side)
space = Space(square, periodic=[("left", "right"), ("bottom", "top")])
mixture = CahnHilliard(space)

noise = torch.randn(space.n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
times = torch.cat([torch.arange(0, 20, 0.25), torch.arange(20, 100, 0.5), torch.arange(100, 641, 1.0)])
run = evolve(mixture, mixture.start(0.05 * noise), times, stepper=Sbdf2())

energy = torch.stack([mixture.energy(u) for u in run.states])
rise = float(energy.diff().max())  # the energy falls in every step
means = torch.stack([space.integral(u[:, :1]) for u in run.states]) / side**2
lost = float((means - means[0]).abs().max())


def domain_size(t: float) -> float:
    """Area over the length of the interfaces."""
    return side**2 * (2 * math.sqrt(2) / 3) / float(energy[torch.searchsorted(times, t)])


sizes = {t: domain_size(t) for t in (80.0, 160.0, 320.0, 640.0)}
growth = sizes[640.0] / sizes[80.0]

print(f"{space.n} nodes, {run.steps} steps; the largest change of the energy in a step is {rise:.1e}")
print(f"mean concentration drifts by {lost:.1e}")
print("size of the domains:", ", ".join(f"{size:.1f} at t = {t:g}" for t, size in sizes.items()))
print(f"from t = 80 to 640 they grow {growth:.2f} times, far larger ones would 2 times")

if __name__ == "__main__":
    from graphpde.viz import plot_frames, save_figure

    shown = [int(torch.searchsorted(times, t)) for t in (20.0, 80.0, 640.0)]
    states = space.at_points(run.states[shown][..., :1])
    figure = plot_frames(
        square, times[shown], states, label="c", cmap="RdBu", vmin=-1, vmax=1, length_unit=None, time_unit=None
    )
    save_figure(figure, "spinodal_decomposition.png", dpi=90)
    print("picture: spinodal_decomposition.png")
