"""Where neighbours differ, smoothing misleads; reaction and repulsion do not.

Contextual stochastic block model (Deshpande et al. 2018): the share h of edges within a class is set, the features say
little. A GCN averages over neighbours; a perceptron does not look at them; GREAD sharpens what it has blurred
(Choi et al. 2023), GRAFF learns which channels to smooth and which to sharpen (Di Giovanni et al. 2022).

    python examples/heterophily.py
"""

import statistics

import torch

from graphpde.data import csbm
from graphpde.run.classify import learn
from graphpde.run.recipe import recipe
from graphpde.train.split import fractions

HOMOPHILY = (0.1, 0.2, 0.33, 0.6, 0.9)
SEEDS = (0, 1)
NAMES = {"mlp": "MLP", "gcn": "GCN", "gread": "GREAD-BS", "graff": "GRAFF"}
SETTINGS = {"hidden": 32, "dropout": [0.2, 0.2]}
MORE = {"gread": {"reaction": "blurring_sharpening", "per_channel": True, "time": 3.0}, "graff": {"time": 2.0}}
TRAINING = {"epochs": 30, "rate": 0.02, "penalty": 5e-4, "features": "given"}


def accuracies(h: float) -> dict[str, float]:
    """Mean test accuracy of each model over seeds, in percent."""
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for seed in SEEDS:
        data = csbm(500, 3, 10, h, features=32, mu=30, seed=seed)
        split = fractions(data.y, seed=seed)
        for name in NAMES:
            made = recipe(name).having(SETTINGS | MORE.get(name, {}), TRAINING)
            found[name].append(100 * learn(data, split, made, seed).test)
    return {name: statistics.fmean(values) for name, values in found.items()}


torch.set_num_threads(1)

if __name__ == "__main__":
    from matplotlib import pyplot as plt

    from graphpde.viz import save_figure

    table = {h: accuracies(h) for h in HOMOPHILY}
    print("h     " + "  ".join(f"{shown:>8}" for shown in NAMES.values()))
    for h, row in table.items():
        print(f"{h:.2f}  " + "  ".join(f"{row[name]:8.1f}" for name in NAMES))

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for (name, shown), style in zip(NAMES.items(), (":", "--", "-", "-."), strict=True):
        axes.plot(HOMOPHILY, [table[h][name] for h in HOMOPHILY], style, marker="o", label=shown)
    axes.axvline(1 / 3, color="0.7", linewidth=0.8, zorder=0)
    axes.text(1 / 3, 101, "edges at random", ha="center", va="bottom", color="0.4", fontsize=9)
    axes.set(xlabel="share of edges within a class", ylabel="test accuracy in %", ylim=(45, 101))
    axes.legend(loc="lower right")
    save_figure(figure, "heterophily.png")
    print("picture: heterophily.png")
