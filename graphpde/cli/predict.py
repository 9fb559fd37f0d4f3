"""``graphpde predict``: the saved model of a classification on a graph, or of a motion from where it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from graphpde.cli.console import say, say_json, table
from graphpde.cli.parser import UsageError, described

EPILOG = """\
examples:
  graphpde predict runs/grand-Cora-1 Cora --root ~/data
  graphpde predict runs/gcn-mine-1 new.npz -o new_classes.csv
  graphpde predict runs/dissipative-swing-1 swing.csv --until 100

DATA of a learned motion is a file as it was learned from: each motion in it goes on from its last moment up to the time
given by --until. The table has the columns of the data; motions of several nodes come as .npz (times, states).

DATA of a classification is a graph: the name of a data set or an .npz file with edges [2, e] and x [n, f], f as many
features as the model has learned from; y [n] is optional, -1 = unknown. The table has a line for each node: its label
if it is known, the predicted class, the probability of that, and the part it was in if the model has learned from this
very graph. A model of which a byte has changed is refused."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="classes of the nodes of a graph, or how a motion goes on, by a saved model",
        description="Read the model of a run of 'graphpde classify' and say which class each node of a graph is in; or "
        "that of a motion that 'graphpde train' has learned, and go on with it.",
        **described(EPILOG),
    )
    parser.add_argument("model", metavar="RUN", help="run folder, or the model.safetensors in it")
    parser.add_argument("data", metavar="DATA", help="a graph (.npz, or a data set by name), or a file of motions")
    parser.add_argument("--root", metavar="DIR", help="folder with the files of the data set")
    parser.add_argument("--until", type=float, metavar="T", help="of a motion: the time up to which it goes on")
    parser.add_argument("--every", type=float, metavar="H", help="of a motion: between two rows (default: as the data)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="default: predictions.csv; predictions.npz for motions of several nodes"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Predict, write, tell."""
    from graphpde.run.classified import read_manifest
    from graphpde.run.motions.learn import KIND

    folder = Path(args.model)
    if read_manifest(folder if folder.is_dir() else folder.parent).get("kind") == KIND:
        return _motion(args)
    for option in ("until", "every"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} is of learned motions, and '{args.model}' holds none; leave it out")
    return _classes(args)


def _motion(args: argparse.Namespace) -> int:
    from graphpde.run.motions.page import percent
    from graphpde.run.motions.reopen import forecast, write_forecast

    if args.root is not None:
        raise UsageError("--root is of data sets, and this is a learned motion; leave it out")
    if args.until is None:
        raise UsageError("a motion goes on up to a time; give it by --until T")
    found = forecast(args.model, args.data, args.until, args.every)
    moments, motions, n, _ = found.states.shape
    file = write_forecast(args.output or f"predictions.{'csv' if n == 1 else 'npz'}", found)
    if args.json:
        change = {} if found.energy is None else {"energy": found.energy}
        say_json({"motions": motions, "moments": moments, "nodes": n, **change, "file": str(file.resolve())})
        return 0
    say(f"{motions} motion{'s' if motions > 1 else ''}, {moments} moments up to t = {float(found.times[-1].max()):g}")
    if found.energy is not None:
        say(f"the learned energy changes by {percent(found.energy)} of the mean kinetic energy")
    say(f"{'predicted':9} {file}")
    return 0


def _classes(args: argparse.Namespace) -> int:
    from graphpde.run.predict import predict
    from graphpde.run.predictions import write_predictions

    found = predict(args.model, args.data, args.root)
    labels = found.data.y if found.labelled else None
    file = write_predictions(args.output or "predictions.csv", found.logits, labels, found.split)
    metric, score = found.about["metric"], found.score
    where = "test nodes" if found.split is not None else "labelled nodes"
    if args.json:
        judged = {} if score is None else {metric: 100 * score, "judged": where}
        counts = dict(zip(found.names, found.counts, strict=True))
        recipe = found.about["recipe"]["model"]
        say_json({"model": recipe, "graph": found.data.name, "nodes": found.data.n, "predicted": counts, **judged,
                  "file": str(file.resolve())})  # fmt: skip
        return 0
    table(("class", "nodes"), [(name, str(count)) for name, count in zip(found.names, found.counts, strict=True)])
    if score is not None:
        say(f"{metric.replace('_', ' ')} {100 * score:.1f} % on the {where}")
    say(f"{'predicted':9} {file}")
    return 0
