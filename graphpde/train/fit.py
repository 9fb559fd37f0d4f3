"""The one training loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.checks import number, whole
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
        place: the parameters by name that ``at`` belongs to, no copies; empty where those of the model do.
    """

    step: int
    at: Evaluation
    model: nn.Module
    history: History
    steps: int | None
    epoch: int
    ending: bool
    state: Callable[[], dict[str, Any]]
    place: Mapping[str, Tensor]


Hook = Callable[[Progress], str | None]
"""Called after each step; a sentence ends the fit and becomes its reason.

Four methods are optional. ``begin(resume)`` is called before the first step, with the checkpoint that the fit goes on
from or None: the hook forgets any other fit. ``state()`` and ``load_state(values)`` let a checkpoint carry what the
hook remembers; ``end()`` is called when the fit is over, however it ends. A hook with ``last = True`` is called after
all others.
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
            the fit that wrote it, only ``steps`` may be more. Loaders of torch may draw from torch's generator or from
            their own one; of batches that draw from elsewhere (numpy, ``random``) the bits may differ.

    Returns:
        The history. A fit that cannot go on ends with a reason in it, the parameters at the last good place.

    Raises:
        InputError: nothing to learn, no batches, weights of terms that there are not.
        CheckpointError: the checkpoint belongs to another model, rule or hooks; the model is as it was.
        GraphpdeError: the objective cannot be evaluated at the start, or a later batch cannot be used.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise InputError("the model has no parameters that require gradients; there is nothing to fit")
    _check(update, resume, hooks, tolerance)
    numerics = numerics or Numerics()
    stream = Stream(batches, numerics.accumulate, rng)
    if not isinstance(steps, Epochs):
        steps = whole("steps", steps, otherwise=", or passes through the batches such as Epochs(30)")
    closure = Evaluate(model, objective, list(parameters.values()), rng, dict(weights or {}), numerics)
    loop = _Loop(model, closure, stream, update, hooks, steps)
    with contextlib.ExitStack() as ends:
        for hook in hooks:
            ends.callback(getattr(hook, "end", _nothing))
        loop.begin(resume)
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
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.move, self.learning = update.bind(learning), list(learning)
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
            self._tell(taken)
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

    def _tell(self, taken: Taken) -> None:
        history = self.history
        for hook in self.hooks:
            ending = bool(history.reason) or self._done()
            progress = Progress(
                len(history), taken.at, self.model, history, self.planned, self.stream.passes, ending, self.state,
                taken.place,
            )  # fmt: skip
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
            "learning": self.learning,
            "update": self.move.state(),
            "closure": self.closure.state(),
            "batches": self.stream.state(),
            "history": history,
            "first": self.first,
            "hooks": [[type(hook).__name__, hook.state()] for hook in self.hooks if hasattr(hook, "state")],  # type: ignore[attr-defined]
            "random": random_states(self.closure.rng),
        }

    def begin(self, resume: Checkpoint | None) -> None:
        """Start anew, or go on from what :meth:`state` gave; a model that does not belong to it is not touched.

        Raises:
            CheckpointError: it belongs to another model, rule or hooks.
        """
        state: Mapping[str, Any] = {} if resume is None else resume.state
        remembering = [hook for hook in self.hooks if hasattr(hook, "state")]
        if resume is not None:
            self._check(state, [type(hook).__name__ for hook in remembering])
            self.move.load_state(state["update"])
            self.closure.load_state(state["closure"])
            self.stream.load_state(state["batches"])
            self.history, self.first = History.from_state(state["history"]), state["first"]
            self.over = self.history.reason
        for hook in self.hooks:
            getattr(hook, "begin", _nothing)(resume)
        if resume is not None:
            put_tensors(self.model, state["model"])
            for hook, (_, values) in zip(remembering, state["hooks"]):
                hook.load_state(values)  # type: ignore[attr-defined]
            set_random_states(state["random"], self.closure.rng)

    def _check(self, state: Mapping[str, Any], hooks: Sequence[str]) -> None:
        """Whether model, hooks and generator fit a checkpoint; the rule and the batches check themselves."""
        lacking = [name for name in _PARTS if name not in state]
        if lacking:
            raise CheckpointError(f"the checkpoint has no '{lacking[0]}'; it was not written by a fit of this version")
        check_tensors(self.model, state["model"])
        for name in sorted({*state["learning"]} ^ {*self.learning}):
            where = "this fit" if name in self.learning else "the fit of the checkpoint"
            raise CheckpointError(f"'{name}' learns in {where} only; let the same parameters require gradients")
        kept = [name for name, _ in state["hooks"]]
        if hooks != kept:
            raise CheckpointError(
                f"the checkpoint is of a fit with the hooks {', '.join(kept) or 'none'}, this one has "
                f"{', '.join(hooks) or 'none'}; give the same ones in the same order"
            )
        drawn, rng = state["random"]["rng"], self.closure.rng
        if (drawn is None) != (rng is None) or (rng is not None and rng.get_state().shape != drawn.shape):
            raise CheckpointError(
                f"the checkpoint is of a fit with {'no rng' if drawn is None else 'an rng'}, this one has "
                f"{'none' if rng is None else f'one on {rng.device}'}; give the same kind"
            )


_PARTS = ("model", "learning", "update", "closure", "batches", "history", "first", "hooks", "random")


def put_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Parameters and buffers of a model from tensors by name; all of them or none.

    Raises:
        CheckpointError: other names, shapes or types.
    """
    check_tensors(model, tensors)
    own = model.state_dict()
    with torch.no_grad():
        for name, new in tensors.items():
            own[name].copy_(new)


def check_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors by name are those of a model like this one.

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


def _nothing(resume: Checkpoint | None = None) -> None:
    """The beginning or the end of a hook that has none."""


def _check(update: Any, resume: Any, hooks: Any, tolerance: Any) -> None:
    """Tell what was meant where something similar was given."""
    if isinstance(update, type) or not hasattr(update, "bind"):
        given = f"the class {update.__name__}" if isinstance(update, type) else f"a {_kind(update)}"
        raise InputError(f"update is {given}, expected a rule of graphpde.train such as Adam(1e-3)")
    if resume is not None and not hasattr(resume, "state"):
        raise InputError(f"resume is a {_kind(resume)}, expected a checkpoint; give load_checkpoint(folder)")
    if callable(hooks):
        raise InputError(f"hooks is a {_kind(hooks)}, expected a list of hooks")
    number("tolerance", tolerance)


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _judge(history: History, taken: Taken, least: float) -> None:
    if taken.stop:
        history.reason, history.converged = taken.stop, taken.converged
    elif 0 < taken.at.gradient <= least:
        history.reason, history.converged = f"the gradient fell to {taken.at.gradient:.2g}", True
