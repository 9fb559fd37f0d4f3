"""``graphpde sample``: new samples of what was learned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from graphpde.cli.console import say, say_json
from graphpde.cli.parser import check_seed, described

EPILOG = """\
examples:
  graphpde sample runs/flow-moons-1 -n 1000                      into runs/flow-moons-1/samples.csv
  graphpde sample runs/flow-moons-1 -n 50 --seed 3 -o new        into new/samples.csv
  graphpde sample runs/flow-moons-1 --movie                      and samples.gif, from the base law to the data

Rows of numbers come as samples.csv, particles and fields as samples.npz with the array x [N, nodes, channels]. The same
seed, the same samples.

exit codes: 0 done, 2 bad input"""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="draw samples of a learned flow",
        usage="graphpde sample RUN [-n N] [options]",
        description="Draw new samples of a flow that 'graphpde train' has learned.",
        **described(EPILOG),
    )
    parser.add_argument("run_folder", metavar="RUN", help="the folder that 'graphpde train' wrote")
    parser.add_argument("-n", "--count", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random numbers (default: 0)")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for them (default: that of the run)")
    parser.add_argument("--movie", action="store_true", help="also samples.gif: their way from t = 0 to t = 1")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Open the run, draw, write."""
    from graphpde.checks import whole
    from graphpde.run.flows.reopen import draw_samples, reopen
    from graphpde.run.tables import write_arrays, write_table
    from graphpde.viz.files import make_folder

    whole("-n", args.count)
    check_seed(args.seed)
    opened = reopen(args.run_folder)
    x = draw_samples(opened, args.count, args.seed)
    folder = Path(args.output or args.run_folder)
    folder = folder if folder.is_dir() or args.output else folder.parent
    make_folder(folder)
    if x.dim() == 2:
        file = write_table(folder / "samples.csv", opened.place.columns(), x)
    else:
        file = write_arrays(folder / "samples.npz", {"x": x})
    movie = None
    if args.movie:
        from graphpde.run.flows.movie import write_movie

        movie = folder / "samples.gif"
        write_movie(opened, movie, args.seed)
    if args.json:
        told = {"samples": len(x), "shape": list(x.shape), "seed": args.seed, "file": str(file.resolve())}
        say_json(told | ({} if movie is None else {"movie": str(movie.resolve())}))
        return 0
    say(f"{len(x)} samples  {file}")
    if movie is not None:
        say(f"movie  {movie}")
    return 0
