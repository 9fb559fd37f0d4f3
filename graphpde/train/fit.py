"""The one training loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.errors import CheckpointError, InputError
from graphpde.train.batches import Drawn, Epochs, Stream
from graphpde.train.closure import Evaluate, Objective
from graphpde.train.history import Evaluation, History
from graphpde.train.numerics import Numerics
from graphpde.train.randomness import random_states, set_random_states
from graphpde.train.update import Taken, Update

if TYPE_CHECKING:
    from graphpde.train.checkpoint import Checkpoint


class Progress(NamedTuple):
    """What a hook is told after each step.

    Attributes:
        step: counted from 1. at: the objective. model: as it is now. history: every step so far.
        steps: how many there will be at most; None where the batches do not say how long a pass is.
        epoch: complete passes through the batches. ending: whether this was the last step.
        state: everything that a fit needs to go on from here: nested values with the tensors themselves, no copies.
    """

    step: int
    at: Evaluation
    model: nn.Module
    history: History
    steps: int | None
    epoch: int
    ending: bool
    state: Callable[[], dict[str, Any]]


Hook = Callable[[Progress], str | None]
"""Called after each step; a sentence ends the fit and becomes its reason.

Three methods are optional. ``state()`` and ``load_state(values)`` let a checkpoint carry what the hook remembers;
``end()`` is called when the fit is over, however it ends. A hook with ``last = True`` is called after all others.
"""


class Interruption(str):
    """A reason that somebody outside gives to stop: a fit resumed from there goes on, after any other it is over."""


def fit(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Any] | Iterable[Any] | Drawn = (None,),
    *,
    update: Update,
    steps: int | Epochs,
    rng: torch.Generator | None = None,
    weights: Mapping[str, float] | None = None,
    hooks: Sequence[Hook] = (),
    tolerance: float = 0.0,
    numerics: Numerics | None = None,
    resume: Checkpoint | None = None,
) -> History:
    """Minimise sum_k weight_k objective_k over the parameters of a model.

    Args:
        model: its parameters that require gradients are changed in place.
        objective: see :data:`Objective`.
        batches: one a step, in turn: a sequence, something that can be iterated again for each pass, or batches in an
            order drawn anew for each pass, such as ``Shuffled(batches)`` and ``Minibatches(nodes, 512)``.
        update: the rule, such as ``Adam(1e-3)`` or ``LBFGS()``.
        steps: at most; ``Epochs(30)`` is that many passes through the batches.
        rng: what the objective and the order of batches draw from. Evaluations within one step see the same numbers,
            those of dropout as well, and the same seed gives the same fit.
        weights: of the terms by name; 1 where nothing is said.
        hooks: see :data:`Hook`. tolerance: ends at a gradient of this size relative to the first one.
        numerics: batches accumulated in a step, and lower precision.
        resume: goes on from there with the same bits as if it had never stopped; the other arguments must be those of
            the fit that wrote it, only ``steps`` may be more.

    Returns:
        The history. A fit that cannot go on ends with a reason in it, the parameters at the last good place.

    Raises:
        InputError: nothing to learn, no batches, weights of terms that there are not.
        CheckpointError: the checkpoint belongs to another model, rule or hooks.
        GraphpdeError: the objective cannot be evaluated at the start.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise InputError("the model has no parameters that require gradients; there is nothing to fit")
    numerics = numerics or Numerics()
    stream = Stream(batches, numerics.accumulate, rng)
    if not isinstance(steps, Epochs) and steps < 1:
        raise InputError(f"got {steps} steps, expected at least one")
    closure = Evaluate(model, objective, list(parameters.values()), rng, dict(weights or {}), numerics)
    loop = _Loop(model, closure, stream, update, hooks, steps)
    with contextlib.ExitStack() as ends:
        for hook in hooks:
            ends.callback(getattr(hook, "end", _nothing))
        if resume is not None:
            loop.load_state(resume.state)
        return loop.run(tolerance)


