"""Flows of viscous incompressible fluids: slow ones and those that carry themselves along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.area_vectors import AreaVectors
from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import edge_lengths, facet_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.ops.boundary import Dirichlet
from graphpde.ops.incompressible import (
    Convection,
    Pressure,
    Stokes,
    Velocity,
    checked_space,
    flow_channels,
    level_is_free,
    lowest_corner,
)
from graphpde.ops.system import System
from graphpde.ops.term import Condition, Sum
from graphpde.problems.pde import PDES, SPACE, Box, Coefficient, Pde, Plain, Value, rounded_down, setting_scale
from graphpde.problems.reaction_diffusion import two_digits
from graphpde.problems.values import FieldsAt, conductivity, typical

_IMBALANCE = 1e-3  # of the largest speed times the boundary: more than values at nodes miss of smooth data
_COURANT = 0.3  # distance between nodes that a step of an explicit convection may cross


@PDES.add("stokes")
class StokesProblem(Pde):
    """Slow viscous flow in the plane. Values on a set are velocities; what is not said is open: no traction there.

    A set may hold some components alone: velocity_y = 0 on a horizontal symmetry line. An inflow is a traction, force
    per length. A viscosity that varies takes the full stress, whose open ends bend a developed flow a little; one
    number leaves it as it is. Where the velocity is given all round the pressure is 0 at the lowest corner to the left.
    Alone, the fluid rests in a box and is stirred by a force.

    Reference: Stokes 1845; Taylor and Hood 1973 for the elements.
    """

    name, title = "stokes", "Stokes equations"
    equation = "density du/dt = div(viscosity grad u) - grad p + f,  div u = 0"
    fields = flow_channels(2)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"velocity": flow_channels(2)[:-1]}
    units: ClassVar[Mapping[str, str]] = {"velocity_x": "m/s", "velocity_y": "m/s", "pressure": "Pa"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "viscosity": Coefficient("dynamic viscosity", "mass/(length time)"),
        "density": Coefficient("density", "mass/volume", "number", 0.0),
    }
    levelled = True
    continuous = True
    fills = 2
    partly_held = True
    algebraic = True
    stepper = "bdf2"

    @property
    def dim(self) -> int:
        """How many components the velocity has."""
        return len(self.fields) - 1

    @property
    def held_fields(self) -> tuple[str, ...]:
        return self.fields[:-1]

    @property
    def pushed_fields(self) -> tuple[str, ...]:
        return self.fields[:-1]

    def held_parts(self, place: str, values: Mapping[str, Value], *, override: bool = False) -> Condition:
        channels = tuple(k for k, name in enumerate(self.fields) if name in values)
        if not channels:
            raise ConfigError(f"the value on '{place}' names no component, expected {', '.join(self.held_fields)}")
        field = FieldsAt([values[self.fields[k]] for k in channels])
        if len(channels) == self.dim:
            return Velocity(place, field, override=override)
        return Dirichlet(place, field, override=override, channels=channels)

    @classmethod
    def default_element(cls, mesh: Mesh) -> str | None:
        cls._refuse_other_dimensions(mesh)
        corners = {CELLS[kind].corners for kind in mesh.cells}
        if "pyramid" in corners:
            raise ConfigError(f"a flow has no elements on pyramids, '{mesh.name}' has some; split them into tetrahedra")
        return "q2" if corners & {"quad", "hexahedron", "wedge"} else "p2"

    @classmethod
    def _refuse_other_dimensions(cls, mesh: Mesh) -> None:
        if mesh.dim == mesh.space_dim == cls.fills:
            return
        if mesh.dim != mesh.space_dim or mesh.dim == 1:
            what = f"{mesh.dim}-D in {mesh.space_dim}-D"
            raise ConfigError(f"a flow needs cells that fill a plane or space, '{mesh.name}' is {what}")
        other = cls.name.removesuffix("-3d") + ("-3d" if mesh.dim == 3 else "")
        raise ConfigError(
            f"{cls.name} is for flows in {cls.fills} dimensions, '{mesh.name}' has {mesh.dim}; take --pde {other}"
        )

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"viscosity": two_digits(0.01 * Box.of(space).length), "density": 1.0}

    def default_boundary(self, space: Graph) -> dict[str, dict[str, Value]]:
        return {"boundary": dict.fromkeys(self.held_fields, 0.0)}

    def default_source(self, space: Graph, coefficients: Mapping[str, Plain]) -> dict[str, Value]:
        box = Box.of(space)
        x, y = (two_digits(v) if v else 0.0 for v in box.centre[:2].tolist())
        # a speed of about 1 where viscosity alone brakes: a tenth of L^2 / mu times the force
        size = two_digits(10 * typical(space, coefficients["viscosity"]) / box.length**2) / box.length
        return {
            "velocity_x": Formula(f"-{size:.3g} * (y - {y:g})", SPACE),
            "velocity_y": Formula(f"{size:.3g} * (x - {x:g})", SPACE),
        }

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        checked = checked_space(space)
        self._refuse_other_dimensions(checked.mesh)
        density = self._density(coefficients)
        viscosity = conductivity(space, coefficients["viscosity"], "viscosity")
        if isinstance(viscosity, Tensor) and viscosity.dim() > 1:
            raise ConfigError("the viscosity is a matrix, expected a number, a formula or a number per set of cells")
        if typical(space, coefficients["viscosity"]) <= 0:
            raise ConfigError("viscosity = 0, expected a positive number: nothing else brakes the flow")
        varies = not isinstance(viscosity, float | int)
        return Sum.of(Stokes(checked, viscosity, density, symmetric=varies))

    @staticmethod
    def _density(coefficients: Mapping[str, Plain]) -> float:
        return setting_scale(float(coefficients["density"]), f"density = {coefficients['density']:g}")

    def completed(self, total: Sum, space: Graph) -> Sum:
        assert isinstance(space, Space)
        if not level_is_free(total, space):
            return total
        _refuse_gain(total, space)
        return total + Pressure(torch.tensor([lowest_corner(space)]), 0.0)

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        size, mu = Box.of(space).length, typical(space, coefficients["viscosity"])
        return rounded_down(0.2 * size**2 * self._density(coefficients) / setting_scale(mu, f"viscosity = {mu:g}"))


def _refuse_gain(total: Sum, space: Space) -> None:
    """Refuse a velocity given all round that brings in more than leaves."""
    with torch.no_grad():
        f = System(total, None, torch.zeros((), dtype=torch.float64, device=space.device))
        d = space.mesh.space_dim
        given = f.reset(torch.zeros((), dtype=torch.float64), torch.zeros(space.n, d + 1, dtype=space.dtype))[:, :d]
        ids = space.mesh.tag("boundary").ids
        leaves = float(AreaVectors(space, [ids])(given))
        size = float(given.abs().max()) * float(facet_measures(space.mesh, ids).sum())
    if abs(leaves) > _IMBALANCE * size:
        what = (
            f"takes out {leaves:.4g} more than it brings in"
            if leaves > 0
            else f"brings in {-leaves:.4g} more than leaves"
        )
        raise ConfigError(f"the velocity is given all round and {what}; leave an end open, or balance the values")


@PDES.add("navier-stokes")
class NavierStokesProblem(StokesProblem):
    """Incompressible flow in the plane, with the sets and defaults of ``stokes``.

    Convection is extrapolated (``sbdf2``): one factorisation for the whole run, and steps that cross a third of the
    distance between nodes, at the largest speed given at the start. A run takes the time in which a speed of 1 crosses
    the domain twice.

    Reference: Navier 1823; Stokes 1845.
    """

    name, title = "navier-stokes", "Navier-Stokes equations"
    equation = "density (du/dt + (u . grad) u) = div(viscosity grad u) - grad p + f,  div u = 0"
    stepper = "sbdf2"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"viscosity": two_digits(0.01 * Box.of(space).length), "density": 1.0}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return super().terms(space, coefficients) + Convection(space, self._density(coefficients))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return rounded_down(2 * Box.of(space).length)

    def crossing_step(self, space: Graph, u0: Tensor, coefficients: Mapping[str, Plain]) -> float | None:
        assert isinstance(space, Space)
        speed = float(u0[:, : self.dim].norm(dim=1).max())
        apart = float(edge_lengths(space.mesh).min()) / space.element.degree
        return _COURANT * apart / max(speed, 1.0)


class _InSpace(StokesProblem):
    fills = 3
    fields = flow_channels(3)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"velocity": flow_channels(3)[:-1]}
    units: ClassVar[Mapping[str, str]] = {**dict.fromkeys(flow_channels(3), "m/s"), "pressure": "Pa"}


@PDES.add("stokes-3d")
class StokesInSpace(_InSpace):
    """Slow viscous flow in space; see ``stokes``."""

    name, title = "stokes-3d", "Stokes equations in space"


@PDES.add("navier-stokes-3d")
class NavierStokesInSpace(_InSpace, NavierStokesProblem):
    """Incompressible flow in space; see ``navier-stokes``."""

    name, title = "navier-stokes-3d", "Navier-Stokes equations in space"
