"""``graphpde simulate``: a problem file or a line of options in, a run folder out."""

from __future__ import annotations

import argparse
import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphpde.cli import fit as fit_verb
from graphpde.cli import sweep as sweep_verb
from graphpde.cli.console import in_options, progress_bar, say, say_json, warn
from graphpde.cli.options import add_options, overrides
from graphpde.cli.parser import UsageError, described
from graphpde.cli.signals import StopRequest

if TYPE_CHECKING:
    from graphpde.run import RunResult
    from graphpde.run.resume import Stopped

EPILOG = """\
examples:
  graphpde simulate --pde heat --mesh part.msh --bc inlet=1
  graphpde simulate --pde heat --mesh part.msh --bc inlet="1+sin(t)" outlet=0 --kappa steel=45 "*=1" --t-end 2
  graphpde simulate --pde poisson --mesh part.msh --bc boundary=0 --source "exp(-x**2)"
  graphpde simulate --pde elasticity --mesh part.msh --bc wall=0 --set 'materials.*=steel' 'boundary.tip.force=[0,0,-9]'
  graphpde simulate --pde poisson --mesh part.msh --bc boundary=0 --adapt 0.02      a mesh for an error of 2 percent
  graphpde simulate problem.toml --dt 0.01 -o runs/fine
  graphpde simulate problem.toml --rtol 1e-4                     steps as long as that error allows
  graphpde simulate problem.toml --probe tip=0.5,0.2 --line mid=0,0.5:1,0.5 --fluxes --integrals --gif
  graphpde simulate problem.toml --sweep kappa=0.1,1,10 dt=log:1e-3:1e-1:5 --jobs 4
  graphpde simulate problem.toml --fit data.csv kappa            the kappa that explains measurements
  graphpde simulate --resume runs/heat-part-1                    go on with what was stopped, killed or failed
  graphpde simulate --resume runs/heat-part-1@0.5 --dt 1e-4      go on from its moment t = 0.5 with another step
  graphpde simulate problem.toml --initial-from runs/heat-part-1@0.5
  graphpde simulate problem.toml --show-code > problem.py
  graphpde simulate --pde nbody --set system.n=200 --t-end 20 --gif      particles; see 'graphpde list systems'

Without --bc the boundary is insulated. Formulas may use x, y, z, t, pi, e, + - * / **, comparisons, a if c else b
and functions such as sin, exp, sqrt, min, max, where. The run folder gets config.toml (everything said and assumed;
running it again gives the same), manifest.json, metrics.jsonl, fields/ (run.pvd for ParaView, run.npz), figures/ and
report.html; --probe and --fluxes (values after every step), --integrals and --line (at saved moments) add CSV files.
An earlier run in the folder that -o names is replaced; a folder with files that no run wrote is refused.
Ctrl-C keeps what has been computed (exit code 130), and so does the end of a process: checkpoint.npz holds the last
good state. One-step methods with a fixed step go on to the bits of an uninterrupted run. With --rtol and no --stepper
the steps are those of bosh3 where the default of the PDE is explicit, of ark3 where it treats the linear part
implicitly, of tr_bdf2 where everything; of tsit5, ark4 and esdirk4 below --rtol 1e-5.

exit codes:
  0    done; a certificate that failed is said, and does not change the code
  1    the run failed: a solver found no answer, the solution blew up, or adaptive steps fell to nothing. The sentence
       says where the last good state lies (checkpoint.npz and the fields saved so far) and what goes on from it:
       --resume with a smaller --dt, other tolerances or another stepper. Of a sweep: at least one member failed
  2    bad input: nothing was computed and no folder is left; or a folder that cannot be written (any more)
  130  interrupted by Ctrl-C, 143 by SIGTERM: what was computed is kept, --resume goes on"""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="solve a PDE on a mesh, or move particles",
        usage="graphpde simulate [PROBLEM.toml] [--pde NAME --mesh FILE --bc NAME=VALUE ...] [options]",
        description="Solve a PDE on a mesh or move particles, from a problem file, options, or both: options win.",
        **described(EPILOG),
    )
    parser.add_argument("problem", nargs="?", metavar="PROBLEM.toml", help="problem file")
    add_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read the layers and run."""
    from graphpde.config import load, merge
    from graphpde.run.ready import refuse_particles

    command = shlex.join(["graphpde", *args.argv])
    given = overrides(args)
    if args.fit:
        problem = load(args.problem) if args.problem else {}
        _refuse_no_error(args, problem)
        refuse_particles(merge(problem, given), "--fit")
        return fit_verb.run(args, merge(problem, given), command)
    if args.sweep and args.resume is None:
        refuse_particles(merge(load(args.problem) if args.problem else {}, given), "--sweep")
    if args.sweep or (args.resume is not None and (Path(args.resume) / "sweep.json").is_file()):
        return sweep_verb.run(args, given, command)
    if args.jobs is not None:
        raise UsageError("--jobs says how many runs of a --sweep go at a time; there is no --sweep")
    if args.resume is not None:
        return _go_on(args, given, command)
    problem = load(args.problem) if args.problem else {}
    _refuse_no_error(args, problem)
    if args.show_code:
        return _show_code(merge(problem, given), command)
    return carry_out(merge(problem, given), args.output, command=command, as_json=args.json, dry=args.dry_run)


def _refuse_no_error(args: argparse.Namespace, problem: Mapping[str, Any]) -> None:
    """``--rtol 0`` takes the tolerance of a problem file away; where there is none it asks for steps without error."""
    times = problem.get("time")
    if args.rtol == 0 and not (isinstance(times, Mapping) and times.get("rtol")):
        raise UsageError(
            "--rtol is 0, expected a number > 0, such as 1e-4: no step is without error; leave it out for equal steps"
        )


def _show_code(problem: Mapping[str, Any], command: str) -> int:
    """Print the script that does what the command would do."""
    from graphpde.run.kit import kit_of
    from graphpde.run.ready import ready

    setup = ready(problem)
    warn(setup.warnings)
    say(kit_of(setup).script(command.replace(" --show-code", "")).rstrip("\n"))
    return 0


def _go_on(args: argparse.Namespace, given: Mapping[str, Any], command: str) -> int:
    """Go on with a stopped run, as it says of itself or as the same problem file says."""
    from graphpde.config import load, merge
    from graphpde.errors import ConfigError
    from graphpde.run import open_run

    if args.show_code:
        raise UsageError(f"--show-code shows a run from its start; name {args.resume}/config.toml instead of --resume")
    stopped = open_run(args.resume)
    if args.output is not None and Path(args.output).resolve() != stopped.path.resolve():
        raise ConfigError(
            f"--resume writes on in '{stopped.path}' and -o names '{args.output}'; leave -o out, or start a new run "
            f"there with --initial-from {stopped.path}"
        )
    tables = merge(load(args.problem), given) if args.problem else stopped.with_changes(given)
    return carry_out(tables, stopped.path, command=command, as_json=args.json, dry=args.dry_run, after=stopped)


def carry_out(
    problem: Mapping[str, Any],
    out: str | os.PathLike[str] | None,
    *,
    command: str,
    as_json: bool = False,
    dry: bool = False,
    after: Stopped | None = None,
) -> int:
    """Check, prepare and run a problem given as tables, or go on with it; returns the exit code."""
    from graphpde.run import next_folder, simulate
    from graphpde.run.folder import holds_run
    from graphpde.run.ready import ready

    setup = ready(problem)
    warn(setup.warnings)
    if dry:
        _say_plan(setup, as_json)
        return 0
    out = next_folder(setup.name) if out is None else out
    replaced = after is None and holds_run(Path(out))
    with StopRequest() as stop, progress_bar(setup.name, not as_json) as progress:
        result = simulate(setup, out, command=command, progress=progress, stop=stop, after=after)
    warn(sentence for sentence in result.warnings if sentence not in setup.warnings)
    if as_json:
        say_json({**result.as_dict(), "warnings": [in_options(sentence) for sentence in result.warnings]})
    else:
        _say_result(setup, result)
        if replaced:
            say(f"the earlier run in {result.folder} is replaced")
    return 0 if result.status == "ok" else stop.code


def _say_plan(setup: Any, as_json: bool) -> None:
    from graphpde.config import dump
    from graphpde.run.kit import kit_of

    kit = kit_of(setup)  # refuses probes outside and sets that are not there
    needs, unknowns = kit.needs, setup.u0.numel()
    plain = setup.config.as_dict()
    if as_json:
        many = setup.steps if setup.control is None else "adaptive"
        numbers = {"unknowns": unknowns, "steps": many, "memory": needs.memory, "disk": needs.disk}
        say_json({"status": "ok", "dry_run": True, **numbers, "config": plain, "warnings": list(setup.warnings)})
        return
    steps = "one solve" if setup.stepper is None else f"{setup.steps} steps, {len(setup.times)} frames"
    if setup.control is not None:
        control = setup.control
        steps = f"adaptive steps (rtol {control.rtol:g}, atol {control.atol:g}), {len(setup.times)} frames"
    say(dump(plain), f"# {kit.size}, {steps}; nothing was written")
    say(*(f"# {sentence}" for sentence in setup.remarks))
    say(f"# about {_size(needs.memory)} of memory beside the libraries, {_size(needs.disk)} of disk")


def _say_result(setup: Any, result: RunResult) -> None:
    from graphpde.run.kit import kit_of

    kit = kit_of(setup)
    took = kit.took(result.steps)
    if result.rhythm is not None:
        took += f" ({result.rhythm.text})"
    say(f"{kit.title}: {kit.size}, {took}, {result.seconds:.3g} s")
    say(*setup.remarks)
    if result.adapted is not None and setup.config.adapt is not None:
        from graphpde.run.adapt import meshes_of

        rounds = result.adapted.rounds
        share = setup.config.adapt.tolerance * rounds[-1].estimate / (rounds[-1].allowed or 1.0)
        say(f"  adapted: {meshes_of(result.adapted)}, estimated error {100 * share:.3g} % of the energy norm")
    if result.status != "ok" and setup.stepper is None:
        early = f"after {result.steps} steps" if result.adapted is None else "before the mesh was as fine as asked for"
        say(f"interrupted {early}; run it again for the rest")
    elif result.status != "ok":
        say(f"{result.status} after {result.steps} steps; go on with: graphpde simulate --resume {result.folder}")
    say(*(f"  {line}" for line in kit.told(result.final)))
    for certificate in result.certificates:
        mark = "measured" if certificate.target is None else "ok" if certificate.passed else "FAILED"
        say(f"  {mark}: {certificate.sentence}")
    fields = f"fields/run.{'xdmf' if setup.config.output.series == 'xdmf' else 'pvd'}"
    shown_files = {"picture": "figures/final.png", "animation": "figures/animation.gif", "ParaView": fields}
    shown_files |= {"mesh": "mesh.vtu", "report": "report.html"}
    for what, name in shown_files.items():
        if (result.folder / name).exists():
            say(f"{what:9} {result.folder / name}")
    say(f"{'again':9} graphpde simulate {shlex.quote(str(result.folder / 'config.toml'))}")


def _size(count: int) -> str:
    power = min(int(math.log10(max(count, 1)) / 3), 4)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
