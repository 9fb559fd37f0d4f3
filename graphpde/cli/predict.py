"""``graphpde predict``: the saved model of a classification on a graph."""

from __future__ import annotations

import argparse
from typing import Any

from graphpde.cli.console import say, say_json, table
from graphpde.cli.parser import described

EPILOG = """\
examples:
  graphpde predict runs/grand-Cora-1 Cora --root ~/data
  graphpde predict runs/gcn-mine-1 new.npz -o new_classes.csv

GRAPH is the name of a data set or an .npz file with edges [2, e] and x [n, f], f as many features as the model has
learned from; y [n] is optional, -1 = unknown. The table has a line for each node: its label if it is known, the
predicted class, the probability of that, and the part it was in if the model has learned from this very graph. A model
of which a byte has changed is refused."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="classes of the nodes of a graph by a saved model",
        description="Read the model of a run of 'graphpde classify' and say which class each node of a graph is in.",
        **described(EPILOG),
    )
    parser.add_argument("model", metavar="RUN", help="run folder, or the model.safetensors in it")
    parser.add_argument("graph", metavar="GRAPH", help="an .npz file, or the name of a data set")
    parser.add_argument("--root", metavar="DIR", help="folder with the files of the data set")
    parser.add_argument("-o", "--output", metavar="FILE.csv", default="predictions.csv", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Predict, write, tell."""
    from graphpde.run.predict import predict
    from graphpde.run.predictions import write_predictions

    found = predict(args.model, args.graph, args.root)
    labels = found.data.y if found.labelled else None
    file = write_predictions(args.output, found.logits, labels, found.split)
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
