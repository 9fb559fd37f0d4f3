"""``graphpde train``: a TOML file that says what is learned from, a run folder with the model and a report out."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from graphpde.cli.console import progress_bar, say, say_json
from graphpde.cli.parser import UsageError, described
from graphpde.cli.signals import StopRequest

EPILOG = """\
examples:
  graphpde train moons.toml                        with moons.toml:  [data]
                                                                     name = "moons"
  graphpde train quakes.toml --set training.steps=5000 model.hidden=128
  graphpde sample runs/flow-moons-1 -n 1000        new samples of what was learned
  graphpde likelihood runs/flow-moons-1 mine.csv   how likely samples of yours are
  graphpde train hnn.toml                          with hnn.toml:    learn = "dissipative"
                                                                     [data]
                                                                     file = "swing.csv"
  graphpde predict runs/dissipative-swing-1 swing.csv --until 100   go on with the motion

the key learn, at the top of the file, says what is learned from [data]:
  "flow" (default): a law that samples come from       "lagrangian": v.M(q)v/2 - V(q) of angles q and velocities
  "hamiltonian": one network H(q, p)                    "pairs": an energy of all pairs of particles, by their distance
  "separable": p^2/2m + V(q); m and V are learned       "plain": rates by a network, to compare with
  "dissipative": the same with friction

tables of the file for a flow, all but [data] optional; what has no effect is refused:
  [data]      name = "moons" (eight_gaussians, spirals, rings, board), or file = "samples.csv" (.npz with x of particles
              or fields), or mode = 10 of a surface; holdout = 0.1 (share of a file that is not learned from),
              mesh = "part.obj" (surface, fields), unit = "degrees" or "radians" (sphere, torus)
  [model]     on = "space" (rows of numbers), "sphere" (latitude, longitude; or x, y, z of length 1), "torus" (angles),
              "particles" [k, n, d], "surface" (points x, y, z on data.mesh) or "fields" [k, n, c] on data.mesh
              space, sphere, torus, surface: hidden, layers, frequencies (of time); but surface: waves (of the place)
              particles: reach (a length in units of the data; default: all distances), in_distance, in_time
              surface: modes, features, fields (how many modes are worked out, seen, give directions)
              fields: hidden, blocks, modes, length (typical, in units of the mesh)
  [flow]      method = "matching": path = "linear" or "variance_preserving", sigma (noise, in deviations of the data),
              coupling = "independent", "optimal" (best on a surface) or "sinkhorn"
              method = "likelihood": probes (0 = exact), kinetic, jacobian (weights of the costs)
              tolerance = 1e-5 (of samples and densities, >= 1e-6), steps = 50 (of ways on a surface)
  [training]  steps, batch, rate, schedule = "cosine" or "constant", average (of parameters, such as 0.999), seed

tables of the file for a motion:
  [data]      file = "swing.csv": columns t, positions, momenta (or velocities), and run where there are several; at
              multiples of one step, empty where nothing was seen; angles without jumps. Or .npz with times [s], states
              [s, n, 2 d] or [runs, s, n, 2 d], mass [n], edges [2, e]; or the folder of a run of particles
              system = "pendulum" ('graphpde list systems'): starts, spread, times, until, noise of simulated data
              holdout = 0.2 (share of motions, or of the end of a single one, that is not learned from)
  [model]     hidden, layers; stepper = "rk4", step (default: the step of the data); pairs: reach, bumps, field
  [training]  windows = [2, 8] (lengths of motions that the law has to follow, one after the other), steps, batch, rate,
              schedule, polish (steps of L-BFGS in the end), seed
--set KEY=VALUE changes one of them, such as model.hidden=128; flow.toml or motion.toml in the run folder holds all.

exit codes: 0 done, 1 the fit failed, 2 bad input, 130 interrupted (what was learned is kept)"""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="learn a flow from samples, or a law of motion from trajectories",
        usage="graphpde train FILE.toml [options]",
        description="Learn a continuous flow from samples, or a Hamiltonian from trajectories: a model, its worth on "
        "data kept aside, a report.",
        **described(EPILOG),
    )
    parser.add_argument("file", metavar="FILE.toml", help="what is learned from, and how")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change settings")
    parser.add_argument("-o", "--output", metavar="DIR", help="run folder (default: runs/<what>-<data>-<n>)")
    parser.add_argument("--pictures", metavar="WHICH", default="summary", help="none or summary (default)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read the file, learn, tell."""
    from graphpde.config import load, merge
    from graphpde.run.folder import next_folder
    from graphpde.run.recipe_changes import settings_of
    from graphpde.run.subjects import beside, subject_of

    if args.pictures not in ("none", "summary"):
        raise UsageError(f"--pictures is '{args.pictures}', expected none or summary")
    subject = subject_of(merge(beside(load(args.file), Path(args.file).parent), settings_of(args.set)))
    out = Path(args.output) if args.output else next_folder(subject.title)
    command = shlex.join(["graphpde", *args.argv])
    with StopRequest("stopping") as stop, progress_bar(subject.title, not args.json, "steps") as progress:
        result = subject.learn(
            subject.config, out, command=command, pictures=args.pictures != "none", progress=progress, stop=stop
        )
    if args.json:
        say_json(result.as_dict())
    else:
        _say(result, subject.headline(result))
    return stop.code if result.status == "interrupted" else 0 if result.status == "ok" else 1


def _say(result: Any, headline: str) -> None:
    say(f"{result.steps} steps, {result.reason}")
    say(headline)
    for note in result.notes:
        say(note)
    for what, name in {"model": "model.safetensors", "report": "report.html"}.items():
        if (result.folder / name).is_file():
            say(f"{what:9} {result.folder / name}")
