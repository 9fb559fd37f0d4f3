"""Learned flows read again: new samples, and likelihoods of samples of the user."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.data.points import read_samples
from graphpde.errors import CheckpointError, DatasetError, GraphpdeError, InputError
from graphpde.run.flows.config import read_flow
from graphpde.run.flows.kinds import KINDS
from graphpde.run.flows.places import Place
from graphpde.run.learning import saved_model

NO_DENSITY = "fields have no density, for the law lives on modes, of which there are fewer than nodes"


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
    file, saved = saved_model(run, {"flow", "about"}, "flow")
    try:
        config = read_flow(saved.config["flow"])
    except GraphpdeError as error:
        raise CheckpointError(f"the flow '{file}' was written by another version of graphpde: {error}") from None
    place = KINDS[config.model.on](config, saved.config["about"], file.parent)
    model = place.module(saved.tensors)
    saved.put(model)
    return Reopened(place, model.eval())


def draw_samples(opened: Reopened, count: int, seed: int = 0) -> Tensor:
    """New samples in the units of the user [count, ...], float64.

    Raises:
        InputError: no whole number of samples.
    """
    whole("count", count)
    place, rng = opened.place, torch.Generator().manual_seed(seed)
    flow, shape, parts, most = place.flow(opened.model), place.shape(), [], place.at_once()
    for start in range(0, count, most):
        like = torch.zeros(min(most, count - start), *shape)
        parts.append(place.decode(flow.sample(like, rng)))
    return torch.cat(parts)


def densities(place: Place, model: nn.Module, states: Tensor) -> Tensor:
    """log p of states in nats [k], by the units of the user; float64, what others there are does not count."""
    flow = place.flow(place.exact(model))
    with torch.no_grad():
        parts = [flow.log_density(part).flatten() for part in states.double().split(place.at_once())]
    return torch.cat(parts) + place.correction()


def log_likelihood(opened: Reopened, x: Tensor) -> Tensor:
    """log p of samples of the user in nats [k], by their own units.

    Raises:
        DatasetError: samples of another kind. InputError: fields.
    """
    if not opened.place.dense:
        raise InputError(NO_DENSITY)
    return densities(opened.place, opened.model, opened.place.encode(x))


def mean_error(values: Tensor) -> tuple[float, float | None]:
    """The mean of [k] and its standard error, None of a single one."""
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else None
    return float(values.mean()), error


class Judged(NamedTuple):
    """Likelihoods of a file of samples.

    Attributes:
        log_density: of each [k]. mean, error: of it, the second its standard error, None of a single sample.
        by: what densities count by.
    """

    log_density: Tensor
    mean: float
    error: float | None
    by: str


def judge(run: str | os.PathLike[str], data: str | os.PathLike[str]) -> Judged:
    """How likely a file of samples is under a learned flow; columns are told apart by their names where both have some.

    Raises:
        CheckpointError: no folder of a flow. DatasetError: samples of another kind, or with other columns.
    """
    opened = reopen(run)
    found, columns = read_samples(data), opened.place.columns()
    if opened.place.about.get("names") and found.names and sorted(found.names) != sorted(columns):
        raise DatasetError(
            f"'{data}' has the columns {', '.join(found.names)}, and this flow was learned from {', '.join(columns)}; "
            f"name them alike, or leave the names out"
        )
    logp = log_likelihood(opened, found.arranged(columns).x)
    return Judged(logp, *mean_error(logp), opened.place.by)
