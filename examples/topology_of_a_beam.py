"""Half of a box may be filled with material: where does it make the stiffest beam?

Sought are densities of cells that minimise the compliance c = f . u with K(rho) u = f and moduli rho^3 (Bendsoe 1989),
by optimality criteria, the gradient by one adjoint solve; a filter keeps details from being finer than its radius. The
half beam of 60 x 20 cells is that of Andreassen et al. 2011, whose code ends at c = 233.71. A step that sharpens (Wang,
Lazarov and Sigmund 2011) then turns the grey of the filter into black and white.

    python examples/topology_of_a_beam.py
"""

import torch

from graphpde.design import Compliance, Densities, Heaviside, minimise_compliance
from graphpde.mesh import Space, rectangle
from graphpde.ops import Dirichlet, Source
from graphpde.ops.elasticity import Elasticity

NX, NY, VOLUME, RADIUS = 60, 20, 0.5, 2.4
PUBLISHED = 233.71

mesh = rectangle(NX, NY, width=float(NX), height=float(NY), cells="quad")
space = Space(mesh)

# by symmetry half of the beam: what crosses the middle slides along it; the right end rests on a roller
force = torch.zeros(space.n, 2, dtype=torch.float64)
force[NY * (NX + 1), 1] = -1.0
load = Source(space, force / space.measure[:, None])
middle, roller = Dirichlet("left", 0.0, channels=(0,)), Dirichlet(torch.tensor([NX]), 0.0, channels=(1,))
body = Compliance(Elasticity(space, 1.0, 0.3, kind="plane_stress") + load + middle + roller)

grey = minimise_compliance(body, VOLUME, Densities(mesh, RADIUS), steps=300)
sharp, history = grey, [*grey.compliance]
for sharpness in (1, 2, 4, 8, 16, 32):
    densities = Densities(mesh, RADIUS, projection=Heaviside(sharpness))
    sharp = minimise_compliance(body, VOLUME, densities, start=sharp.variables, steps=40)
    history += sharp.compliance
ratio = grey.compliance[-1] / PUBLISHED

print(f"all cells half full: compliance {grey.compliance[0]:.2f}")
print(
    f"filtered: {grey.compliance[-1]:.2f} after {grey.steps} steps, published {PUBLISHED}; {100 * grey.grey:.0f} % grey"
)
print(
    f"sharpened: {sharp.compliance[-1]:.2f}, {100 * sharp.grey:.1f} % grey, {100 * sharp.volume[-1]:.4f} % of the box"
)

if __name__ == "__main__":
    from matplotlib.figure import Figure

    from graphpde.viz import save_figure

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    panels = figure.subplot_mosaic([["filtered", "filtered"], ["sharpened", "sharpened"], ["way", "way"]])
    for name, found in (("filtered", grey), ("sharpened", sharp)):
        half = found.densities.reshape(NY, NX)
        whole = torch.cat([half.flip(1), half], 1)
        panels[name].imshow(whole, origin="lower", cmap="gray_r", vmin=0, vmax=1)
        panels[name].set(title=f"{name}: compliance {found.compliance[-1]:.1f}", xticks=(), yticks=())
    panels["way"].plot(history, color="black", linewidth=1)
    panels["way"].set(xlabel="step", ylabel="compliance", xlim=(0, len(history)), ylim=(150, 450))
    panels["way"].spines[["top", "right"]].set_visible(False)
    save_figure(figure, "topology_of_a_beam.png")
    print("picture: topology_of_a_beam.png")
