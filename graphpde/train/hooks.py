"""What watches a fit: measuring, keeping the best, stopping early, telling how far it is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.errors import InputError
from graphpde.registry import missing
from graphpde.train.fit import Interruption, Progress, put_tensors

if TYPE_CHECKING:
    from graphpde.train.checkpoint import Checkpoint

_MODES = ("min", "max")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode and without gradients; afterwards every module is in the mode of before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module in training:
            module.training = True


class Measure:
    """Measures the model every so many steps and adds what it found to the row of the history.

    Args:
        measure: model, in evaluation mode -> values by name, such as the accuracy on nodes held out.
        every: steps.
    """

    def __init__(self, measure: Callable[[nn.Module], Mapping[str, float]], every: int = 1):
        self.measure, self.every = measure, whole("every", every)

    def __call__(self, progress: Progress) -> None:
        if progress.step % self.every and not progress.ending:
            return
        with evaluating(progress.model) as model:
            found = self.measure(model)
        if not isinstance(found, Mapping):
            kind = type(found).__name__
            raise InputError(f"what Measure calls returned a {kind}, expected values by name, such as {{'error': 0.1}}")
        progress.history.record(found)


class Best:
    """Keeps parameters and buffers of the step with the best value of a column of the history.

    Kept are the parameters that the value belongs to. The objective of a step of Adam or gradient descent is that of
    the place where the step starts, so for "loss" and its terms it is that one; what was measured is of the end.

    Args:
        column: such as one that :class:`Measure` adds; that hook comes first. mode: "max" or "min".

    Attributes:
        step, value: of the best so far; 0 and nan before the first one. tensors: of the model, by name.
    """

    def __init__(self, column: str, mode: str = "max"):
        self.column, self._sign = column, _sign(mode)
        self.begin()

    def begin(self, resume: Checkpoint | None = None) -> None:
        """Forget the best step of another fit."""
        self.step, self.value, self.tensors = 0, math.nan, dict[str, Tensor]()

    def __call__(self, progress: Progress) -> None:
        value = _watched(self.column, progress, self.value)
        if not math.isnan(value) and not self._sign * value <= self._sign * self.value:
            self.step, self.value = progress.step, value
            of_objective = self.column in ("loss", "gradient", *progress.at.terms)
            place = progress.place if of_objective else {}
            there = {id(p): place[name] for name, p in progress.model.named_parameters() if name in place}
            own = progress.model.state_dict(keep_vars=True)  # one tensor may have several names in it
            self.tensors = {name: there.get(id(t), t).detach().clone() for name, t in own.items()}

    def restore(self, model: nn.Module) -> None:
        """Give the model what it had in the best step.

        Raises:
            InputError: there was no step with a value.
        """
        if not self.step:
            raise InputError(f"no step of the fit had a value of '{self.column}'; there is no best one to go back to")
        put_tensors(model, self.tensors)

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"step": self.step, "value": self.value, "tensors": self.tensors}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.step, self.value, self.tensors = state["step"], state["value"], dict(state["tensors"])


class EarlyStopping:
    """Ends a fit whose column of the history has not improved for so many of its values.

    Args:
        column: such as one that :class:`Measure` adds; that hook comes first. patience: values without improvement.
        mode: "max" or "min". least: an improvement is more than this.
    """

    def __init__(self, column: str, patience: int, mode: str = "max", least: float = 0.0):
        self.column, self._sign, self.least = column, _sign(mode), least
        self.patience = whole("patience", patience)
        self.begin()

    def begin(self, resume: Checkpoint | None = None) -> None:
        """Forget the values of another fit."""
        self.value, self.waited = math.nan, 0

    def __call__(self, progress: Progress) -> str | None:
        value = _watched(self.column, progress, self.value)
        if math.isnan(value):
            return None
        if not self._sign * value <= self._sign * self.value + self.least:
            self.value, self.waited = value, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        return f"'{self.column}' has not improved on {self.value:.6g} for {self.waited} values"

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"value": self.value, "waited": self.waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.value, self.waited = state["value"], state["waited"]


class Interrupt:
    """Ends a fit when somebody asks to; a resumed one goes on.

    Args:
        asked: whether somebody has, such as the flag that a signal sets.
    """

    def __init__(self, asked: Callable[[], bool]):
        self.asked = asked

    def __call__(self, progress: Progress) -> str | None:
        return Interruption("interrupted") if self.asked() else None


class Report:
    """Tells how far a fit is, and when it may end.

    Args:
        tell: takes one line; by default it goes to the standard error stream. every: seconds between two lines.
        columns: of the history, beside the loss.
    """

    def __init__(self, tell: Callable[[str], Any] | None = None, every: float = 1.0, columns: tuple[str, ...] = ()):
        self.tell, self.every, self.columns = tell or _to_stderr, every, columns
        self.begin()

    def begin(self, resume: Checkpoint | None = None) -> None:
        """Forget the times of another fit."""
        self._began = self._told = -math.inf
        self._before = 0

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        if self._began < 0:  # the first step of a process also pays for what is made only once
            self._began, self._before = now, progress.step
        if now - self._told < self.every and not progress.ending:
            return
        self._told = now
        row = progress.history.rows[-1]
        known = [
            f"{name} {row[name]:.4g}" for name in ("loss", *self.columns) if not math.isnan(row.get(name, math.nan))
        ]
        of = "" if progress.steps is None else f" of {progress.steps}"
        self.tell(", ".join([f"step {progress.step}{of}", *known, *self._rest(progress, now)]))

    def _rest(self, progress: Progress, now: float) -> list[str]:
        done = progress.step - self._before
        if progress.ending:
            return [f"{_clock(progress.history.seconds)} in all"]
        if progress.steps is None or not done:
            return []
        return [f"{_clock((progress.steps - progress.step) * (now - self._began) / done)} to go"]


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d} h" if hours else f"{minutes}:{whole % 60:02d} min"


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def _watched(column: str, progress: Progress, best: float) -> float:
    """The value of this step, nan where it has none; that no step had one is a mistake, told when the fit ends.

    Raises:
        UnknownName: there is no such column. InputError: it is filled after the hook has looked.
    """
    row = progress.history.rows[-1]
    value = row.get(column, math.nan)
    if progress.ending and math.isnan(value) and math.isnan(best):
        if column not in row:
            raise missing("the history", "column", column, row)
        if not all(math.isnan(v) for v in progress.history[column]):
            raise InputError(f"'{column}' is measured after what watches it; give the hooks in the other order")
    return value


def _sign(mode: str) -> float:
    if mode not in _MODES:
        raise InputError(f"mode is '{mode}', expected 'min' or 'max'")
    return 1.0 if mode == "max" else -1.0
