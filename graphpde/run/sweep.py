"""A sweep: one problem for many values of its parameters, in processes beside each other, and what came of it."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphpde.config import dump, read_config
from graphpde.config.layers import anchored
from graphpde.errors import GraphpdeError, InputError, OutputError
from graphpde.run.final_values import final_values
from graphpde.run.folder import MANIFEST
from graphpde.run.manifest import now, versions
from graphpde.run.members import Axis, Member, members_of, problem_of, read_axis
from graphpde.run.summary import summarise
from graphpde.run.workers import Job, Outcome, run_all
from graphpde.viz.files import make_folder, written

FILE = "sweep.json"
_OWN = (FILE, "problem.toml", "sweep.csv", "sweep.html")


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        status: "ok", "failed" where a member did, or "interrupted". folder: where everything lies.
        members: all of them. outcomes: member -> how it ended; those that never began are missing.
        rows: one line of ``sweep.csv`` each. files: the summaries.
    """

    status: str
    folder: Path
    members: Sequence[Member]
    outcomes: Mapping[str, Outcome]
    rows: Sequence[Mapping[str, Any]]
    files: Sequence[Path]

    @property
    def failed(self) -> list[str]:
        """Names of the members that failed."""
        return [m.name for m in self.members if m.name in self.outcomes and self.outcomes[m.name].status == "failed"]

    def as_dict(self) -> dict[str, Any]:
        """For machines; paths are absolute."""
        return {
            "status": self.status,
            "folder": str(self.folder.resolve()),
            "members": [dict(row) for row in self.rows],
            "failed": self.failed,
            "files": [str(file.resolve()) for file in self.files],
        }


