"""What a run came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphpde.dynamics import Adapted
from graphpde.run.rhythm import Rhythm
from graphpde.viz import Certificate


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        status: "ok" or "interrupted". folder: where everything lies.
        unknowns, steps, seconds: its size and cost, steps as taken. rhythm: what the step control did; None for equal
            steps. adapted: how the mesh was refined, where it was.
        certificates: what was promised and kept. final: field -> its range and integral at the last saved moment.
        warnings: about the mesh and the run, one sentence each. units: of fields, lengths, times, stresses and forces.
    """

    status: str
    folder: Path
    unknowns: int
    steps: int
    seconds: float
    certificates: Sequence[Certificate]
    final: dict[str, dict[str, float]]
    files: Sequence[Path]
    warnings: Sequence[str] = ()
    rhythm: Rhythm | None = None
    adapted: Adapted | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For machines; paths are absolute."""
        return {
            "status": self.status,
            "unknowns": self.unknowns,
            "steps": self.steps,
            **adaptive(self.rhythm),
            **refined(self.adapted),
            "seconds": self.seconds,
            "certificates": {c.name: c.as_dict() for c in self.certificates},
            "final": self.final,
            "units": dict(self.units),
            "files": [str(file.resolve()) for file in self.files],
            "folder": str(self.folder.resolve()),
            "warnings": list(self.warnings),
        }


def adaptive(rhythm: Rhythm | None) -> dict[str, Any]:
    """What the step control did, for machines; nothing for equal steps."""
    return {} if rhythm is None else {"adaptive": rhythm.as_dict()}


def refined(adapted: Adapted | None) -> dict[str, Any]:
    """How the mesh was refined, for machines; nothing where it was not."""
    if adapted is None:
        return {}
    rounds = [{"unknowns": r.unknowns, "cells": r.cells, "estimate": r.estimate} for r in adapted.rounds]
    return {"adapt": {"within": adapted.within, "rounds": rounds}}
