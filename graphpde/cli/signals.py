"""Ctrl-C and SIGTERM ask a run to stop after its step; a second Ctrl-C stops it at once."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

WATCHED = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A context in which the first signal is remembered and the second one interrupts.

    Called, it says whether somebody asked to stop. ``code``: the exit code for that, 128 + number of the signal.
    ``what``: said at the first signal.
    """

    def __init__(self, what: str = "stopping after this step") -> None:
        self.what = what
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.received is not None

    @property
    def code(self) -> int:
        return 128 + (self.received or signal.SIGINT)

    def __enter__(self) -> StopRequest:
        for number in WATCHED:
            try:
                self._before[number] = signal.signal(number, self._handle)
            except ValueError:  # not in the main thread: whoever runs us there stops us in another way
                break
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        print(f"\n{self.what} (again to stop at once)", file=sys.stderr, flush=True)
