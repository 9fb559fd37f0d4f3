"""Sixty-four steps of diffusion keep the classes apart where sixty-four layers of graph convolution do not.

GCN: u_l = relu(A u_{l-1} W_l + b_l) (Kipf and Welling 2017), also with the layer's input added to its output; diffusion
with a source: u' = alpha (A - I) u + beta u(0) (Chamberlain et al. 2021) in Euler steps of length 1. All with the same
A = D^-1/2 (W + I) D^-1/2, training and seed, on a block model of 400 nodes whose features alone are not enough. Energy:
<u, (I - A) u> / |u|^2, zero where nothing but the degree of a node is left.

    python examples/deep_without_collapse.py
"""

import torch

from graphpde.data import csbm
from graphpde.graph_diffusion.collapse import collapse_time
from graphpde.graph_diffusion.diagnostics import energies, gradient_norms
from graphpde.run.classify import learn
from graphpde.run.recipe import Recipe, Training
from graphpde.train.split import per_class

depths = (2, 4, 16, 64)
euler = {"stepper": "euler", "dt": 1.0}
models = {
    "GCN": ("gcn", "layers", {}),
    "GCN + residual": ("gcn", "layers", {"residual": "identity"}),
    "diffusion + source": ("grand", "time", {"attention": "none", "integration": euler}),
}
data = csbm(400, 4, degree=8.0, homophily=0.8, features=32, mu=80.0)
split = per_class(data.y, 10, 80, None)
training = Training(epochs=25, features="given")


def recipe(name: str, depth: int) -> Recipe:
    model, key, settings = models[name]
    return Recipe(model, {"hidden": 16, key: depth, **settings}, training)


learned = {(name, depth): learn(data, split, recipe(name, depth)) for name in models for depth in depths}
accuracy = {name: [100 * learned[name, depth].test for depth in depths] for name in models}
energy = {}
for name in models:
    times = [float(t) for t in range(1, 65)] if models[name][1] == "time" else None
    found = energies(learned[name, 64].model, data.graph, data.x, times)
    energy[name] = found.energy[: -1 if times is None else None]  # the logits are no state of the 16 channels

torch.manual_seed(0)
fresh = {name: recipe(name, 64).build(data.features, data.classes) for name in models}
gradient = {
    name: gradient_norms(model, data.graph, data.x, data.y, split.train).states[0] for name, model in fresh.items()
}
alone = collapse_time(data.graph, data.x, 0.01, steps=True)

for name in models:
    said = ", ".join(f"{value:.1f}" for value in accuracy[name])
    print(f"{name:19}{said} % at depth {', '.join(map(str, depths))}; at 64 energy {energy[name][-1]:.1e},", end=" ")
    print(f"gradient at the first state before training {gradient[name]:.0e}")
print(f"averaging alone is over after {alone.measured:.1f} steps, by the spectrum {alone.predicted:.1f}")

if __name__ == "__main__":
    from matplotlib import pyplot as plt

    from graphpde.viz import save_figure

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, style in zip(models, ("o-", "s-", "D-")):
        left.semilogx(depths, accuracy[name], style, base=2, label=name)
        right.loglog(range(1, len(energy[name]) + 1), energy[name], label=name)
    left.axhline(25, color="grey", linestyle=":", label="guessing")
    left.set(xlabel="depth", ylabel="test accuracy [%]", xticks=depths, xticklabels=depths, ylim=(0, 104))
    left.set_title("The same training at every depth")
    right.set(
        xlabel="layer or time", ylabel="Dirichlet energy / squared norm", title="Inside of the trained models, depth 64"
    )
    right.set_xticks([1, 4, 16, 64], [1, 4, 16, 64], minor=False)
    right.set_xticks([], minor=True)
    left.legend(loc="lower left", bbox_to_anchor=(0.0, 0.3))
    right.legend(loc="lower left")
    save_figure(figure, "deep_without_collapse.png")
    print("picture: deep_without_collapse.png")
