"""Learn a motion into a run folder: the law, how it follows motions it has not seen, a page."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from graphpde.config import dump
from graphpde.errors import GraphpdeError
from graphpde.run.experiment import MODEL, write_history
from graphpde.run.folder import RunFolder
from graphpde.run.learning import Asked, Ended, Told, begun, check_folder, ended
from graphpde.run.motions.config import MotionConfig
from graphpde.run.motions.kinds import Law
from graphpde.run.motions.material import Material, errors, material
from graphpde.train import LBFGS, Adam, Cosine, History, Interruption, fit, save_model

KIND = "motion"
_CLIP, _WHOLE = 10.0, 1000  # the largest gradient of Adam, and the most windows that L-BFGS sees


@dataclass(frozen=True)
class Learned(Ended):
    """What learning came to.

    Attributes:
        error: of motions kept aside, root mean square distance in deviations of the data; None: it cannot follow them.
        energy, true_energy: largest change of the learned, and of the true energy along them, by the mean kinetic one.
        until: how long these motions are. facts: numbers that were learned.
    """

    error: float | None = None
    energy: float | None = None
    true_energy: float | None = None
    until: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)


def learn_motion(
    config: MotionConfig,
    out: str | os.PathLike[str],
    *,
    command: str = "",
    pictures: bool = True,
    progress: Told | None = None,
    stop: Callable[[], bool] | None = None,
) -> Learned:
    """Train a law of motion and write what there is to know of it.

    Raises:
        OutputError: a folder that cannot be written, or holds something else. GraphpdeError: data or settings that
            cannot be used.
    """
    check_folder(out, KIND)
    given, kept = material(config), config.anchored().as_dict()
    torch.manual_seed(config.training.seed)
    law = given.law()
    with torch.no_grad():  # what does not fit together is told before anything is written
        given.objective(law, given.batch(0, torch.Generator().manual_seed(0)))
    folder = RunFolder(out)
    folder.begin()
    counts = {"motions": len(given.train.runs), "held": len(given.held.runs), "step": given.train.step}
    manifest = begun(KIND, command, {"source": config.data.system or config.data.file, **counts}, kept)
    folder.write_manifest(manifest)
    folder.write("motion.toml", dump(kept))
    start = time.perf_counter()
    history = _fit(config, given, law, progress, stop)
    how = ended(history, folder.path, time.perf_counter() - start, given.train.notes)
    until = given.train.step * (max(len(run) for run in given.held.runs) - 1)
    learned = Learned(**how, until=until, facts=law.facts(given.units))
    save_model(folder.path / MODEL, law, {"motion": kept, "about": about(given)})
    write_history(folder.path / "history.csv", history)
    folder.write_manifest(manifest | learned.as_said())  # what comes now may fail, and the fit is worth keeping
    try:
        learned = replace(learned, **errors(given, law))
    except GraphpdeError as error:
        learned = replace(learned, notes=(*learned.notes, f"the motions kept aside cannot be followed: {error}"))
    if pictures:
        from graphpde.run.motions.page import write_page

        write_page(learned, given, law, history, folder, command)
    folder.write_manifest(manifest | learned.as_said())
    return learned


def about(given: Material) -> dict[str, Any]:
    """What a saved law is built for: plain values."""
    body = given.body
    return {
        "n": body.n,
        "d": body.d,
        "units": body.units.as_dict(),
        "mass": None if body.mass is None else [m if math.isfinite(m) else None for m in body.mass.tolist()],
        "edges": None if body.edges is None else body.edges.tolist(),
        "reach": body.reach,
        "step": given.train.step,
        "names": list(given.train.names),
    }


def _fit(config: MotionConfig, given: Material, law: Law, progress: Told | None, stop: Any) -> History:
    training = config.training
    rng = torch.Generator().manual_seed(training.seed)
    schedule = Cosine(training.steps) if training.schedule == "cosine" else None
    update, hook = Adam(training.rate, schedule=schedule, clip=_CLIP), Asked(progress, stop, after=training.polish)
    first = fit(law, given.objective, given, update=update, steps=training.steps, rng=rng, hooks=[hook])
    if not training.polish or isinstance(first.reason, Interruption):
        return first
    whole, hook = given.batch(-1, rng, _WHOLE), Asked(progress, stop, before=training.steps)
    last = fit(law, given.objective, [whole], update=LBFGS(), steps=training.polish, hooks=[hook])
    both = first.followed_by(last)
    if not isinstance(last.reason, Interruption):
        both.reason = f"the last {len(last)} by L-BFGS: {last.reason}"
    return both
