"""Turing's spots cover a torus, and the linear analysis knows how fast and how far apart they come.

Equations: du/dt = D lap u + a - u + u^2 v, dv/dt = 20 D lap v + b - u^2 v (Schnakenberg 1979, J. Theor. Biol. 81) with
the Laplace-Beltrami operator of the surface. Out of small noise every mode grows at its own rate (Turing 1952, Phil.
Trans. R. Soc. B 237). The band of the fast ones narrows as t^(-1/2), so the pattern grows as exp(rate t) t^(-1/4).
Diffusion is implicit, the reaction explicit.

    python examples/patterns_on_a_torus.py
"""

import math

import torch

from graphpde.dynamics import Sbdf2, evolve
from graphpde.mesh import Space, refine, torus
from graphpde.ops import REACTIONS, Diffusion, Reaction
from graphpde.ops.reactions import fastest_mode

kappa = (2e-3, 4e-2)
reaction = REACTIONS["schnakenberg"](a=0.1, b=0.9)
rest = torch.tensor(reaction.equilibria(), dtype=torch.float64)
fastest = fastest_mode(reaction, rest[0].tolist(), kappa)

space = Space(torus(size=0.06), channels=2)
diffusion = Diffusion(space, torch.tensor([kappa], dtype=torch.float64))
noise = torch.randn(space.n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
times = torch.tensor([0.0, 20.0, 40.0, 120.0], dtype=torch.float64)
pattern = evolve(diffusion + Reaction(reaction), rest + 1e-6 * noise, times, stepper=Sbdf2(), dt=0.25)

wave = pattern.states - rest
size = space.norm(wave)
rate = float((size[2] / size[1] * (times[2] / times[1]) ** 0.25).log() / (times[2] - times[1]))
u = wave[2, :, :1]
k2 = float(-(u * Diffusion(space).operator(u)).sum() / space.inner(u, u))  # |grad u|^2 over |u|^2
wavelength = 2 * math.pi / math.sqrt(k2)


def count_spots(u: torch.Tensor) -> int:
    """Nodes higher than all their neighbours and than the mean."""
    around = space.edges.collect(space.edges.gather(u), "max")
    return int(((u > around) & (u > float(rest[0, 0]))).sum())


spots = count_spots(pattern.final[:, :1])

print(f"{space.n} unknowns, {pattern.steps} steps")
print(f"growth {rate:.4f}, expected {fastest.rate:.4f}: {100 * (rate / fastest.rate - 1):+.1f} %")
print(f"wavelength {wavelength:.3f}, expected {fastest.wavelength:.3f}")
print(f"{spots} spots at t = {float(times[-1]):g}")

if __name__ == "__main__":
    from graphpde.viz import plot_field, save_figure

    smooth = refine(space.mesh.with_data({"u": space.at_points(pattern.final)[:, 0]}))  # faces have one colour
    figure = plot_field(smooth, smooth.point_data["u"], label="u", length_unit=None, show_mesh=False)
    save_figure(figure, "patterns_on_a_torus.png")
    print("picture: patterns_on_a_torus.png")
