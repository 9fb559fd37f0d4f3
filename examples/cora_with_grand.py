"""Papers take on the topic of those that they cite: graph neural diffusion on Cora.

u' = a (A - I) u + b u(0), A the attention of the edges worked out once from u(0) (Chamberlain et al. 2021, GRAND-l),
from time 0 to T; 20 labelled papers of each topic train, 500 choose the epoch, 1000 are looked at once.

    python examples/cora_with_grand.py [FOLDER]     # FOLDER holds Cora as torch-geometric stores it; else downloaded
"""

import sys

import torch

from graphpde.data import load
from graphpde.graph_diffusion.smoothing import dirichlet_energy
from graphpde.run.classify import learn, prepare
from graphpde.run.recipe import recipe

torch.set_num_threads(1)
FOLDER = sys.argv[1] if __name__ == "__main__" and len(sys.argv) > 1 else None
EPOCHS = 60


def train(folder: str | None):
    """The data, the recipe, and the trained model with its accuracies."""
    data = load("Cora", root=folder)
    made = recipe("grand", "Cora").having({}, {"epochs": EPOCHS, "patience": 0})
    return data, made, learn(data, data.splits[0], made, seed=0)


if __name__ == "__main__":
    from matplotlib import pyplot as plt

    from graphpde.viz import save_figure

    data, made, found = train(FOLDER)
    print(f"test accuracy {100 * found.test:.1f} %, epoch {found.epoch} chosen by validation ({100 * found.val:.1f} %)")
    print(f"{found.evaluations:.0f} evaluations and {found.cpu:.2f} s of processor time an epoch")

    graph, x, y = prepare(data, made)
    model = found.model
    with torch.no_grad():
        times = torch.linspace(0, model.time, 9).tolist()
        states = model.trajectory(graph, x, times).states
    energies = [float(dirichlet_energy(graph, u)) for u in states]
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    plane = torch.pca_lowrank(states[-1], 2)[2]
    for axis, u, t in zip(axes, (states[0], states[-1]), (0.0, model.time)):
        flat = ((u - u.mean(0)) @ plane).numpy()
        axis.scatter(*flat.T, c=y, s=3, cmap="tab10", vmax=9)
        axis.set(title=f"papers at t = {t:.3g}, coloured by topic", xticks=[], yticks=[])
    axes[2].plot(times, energies, marker="o")
    axes[2].set(xlabel="time", ylabel="Dirichlet energy / |u|²", title="Neighbours become alike", ylim=(0, None))
    save_figure(figure, "cora_with_grand.png")
    print("picture: cora_with_grand.png")
