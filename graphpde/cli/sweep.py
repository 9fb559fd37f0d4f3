"""``graphpde simulate --sweep NAME=VALUES``: one run for each combination, and a summary of all of them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import progress_bar, say, say_json, table, warn
from graphpde.cli.parser import UsageError
from graphpde.cli.signals import StopRequest

if TYPE_CHECKING:
    from graphpde.run.members import Member
    from graphpde.run.sweep import SweepResult
    from graphpde.run.workers import Outcome

_SHOWN = 60  # members in the table on the screen
_WORDS = 60  # letters of a reason in it


def run(args: argparse.Namespace, given: Mapping[str, Any], command: str) -> int:
    """Run a new sweep, or go on with one; 1 if a member failed."""
    from graphpde.config import load, merge
    from graphpde.problems import PDES
    from graphpde.run import next_folder
    from graphpde.run.sweep import resume_sweep, sweep

    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs is {args.jobs}, expected at least 1")
    for option, asked in (("--dry-run", args.dry_run), ("--show-code", args.show_code)):
        if asked:
            raise UsageError(f"{option} shows one run; leave out --sweep, or set one value of it with --set")
    with StopRequest("every run ends after its step") as stop, progress_bar("sweep", not args.json) as progress:

        def ended(count: int, total: int, member: Member, outcome: Outcome) -> None:
            if progress is not None:
                progress(count, total, count / total)
            if outcome.error:
                warn([f"{member.name}: {outcome.error}"])

        options: dict[str, Any] = {"jobs": args.jobs, "done": ended, "stop": stop}
        if args.resume is not None:
            if args.problem or given or args.sweep or args.output:
                raise UsageError("a sweep goes on as it began; give --resume FOLDER and at most --jobs with it")
            result = resume_sweep(args.resume, **options)
        else:
            problem = merge(load(args.problem) if args.problem else {}, given)
            pde, mesh = str(problem.get("pde", "run")), problem.get("mesh", {})
            name = mesh.get("shape") or _stem(mesh.get("path", "")) if isinstance(mesh, dict) else _stem(str(mesh))
            known = pde if pde in PDES else "run"
            out = args.output or next_folder(f"{known}-{name}-sweep")
            result = sweep(problem, args.sweep, out, command=command, **options)
    if args.json:
        say_json(result.as_dict())
    else:
        _say(result)
    return stop.code if result.status == "interrupted" else 1 if result.failed else 0


def _stem(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].split(".")[0] or "mesh"


def _say(result: SweepResult) -> None:
    well = sum(row["status"] == "ok" for row in result.rows)
    say(f"{well} of {len(result.members)} runs ended well")
    skipped = ("member", "error", "certificates", "unknowns")
    columns = [key for key in dict.fromkeys(k for row in result.rows for k in row) if key not in skipped][:9]
    shown = result.rows[:_SHOWN]
    reasons = ["error"] if any(row.get("error") for row in shown) else []
    rows = [
        [*(_text(row.get(key)) for key in columns), *(_begin(row.get(key, "")) for key in reasons)] for row in shown
    ]
    table([*columns, *("reason" for _ in reasons)], rows)
    if len(shown) < len(result.rows):
        say(f"... and {len(result.rows) - len(shown)} more in sweep.csv")
    if result.failed:
        say(f"failed: {', '.join(result.failed)}")
    for what, name in {"table": "sweep.csv", "summary": "sweep.html"}.items():
        say(f"{what:9} {result.folder / name}")
    if result.status == "interrupted":
        say(f"{'go on':9} graphpde simulate --resume {shlex.quote(str(result.folder))}")


def _begin(sentence: str) -> str:
    """The first words of a reason."""
    return sentence if len(sentence) <= _WORDS else sentence[:_WORDS].rpartition(" ")[0] + " ..."


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
