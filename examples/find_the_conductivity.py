"""A plate conducts here better and there worse; sixty-eight noisy sensors and thirteen experiments tell where.

Equation: -div(kappa grad u) = f, u = 0 on the left side, with heat through one side or hole or into one spot at a time.
Sought is kappa in every cell: the one with the smoothest logarithm (Tikhonov 1963) among those that explain the
temperatures to the noise (Morozov 1966), by L-BFGS and one adjoint solve a gradient.

    python examples/find_the_conductivity.py
"""

from pathlib import Path

import torch
from torch import nn

from graphpde.dynamics import steady
from graphpde.mesh import Space, read_mesh
from graphpde.mesh.geometry import cell_centroids, cell_measures
from graphpde.ops import Diffusion, Dirichlet, Neumann, Source
from graphpde.train import LBFGS, Inverse, Misfit, Positive, Tikhonov, discrepancy, fit

mesh = read_mesh(Path(__file__).parents[1] / "meshes" / "plate_with_holes.msh")
space = Space(mesh)
x, y = cell_centroids(mesh).unbind(1)
true = torch.exp(0.6 * torch.sin(torch.pi * x) * torch.cos(torch.pi * y))  # from 0.55 to 1.82

sides = ("right", "top", "bottom", "hole0", "hole1")
spots = torch.cartesian_prod(torch.tensor([0.25, 0.75, 1.25, 1.75]), torch.tensor([0.2, 0.8])).double()
one = torch.eye(len(sides) + len(spots), dtype=torch.float64)  # an experiment is a channel of the state


def heat(points, t):
    """Two units of heat into one spot, in the experiments after those with the sides."""
    near = torch.exp(-(points[:, None] - spots).square().sum(2) / (2 * 0.15**2)) / (2 * torch.pi * 0.15**2)
    return torch.cat([points.new_zeros(len(points), len(sides)), 2 * near], 1)


heating = sum((Neumann(side, one[k]) for k, side in enumerate(sides)), Source(space, heat))


class Plate(nn.Module):
    """Thirteen temperature fields of a plate whose conductivity is to be found."""

    def __init__(self, kappa):
        super().__init__()
        self.kappa = Positive(kappa)

    def forward(self):
        problem = Diffusion(space, self.kappa()) + heating + Dirichlet("left", 0.0)
        return steady(problem, torch.zeros(space.n, len(one), dtype=torch.float64)).value


rng = torch.Generator().manual_seed(0)
sensors = torch.randperm(space.n, generator=rng)[:68]  # 5 % of the nodes
exact = Plate(true)().detach()[sensors]
sigma = 0.01 * exact.square().mean(0).sqrt()
measured = exact + sigma * torch.randn(exact.shape, generator=rng, dtype=torch.float64)

plate, roughness = Plate(torch.ones(mesh.n_cells, dtype=torch.float64)), Tikhonov(mesh)
objective = Inverse(Misfit(sensors, measured, sigma), {"roughness": lambda model: roughness(model.kappa.free)})


def misfit_at(weight):
    """The misfit in units of the noise after a fit with this weight; each fit goes on from the last."""
    weights = {"roughness": weight}
    return fit(plate, objective, update=LBFGS(change=3e-4), steps=200, weights=weights)["misfit"][-1]


chosen = discrepancy(misfit_at, start=0.3)
found, area = plate.kappa().detach(), cell_measures(mesh)
error, before = (float((area @ (k - true) ** 2 / (area @ true**2)).sqrt()) for k in (found, torch.ones_like(true)))
print(f"{mesh.n_cells} conductivities from {measured.numel()} temperatures with 1 % noise")
print(f"misfit {chosen.misfit:.2f} of the noise at weight {chosen.weight:.2g}")
print(f"relative error {100 * error:.1f} %, of the constant it started from {100 * before:.0f} %")

if __name__ == "__main__":
    from matplotlib.figure import Figure

    from graphpde.viz import save_figure

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, kappa, title in zip(panels, (true, found), ("true", "found"), strict=True):
        shown = axes.tripcolor(*mesh.points.T, mesh.cells["triangle"], facecolors=kappa, vmin=0.5, vmax=1.9)
        axes.set(aspect="equal", title=title, xticks=(), yticks=())
        axes.spines[:].set_visible(False)
    panels[1].plot(*space.pos[sensors].T, ".", color="white", markersize=3)
    figure.colorbar(shown, ax=panels, label="conductivity")
    save_figure(figure, "find_the_conductivity.png")
    print("picture: find_the_conductivity.png")
