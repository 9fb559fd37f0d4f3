"""Points flow over a curved mesh and never leave its faces.

Flow matching along ways that shorten a spectral distance (Chen and Lipman 2024, eq. 13 with biharmonic weights); the
velocity is given by what flows through the edges of the mesh, so that points are traced exactly from face to face and
densities come with them. The data follow the positive part of an eigenfunction of the surface. Without a file the
surface is a ball with two ears; the argument may be any closed triangle mesh.

    python examples/points_on_a_bunny.py [bunny.off]
"""

import sys

import torch

from graphpde.flow import (
    OptimalCoupling,
    PointVelocity,
    SpectralPremetric,
    SurfaceFlow,
    SurfaceMatching,
    SurfaceVelocity,
)
from graphpde.mesh import Space, read_mesh, sphere
from graphpde.mesh.faces import Faces
from graphpde.ops import eigenbasis
from graphpde.train import Adam, Cosine, fit

mode, steps = 10, 150


def ball_with_ears():
    """A sphere of 1280 faces, drawn out along two directions."""
    mesh = sphere(3)
    ears = torch.nn.functional.normalize(torch.tensor([[0.4, 0.1, 1.0], [-0.4, 0.1, 1.0]]).double(), dim=1)
    near = torch.exp(-(1 - mesh.points @ ears.T) / 0.04).sum(1, keepdim=True)
    return mesh.with_points(mesh.points * (1 + 0.9 * near))


mesh = read_mesh(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else ball_with_ears()
faces, basis = Faces(mesh), eigenbasis(Space(mesh), 80)
density = basis.vectors[:, mode].clamp_min(0)
rng = torch.Generator().manual_seed(0)


class Batches:
    def drawn(self, rng):
        for _ in range(steps):
            yield faces.draw(128, rng, density)


torch.manual_seed(0)
network = PointVelocity(32, hidden=64, frequencies=2, activation=torch.nn.functional.silu, out=16)
velocity = SurfaceVelocity(faces, basis, network)
premetric = SpectralPremetric(faces, basis)
matching = SurfaceMatching(premetric, steps=30, coupling=OptimalCoupling(premetric.squared_distances))
fit(velocity, matching, Batches(), update=Adam(4e-3, schedule=Cosine(steps)), steps=steps, rng=rng)

flow, held = SurfaceFlow(velocity, steps=50), faces.draw(1000, rng, density)
with torch.no_grad():
    made, told = flow.sample(1000, rng), flow.log_density(held)
    back = flow.log_density(made.at)
total = (faces.area[:, None] * density[faces.corners] / 3).sum()
true = faces.interpolate(density[:, None], held).div(total).log()
entropy, nll, uniform = -float(true.mean()), -float(told.mean()), float(faces.area.sum().log())
agree = float((back - made.log_density).abs().quantile(0.9))

print(
    f"{faces.m} faces; negative log-likelihood {nll:.2f} nats, entropy of the data {entropy:.2f}, uniform {uniform:.2f}"
)
print(f"densities found forwards and backwards agree to {agree:.0e} (nine of ten points)")

if __name__ == "__main__":
    from matplotlib import pyplot as plt

    from graphpde.viz import save_figure

    figure = plt.figure(figsize=(9, 4.4), layout="constrained")
    for k, (name, at) in enumerate({"data": held, "flow": made.at}.items()):
        axes = figure.add_subplot(1, 2, k + 1, projection="3d", title=name)
        axes.plot_trisurf(*mesh.points.T.numpy(), triangles=mesh.cells["triangle"].numpy(), color="#dde3ea", alpha=0.35)
        axes.scatter(*faces.position(at).T.numpy(), s=2, color=f"C{k}")
        axes.set_axis_off()
        axes.set_box_aspect(mesh.points.amax(0).sub(mesh.points.amin(0)).tolist(), zoom=1.4)
    save_figure(figure, "points_on_a_bunny.png")
    print("picture: points_on_a_bunny.png")
