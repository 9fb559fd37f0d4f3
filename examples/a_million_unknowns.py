"""A million unknowns in seconds, and its gradient by two million conductivities for a fraction more.

Equation: -div(kappa grad u) = 1 on the unit square, u = 0 on its sides; kappa varies by a factor of 20. Conjugate
gradients with multigrid solve it to 1e-8, one adjoint solve gives the derivatives of the mean square C of u by every
cell's kappa. Doubling kappa everywhere halves u, so that these sum, times kappa, to -2 C: Euler's theorem on
homogeneous functions checks two million numbers at once.

    python examples/a_million_unknowns.py
"""

import time
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics import steady
from graphpde.mesh import Space, cell_centroids, rectangle
from graphpde.ops import Diffusion, Dirichlet, Source


class Solved(NamedTuple):
    space: Space
    kappa: Tensor
    u: Tensor
    gradient: Tensor  # of the mean square by the conductivity of every cell [m]
    square: float  # the mean square C
    closure: float  # (2 C + sum of kappa dC/dkappa) / C
    solving: float  # CPU seconds with assembly
    adjoint: float  # CPU seconds of the backward pass


def solve(cells: int) -> Solved:
    mesh = rectangle(cells, cells)
    x, y = cell_centroids(mesh).unbind(1)
    kappa = torch.exp(1.5 * torch.sin(19 * x) * torch.sin(13 * y + 4 * x)).requires_grad_()
    started = time.process_time()
    space = Space(mesh)
    term = Diffusion(space, kappa) + Source(space, 1.0) + Dirichlet("boundary", 0.0)
    u = steady(term, torch.zeros(space.n, 1, dtype=torch.float64), rtol=1e-8).value
    solving = time.process_time() - started
    square = space.inner(u, u)
    started = time.process_time()
    square.backward()
    adjoint = time.process_time() - started
    assert kappa.grad is not None
    kappa, gradient, square = kappa.detach(), kappa.grad, square.detach()
    closure = float(2 + (kappa * gradient).sum() / square)
    return Solved(space, kappa, u.detach(), gradient, float(square), closure, solving, adjoint)


def main() -> None:
    from matplotlib.figure import Figure

    from graphpde.viz import save_figure

    cells = 999
    found = solve(cells)
    print(f"{found.space.n:,} unknowns in {found.solving:.1f} s of CPU time, mean square of u {found.square:.3e}")
    print(f"{len(found.kappa):,} derivatives in {found.adjoint:.1f} s; they close to {abs(found.closure):.0e}")
    squares = {"conductivity": found.kappa, "-dC / dkappa, per area": -found.gradient * cells**2}
    pictures = {name: (v.reshape(cells, cells, 2).mean(2), "cividis") for name, v in squares.items()}
    pictures |= {"u": (found.u.reshape(cells + 1, cells + 1), "viridis")}
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, (name, (values, colours)) in zip(figure.subplots(1, 3), pictures.items(), strict=True):
        image = axes.imshow(values.numpy(), origin="lower", extent=(0, 1, 0, 1), cmap=colours)
        figure.colorbar(image, ax=axes, shrink=0.8)
        axes.set_title(name)
    save_figure(figure, "a_million_unknowns.png")
    print("picture: a_million_unknowns.png")


if __name__ == "__main__":
    main()
