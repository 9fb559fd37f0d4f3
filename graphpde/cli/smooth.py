"""``graphpde smooth``: energy, gradients and accuracy of a model by depth or time, and the collapse that a gap says."""

from __future__ import annotations

import argparse
import math
from functools import partial
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import progress_bar, say, say_json, table, warn
from graphpde.cli.parser import UsageError, check_seed, described

if TYPE_CHECKING:
    from graphpde.run.smooth import Row, Smoothed

EPILOG = """\
examples:
  graphpde smooth --dataset karate --model gcn --untrained -o smoothing.png
  graphpde smooth --dataset Cora --root ~/data --model gcn --depths 2,4,8,16,32,64 --epochs 100 -o gcn.png
  graphpde smooth --dataset Cora --root ~/data --model gcn --depths 2,32 --set residual=identity
  graphpde smooth --dataset Cora --root ~/data --model grand --time 4,16,64 --json
  graphpde smooth runs/gcn-Cora-1 --root ~/data -o run.png              a model that 'graphpde classify' has saved

For each depth a model is built, looked into, trained and looked into again. The table has, of the last state before the
logits, its Dirichlet energy over its squared norm (0: as smooth as can be) and its distance from where averaging over
neighbours for ever would take it, each component of the graph for itself; the norm of the gradient of the loss at the
first state; the accuracy on test nodes, for which validation chose the epoch. Last it says when averaging alone,
without weights, source or reaction, has come within --fraction of that limit: what the gap of the spectrum and the
slowest modes predict, and what is measured. --depths counts layers (of appnp: steps), --time is for models that
evolve."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="say how a model smooths by depth or time",
        usage="graphpde smooth ((--dataset NAME | --graph FILE.npz) --model NAME | RUN) [options]",
        description="Dirichlet energy, gradient norms and accuracy of a classifier of nodes by depth or time, the "
        "spectrum of the graph, and the collapse that it predicts against the measured one.",
        **described(EPILOG),
    )
    parser.add_argument("saved", nargs="?", metavar="RUN", help="run folder of 'graphpde classify', or its model")
    what = parser.add_argument_group("data")
    source = what.add_mutually_exclusive_group()
    source.add_argument("--dataset", metavar="NAME", help="Cora, Texas, karate, ...; see 'graphpde list datasets'")
    source.add_argument("--graph", metavar="FILE.npz", help="a graph of your own, as for 'graphpde classify'")
    what.add_argument("--root", metavar="DIR", help="folder with the files, laid out as torch-geometric does")
    what.add_argument("--split", metavar="NAME", help="public, geom-gcn, random, ...; its first split is taken")
    how = parser.add_argument_group("model")
    how.add_argument("--model", metavar="NAME", help="gcn, grand, ...; see 'graphpde list models'")
    how.add_argument("--depths", metavar="N,N,...", help="numbers of layers (default: 2,4,8,16,32)")
    how.add_argument("--time", metavar="T,T,...", help="times of a model that evolves (default: 1,4,16,64)")
    how.add_argument("--epochs", type=int, metavar="N", help="at most (default: those of the recipe)")
    how.add_argument("--untrained", action="store_true", help="look at the models as initialised only")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of parameters and dropout")
    how.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="hidden=64, training.rate=0.01, ..."
    )
    how.add_argument("--fraction", type=float, default=0.01, metavar="F", help="of the distance (default: %(default)s)")
    where = parser.add_argument_group("output")
    where.add_argument("-o", "--output", metavar="PNG", help="picture of it (.png, .svg or .pdf)")
    where.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Look, tell, draw."""
    if not 0 < args.fraction < 1:
        raise UsageError(f"--fraction is {args.fraction:g}, expected a number between 0 and 1")
    check_seed(args.seed)
    if args.output is not None:
        from graphpde.viz.canvas import picture_kind

        picture_kind(args.output)  # before anything is trained
    found = _saved(args) if args.saved is not None else _fresh(args)
    picture = None if args.output is None else str(found.draw(args.output))
    if args.json:
        say_json({**found.as_dict(), "picture": picture})
        return 0
    _say(found)
    if picture:
        say("", f"picture: {picture}")
    return 0