class _Loop:
    """What changes from step to step: everything a checkpoint has to keep."""

    def __init__(
        self,
        model: nn.Module,
        closure: Evaluate,
        stream: Stream,
        update: Update,
        hooks: Sequence[Hook],
        steps: int | Epochs,
    ):
        self.model, self.closure, self.stream, self.steps = model, closure, stream, steps
        self.planned = steps if isinstance(steps, int) else stream.steps(steps.count)
        self.move = update.bind({name: p for name, p in model.named_parameters() if p.requires_grad})
        self.hooks = sorted(hooks, key=lambda hook: bool(getattr(hook, "last", False)))
        self.history, self.first, self.over = History(), 0.0, ""

    def run(self, tolerance: float) -> History:
        """Step after step until a reason to end."""
        history = self.history
        clock = time.perf_counter() - history.seconds
        history.reason = self.over
        while not history.reason and not self._done():
            self.closure.begin(self.stream.next(), same=self.stream.single)
            taken = self.move(self.closure)
            history.add(len(history) + 1, taken.at, self.closure.count, time.perf_counter() - clock)
            self.first = self.first or (taken.at.gradient if math.isfinite(taken.at.gradient) else 0.0)
            _judge(history, taken, tolerance * self.first)
            self._tell(taken.at)
        if not history.reason:
            what = (
                f"{self.steps.count} passes were made"
                if isinstance(self.steps, Epochs)
                else f"{self.steps} steps were taken"
            )
            history.reason = f"all {what}"
        return history

    def _done(self) -> bool:
        if isinstance(self.steps, Epochs):
            return self.stream.passes >= self.steps.count
        return len(self.history) >= self.steps

    def _tell(self, at: Evaluation) -> None:
        history = self.history
        for hook in self.hooks:
            ending = bool(history.reason) or self._done()
            progress = Progress(
                len(history), at, self.model, history, self.planned, self.stream.passes, ending, self.state
            )
            said = hook(progress)
            if said and not history.reason:
                history.reason = said

    def state(self) -> dict[str, Any]:
        """Everything needed to go on; a reason to end stays one unless it came from outside."""
        history = self.history.state()
        if isinstance(self.history.reason, Interruption):
            history["reason"] = ""
        return {
            "model": dict(self.model.state_dict()),
            "update": self.move.state(),
            "closure": self.closure.state(),
            "batches": self.stream.state(),
            "history": history,
            "first": self.first,
            "hooks": [[type(hook).__name__, hook.state()] for hook in self.hooks if hasattr(hook, "state")],  # type: ignore[attr-defined]
            "random": random_states(self.closure.rng),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            CheckpointError: it belongs to another model, rule or hooks.
        """
        lacking = [name for name in _PARTS if name not in state]
        if lacking:
            raise CheckpointError(f"the checkpoint has no '{lacking[0]}'; it was not written by a fit")
        put_tensors(self.model, state["model"])
        self.move.load_state(state["update"])
        self.closure.load_state(state["closure"])
        self.stream.load_state(state["batches"])
        self.history, self.first = History.from_state(state["history"]), state["first"]
        self.over = self.history.reason
        remembering = [hook for hook in self.hooks if hasattr(hook, "state")]
        own, kept = [type(hook).__name__ for hook in remembering], [name for name, _ in state["hooks"]]
        if own != kept:
            raise CheckpointError(
                f"the checkpoint is of a fit with the hooks {', '.join(kept) or 'none'}, this one has "
                f"{', '.join(own) or 'none'}; give the same ones in the same order"
            )
        for hook, (_, values) in zip(remembering, state["hooks"]):
            hook.load_state(values)  # type: ignore[attr-defined]
        set_random_states(state["random"], self.closure.rng)


_PARTS = ("model", "update", "closure", "batches", "history", "first", "hooks", "random")


def put_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Parameters and buffers of a model from tensors by name; all of them or none.

    Raises:
        CheckpointError: other names, shapes or types.
    """
    own = dict(model.state_dict())
    for name in sorted(own.keys() ^ tensors.keys()):
        what = (
            "is not in the checkpoint" if name in own else "is in the checkpoint, and the model has none of that name"
        )
        raise CheckpointError(f"the tensor '{name}' {what}; build the model that was saved")
    for name, new in tensors.items():
        old = own[name]
        if not isinstance(new, Tensor) or new.shape != old.shape or new.dtype != old.dtype:
            was = f"{new.dtype} {list(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
            raise CheckpointError(
                f"the tensor '{name}' is {was} in the checkpoint and {old.dtype} {list(old.shape)} in the model; build "
                f"the model that was saved"
            )
    with torch.no_grad():
        for name, new in tensors.items():
            own[name].copy_(new)


def _nothing() -> None:
    """The end of a hook that has none."""


def _judge(history: History, taken: Taken, least: float) -> None:
    if taken.stop:
        history.reason, history.converged = taken.stop, taken.converged
    elif 0 < taken.at.gradient <= least:
        history.reason, history.converged = f"the gradient fell to {taken.at.gradient:.2g}", True
