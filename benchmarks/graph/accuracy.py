"""Node classification on real graphs: every model with a recipe found by the same search, beside what papers report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from benchmarks.graph.search import BASELINES, FAMILY, SETTINGS, in_full
from benchmarks.graph.trials import available, results, trial
from benchmarks.physics.rows import NO_TARGET, Absent, Found, Row
from graphpde.run.recipe import Recipe, recipe

SECTION = "Node classification"
SOURCES = (
    *(f"graphpde/{part}" for part in ("core", "dynamics", "nets", "train", "graph_diffusion", "run/classify.py")),
    "graphpde/run/recipe.py",
    "graphpde/run/recipes/*.toml",
    "benchmarks/graph/*.py",
)
PAPER = {"Photo": (92.3, 0.9), "CS": (92.9, 0.4)}  # GRAND-l, mean and standard deviation
REFERENCE, REFERENCE_STD, REFERENCE_SEEDS = 83.8, 1.13, 3  # GRAND-l, its authors' program, public split


class Study(NamedTuple):
    """What is run on a data set.

    Attributes:
        kind: of splits. numbers: of them. seeds: on each. metric: for the reader.
        reported: model -> what its paper or the source named reports, in percent.
    """

    kind: str
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    reported: dict[str, str]
    metric: str = "accuracy"


TEN = tuple(range(10))
STUDIES: dict[str, Study] = {
    "Cora": Study(
        "public", (0,), tuple(range(20)),
        {"gcn": "81.5 (Kipf and Welling 2017)", "gat": "83.0 (Velickovic et al. 2018)",
         "appnp": "83.8 (Gasteiger et al. 2019)", "gcnii": "85.5 (Chen et al. 2020)",
         "grand": "84.7 (Chamberlain et al. 2021)", "graphcon": "84.2 (Rusch et al. 2022)"},
    ),
    "Cora, ten splits": Study(
        "geom-gcn", TEN, (0,),
        {"gcn": "86.98 (Yan et al. 2022)", "gcnii": "88.49 (Chen et al. 2020)", "gread": "88.39 to 88.57 (aggregators)",
         "rdgnn": "89.91 (an aggregator)"},
    ),
    "Texas": Study("geom-gcn", TEN, (0,), {"gread": "89.73 (an aggregator)", "rdgnn": "94.59 (an aggregator)"}),
    "Wisconsin": Study("geom-gcn", TEN, (0,), {"gread": "89.41 (an aggregator)", "rdgnn": "93.72 (an aggregator)"}),
    "Actor": Study("geom-gcn", TEN, (0,), {"gread": "37.49 (an aggregator)", "rdgnn": "38.69 (an aggregator)"}),
    "Chameleon_filtered": Study("yandex", TEN, (0,), {"gcn": "46.29 (Luo et al. 2024)"}),
    "Minesweeper": Study("yandex", TEN, (0,), {"gcn": "97.86 (Luo et al. 2024)"}, "ROC-AUC"),
    "Photo": Study("grand", TEN, (0,), {"gcn": "91.2 (Chamberlain et al. 2021)", "grand": "92.3 (the same)"}),
    # the development nodes of split 4 hold 19 of the smallest class, one too few to train on
    "CS": Study("grand", (*range(4), *range(5, 11)), (0,),
                {"gcn": "91.1 (Chamberlain et al. 2021)", "grand": "92.9 (the same)"}),
}  # fmt: skip
MODELS: dict[str, Sequence[str]] = {
    **dict.fromkeys(STUDIES, ("mlp", "gcn", *FAMILY)),
    "Cora": (*BASELINES, *FAMILY),
    "Photo": ("mlp", "gcn", "grand"),
    "CS": ("mlp", "gcn", "grand"),
}


def models(name: str) -> Sequence[str]:
    """The models of a study: on large graphs those of the family alone that did best at first look."""
    return MODELS[name] if SETTINGS[dataset(name)].family is None else in_full(dataset(name))


BECAUSE = {
    "Cora": "The settings of its authors give 82.9 % here, the best of 24 draws 83.2 %. Their program gave 82.2, 84.6 "
    "and 84.6 %: the two are within one standard error of their difference.",
    "CS": "28 draws instead of 12 gave 92.0 instead of 91.9 % of the validation nodes of the first split, rates of "
    "0.001 for 250 epochs 91.2 %, diffusion to T = 3 90.9 %. Our GCN on these splits is a point above that of the same "
    "paper.",
}
"""Why a row is missed, and what was tried."""


class Score(NamedTuple):
    """Test metric in percent over runs."""

    mean: float
    std: float
    runs: int
    val: float
    cpu: float

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.std / self.runs**0.5

    @property
    def failed(self) -> bool:
        """Whether it could not be trained."""
        return math.isnan(self.mean)

    def __str__(self) -> str:
        return "not integrable" if self.failed else f"{self.mean:.1f} ± {self.std:.1f}"


def score(name: str, made: Recipe, *, most: int | None = None) -> Score:
    """A recipe on a study of ``STUDIES``; ``most`` seeds at most."""
    study = STUDIES[name]
    runs = [(k, seed) for k in study.numbers for seed in study.seeds[:most]]
    return summary(results([trial(dataset(name), study.kind, k, seed, made) for k, seed in runs]))


def summary(found: Sequence[dict[str, float]]) -> Score:
    """Mean and standard deviation over runs; there is no accuracy of what was not trained in each of them."""
    if any("failure" in r for r in found):
        return Score(math.nan, math.nan, len(found), math.nan, math.nan)
    tests = [100 * r["test"] for r in found]
    spread = statistics.stdev(tests) if len(tests) > 1 else float("nan")
    val, cpu = (statistics.fmean(r.get(name, 0.0) for r in found) for name in ("val", "cpu"))
    return Score(statistics.fmean(tests), spread, len(tests), 100 * val, cpu)


def dataset(name: str) -> str:
    """The data set of a study."""
    return name.split(",")[0]


def scores(name: str) -> dict[str, Score]:
    """Every model of a study."""
    few = {"Cora": dict.fromkeys(("gcn", "grand"), 20)}.get(name, {})
    return {m: score(name, recipe(m, dataset(name)), most=few.get(m, 5)) for m in models(name)}


def rows() -> list[Row]:
    """Rows with a target, and one figure for each data set."""
    made = [_row("Cora, public split: GRAND-l, 20 seeds", f">= {REFERENCE} less its own standard error", _grand, 0.0,
                 BECAUSE["Cora"]),
            _row("Cora, public split: GRAND-l below its authors' program, in standard errors of the difference", "<= 1",
                 _grand_apart, 1.0),
            _row("Cora, public split: models of the family below the MLP", "0", _below_mlp, 0.0)]  # fmt: skip
    for name in ("Photo", "CS"):
        mean, std = PAPER[name]
        target = f"within one standard deviation of the {mean} ± {std} of its paper, or better"
        measure = partial(_as_reported, name)
        made.append(_row(f"{name}, ten random splits: GRAND-l", target, measure, 0.0, BECAUSE.get(name, "")))
    for name in STUDIES:
        made.append(Row(SECTION, f"{name}: best of the family against GCN", NO_TARGET, _any, partial(_best, name),
                        sources=SOURCES))  # fmt: skip
    return made


def _row(name: str, target: str, measure: Callable[[], Found], bound: float, because: str = "") -> Row:
    def guarded() -> Found | Absent:
        return measure() if available() else Absent("the real graphs are not there")

    return Row(SECTION, name, target, lambda value: value <= bound, guarded, because, sources=SOURCES)


def _any(value: float) -> bool:
    return True


def _grand() -> Found:
    found = score("Cora", recipe("grand", "Cora"))
    short = REFERENCE - found.error - found.mean
    on = f"{found.runs} seeds, standard error {found.error:.2f}"
    note = "84.7 reported by its paper, 83.8 ± 1.1 found with its authors' program (3 seeds: 82.2, 84.6, 84.6)"
    return Found(short, f"{found.mean:.2f} ± {found.std:.2f} %", on, note)


def _grand_apart() -> Found:
    found = score("Cora", recipe("grand", "Cora"))
    theirs = REFERENCE_STD / REFERENCE_SEEDS**0.5
    apart = (REFERENCE - found.mean) / (found.error**2 + theirs**2) ** 0.5
    on = f"{found.mean:.2f} against {REFERENCE}"
    return Found(apart, f"{apart:.2f}", on, f"standard errors {found.error:.2f} and {theirs:.2f}")


def _below_mlp() -> Found:
    found = scores("Cora")
    below = [m for m in FAMILY if not found[m].mean > found["mlp"].mean]
    told = ", ".join(f"{m} {found[m].mean:.1f}" for m in FAMILY)
    return Found(len(below), f"{len(below)} of {len(FAMILY)}", f"MLP {found['mlp'].mean:.1f} %", told)


def _as_reported(name: str) -> Found:
    found, (mean, std) = score(name, recipe("grand", name)), PAPER[name]
    return Found(mean - std - found.mean, f"{found} %", "ten splits, largest component, one seed each")


def _best(name: str) -> Found | Absent:
    if not available():
        return Absent("the real graphs are not there")
    found = scores(name)
    family = [m for m in found if m in FAMILY and not found[m].failed]
    best = max(family, key=lambda m: found[m].val)  # validation names it, not the test
    gap = found[best].mean - found["gcn"].mean
    verdict = "no win claimed" if abs(gap) < 0.4 else "ahead" if gap > 0 else "behind"
    return Found(gap, f"{best} {found[best]} against {found['gcn']}: {gap:+.1f}, {verdict}", "chosen by validation")


def table(name: str) -> list[str]:
    """The table of a study, as lines."""
    study, found = STUDIES[name], scores(name)
    head = f"test {study.metric}, %"
    lines = [f"| model | {head} | runs | validation | CPU s an epoch | reported |", "|---|---|---|---|---|---|"]
    for model, s in sorted(found.items(), key=lambda item: (item[1].failed, -item[1].mean)):
        said = study.reported.get(model, "")
        if s.failed:
            lines.append(f"| {model} | {s}: its states leave all bounds | {s.runs} | | | {said} |")
            continue
        lines.append(f"| {model} | {s} | {s.runs} | {s.val:.1f} | {s.cpu:.3f} | {said} |")
    return lines
