"""A mesh that refines itself towards a re-entrant corner converges as if there were no corner.

Equation: lap u = 0 on the L, u = r^(2/3) sin(2 theta / 3) on its boundary, whose slope is infinite at the corner. With
linear elements the error in the energy norm falls as N^(-1/3) on uniform meshes, and as N^(-1/2), the best there is, on
those that solve, estimate, mark and bisect (Doerfler 1996; Binev, Dahmen and DeVore 2004).

    python examples/adaptive_corner.py
"""

import math
from functools import partial

import torch
from torch import Tensor

from graphpde.dynamics import adapt
from graphpde.mesh import Mesh, Space, l_shape
from graphpde.ops import Diffusion, Dirichlet, energy_error
from graphpde.ops.term import Sum


def exact(x: Tensor, t: Tensor | None = None) -> Tensor:
    theta = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi)
    return x.norm(dim=-1) ** (2 / 3) * torch.sin(2 * theta / 3)


def slope(x: Tensor) -> Tensor:
    theta, r = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi), x.norm(dim=-1)
    return 2 / 3 * r[..., None] ** (-1 / 3) * torch.stack([-torch.sin(theta / 3), torch.cos(theta / 3)], -1)


def problem(mesh: Mesh) -> tuple[Sum, Tensor]:
    space = Space(mesh)
    return Diffusion(space) + Dirichlet("boundary", exact), torch.zeros(space.n, 1, dtype=torch.float64)


refined = partial(adapt, problem, l_shape(0.5), tolerance=0.0, error=partial(energy_error, slope=slope))
adaptive = refined(max_unknowns=6000)
uniform = refined(max_unknowns=6000, theta=1.0)  # every cell is marked in every round

order, slow = adaptive.order(200), uniform.order(200)
last, other = adaptive.rounds[-1], uniform.rounds[-1]
smallest = float(adaptive.mesh.points.norm(dim=1).sort().values[1])

print(f"adaptive: error {last.error:.4f} with {last.unknowns} unknowns, order {order:.3f} of 1/2")
print(f"uniform:  error {other.error:.4f} with {other.unknowns} unknowns, order {slow:.3f} of 1/3")
print(f"estimate / error {last.effectivity:.3f}; the cells at the corner are {smallest:.0e} long")

if __name__ == "__main__":
    from matplotlib.figure import Figure

    from graphpde.viz import save_figure

    shown = refined(max_unknowns=900).mesh
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    whole, near, errors = figure.subplots(1, 3)
    for axes, reach, title in ((whole, 1.0, f"{shown.n} unknowns"), (near, 0.02, "the corner, 50 times as large")):
        axes.triplot(*shown.points.T.numpy(), shown.cells["triangle"].numpy(), color="#39566b", linewidth=0.4)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=title)
    both = (uniform, f"uniform, N^-{slow:.2f}", "#8a8a8a"), (adaptive, f"adaptive, N^-{order:.2f}", "#d55e00")
    for found, name, colour in both:
        points = [(r.unknowns, r.error) for r in found.rounds]
        errors.loglog(*zip(*points, strict=True), "o-", markersize=3, color=colour, label=name)
    errors.set(xlabel="unknowns N", title="error in the energy norm")
    errors.legend(frameon=False)
    save_figure(figure, "adaptive_corner.png")
    print("picture: adaptive_corner.png")
