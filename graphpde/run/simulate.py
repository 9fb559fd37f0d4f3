"""One run from a prepared problem to a folder that says what happened, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from graphpde.config import Setup, dump
from graphpde.dynamics import Adapted
from graphpde.errors import InputError
from graphpde.problems import ElasticityProblem, ModalProblem, Pde, TopologyProblem
from graphpde.run.adapt import adapted, record_adapted
from graphpde.run.advance import Progress, StopAsked, advance
from graphpde.run.checkpoint import EVERY
from graphpde.run.failure import record_failure
from graphpde.run.finish import finish
from graphpde.run.fit_record import FitRecord
from graphpde.run.folder import RunFolder
from graphpde.run.frames import Frames
from graphpde.run.kit import Kit, kit_of
from graphpde.run.manifest import describe
from graphpde.run.mesh_kit import MeshKit
from graphpde.run.modal_kit import ModalKit
from graphpde.run.particles.config import ParticleSetup
from graphpde.run.particles.kit import ParticleKit
from graphpde.run.ready import ready
from graphpde.run.records import Past
from graphpde.run.resume import Leg, Stopped, changes, open_run, remaining_leg, whole_leg
from graphpde.run.run_result import RunResult
from graphpde.run.running import Running
from graphpde.run.solid_kit import SolidKit
from graphpde.run.spool import reopen
from graphpde.run.topology_kit import TopologyKit
from graphpde.solve.result import Result

_KITS: dict[type[Pde], type[MeshKit]] = {
    ModalProblem: ModalKit,
    TopologyProblem: TopologyKit,
    ElasticityProblem: SolidKit,
}
"""Those that read more than fields off their states, the special before the general."""


@kit_of.register
def _(setup: Setup) -> MeshKit:
    for pde, kit in _KITS.items():
        if isinstance(setup.pde, pde):
            return kit(setup)
    return MeshKit(setup)


kit_of.register(ParticleSetup, ParticleKit)


def simulate(
    setup: Setup | ParticleSetup,
    path: str | os.PathLike[str],
    *,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = EVERY,
    after: Stopped | None = None,
    fitted: FitRecord | None = None,
) -> RunResult:
    """Run a prepared problem and write everything into the folder ``path``.

    Args:
        setup: from :func:`~graphpde.config.prepare`, or of particles.
        path: a free folder, or one of an older run, which it replaces.
        command: recorded as the way to do it again. progress: see :data:`Progress`.
        stop: asked after every step, of a design too, and every refined mesh; True ends the run, what it has is kept
            and the status is "interrupted".
        every: seconds of wall time after which the last good state is kept, beside that of each saved moment.
        after: the stopped run that lies in ``path`` and goes on, from :func:`~graphpde.run.resume.open_run`.
        fitted: how the coefficients of the problem were found, kept beside the run.

    Raises:
        OutputError: the folder cannot be used; said before anything is computed.
        InputError: the problem cannot be run as it stands; nothing is written.
        SolveError: a solver failed or the solution blew up; the folder keeps what was saved and says so.
    """
    started = time.perf_counter()
    kit = kit_of(setup)  # refuses what the mesh does not have before there is a folder
    folder = RunFolder(path, kit.needs.disk)
    kit, refined = _on_its_mesh(kit, folder, stop)
    setup, manifest = kit.setup, describe(kit, command)
    if fitted is not None:
        manifest["fit"] = fitted.as_dict()

    def begin() -> None:
        folder.begin()
        folder.write("config.toml", dump(setup.config.as_dict()))
        folder.write_manifest(manifest)
        record_adapted(folder, refined)
        if fitted is not None:
            fitted.write(folder)

    frames = Frames(folder, kit, begin)
    run, leg = Running(setup, folder, manifest, frames, dict(setup.timings), adapted=refined, fitted=fitted), None
    if after is not None:
        leg = _go_on(run, after)
    elif setup.stepper is not None:
        leg = whole_leg(setup)
    status, result = _carry_out(run, leg, progress, stop, every)
    run.timings["solve and save"] = time.perf_counter() - started
    try:
        return finish(run, status, result, started)
    except KeyboardInterrupt:
        run.record("interrupted")
        raise


def resume(
    place: str | os.PathLike[str],
    changed: Mapping[str, Any] | None = None,
    *,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Go on with the run in the folder ``place``, or from its saved moment ``place@time``.

    Args:
        changed: tables over those of its config.toml, such as ``{"time": {"dt": 1e-4}}``. The others: see
            :func:`simulate`.

    Raises:
        InputError: there is nothing to go on from, or the problem or its mesh is another one; the rest see
            :func:`simulate`.
    """
    after = open_run(Path(place))
    setup = ready(after.with_changes(changed or {}))
    return simulate(setup, after.path, command=command, progress=progress, stop=stop, after=after)


def _go_on(run: Running, after: Stopped) -> Leg:
    """Take up what a stopped run left; its manifest stays and tells of the new start."""
    setup, at = run.setup, after.checkpoint
    if setup.stepper is None:
        raise InputError(f"'{after.path}' is a steady state, which has no steps to go on with; run it again")
    found = changes(after, run.frames.kit)
    leg = remaining_leg(after, setup, found)
    run.folder.go_on()
    reopen(run.frames, at.frames)
    run.frames.records.open(run.folder.path, Past(at.t, at.state.to(setup.u0), run.frames.moments[-1].t))
    run.planned, run.step = at.frames, at.step
    run.notes = [leg.note] if leg.note and not found else []
    entry = {
        "at": run.manifest["started"], "command": run.manifest["command"], "t": at.t, "step": at.step,
        "changed": found, "exact": leg.exact, "versions": run.manifest["versions"],
    }  # fmt: skip
    old = {key: value for key, value in after.manifest.items() if key not in ("error", "finished")}
    fresh = {key: run.manifest[key] for key in ("status", "host", "pid", "threads", "device", "warnings")}
    run.manifest = {**old, **fresh, "resumed": [*after.manifest.get("resumed", []), entry]}
    run.folder.write("config.toml", dump(setup.config.as_dict()))
    run.folder.write_manifest(run.manifest)
    return leg


def _on_its_mesh(kit: Kit, folder: RunFolder, stop: Callable[[], bool] | None) -> tuple[Kit, Adapted | None]:
    """The kit of the problem on the mesh that it is solved on, and how that was refined, if it was."""
    if kit.setup.config.adapt is None:
        return kit, None
    try:
        fine, found = adapted(kit.setup, stop)
        return kit_of(fine), found
    except BaseException:
        folder.abandon()
        raise


def _carry_out(
    run: Running, leg: Leg | None, progress: Progress | None, stop: Callable[[], bool] | None, every: float
) -> tuple[str, Result | None]:
    """Solve or advance: the status, which is that of an unfinished mesh or fit too, and the solve of a steady state."""
    result, refined, fitted = None, run.adapted, run.fitted
    coarse = refined is not None and not refined.within and stop is not None and stop()
    status = "interrupted" if coarse or (fitted is not None and fitted.interrupted) else "ok"
    try:
        with torch.no_grad():
            if leg is None:
                kit = run.frames.kit
                assert isinstance(kit, MeshKit)  # particles have steps
                result = kit.solve(run, progress, stop)
            else:
                advance(run, leg, progress, stop, every)
    except StopAsked:
        status = "interrupted"
    except BaseException as error:
        record_failure(run, error)
        raise
    return status, result
