"""What depth does: networks of 32 and 64 layers, diffusion for a time of 32 and 64, and few labels.

Every variant is searched with the same draws at each depth, judged by validation, and trained with five seeds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.graph.accuracy import Score, summary
from benchmarks.graph.trials import available, results, trial
from benchmarks.physics.rows import NO_TARGET, Absent, Found, Row
from graphpde.run.recipe import Recipe, from_table, recipe

SECTION = "Depth"
SOURCES = (
    *(f"graphpde/{part}" for part in ("core", "dynamics", "nets", "train", "graph_diffusion", "run/classify.py")),
    "graphpde/run/recipe.py",
    "graphpde/run/recipes/*.toml",
    "benchmarks/graph/*.py",
)
DEPTHS = (2, 8, 32, 64)
DEEP = (32, 64)
SEEDS = tuple(range(5))
DRAWS = 4
RATES = (1, 2, 5)
EULER = {"stepper": "euler", "dt": 1.0}

VARIANTS: dict[str, Mapping[str, Any]] = {
    "GCN": {"model": "gcn"},
    "GCN, residual": {"model": "gcn", "residual": "identity"},
    "GCN, frozen at random": {"model": "gcn", "middle": "random"},
    "GCN, frozen at the identity": {"model": "gcn", "middle": "identity"},
    "GCNII": {"model": "gcnii", "alpha": 0.1, "decay": 0.5},
    "diffusion": {"model": "grand", "attention": "none", "source": False, "integration": EULER},
    "diffusion + source": {"model": "gread", "attention": "none", "reaction": "source", "integration": EULER},
    "GRAND-l": {"model": "grand", "attention": {"heads": 4, "dim": 32}, "source": True, "integration": EULER},
}
"""name -> model and settings that are not searched; depth is layers, or time in steps of 1."""
SOURCED = "diffusion + source"

SEARCHED: Mapping[str, tuple[Any, ...]] = {
    "rate": (0.003, 0.01, 0.02),
    "penalty": (5e-4, 5e-3),
    "dropout": ((0.5, 0.0), (0.5, 0.5), (0.8, 0.5)),
    "hidden": (64,),
}


def draw(variant: str, depth: int, number: int) -> Recipe:
    """Candidate ``number``; the same draws for every variant and depth."""
    rng = random.Random(f"depth {number}")
    chosen = {name: rng.choice(values) for name, values in SEARCHED.items()}
    settings = {k: v for k, v in VARIANTS[variant].items() if k != "model"}
    model = VARIANTS[variant]["model"]
    settings |= {"hidden": chosen["hidden"], "dropout": list(chosen["dropout"])}
    settings |= {"layers": depth} if model in ("gcn", "gcnii") else {"time": float(depth)}
    training = {"rate": chosen["rate"], "penalty": chosen["penalty"], "epochs": 200, "patience": 50}
    return from_table(model, {**settings, "training": training})


def tuned(variant: str, depth: int) -> Recipe:
    """The best of the draws by validation."""
    candidates = [draw(variant, depth, k) for k in range(DRAWS)]
    found = results([trial("Cora", "public", 0, 0, made) for made in candidates])
    return candidates[max(range(DRAWS), key=lambda k: found[k]["val"])]


def score(variant: str, depth: int) -> Score:
    """Test accuracy over seeds at a depth."""
    made = tuned(variant, depth)
    return summary(results([trial("Cora", "public", 0, seed, made) for seed in SEEDS]))


def few_labels(variant: str, rate: int, depth: int) -> Score:
    """Test accuracy with so many labels of each class, five draws of them."""
    made = tuned(variant, depth)
    return summary(results([trial("Cora", f"{rate} per class", seed, seed, made) for seed in SEEDS]))


def rows() -> list[Row]:
    """The promises of depth."""
    deep = [
        Row(SECTION, f"Cora, depth {depth}: {SOURCED}, 5 seeds", ">= 82", lambda v: v >= 82, partial(_deep, depth),
            sources=SOURCES)
        for depth in DEEP
    ]  # fmt: skip
    return [
        *deep,
        Row(SECTION, f"Cora: {SOURCED} below its own best depth", "<= 1.5 points", lambda v: v <= 1.5, _below_own_best,
            sources=SOURCES),
        Row(SECTION, "Cora: GCN of 32 layers", NO_TARGET, lambda v: True, _gcn, sources=SOURCES),
        Row(SECTION, "Cora, depth 64, 1, 2 and 5 labels a class: source over diffusion", NO_TARGET, lambda v: True,
            _few, sources=SOURCES),
    ]  # fmt: skip


_ABSENT = Absent("the real graphs are not there")


def _deep(depth: int) -> Found | Absent:
    if not available():
        return _ABSENT
    found = score(SOURCED, depth)
    return Found(found.mean, f"{found} %", "public split", f"best of {DRAWS} draws")


def _below_own_best() -> Found | Absent:
    if not available():
        return _ABSENT
    found = {depth: score(SOURCED, depth).mean for depth in DEPTHS}
    worst = max(max(found.values()) - found[depth] for depth in DEEP)
    return Found(worst, f"{worst:.2f} points", ", ".join(f"depth {d}: {v:.1f}" for d, v in found.items()))


def _gcn() -> Found | Absent:
    if not available():
        return _ABSENT
    found = {name: score(name, 32) for name in VARIANTS if name.startswith("GCN")}
    told = "; ".join(f"{name} {value}" for name, value in found.items())
    return Found(found["GCN"].mean, f"{found['GCN']} %", "public split, 5 seeds", told)


def _few() -> Found | Absent:
    if not available():
        return _ABSENT
    gaps = {r: few_labels(SOURCED, r, 64).mean - few_labels("diffusion", r, 64).mean for r in RATES}
    return Found(
        min(gaps.values()), ", ".join(f"{r}: {g:+.1f}" for r, g in gaps.items()) + " points", "5 draws of labels"
    )


def table() -> list[str]:
    """Accuracy by variant and depth, as lines."""
    lines = ["| test accuracy, % | " + " | ".join(map(str, DEPTHS)) + " |", "|---" * (len(DEPTHS) + 1) + "|"]
    for variant in VARIANTS:
        lines.append(f"| {variant} | " + " | ".join(str(score(variant, depth)) for depth in DEPTHS) + " |")
    return lines


def few_table() -> list[str]:
    """Accuracy by labels of each class, at depth 64."""
    shown = ("diffusion", SOURCED, "GRAND-l")
    lines = ["| labels a class | " + " | ".join(shown) + " | GCN, 2 layers |", "|---" * (len(shown) + 2) + "|"]
    for rate in RATES:
        cells = [str(few_labels(variant, rate, 64)) for variant in shown]
        made = recipe("gcn", "Cora")
        plain = summary(results([trial("Cora", f"{rate} per class", seed, seed, made) for seed in SEEDS]))
        lines.append(f"| {rate} | " + " | ".join([*cells, str(plain)]) + " |")
    return lines
