"""Samples flow from eight Gaussians to two moons.

Flow matching: v(t, x) is trained towards x1 - x0 at x = (1 - t) x0 + t x1 (Lipman et al. 2023, eq. 9), for pairs
(x0, x1) that are the optimal ones within every batch (Tong et al. 2024, algorithm 3). The straight ways of such pairs
hardly cross, so that even one Euler step of x' = v(t, x) does.

    python examples/flow_matching_in_forty_lines.py
"""

import torch

from graphpde.data import PLANAR
from graphpde.flow import Flow, FlowMatching, OptimalCoupling, PointVelocity, straightness
from graphpde.solve import wasserstein
from graphpde.train import Adam, Cosine, fit

steps, base, data = 1200, PLANAR["eight_gaussians"], PLANAR["moons"]


class Pairs:
    """Fresh batches of both laws."""

    def drawn(self, rng):
        for _ in range(steps):
            yield base.draw(256, rng), data.draw(256, rng)


torch.manual_seed(0)
rng = torch.Generator().manual_seed(0)
velocity = PointVelocity(2, activation=torch.nn.functional.silu)
matching = FlowMatching(coupling=OptimalCoupling())
fit(velocity, matching, Pairs(), update=Adam(2e-3, schedule=Cosine(steps)), steps=steps, rng=rng)

x0, x1 = base.draw(1000, rng), data.draw(1000, rng)
with torch.no_grad():
    way = Flow(velocity).push(x0, [0.0, 0.25, 0.5, 0.75, 1.0])
    one_step = Flow(velocity, stepper="euler", dt=1.0).push(x0).final
distances = {"start": x0, "one Euler step": one_step, "adaptive steps": way.final, "other data": data.draw(1000, rng)}
distances = {name: wasserstein(x, x1) for name, x in distances.items()}
bend = straightness(Flow(velocity), x0)

print(", ".join(f"{name} {distance:.2f}" for name, distance in distances.items()), "from the data (Wasserstein-2)")
print(f"{way.statistics['evaluations']:.0f} evaluations; ways depart from straight ones by {bend:.2f} (mean square)")

if __name__ == "__main__":
    from graphpde.viz import save_figure
    from graphpde.viz.flows import plot_points

    sets = {f"t = {float(t):g}": x for t, x in zip(way.times[::2], way.states[::2])}
    figure = plot_points({**sets, "one Euler step": one_step, "data": x1}, ("x", "y"))
    save_figure(figure, "flow_matching_in_forty_lines.png")
    print("picture: flow_matching_in_forty_lines.png")
