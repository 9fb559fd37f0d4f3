"""Prey and predators sort the members of a scale-free network into two kinds, at the rate that its spectrum says.

Equations: du_i/dt = D_u sum_j (u_j - u_i) + ((a + b u_i - u_i^2) / c - v_i) u_i and dv_i/dt = D_v sum_j (v_j - v_i) +
(u_i - 1 - d v_i) v_i on a Barabasi-Albert network (Mimura and Murray 1978, J. Theor. Biol. 75; on networks Nakao and
Mikhailov 2010, Nature Physics 6). What k^2 is in the plane, an eigenvalue of the network's Laplacian is here: each of
its eigenvectors grows out of the noise at its own rate, until some members are crowded and the others nearly empty.

    python examples/turing_on_a_network.py
"""

import torch

from graphpde.core import barabasi_albert, layout
from graphpde.dynamics import Sbdf2, evolve
from graphpde.ops import REACTIONS, Diffusion, Reaction, predict

kappa = (0.3, 6.0)
reaction = REACTIONS["mimura-murray"]()
network = barabasi_albert(200, 3, seed=1)
theory = predict(network, reaction, kappa, k=network.n)
mode, rate = theory.vectors[:, theory.fastest], float(theory.rates[theory.fastest].real)

rest = torch.tensor([theory.analysis.state], dtype=torch.float64)
noise = torch.randn(network.n, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
times = torch.tensor([0.0, 10.0, 20.0, 100.0], dtype=torch.float64)
spreading = Diffusion(network, torch.tensor([kappa], dtype=torch.float64))
pattern = evolve(spreading + Reaction(reaction), rest + 1e-8 * noise, times, stepper=Sbdf2(), dt=0.02)

amplitude = (pattern.states[:, :, 0] - rest[0, 0]).mul(mode).sum(1).abs()  # of the fastest eigenvector
measured = float((amplitude[2] / amplitude[1]).log() / (times[2] - times[1]))

prey = pattern.final[:, 0]
crowded, degree = prey > rest[0, 0], network.edges.degree
hubs = degree.argsort(descending=True)[:10]
resting = float((prey[hubs] - rest[0, 0]).abs().mean() / (prey - rest[0, 0]).abs().mean())

print(f"{network.n} members, {network.edges.n_edges // 2} links; {theory.unstable} of {network.n} modes grow")
print(f"the fastest at {measured:.4f}, expected {rate:.4f}: {100 * (measured / rate - 1):+.2f} %")
print(
    f"in the end {int(crowded.sum())} members are crowded: {float(prey.min()):.2f} to {float(prey.max()):.2f} prey each"
)
print(f"the ten hubs differ from rest {resting:.2f} times as much as the mean")

if __name__ == "__main__":
    from graphpde.viz import save_figure
    from graphpde.viz.canvas import new_figure

    figure = new_figure(11, 5)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    at = layout(network, seed=2)
    ends = at[torch.stack(network.edges.pairs())]
    left.plot(*ends.permute(2, 0, 1), color="#999999", linewidth=0.3, alpha=0.6, zorder=1)
    dots = left.scatter(*at.T, s=12 * degree**0.7, c=prey, edgecolors="white", linewidths=0.5, zorder=2)
    left.set_axis_off()
    left.set_title("a scale-free network at t = 100, hubs large")
    figure.colorbar(dots, ax=left, label="prey u", shrink=0.8)
    right.axhline(float(rest[0, 0]), color="#222222", linewidth=0.8, label="homogeneous state")
    right.scatter(degree, prey, s=14, c=prey)
    right.set(xscale="log", xlabel="links of a member", ylabel="prey u", title="few links: two kinds; many: at rest")
    right.set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    right.legend(frameon=False)
    save_figure(figure, "turing_on_a_network.png", dpi=110)
    print("picture: turing_on_a_network.png")