def sweep(
    problem: Mapping[str, Any],
    varied: Sequence[str],
    path: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    command: str = "",
    done: Callable[[int, int, Member, Outcome], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> SweepResult:
    """Run a problem for every combination of values; a failed member does not stop the others.

    Args:
        problem: tables, as for :func:`~graphpde.config.read_config`.
        varied: one text for each parameter, such as ``"kappa=0.1,1,10"`` or ``"dt=log:1e-3:1e-1:5"``.
        path: a new or empty folder; each member gets a run folder below it.
        jobs: processes at a time; None = as many as there are cores for their threads.
        done: called after each member as done(how many, of how many, member, outcome).
        stop: see :func:`~graphpde.run.simulate`; members that ended are kept.

    Raises:
        ConfigError: a parameter that cannot be varied so. OutputError: the folder cannot be used.
    """
    problem = anchored(dict(problem), Path.cwd())
    axes = [read_axis(text, problem) for text in varied]
    members = members_of(axes)
    _refuse_hopeless(problem, axes, members)
    folder = Path(path)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(
            f"'{folder}' is not empty; name a new folder with -o, or go on with a sweep there by --resume {folder}"
        )
    make_folder(folder)
    return _Sweep(folder, dict(problem), axes, members, {}, command).run(jobs, done, stop)


def resume_sweep(
    path: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    done: Callable[[int, int, Member, Outcome], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> SweepResult:
    """Go on with a sweep: members that ended well are kept, stopped ones go on, failed ones are tried again.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    folder = Path(path)
    try:
        said = json.loads((folder / FILE).read_text(encoding="utf-8"))
        axes = [Axis(a["name"], a["key"], tuple(a["values"])) for a in said["axes"]]
        members = [Member(m["name"], m["values"]) for m in said["members"]]
        problem, command = said["problem"], said["command"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{folder}' is not the folder of a sweep that can go on ({FILE}: {error})") from None
    kept = {}
    for member in members:
        manifest = read_manifest(folder / member.name)
        if manifest.get("status") == "ok":
            kept[member.name] = Outcome("ok", float(manifest.get("seconds", 0.0)))
    return _Sweep(folder, problem, axes, members, kept, command).run(jobs, done, stop)


def _refuse_hopeless(problem: Mapping[str, Any], axes: Sequence[Axis], members: Sequence[Member]) -> None:
    """Refuse a problem that cannot be read for any of the values; where it can for some, the others fail alone."""
    first: GraphpdeError | None = None
    for member in members:
        try:
            read_config(problem_of(problem, axes, member))
            return
        except GraphpdeError as error:
            first = first or error
    if first is not None:
        raise first


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run; empty where there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def share_cores(members: int, jobs: int | None) -> tuple[int, int]:
    """How many processes at a time, and how many threads for each.

    ``OMP_NUM_THREADS`` says how many threads a process takes; without it one, since small sparse problems gain more
    from processes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = max(int(given), 1) if given.isdigit() else 1
    if jobs is None:
        jobs = max(cores // threads, 1)
    jobs = min(jobs, members) or 1
    return jobs, threads if given.isdigit() else max(cores // jobs, 1)


@dataclass
class _Sweep:
    """A sweep while it goes on."""

    folder: Path
    problem: dict[str, Any]
    axes: Sequence[Axis]
    members: Sequence[Member]
    outcomes: dict[str, Outcome]
    command: str

    def run(
        self,
        jobs: int | None,
        done: Callable[[int, int, Member, Outcome], None] | None,
        stop: Callable[[], bool] | None,
    ) -> SweepResult:
        """Run what has not ended well, and sum it all up."""
        left = [member for member in self.members if member.name not in self.outcomes]
        work = [Job(problem_of(self.problem, self.axes, m), self.folder / m.name, self._command(m)) for m in left]
        self._write("running")
        with written(self.folder / "problem.toml") as aside:
            aside.write_text(dump(self.problem), encoding="utf-8")

        def ended(k: int, outcome: Outcome) -> None:
            self.outcomes[left[k].name] = outcome
            self._write("running")
            if done is not None:
                done(len(self.outcomes), len(self.members), left[k], outcome)

        complete = True
        if work:
            count, threads = share_cores(len(work), jobs)
            complete = run_all(work, count, threads, done=ended, stop=stop)
        states = {outcome.status for outcome in self.outcomes.values()}
        status = "interrupted" if not complete or "interrupted" in states else "failed" if "failed" in states else "ok"
        self._write(status)
        rows = self._rows()
        files = [self.folder / FILE, _write_csv(self.folder / "sweep.csv", rows)]
        files += summarise(self.folder, self.axes, self.members, rows, self.problem, self.command)
        return SweepResult(status, self.folder, self.members, self.outcomes, rows, files)

    def _command(self, member: Member) -> str:
        settings = [f"{axis.key}={member.values[axis.name]}" for axis in self.axes]
        return shlex.join(["graphpde", "simulate", str(self.folder / "problem.toml"), "--set", *settings])

    def _write(self, status: str) -> None:
        said = {
            "status": status,
            "versions": versions(),
            "command": self.command,
            "written": now(),
            "axes": [axis._asdict() for axis in self.axes],
            "problem": self.problem,
            "members": [
                {"name": m.name, "values": m.values, **self.outcomes[m.name]._asdict()}
                if m.name in self.outcomes
                else {"name": m.name, "values": m.values}
                for m in self.members
            ],
        }
        with written(self.folder / FILE) as aside:
            aside.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    def _rows(self) -> list[dict[str, Any]]:
        """One line for each member: its values, how it ended, and every number of its result."""
        rows = []
        for member in self.members:
            outcome = self.outcomes.get(member.name)
            row: dict[str, Any] = {"member": member.name, **member.values}
            row["status"] = "not run" if outcome is None else outcome.status
            row["seconds"] = None if outcome is None else round(outcome.seconds, 3)
            manifest = read_manifest(self.folder / member.name) if outcome is not None else {}
            for key in ("unknowns", "steps"):
                row[key] = manifest.get(key)
            for name, numbers in manifest.get("final", {}).items():
                row |= {f"{name}_{what}": value for what, value in numbers.items()}
            if "final" in manifest:
                row |= final_values(self.folder / member.name)
            for name, certificate in manifest.get("certificates", {}).items():
                row[name] = certificate.get("value")
            checks = manifest.get("certificates", {}).values()
            if checks:
                row["certificates"] = "ok" if all(c.get("passed", True) for c in checks) else "failed"
            if outcome is not None and outcome.error:
                row["error"] = outcome.error
            rows.append(row)
        return rows


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if "error" in columns:
        columns.remove("error")
        columns.append("error")
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    with written(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")
    return path
