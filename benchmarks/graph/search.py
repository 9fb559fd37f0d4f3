"""Search over settings, the same budget for every model, judged by validation nodes alone.

python -m benchmarks.graph.search Cora grand gcn --draws 24     # runs what is missing, prints the best of each
python -m benchmarks.graph.search Cora --write                  # writes the best ones into the recipes of the package
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.graph.trials import Trial, results, told, trial
from graphpde.run.recipe import FOLDER, Recipe, from_table, recipe

Choices = Mapping[str, Sequence[Any]]

COMMON: Choices = {
    "hidden": (32, 64, 128),
    "dropout.inputs": (0.3, 0.5, 0.7, 0.8),
    "dropout.hidden": (0.0, 0.3, 0.5, 0.7),
    "training.rate": (0.003, 0.01, 0.02),
    "training.penalty": (5e-5, 5e-4, 2e-3, 5e-3, 1e-2),
    "training.features": ("rows", "given"),
}
EVOLVING: Choices = {"time": (1.0, 2.0, 4.0, 8.0, 16.0)}
ATTENTION: Choices = {"attention": ("none", {"heads": 4, "dim": 32})}

SPACES: dict[str, Choices] = {
    "mlp": {"layers": (2, 3)},
    "gcn": {
        "layers": (2, 3, 4, 6),
        "residual": ("none", "none", "linear"),
        "norm": ("none", "none", "batch", "layer"),
    },
    "gat": {"layers": (2, 3), "heads": (4, 8), "hidden": (32, 64), "attention_dropout": (0.0, 0.3, 0.6)},
    "sage": {"layers": (2, 3, 4)},
    "appnp": {"alpha": (0.05, 0.1, 0.2, 0.5), "steps": (5, 10, 20), "edge_dropout": (0.0, 0.5)},
    "gcnii": {"layers": (4, 8, 16, 32), "alpha": (0.1, 0.2, 0.5), "decay": (0.5, 1.0, 1.5)},
    "grand": {
        **EVOLVING,
        "attention.heads": (2, 4, 8), "attention.dim": (32, 64), "attention.over": ("incoming", "outgoing"),
        "source": (True, True, False),
    },
    "grand++": {**EVOLVING, **ATTENTION},
    "gread": {
        **EVOLVING, **ATTENTION,
        "reaction": ("blurring_sharpening", "source", "fisher", "allen_cahn", "filter_bank"),
        "per_channel": (False, True),
    },
    "rdgnn": {**EVOLVING, **ATTENTION, "hidden": (32, 64), "diffusion": (0.1, 0.5, 1.0), "reaction": (0.1, 0.5, 1.0)},
    "acmp": {**EVOLVING, **ATTENTION, "beta": (0.0, 0.05, 0.2, 1.0), "delta": (0.1, 1.0)},
    "graff": {**EVOLVING, "time": (1.0, 2.0, 3.0, 4.0)},
    "graphcon": {"time": (2.0, 4.0, 8.0), **ATTENTION, "gamma": (0.1, 0.5, 1.0), "alpha": (0.1, 0.5, 1.0)},
    "pde_gcn": {"time": (1.0, 2.0, 4.0, 8.0), "layers": (2, 4, 8), "kind": ("diffusion", "wave", "mixed")},
}  # fmt: skip
"""Choices of each model besides the common ones."""

FAMILY = ("grand", "grand++", "gread", "rdgnn", "acmp", "graff", "graphcon", "pde_gcn")
BASELINES = ("mlp", "gcn", "gat", "sage", "appnp", "gcnii")
STEPS = {"acmp": ("rk4", 0.5), "pde_gcn": ("euler", 0.25), "rdgnn": ("euler", 0.5)}
"""Stepper and step where rk4 with steps of 1 is unstable or costs too much."""
SPEEDS = {"rdgnn": ("diffusion", "reaction", "decay"), "acmp": ("alpha", "delta")}
"""Parameters that are logarithms, which a penalty would draw to a speed of 1."""


class Setting(NamedTuple):
    """What is searched on.

    Attributes:
        kind: of splits. numbers: of those whose validation nodes judge. epochs, patience: of a trial.
        finals: seeds with which the three best candidates are judged again; one seed on one split leaves much to luck.
        look: epochs of a first look at all candidates, of which the three best are trained in full; None = all are.
        draws: candidates besides the published ones.
        family: how many models of the family are trained in full, those that did best at first look; None = all.
    """

    kind: str
    numbers: tuple[int, ...]
    epochs: int = 200
    patience: int = 50
    seeds: tuple[int, ...] = (0,)
    finals: tuple[int, ...] = ()
    look: int | None = None
    draws: int = 24
    family: int | None = None


SETTINGS: dict[str, Setting] = {
    "Cora": Setting("public", (0,), finals=(0, 1, 2, 3)),
    "Texas": Setting("geom-gcn", (0, 1, 2), epochs=400, patience=100),  # small: some begin to learn late
    "Wisconsin": Setting("geom-gcn", (0, 1, 2), epochs=400, patience=100),
    "Actor": Setting("geom-gcn", (0,), finals=(0,), look=30, draws=8, family=2),
    "Chameleon_filtered": Setting("yandex", (0, 1, 2), draws=12),
    "Minesweeper": Setting("yandex", (0,), finals=(0,), look=30, draws=8, family=2),
    "Photo": Setting("grand", (0,), epochs=150, finals=(0,), look=30, draws=12),
    "CS": Setting("grand", (0,), epochs=150, finals=(0, 1), look=30, draws=28),
}


def draw(model: str, number: int, setting: Setting) -> Recipe:
    """Candidate ``number`` of a model: the same whenever it is asked for."""
    rng = random.Random(f"{model} {number}")
    table: dict[str, Any] = {}
    for name, values in {**COMMON, **SPACES[model]}.items():
        _put(table, name, rng.choice(values))
    return _finished(model, table, setting)


def varied(made: Recipe, number: int, setting: Setting) -> Recipe:
    """A candidate with two of its settings drawn anew."""
    rng = random.Random(f"{made.model} varied {number}")
    table: dict[str, Any] = json.loads(json.dumps({**made.settings, "training": told(made.training)}))
    if not isinstance(table.get("dropout", {}), dict):
        table["dropout"] = dict(zip(("inputs", "hidden"), table["dropout"]))
    choices = {**COMMON, **SPACES[made.model]}
    for name in rng.sample(sorted(choices), 2):
        _put(table, name, rng.choice(choices[name]))
    return _finished(made.model, table, setting)


def _finished(model: str, table: dict[str, Any], setting: Setting) -> Recipe:
    if model in FAMILY:
        stepper, dt = STEPS.get(model, ("rk4", 1.0))
        table["integration"] = {"stepper": stepper, "dt": dt}
    if table.get("source") is True:  # as it is anyway
        del table["source"]
    if model in SPEEDS:
        _put(table, "training.groups", {name: {"penalty": 0.0} for name in SPEEDS[model]})
    _put(table, "training.epochs", setting.epochs)
    _put(table, "training.patience", setting.patience)
    return from_table(model, table)


def published(model: str) -> list[Recipe]:
    """Settings that are usual for a model, which are candidates as well: its own and those of its authors' program."""
    usual, authors = recipe(model), recipe(model, "reference")
    return [usual] if authors == usual else [usual, authors]


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        if not isinstance(table.get(part), dict):  # such as no attention, of which a head is now to be drawn
            table[part] = {}
        table = table[part]
    table[last] = value


