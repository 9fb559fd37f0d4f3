"""``graphpde likelihood``: how likely samples are under what was learned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from graphpde.cli.console import say, say_json
from graphpde.cli.parser import described

EPILOG = """\
examples:
  graphpde likelihood runs/flow-moons-1 mine.csv
  graphpde likelihood runs/flow-moons-1 mine.csv -o mine_likelihood.csv      with the value of every sample

Columns are told apart by their names where the flow was learned from a table with names and DATA has some. Points on a
surface are moved to its nearest face (within a twentieth of its size). Fields have no density.

Log-densities are natural logarithms, by the units of the samples. Means of two flows are comparable where both are of
the same samples and units.

exit codes: 0 done, 2 bad input"""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="how likely samples are under a learned flow",
        usage="graphpde likelihood RUN DATA [options]",
        description="Mean log-likelihood of samples under a flow that 'graphpde train' has learned.",
        **described(EPILOG),
    )
    parser.add_argument("run_folder", metavar="RUN", help="the folder that 'graphpde train' wrote")
    parser.add_argument("data", metavar="DATA", help="samples: a table of numbers, or .npz with an array x")
    parser.add_argument("-o", "--output", metavar="FILE.csv", help="write the value of every sample")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Open the run, judge, tell."""
    from graphpde.run.flows.reopen import judge
    from graphpde.run.tables import write_table

    found = judge(args.run_folder, args.data)
    file = None
    if args.output:
        file = write_table(Path(args.output), ["log_density"], found.log_density[:, None])
    if args.json:
        values = {"samples": len(found.log_density), "log_likelihood_mean": found.mean, "standard_error": found.error}
        say_json({**values, "by": found.by, **({"file": str(file.resolve())} if file else {})})
    else:
        spread = "" if found.error is None else f" \u00b1 {found.error:.4f}"
        say(f"{len(found.log_density)} samples, density per {found.by}")
        say(f"mean log-likelihood {found.mean:.4f}{spread} nats")
        if file is not None:
            say(f"of each    {file}")
    return 0
