"""What differs between runs on meshes and runs of particles: how they are measured, saved, judged and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from graphpde.run.estimate import Estimate
    from graphpde.run.frames import Frames
    from graphpde.run.running import Running
    from graphpde.solve.result import Result
    from graphpde.viz import Certificate, Picture, Section


class Series(Protocol):
    """The saved states for other programs."""

    def add(self, t: float, u: Tensor) -> None:
        """Write the state u [n, c]."""

    def go_on(self, count: int) -> None:
        """Take up the series after its first ``count`` frames."""


class Kit(Protocol):
    """How runs of one kind are measured, saved, judged and told.

    Attributes:
        setup: what runs. meter: measures states, ``at(step, t, u)``. records: the tables beside the states.
    """

    setup: Any
    records: Any

    @property
    def meter(self) -> Any:
        """Made when the first state is to be measured."""

    @property
    def size(self) -> str:
        """How much runs, for people."""

    @property
    def title(self) -> str:
        """What runs where, for people."""

    @property
    def needs(self) -> Estimate:
        """Memory and disk that the run takes, about."""

    @property
    def positions(self) -> Tensor:
        """Of the nodes at the start [n, d], beside the packed states."""

    def place(self) -> dict[str, Any]:
        """What the manifest says of where it runs."""

    def fingerprint(self) -> dict[str, Any]:
        """Checksums that tell whether a run that goes on is still on the same mesh."""

    def series(self, frames: Frames) -> Series:
        """Writes the states."""

    def check(self, step: int, steps: int, t: float, u: Tensor) -> None:
        """Refuse a state after a step that cannot be right, and end the run.

        Raises:
            SolveError: why.
        """

    def certificates(self, moments: Sequence[Any], result: Result | None) -> list[Certificate]:
        """What the run promises, checked."""

    def final(self, moment: Any) -> dict[str, dict[str, float]]:
        """Name -> numbers at the last saved moment."""

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        """The same for people, a line each."""

    def script(self, command: str) -> str:
        """A Python script that does the same."""

    def doubts(self, moments: Sequence[Any], certificates: Sequence[Certificate]) -> list[str]:
        """What is wrong with the result, one sentence each."""

    def remarks(self, moments: Sequence[Any]) -> list[str]:
        """What looks like an oversight in the result."""

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        """Save the pictures and return them, and the parts of the page beside them."""

    def took(self, steps: int) -> str:
        """What was computed in so many steps, for people."""

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        """The result in a sentence, without full stop."""

    def write_page(self, path: Path, pictures: Sequence[Picture], certificates: Sequence[Certificate],
                   numbers: Mapping[str, Any], summary: str, sections: Sequence[Section]) -> Path:  # fmt: skip
        """Write the report; ``numbers``: "timings" and "command"."""


@singledispatch
def kit_of(setup: Any) -> Kit:
    """The kit of what runs.

    Raises:
        InputError: what is asked to be measured is not there.
    """
    raise TypeError(f"no kit for a {type(setup).__name__}")