def _saved(args: argparse.Namespace) -> Smoothed:
    from graphpde.run.smooth import smooth_run

    asked = {"--model": args.model, "--depths": args.depths, "--time": args.time, "--epochs": args.epochs,
             "--set": args.set, "--split": args.split, "--untrained": args.untrained, "--seed": args.seed}  # fmt: skip
    for option, value in asked.items():
        if value:
            raise UsageError(f"{option} is about a model that is built anew; leave it out with the RUN '{args.saved}'")
    return smooth_run(args.saved, args.dataset or args.graph or "", args.root, args.fraction)


def _fresh(args: argparse.Namespace) -> Smoothed:
    from graphpde.data import load
    from graphpde.data.dataset import dataset
    from graphpde.run.graph_file import read_graph
    from graphpde.run.partition import partition
    from graphpde.run.recipe_changes import asked_recipe, settings_of
    from graphpde.run.smooth import depth_of, smooth

    if args.dataset is None and args.graph is None:
        raise UsageError("say which graph: --dataset NAME or --graph FILE.npz, or the RUN of a saved model")
    if args.graph is not None and args.root is not None:
        raise UsageError("--root says where the files of a --dataset lie; leave it out with --graph")
    epochs = [] if args.epochs is None else [f"training.epochs={args.epochs}"]
    name = dataset(args.dataset).name if args.dataset is not None else ""
    changes = settings_of([*epochs, *args.set])
    recipe = asked_recipe(args.model, name, changes=changes)
    key = depth_of(recipe)
    given, other = ("--time", "--depths") if key == "time" else ("--depths", "--time")
    if key in changes:
        raise UsageError(f"--set {key}={changes[key]} gives one depth; say {given} {changes[key]} instead")
    asked = {"--time": args.time, "--depths": args.depths}
    if asked[other] is not None:
        raise UsageError(f"{other} does not fit '{recipe.model}', whose depth is its {key}; give {given}")
    depths = [] if asked[given] is None else _numbers(given, asked[given])
    if args.graph is not None:
        data = read_graph(args.graph).data
        parts = partition(lambda _: data, ("given",) if data.splits else (), name=args.split, splits=1)
    else:
        reader = partial(load, args.dataset, args.root)
        parts = partition(reader, dataset(args.dataset).splits, name=args.split, splits=1)
    warn([*parts.remarks, *parts.data.warnings])
    with progress_bar(f"{recipe.model}-{parts.data.name}", not args.json, "depths") as progress:
        return smooth(
            parts.data, parts.splits[0], recipe, depths, seed=args.seed, trained=not args.untrained,
            fraction=args.fraction, progress=progress,
        )  # fmt: skip


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes numbers with commas between them, such as 2,8,32, got '{text}'") from None


def _say(found: Smoothed) -> None:
    trained = [row for row in found.rows if row.trained is not None]
    head = ["depth" if found.unit == "layer" else "time", "energy", "distance", "gradient"]
    if trained:
        head += ["energy trained", "distance", "gradient"]
    judged = any(row.learned is not None for row in found.rows)
    table([*head, *(["val %", "test %"] if judged else [])], [_cells(row) for row in found.rows])
    ends, averaged = found.spectrum, found.collapse
    say("", f"Laplacian ({found.kind.replace('_', ' ')}): {ends.zeros} component{'s' * (ends.zeros != 1)}, "
        f"gap {ends.gap:.4g}, largest eigenvalue {float(ends.highest[0]):.4g}")  # fmt: skip
    if averaged is None:
        say(found.remark)
        return
    unit = "layers" if found.unit == "layer" else "units of time"
    said = "they have too little of the state" if math.isnan(averaged.predicted) else f"{averaged.predicted:.4g}"
    say(f"averaging alone is within {averaged.fraction:g} of its limit after {averaged.measured:.4g} {unit};")
    say(f"predicted by the {len(ends.values)} slowest modes: {said}, by the gap alone: at most {averaged.bound:.4g}")


def _cells(row: Row) -> list[str]:
    from graphpde.run.smooth import hidden

    cells = [f"{row.depth:g}"]
    for look in (row.start, row.trained):
        if look is not None:
            energy, distance = hidden(look.energies)
            gradient = "" if look.gradients is None else f"{look.gradients.states[0]:.2e}"
            cells += [f"{energy:.3e}", f"{distance:.3e}", gradient]
    if row.learned is not None:
        cells += [f"{100 * row.learned.val:.1f}", f"{100 * row.learned.test:.1f}"]
    return cells
