"""``graphpde classify``: a data set and a model in, accuracy over splits and seeds and a run folder out."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import progress_bar, say, say_json, table, warn
from graphpde.cli.parser import UsageError, described
from graphpde.cli.signals import StopRequest

if TYPE_CHECKING:
    from graphpde.run.classified import Classified, Task

EPILOG = """\
examples:
  graphpde classify --dataset karate --model grand               without files and network: karate, csbm, two_moons
  graphpde classify --dataset Cora --root ~/data --model grand --seeds 10 --workers 2
  graphpde classify --dataset Texas --split geom-gcn --model gread --set training.rate=0.005 dropout=0.6
  graphpde classify --graph mine.npz --model gcn --set hidden=32 layers=3 --epochs 100
  graphpde classify --dataset Cora --model grand --time 64 --set integration.stepper=rk4 integration.dt=1.0
  graphpde predict runs/grand-Cora-1 mine.npz                    classes of the nodes of another graph

Names: 'graphpde list models' and 'list datasets'. Without --root files are looked for in $GRAPHPDE_DATA
(~/.cache/graphpde/data) and downloaded to it. An .npz file holds edges [2, e], x [n, f], y [n] with -1 = unknown, and
perhaps train_mask, val_mask, test_mask, pos; pickles are not read.
--set KEY=VALUE takes settings of the model and of training (training.rate, .epochs, .patience, .update, ...); what is
not said comes from the recipe of the model on that data set, else from the model itself; recipe.toml in the run folder
holds all of it, for --recipe. --recipe reference takes what was published for the program of a paper.
--split is one that comes with the data (public, geom-gcn, yandex), or random, fractions, shchur, grand, drawn from its
number. Validation nodes choose epoch and saved model; test nodes are looked at once a run. The same command with -o
FOLDER of an earlier run computes what is missing there.

exit codes: 0 done, 1 a run failed, 2 bad input, 130 interrupted (what is done is kept)"""

_SHOWN = 40  # runs in the table on the screen


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="train a model to classify nodes, and measure it",
        usage="graphpde classify (--dataset NAME | --graph FILE.npz) --model NAME [options]",
        description="Train a classifier of nodes over splits and seeds: mean and standard deviation on test nodes, the "
        "model, predictions and a report.",
        **described(EPILOG),
    )
    what = parser.add_argument_group("data")
    source = what.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", metavar="NAME", help="Cora, Texas, karate, ...; see 'graphpde list datasets'")
    source.add_argument("--graph", metavar="FILE.npz", help="a graph of your own")
    what.add_argument("--root", metavar="DIR", help="folder with the files, laid out as torch-geometric does")
    what.add_argument("--split", metavar="NAME", help="public, geom-gcn, yandex, random, fractions, shchur or grand")
    what.add_argument("--splits", type=int, metavar="N", help="how many (default: those that come with the data, or 5)")
    what.add_argument("--seeds", type=int, metavar="N", help="runs for each split (default: 5 if there is one split)")
    how = parser.add_argument_group("model")
    how.add_argument("--model", metavar="NAME", help="grand, gread, gcn, ...; see 'graphpde list models'")
    how.add_argument("--recipe", metavar="FILE.toml", help="settings from a file, or 'reference': published")
    how.add_argument("--time", type=float, metavar="T", help="how long a diffusion model evolves")
    how.add_argument("--epochs", type=int, metavar="N", help="at most")
    how.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="hidden=64, training.rate=0.01, ..."
    )
    where = parser.add_argument_group("output and machine")
    where.add_argument("-o", "--output", metavar="DIR", help="run folder (default: runs/<model>-<data>-<n>)")
    where.add_argument("--workers", type=int, default=1, metavar="N", help="runs at a time, each on one core")
    where.add_argument("--pictures", metavar="WHICH", default="summary", help="none or summary (default)")
    where.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read the options, train, tell."""
    from graphpde.run.classified import classify
    from graphpde.run.folder import next_folder

    if args.workers < 1:
        raise UsageError(f"--workers is {args.workers}, expected at least 1")
    if args.pictures not in ("none", "summary"):
        raise UsageError(f"--pictures is '{args.pictures}', expected none or summary")
    command = shlex.join(["graphpde", *args.argv])
    task = _task(args, command)
    warn([*task.partition.remarks, *task.data.warnings])
    title = f"{task.recipe.model}-{task.data.name}"
    out = Path(args.output) if args.output else next_folder(title)
    with StopRequest(_stopping(args)) as stop, progress_bar(title, not args.json, "epochs") as progress:
        result = classify(task, out, workers=args.workers, progress=progress, stop=stop)
    warn(f"{name} has no result: {reason}" for name, reason in result.failed.items())
    if args.json:
        say_json(result.as_dict())
    else:
        _say(result, command, args.output is None)
    return stop.code if result.status == "interrupted" else 1 if result.failed else 0


def _stopping(args: argparse.Namespace) -> str:
    return "stopping" if args.workers == 1 else "stopping when the runs under way have ended"


def _task(args: argparse.Namespace, command: str) -> Task:
    from graphpde.config import merge
    from graphpde.data import load
    from graphpde.data.dataset import dataset
    from graphpde.run.classified import Task
    from graphpde.run.graph_file import read_graph
    from graphpde.run.partition import partition
    from graphpde.run.recipe_changes import asked_recipe, settings_of

    given: dict[str, Any] = {} if args.time is None else {"time": args.time}
    if args.epochs is not None:
        given["training"] = {"epochs": args.epochs}
    changes = merge(given, settings_of(args.set))
    if args.graph is not None and args.root is not None:
        raise UsageError("--root says where the files of a --dataset lie; leave it out with --graph")
    name = dataset(args.dataset).name if args.dataset is not None else ""
    recipe = asked_recipe(args.model, name, file=args.recipe, changes=changes)
    counts = {"name": args.split, "splits": args.splits, "seeds": args.seeds}
    if args.graph is not None:
        data = read_graph(args.graph).data
        found = partition(lambda _: data, ("given",) if data.splits else (), **counts)
    else:
        reader = partial(load, args.dataset, args.root)
        found = partition(reader, dataset(args.dataset).splits, **counts)
    return Task(found, recipe, command, args.pictures != "none")


def _say(result: Classified, command: str, numbered: bool) -> None:
    from graphpde.run.classified_page import headline

    rows, data = result.rows, result.task.data
    if rows:
        numbers = [
            (f"{r['split']}", f"{r['seed']}", f"{100 * r['test']:.2f}", f"{100 * r['val']:.2f}", f"{r['epoch']}",
             f"{r['epochs']}", f"{r['seconds'] * r['epochs']:.3g}")
            for r in rows[:_SHOWN]
        ]  # fmt: skip
        table(("split", "seed", "test %", "validation %", "chosen epoch", "epochs", "seconds"), numbers)
        if len(rows) > _SHOWN:
            say(f"... and {len(rows) - _SHOWN} more in results.csv")
        if result.kept:
            say(f"{result.kept} of {len(rows)} runs were there already")
        say(f"{result.task.recipe.model} on {data.name}, split {result.task.partition.kind}: {headline(result)}")
    for what, name in {"model": "model.safetensors", "predicted": "predictions.csv", "report": "report.html"}.items():
        if rows:
            say(f"{what:9} {result.folder / name}")
    if result.status == "interrupted":
        more = f" -o {shlex.quote(str(result.folder))}" if numbered else ""
        say(f"interrupted; {len(rows)} of {len(result.task.numbers)} runs had ended and are kept")
        say(f"{'go on':9} {command}{more}")
