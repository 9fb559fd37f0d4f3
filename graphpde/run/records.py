"""What a run writes beside its fields: probes and fluxes at every step, integrals and lines at every saved moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.config.domain import open_space
from graphpde.ops.term import times_mass
from graphpde.run.flow_forces import FlowForces, reference_of
from graphpde.run.flux_record import FluxRecord
from graphpde.run.fluxes import BoundaryFluxes
from graphpde.run.integrals import Integrals
from graphpde.run.lines import Line
from graphpde.run.probes import Probes
from graphpde.run.rows import Rows, read_rows
from graphpde.viz import Certificate

PROBES, FLUXES, FORCES = "probes.csv", "fluxes.csv", "forces.csv"
INTEGRALS, LINES = "integrals.csv", "lines"
_TARGET = {torch.float64: 1e-10, torch.float32: 1e-4}


class Past(NamedTuple):
    """Where a stopped run goes on: time and state [n, c] after its last step, and the time of its last saved moment."""

    t: float
    u: Tensor
    frame: float


class Records:
    """The tables that ``[output]`` asks for.

    Args:
        setup: what runs.

    Attributes:
        probes, integrals, lines, fluxes, forces: what is measured; None or empty where nobody asked.

    Raises:
        InputError: a probe outside of the mesh, a line that misses it, a set that is not there or is of the wrong kind.
    """

    def __init__(self, setup: Setup):
        asked, space = setup.config.output, setup.space
        self.setup, fields = setup, setup.pde.fields
        self.probes = Probes(space, asked.probes) if asked.probes else None
        self.lines = [Line(space, *ends, name=name) for name, ends in asked.lines.items()]
        self.integrals: Integrals | None = None
        if asked.integrals is not None:
            self.integrals = Integrals(space, None if isinstance(asked.integrals, str) else asked.integrals)
        self.fluxes: FluxRecord | None = None
        if asked.fluxes is not None:
            names = None if isinstance(asked.fluxes, str) else asked.fluxes
            self.fluxes = FluxRecord(BoundaryFluxes(setup.system, names), fields, setup.stepper, _content(setup))
        self.forces: FlowForces | None = None
        if asked.forces is not None:
            names = None if isinstance(asked.forces, str) else asked.forces
            self.forces = FlowForces(setup.system, names, reference_of(asked.reference))
        self._tables: dict[str, Rows] = {}
        self._stepped = False

    def open(self, folder: Path, after: Past | None = None) -> None:
        """Write into a folder; ``after`` a run that was stopped there, go on with its tables."""
        fields = self.setup.pde.fields
        step = None if after is None else after.t
        frame = None if after is None else after.frame
        tables: list[tuple[str, list[str], float | None]] = []
        if self.probes is not None:
            tables.append((PROBES, ["t", *self.probes.columns(fields)], step))
        if self.fluxes is not None:
            tables.append((FLUXES, self.fluxes.columns, step))
        if self.forces is not None:
            tables.append((FORCES, ["t", *self.forces.columns], step))
        if self.integrals is not None:
            tables.append((INTEGRALS, ["t", *self.integrals.columns(fields)], frame))
        axes = "xyz"[: self.setup.space.mesh.space_dim]
        tables += [(f"{LINES}/{line.name}.csv", ["t", "s", *axes, *fields], frame) for line in self.lines]
        self._tables = {name: Rows(folder / name, header, keep=keep) for name, header, keep in tables}
        if after is not None:
            self._stepped = True
            if self.fluxes is not None:
                self.fluxes.go_on(*read_rows(folder / FLUXES), after.t, after.u)

    @torch.no_grad()
    def step(self, t: float, u: Tensor, dt: float | None = None) -> None:
        """The state u [n, c] after a step, whose length dt a difference of times may not know well enough."""
        self._stepped = True
        if self.probes is not None:
            self._tables[PROBES].add([t, *self.probes(u).double().reshape(-1).tolist()])
        if self.fluxes is not None:
            self._tables[FLUXES].add(self.fluxes.row(t, u, dt))
        if self.forces is not None:
            still = torch.zeros_like(u) if self.setup.stepper is None else None
            self._tables[FORCES].add([t, *self.forces.row(t, u, still)])

    @torch.no_grad()
    def frame(self, t: float, u: Tensor) -> None:
        """A saved moment."""
        if not self._stepped:  # the start, or a steady state
            self.step(t, u)
        if self.integrals is not None:
            self._tables[INTEGRALS].add([t, *self.integrals.row(u)])
        for line in self.lines:
            table, values = self._tables[f"{LINES}/{line.name}.csv"], line(u).double().cpu()
            rows = torch.cat([torch.full((len(values), 1), t), line.arc[:, None], line.points, values], 1)
            for row in rows.tolist():
                table.add(row)
        self.flush()

    def flush(self) -> None:
        """Everything so far is on the disk."""
        for table in self._tables.values():
            table.flush()

    def certificates(self) -> list[Certificate]:
        """The balance of the fluxes: what enters and is produced is what the content changes by."""
        if self.fluxes is None:
            return []
        setup, target = self.setup, _TARGET[self.setup.u0.dtype]
        if self.fluxes.steady or (setup.stepper is not None and setup.stepper.implicit):
            target = max(target, 10 * setup.config.solver.rtol)
        out = [Certificate("flux balance", self.fluxes.worst, target)]
        if not self.fluxes.steady:
            out.append(Certificate("amount balance", self.fluxes.drift(), target if self.fluxes.exact else None))
        return out


def _content(setup: Setup) -> Callable[[Tensor], Tensor] | None:
    """The content of a steady state [n, c] -> [c] as a run in time counts it, with the capacity of its materials.

    None where the mass says it already, or where no material has a capacity.
    """
    config = setup.config
    known = all(None not in (part.density, part.heat_capacity) for part in config.materials.values())
    if setup.stepper is not None or not setup.thermal or not known:
        return None
    space = open_space(replace(config, steady=False), setup.space.mesh, setup.u0.shape[-1])
    mass = space.to(setup.u0.device, setup.u0.dtype).mass
    return lambda u: times_mass(mass, u).sum(-2)
