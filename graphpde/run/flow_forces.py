"""What a flow does to the parts of its boundary: forces, their coefficients, flow rates and pressures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.errors import ConfigError
from graphpde.mesh.area_vectors import AreaVectors
from graphpde.ops.incompressible import Stokes
from graphpde.ops.system import System
from graphpde.run.flux_shares import facet_corners
from graphpde.run.fluxes import BoundaryFluxes

_AXES = "xyz"


class Reference(NamedTuple):
    """Scales that make a force a coefficient, c = 2 F / (density speed^2 area); the area is a length in the plane."""

    speed: float
    area: float


class FlowForces:
    """Forces on named sets of facets, what flows out through them, and their mean pressure.

    A force is what holds the fluid's velocity at the nodes of a set, which keeps the momentum of the discrete flow to
    rounding and converges twice as fast as integrals of the stress (Gresho and Sani 1998). Sets whose
    velocity is free feel the traction given there.

    Args:
        system: of a flow. names: sets, "boundary"; None = every named set of the boundary.
        reference: to give coefficients too.

    Raises:
        ConfigError: the system is no flow. UnknownName, ConditionError: no such set of facets.
    """

    def __init__(self, system: System, names: Sequence[str] | None = None, reference: Reference | None = None):
        stokes = next((term for _, term in system.linear if isinstance(term, Stokes)), None)
        if stokes is None:
            raise ConfigError(f"forces on the boundary belong to flows, and this is {system.label}; leave them out")
        self._meter = BoundaryFluxes(system, names)
        self.names, self.reference = self._meter.names, reference
        space = stokes.domain
        self.dim, self.density = space.mesh.space_dim, stokes.density
        ids = [space.facet_ids(name) for name in self.names]
        self._vectors = AreaVectors(space, ids)
        self._corners = [facet_corners(space, each) for each in ids]

    @property
    def columns(self) -> list[str]:
        """Names of the numbers of a row: cylinder.force_x, ..., cylinder.outflow, cylinder.pressure."""
        each = [f"force_{axis}" for axis in _AXES[: self.dim]]
        if self.reference is not None:
            each += ["drag_coefficient", "lift_coefficient", "side_coefficient"][: self.dim]
        return [f"{name}.{what}" for name in self.names for what in (*each, "outflow", "pressure")]

    @torch.no_grad()
    def __call__(self, t: float | Tensor, u: Tensor, rate: Tensor | None = None) -> dict[str, float]:
        """The numbers of the state u [n, d + 1] at time t, by name."""
        return dict(zip(self.columns, self.row(t, u, rate), strict=True))

    @torch.no_grad()
    def row(self, t: float | Tensor, u: Tensor, rate: Tensor | None = None) -> list[float]:
        """The numbers of a state; ``rate`` is u' where it is known, zeros for a steady flow."""
        forces = -self._meter.at(t, u, rate).through[:, : self.dim].double()
        outflow = self._vectors(u[:, : self.dim]).double()
        out: list[float] = []
        pressure = u[:, -1].double().cpu()
        for k, corners in enumerate(self._corners):
            out += forces[k].tolist()
            if self.reference is not None:
                scale = 2 / (self.density * self.reference.speed**2 * self.reference.area)
                out += (forces[k] * scale).tolist()
            out += [float(outflow[k]), float(corners.size @ pressure[corners.node] / corners.size.sum())]
        return out


def reference_of(given: Mapping[str, float] | None) -> Reference | None:
    """The scales that a problem file gives."""
    return None if not given else Reference(given["speed"], given["area"])
