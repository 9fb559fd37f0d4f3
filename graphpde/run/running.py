"""What is known of a run while it goes on, and what its manifest says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphpde.dynamics import Adapted
from graphpde.run.fit_record import FitRecord
from graphpde.run.folder import RunFolder
from graphpde.run.frames import Frames
from graphpde.run.manifest import now
from graphpde.run.rhythm import Followed, Rhythm
from graphpde.run.run_result import adaptive, refined


@dataclass
class Running:
    """What is known of a run while it goes on; ``planned`` counts the saved moments without that of a stop.

    ``steps`` of the whole run is an estimate where they adapt, as ``control`` says.
    """

    setup: Any
    folder: RunFolder
    manifest: dict[str, Any]
    frames: Frames
    timings: dict[str, float]
    step: int = 0
    steps: int = 0
    planned: int = 0
    notes: list[str] = field(default_factory=list)
    control: Followed | None = None
    adapted: Adapted | None = None
    fitted: FitRecord | None = None

    @property
    def rhythm(self) -> Rhythm | None:
        """What the step control did so far; None for equal steps."""
        return None if self.control is None else self.control.rhythm

    def record(self, status: str, **more: Any) -> None:
        """Bring the manifest up to date."""
        numbers = {"steps": self.step, **adaptive(self.rhythm), **refined(self.adapted), "timings": self.timings}
        self.manifest.update(status=status, finished=now(), **numbers, **more)
        self.folder.write_manifest(self.manifest)

    def close(self, status: str) -> None:
        """Remove the raw states, unless they are the only ones that a stopped run can go on with."""
        if status == "ok" or self.setup.config.output.npz:
            self.frames.close()
