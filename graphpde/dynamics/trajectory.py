"""What a run leaves behind, and the policies that decide how much of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.dynamics.state import leaves, tree_map
from graphpde.errors import InputError
from graphpde.typing import State


@dataclass(frozen=True)
class Trajectory:
    """Saved states of a run.

    Attributes:
        times: saved times [s]. states: states at them [s, *, n, c] (or a tuple of such).
        domain: graph or space the states live on, or None. steps: steps taken. statistics: what was counted.
        events: what happened on the way, in order of time. dense: the solution at any time, where it was kept.
    """

    times: Tensor
    states: State
    domain: Graph | None = None
    steps: int = 0
    statistics: dict[str, Any] = field(default_factory=dict)
    events: tuple[Any, ...] = ()
    dense: Any = None

    @property
    def final(self) -> State:
        """The last saved state [*, n, c]."""
        return tree_map(lambda x: x[-1], self.states)

    def __len__(self) -> int:
        return len(self.times)


class Save(Protocol):
    """A policy: told every saved time in turn, asked for what it kept at the end."""

    def add(self, t: Tensor, u: State) -> None: ...

    def kept(self) -> tuple[list[Tensor], list[State]]: ...


class SaveAll:
    """Keep the state at every one of the ``times``."""

    def __init__(self) -> None:
        self.times: list[Tensor] = []
        self.states: list[State] = []

    def add(self, t: Tensor, u: State) -> None:
        self.times.append(t)
        self.states.append(u)

    def kept(self) -> tuple[list[Tensor], list[State]]:
        return self.times, self.states


class SaveLast(SaveAll):
    """Keep only the last state: memory of one."""

    def add(self, t: Tensor, u: State) -> None:
        self.times, self.states = [t], [u]


class SaveTo(SaveLast):
    """Hand every state to a function (t, u), for example a writer of files, and keep only the last.

    Args:
        sink: called with the 0-d time and the detached state.
    """

    def __init__(self, sink: Callable[[float, State], None]):
        super().__init__()
        self.sink = sink

    def add(self, t: Tensor, u: State) -> None:
        super().add(t, u)
        self.sink(float(t), tree_map(lambda x: x.detach(), u))


def saving(save: Save | None) -> Save:
    """The policy of one run; default: every one of its times.

    Raises:
        InputError: no policy, or one that holds the states of another run.
    """
    if save is None:
        return SaveAll()
    if isinstance(save, type) or not (hasattr(save, "add") and hasattr(save, "kept")):
        got = f"the class {save.__name__}" if isinstance(save, type) else repr(save)
        raise InputError(f"save is {got}, expected a policy such as SaveAll(), SaveLast(), SaveDense()")
    if save.kept()[0]:
        raise InputError(f"this {type(save).__name__}() holds the states of another run; make a new one for each")
    return save


def stacked(states: list[State]) -> State:
    """[s, *, n, c] from s states."""
    if not leaves(states[0]):
        return states[0]
    return tree_map(lambda *x: torch.stack(x), *states)