def trials_of(dataset: str, made: Recipe, setting: Setting) -> list[Trial]:
    """The trials that judge a candidate."""
    return [trial(dataset, setting.kind, k, seed, made) for k in setting.numbers for seed in setting.seeds]


def search(dataset: str, model: str, draws: int | None = None) -> tuple[Recipe, float]:
    """The candidate with the best mean validation metric, and that.

    Where the setting has finals, the three best at first look are judged again: in full, with more seeds.
    """
    setting, judged = SETTINGS[dataset], looked(dataset, model, draws)
    if setting.finals:
        judged = _judged(dataset, [made for made, _ in judged[:3]], setting._replace(seeds=setting.finals))
    return max(judged, key=_value)


def looked(dataset: str, model: str, draws: int | None = None) -> list[tuple[Recipe, float]]:
    """All candidates and their mean validation metric, the best first.

    Published settings and half of the draws are judged first, then in two rounds variations of the best so far.
    """
    setting = SETTINGS[dataset]
    draws = draws or setting.draws
    look = partial(_judged, dataset, setting=setting, epochs=setting.look)
    judged = look([*published(model), *(draw(model, k, setting) for k in range(draws - 2 * (draws // 4)))])
    for round_ in range(2):
        numbers = range(round_ * (draws // 4), (round_ + 1) * (draws // 4))
        best = max(judged, key=_value)[0]
        judged += look([varied(best, k, setting) for k in numbers])
    return sorted(judged, key=_value, reverse=True)


def in_full(dataset: str) -> tuple[str, ...]:
    """The models that are trained in full on a data set."""
    count = SETTINGS[dataset].family
    if count is None:
        return (*BASELINES, *FAMILY)
    found = {model: looked(dataset, model)[0][1] for model in FAMILY}
    return ("mlp", "gcn", *sorted(FAMILY, key=found.__getitem__, reverse=True)[:count])


def _value(judged: tuple[Recipe, float]) -> float:
    return judged[1]


def _judged(
    dataset: str, candidates: Sequence[Recipe], setting: Setting, epochs: int | None = None
) -> list[tuple[Recipe, float]]:
    """The candidates and their mean validation metric, after so many epochs where that is less than in full."""
    trained = [made.having({}, {"epochs": epochs}) if epochs else made for made in candidates]
    found = results([t for made in trained for t in trials_of(dataset, made, setting)])
    each = len(setting.numbers) * len(setting.seeds)
    means = [statistics.fmean(r["val"] for r in found[k : k + each]) for k in range(0, len(found), each)]
    return list(zip(candidates, means, strict=True))


def as_toml(made: Recipe, origin: str) -> str:
    """A section of a recipe file."""
    training = told(made.training)
    name = _key(made.model)
    lines = [
        f"[{name}]",
        f"origin = {_toml(origin)}",
        *(f"{_key(k)} = {_toml(v)}" for k, v in made.settings.items()),
        "",
    ]
    return "\n".join([*lines, f"[{name}.training]", *(f"{k} = {_toml(v)}" for k, v in training.items()), ""])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)  # whose escapes TOML knows
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)


def _others(file: Path, models: Sequence[str]) -> list[str]:
    """The sections of a recipe file for models that are not searched now."""
    kept = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    made = [from_table(model, table) for model, table in kept.items() if model not in models]
    return [as_toml(one, one.origin) for one in made]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", choices=sorted(SETTINGS))
    parser.add_argument("models", nargs="*")
    parser.add_argument("--draws", type=int, help="candidates for each model besides the published ones")
    parser.add_argument("--write", action="store_true", help="write the best ones into the recipes of the package")
    args = parser.parse_args()
    file: Path = FOLDER / f"{args.dataset.lower()}.toml"
    models = args.models or in_full(args.dataset)
    sections = _others(file, models)
    for model in models:
        made, value = search(args.dataset, model, args.draws)
        print(f"{model}: validation {100 * value:.2f} %, {dict(made.settings)}, {made.training}")
        draws = args.draws or SETTINGS[args.dataset].draws
        origin = made.origin or f"best of {draws} candidates and the published settings by validation"
        sections.append(as_toml(made, origin))
    if args.write:
        file.write_text(f"# {args.dataset}\n\n" + "\n".join(sections), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
