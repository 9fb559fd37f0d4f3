"""Five labels in a hundred points are enough where the points lie in two crescents.

Energy: E(u) = w/2 sum_ij w_ij |u_i - u_j|^2 + 1/w sum_i W(u_i) + f/2 sum_known |u_i - y_i|^2 on the graph of nearest
neighbours (Bertozzi and Flenner 2012), descended by convex-concave split steps with and without momentum (Akande,
Dondl, Gupta, Onwunta and Wojtowytsch 2025). The energy falls at every step; with momentum it takes fewer of them.

    python examples/labels_from_few_points.py
"""

import torch

from graphpde.data import two_moons
from graphpde.graph_diffusion.ginzburg_landau import GinzburgLandau, minimise, segment

n, rng = 1000, torch.Generator().manual_seed(0)
data = two_moons(n, noise=0.12)
graph, classes, points = data.graph, data.y, data.graph.pos
known = torch.zeros(n, dtype=torch.bool)
known[torch.randperm(n, generator=rng)[: n // 20]] = True

found = segment(graph, classes, known)
accuracy = float((found.labels == classes)[~known].double().mean())

shares = torch.nn.functional.one_hot(classes, 2).double()
energy = GinzburgLandau(graph, width=0.8, known=shares, mask=known, fidelity=100.0, shares=True)
start = torch.where(known[:, None], shares, 0.5)
descents = {m: minimise(energy, start, tau=1.0, steps=60, momentum=m).energies for m in (False, True)}
steps = {m: int((e <= 1.01 * e[-1]).nonzero()[0, 0]) for m, e in descents.items()}

print(f"{int(known.sum())} of {n} labels known: {100 * accuracy:.1f} % of the others found")
print(f"steps to 1.01 x the final energy: {steps[False]} without momentum, {steps[True]} with it")

if __name__ == "__main__":
    from matplotlib import pyplot as plt

    from graphpde.viz import save_figure

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.5, 1), layout="constrained")
    both = left.scatter(*points.T, c=found.shares[:, 1], s=9, cmap="coolwarm", vmin=0, vmax=1)
    left.scatter(*points[known].T, c=classes[known], s=60, cmap="coolwarm", edgecolors="black", linewidths=1.2)
    left.set(aspect="equal", title=f"{100 * accuracy:.1f} % right from the {int(known.sum())} ringed labels")
    figure.colorbar(both, ax=left, shrink=0.8, label="share of the second class")
    for momentum, values in descents.items():
        right.semilogy(values[:40], label="with momentum" if momentum else "without momentum")
    right.set(xlabel="steps", ylabel="energy", ylim=(8, 1500), title="The energy falls at every step")
    right.legend()
    save_figure(figure, "labels_from_few_points.png")
    print("picture: labels_from_few_points.png")
