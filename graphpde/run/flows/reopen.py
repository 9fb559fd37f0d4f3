"""Learned flows read again: new samples, and likelihoods of samples of the user."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.data.points import read_samples
from graphpde.errors import CheckpointError, GraphpdeError, InputError, OutputError
from graphpde.mesh.io.aside import written
from graphpde.run.experiment import MODEL
from graphpde.run.flows.config import read_flow
from graphpde.run.flows.kinds import KINDS
from graphpde.run.flows.places import Place
from graphpde.train import load_model

_AT_ONCE = 20_000  # samples that are carried together


class Reopened(NamedTuple):
    """A learned flow.

    Attributes:
        place: where its samples live. model: with the learned parameters, in evaluation mode.
    """

    place: Place
    model: nn.Module


def reopen(run: str | os.PathLike[str]) -> Reopened:
    """The flow in a run folder.

    Raises:
        CheckpointError: no folder of a flow, or a damaged model.
    """
    path = Path(run)
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(f"'{run}' holds no {MODEL}; expected the folder that 'graphpde train' wrote")
    saved = load_model(file)
    if not {"flow", "about"} <= saved.config.keys():
        raise CheckpointError(f"the model '{file}' is no flow; expected the folder that 'graphpde train' wrote")
    try:
        config = read_flow(saved.config["flow"])
    except GraphpdeError as error:
        raise CheckpointError(f"the flow '{file}' was written by another version of graphpde: {error}") from None
    place = KINDS[config.model.on](config, saved.config["about"], file.parent)
    model = place.module()
    saved.put(model)
    return Reopened(place, model.eval())


def draw_samples(opened: Reopened, count: int, seed: int = 0) -> Tensor:
    """New samples in the units of the user [count, ...], float64.

    Raises:
        InputError: no whole number of samples.
    """
    whole("count", count)
    place, rng = opened.place, torch.Generator().manual_seed(seed)
    flow, shape, parts = place.flow(opened.model), place.shape(), []
    for start in range(0, count, _AT_ONCE):
        like = torch.zeros(min(_AT_ONCE, count - start), *shape)
        parts.append(place.decode(flow.sample(like, rng)))
    return torch.cat(parts)


def log_likelihood(opened: Reopened, x: Tensor) -> Tensor:
    """log p of samples of the user in nats [k], by their own units.

    Raises:
        DatasetError: samples of another kind. InputError: fields.
    """
    place = opened.place
    if not place.dense:
        raise InputError("fields have no density: the law lives on modes, of which there are fewer than nodes")
    states = place.encode(x)
    flow = place.flow(opened.model)
    with torch.no_grad():
        parts = [flow.log_density(part).double().flatten() for part in states.split(_AT_ONCE)]
    return torch.cat(parts) + place.correction()


class Judged(NamedTuple):
    """Likelihoods of a file of samples.

    Attributes:
        log_density: of each [k]. mean, error: of it, the second its standard error. by: what densities count by.
    """

    log_density: Tensor
    mean: float
    error: float
    by: str


def judge(run: str | os.PathLike[str], data: str | os.PathLike[str]) -> Judged:
    """How likely a file of samples is under a learned flow."""
    opened = reopen(run)
    logp = log_likelihood(opened, read_samples(data).x)
    error = float(logp.std()) / math.sqrt(len(logp)) if len(logp) > 1 else math.nan
    return Judged(logp, float(logp.mean()), error, opened.place.by)


def write_table(path: str | os.PathLike[str], columns: Sequence[str], rows: Tensor) -> Path:
    """Rows of numbers as CSV, complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[f"{value:.9g}" for value in row] for row in rows.tolist()])
    try:
        with written(Path(path)) as aside:
            aside.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from None
    return Path(path)


def write_array(path: str | os.PathLike[str], x: Tensor) -> Path:
    """Samples of several nodes as an .npz file with the array x."""
    try:
        with written(Path(path)) as aside, open(aside, "wb") as file:
            np.savez(file, x=x.numpy())
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from None
    return Path(path)
