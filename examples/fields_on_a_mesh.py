"""One network makes random fields on a mesh and on a finer one.

Flow matching between two Gaussian laws of fields, both with the covariance scale^2 (kappa^2 - lap)^-s of Lindgren, Rue
and Lindstrom (2011), eq. 2, on the modes of the domain. Noise and network belong to the geometry and not to the mesh,
so that what is learned on one mesh makes the same fields on another.

    python examples/fields_on_a_mesh.py
"""

from pathlib import Path

import torch

from graphpde.flow import Flow, FlowMatching, MeshVelocity
from graphpde.mesh import Space, read_mesh, refine
from graphpde.ops import GaussianField
from graphpde.train import Adam, Cosine, fit

modes, steps, count = 48, 400, 1000
mesh = read_mesh(Path(__file__).resolve().parents[1] / "meshes" / "plate_with_holes.msh")
domains = {"as it was read": Space(mesh), "refined": Space(refine(mesh))}


def laws(space):
    """The law that fields start from, rough, and that of the data, smooth."""
    rough = GaussianField(space, kappa=2.0, s=1.0, scale=4.0, modes=modes)
    return rough, GaussianField(space, kappa=6.0, s=2.0, scale=40.0, modes=modes)


learned_on = domains["as it was read"]
base, data = laws(learned_on)


class Batches:
    def drawn(self, rng):
        for _ in range(steps):
            yield data.draw(torch.empty(64, learned_on.n, 1), rng)


torch.manual_seed(0)
rng = torch.Generator().manual_seed(0)
model = MeshVelocity(1, hidden=0, modes=modes)
matching = FlowMatching(base=base, sample="state", graph=learned_on)
fit(model, matching, Batches(), update=Adam(5e-3, schedule=Cosine(steps)), steps=steps, rng=rng)

fields, errors = {}, {}
for name, space in domains.items():
    base, data = laws(space)
    flow = Flow(model.on(space), base, sample="state", stepper="rk4", dt=0.1)
    x = flow.sample(torch.empty(count, space.n, 1), torch.Generator().manual_seed(1)).double()
    z, exact = data.basis.analyse(x)[..., 0], data.deviations.square().diag()
    found, floor = z.T @ z / count, ((1 + exact.trace() ** 2 / exact.square().sum()) / count).sqrt()
    fields[name], errors[name] = x, (float((found - exact).norm() / exact.norm()), float(floor))
    print(f"{space.n:4} nodes, {name}: covariance off by {100 * errors[name][0]:.1f} %,", end=" ")
    print(f"of which {100 * errors[name][1]:.1f} % are the {count} samples")

if __name__ == "__main__":
    from graphpde.viz import save_figure
    from graphpde.viz.multiples import Panel, plot_multiples

    panels = [
        Panel(space.mesh, space.at_points(fields[name][k])[:, 0], f"{space.n} nodes, sample {k + 1}")
        for name, space in domains.items()
        for k in range(2)
    ]
    save_figure(plot_multiples(panels, length_unit=None), "fields_on_a_mesh.png")
    print("picture: fields_on_a_mesh.png")
