"""Learn a flow from samples into a run folder: the model, what it is worth on samples it has not seen, a page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.config import dump
from graphpde.data.points import read_samples
from graphpde.errors import DatasetError, GraphpdeError
from graphpde.run.experiment import MODEL, write_history
from graphpde.run.flows.config import FlowConfig
from graphpde.run.flows.kinds import KINDS
from graphpde.run.flows.places import Place
from graphpde.run.flows.reopen import NO_DENSITY, densities, mean_error
from graphpde.run.folder import RunFolder
from graphpde.run.learning import Asked, Ended, Told, begun, check_folder, ended
from graphpde.train import Adam, Cosine, Ema, fit, save_model

KIND = "flow"
_HELD = 2000  # samples that a known law is judged by, and the most of a file


@dataclass(frozen=True)
class Material:
    """What is learned from.

    Attributes:
        place: where it lives. train, held: states to learn from and to judge by; train is None where they are drawn
            anew. entropy: of the law in nats, None = unknown. count: of the samples in the file.
    """

    place: Place
    train: Tensor | None
    held: Tensor
    entropy: float | None
    count: int

    def batches(self) -> _Batches:
        """Batches of states."""
        return _Batches(self)


class _Batches:
    """Batches drawn from a law, or with replacement from samples."""

    def __init__(self, material: Material):
        self.material = material

    def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
        place, train = self.material.place, self.material.train
        size = place.config.training.batch
        for _ in range(100):
            if train is None:
                yield place.draw(size, rng)
            else:
                yield train[torch.randint(len(train), (size,), generator=rng)]


def material(config: FlowConfig) -> Material:
    """Read the samples, keep some aside.

    Raises:
        DatasetError: no such file, samples that do not belong there, too few of them.
    """
    rng = torch.Generator().manual_seed(config.training.seed)
    kind = KINDS[config.model.on]
    if not config.data.file:
        place = kind(config, kind.learn(config, None))
        states = place.draw(_HELD, rng)
        return Material(place, None, states, place.entropy(states), 0)
    table = read_samples(config.data.file)
    for columns in kind.usual:
        table = table.arranged(columns)
    x = table.x[torch.randperm(len(table.x), generator=rng)]
    aside = min(max(round(config.data.holdout * len(x)), 1), _HELD)
    if len(x) - aside < 2:
        raise DatasetError(f"'{config.data.file}' has {len(x)} samples, of which {aside} are kept aside; expected more")
    about = kind.learn(config, x[aside:]) | {"names": list(table.names)}
    place = kind(config, about)
    states = place.encode(x).to(place.dtype)
    return Material(place, states[aside:], states[:aside], None, len(x))


@dataclass(frozen=True)
class Learned(Ended):
    """What learning came to.

    Attributes:
        by: what densities count by. entropy: of the law, where it is known.
        nll: mean negative log-likelihood of samples kept aside, in nats, and its standard error; None where samples
            have no density, or the flow cannot be followed back; the error also where there is but one such sample.
    """

    by: str
    entropy: float | None = None
    nll: float | None = None
    nll_error: float | None = None


def learn_flow(
    config: FlowConfig,
    out: str | os.PathLike[str],
    *,
    command: str = "",
    pictures: bool = True,
    progress: Told | None = None,
    stop: Callable[[], bool] | None = None,
) -> Learned:
    """Train a flow and write what there is to know of it.

    Raises:
        OutputError: a folder that cannot be written, or holds something else. GraphpdeError: data or settings that
            cannot be used.
    """
    check_folder(out, KIND)
    given, kept = material(config), config.anchored().as_dict()
    torch.manual_seed(config.training.seed)
    model = given.place.module()
    folder = RunFolder(out)
    folder.begin()
    data = {"source": config.data.name or config.data.file, "samples": given.count, "held": len(given.held)}
    manifest = begun(KIND, command, data, kept)
    folder.write_manifest(manifest)
    folder.write("flow.toml", dump(kept))
    start = time.perf_counter()
    history = _fit(config, given, model, progress, stop)
    how = ended(history, folder.path, time.perf_counter() - start, tuple(given.place.notes))
    learned = Learned(**how, by=given.place.by, entropy=given.entropy)
    given.place.keep(folder.path)
    save_model(folder.path / MODEL, model, {"flow": kept, "about": dict(given.place.about)})
    write_history(folder.path / "history.csv", history)
    folder.write_manifest(manifest | learned.as_said())  # what comes now may fail, and the fit is worth keeping
    learned = _judged(learned, given, model)
    if pictures:
        from graphpde.run.flows.page import write_page

        write_page(learned, given, model, history, folder, command)
    folder.write_manifest(manifest | learned.as_said())
    return learned


def _fit(config: FlowConfig, given: Material, model: nn.Module, progress: Told | None, stop: Any) -> Any:
    training = config.training
    rng = torch.Generator().manual_seed(training.seed)
    schedule = Cosine(training.steps) if training.schedule == "cosine" else None
    hooks: list[Any] = [Asked(progress, stop)]
    mean = Ema(training.average) if training.average else None
    hooks += [mean] if mean is not None else []
    update = Adam(training.rate, schedule=schedule)
    history = fit(
        model, given.place.objective(), given.batches(), update=update, steps=training.steps, rng=rng, hooks=hooks
    )
    if mean is not None and mean.steps:
        averages = mean.averages()
        model.load_state_dict({**model.state_dict(), **averages})
    return history


def _judged(learned: Learned, given: Material, model: nn.Module) -> Learned:
    """The same with the mean negative log-likelihood of the samples kept aside and its standard error, or why not."""
    place = given.place
    if not place.dense:
        return replace(learned, notes=(*learned.notes, f"no likelihood: {NO_DENSITY}"))
    why = "the flow gives densities that are not finite"
    try:
        logp = densities(place, model, given.held)
        if bool(torch.isfinite(logp).all()):
            mean, error = mean_error(logp)
            return replace(learned, nll=-mean, nll_error=error)
    except GraphpdeError as error:  # a flow that learned nothing sound: the model is kept all the same
        why = f"the flow cannot be followed back from the samples kept aside: {error}"
    return replace(learned, notes=(*learned.notes, f"no likelihood: {why}"))
