"""Samples on meshes: points on a surface, and fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.cached import cached
from graphpde.errors import CheckpointError, ConfigError, DatasetError
from graphpde.flow.coupling import Cost
from graphpde.flow.fields import MeshVelocity
from graphpde.flow.flow import Flow
from graphpde.flow.matching import FlowMatching
from graphpde.flow.premetric import SpectralPremetric, SurfaceMatching
from graphpde.flow.surface import SurfaceFlow, SurfaceVelocity
from graphpde.mesh import Locator, Mesh, Space, read_mesh, submesh, write_mesh
from graphpde.mesh.faces import Faces, OnSurface
from graphpde.ops.eigenbasis import EigenBasis, eigenbasis
from graphpde.ops.laws import Law
from graphpde.ops.random_fields import GaussianField
from graphpde.ops.system import mass_operator
from graphpde.run.experiment import checksum
from graphpde.run.flows.config import FlowConfig
from graphpde.run.flows.places import About, Place, Standardised, moments, smooth_network

MESH = "mesh.vtu"
"""What a run folder keeps of the mesh."""


class OnMesh(Place):
    """Samples that belong to a mesh: the one that the run folder keeps, or that of the configuration."""

    def __init__(self, config: FlowConfig, about: About, folder: Path | None = None):
        super().__init__(config, about)
        if folder is None:
            self.mesh, dropped = _used(read_mesh(config.data.mesh))
            if dropped:
                self.notes.append(f"{dropped} points of '{config.data.mesh}' that belong to no cell were left out")
            self.about = {**about, "mesh": _seal(self.mesh)}
        else:
            self.mesh = _kept(folder / MESH, about.get("mesh"))

    def keep(self, folder: Path) -> None:
        write_mesh(folder / MESH, self.mesh)


def _used(mesh: Mesh) -> tuple[Mesh, int]:
    """The mesh without points that no cell has, and how many those were."""
    idle = mesh.n - len(torch.unique(torch.cat([nodes.reshape(-1) for nodes in mesh.cells.values()])))
    return (submesh(mesh, torch.arange(mesh.n_cells)), idle) if idle else (mesh, 0)


def _seal(mesh: Mesh) -> str:
    return checksum([mesh.points, *mesh.cells.values()])


def _kept(file: Path, seal: str | None) -> Mesh:
    """The mesh of a run folder, which has to be that of the training: modes and samples belong to its points."""
    if not file.is_file():
        raise CheckpointError(f"there is no '{file}', the mesh that this flow was learned on; put it back")
    mesh = read_mesh(file)
    if _seal(mesh) != seal:
        raise CheckpointError(f"'{file}' is not the mesh that this flow was learned on; put that one back")
    return mesh


class Surface(OnMesh):
    """Points on a closed surface of triangles; a state is the number of its face and three weights [k, 4]."""

    by = "unit of area"
    dtype = torch.float64  # numbers of faces, and weights that add up to 1
    usual = (("x", "y", "z"),)

    def __init__(self, config: FlowConfig, about: About, folder: Path | None = None):
        super().__init__(config, about, folder)
        self.faces = Faces(self.mesh)

    @cached
    def basis(self) -> EigenBasis:
        """Modes of the surface."""
        model = self.config.model
        least = max(model.features, model.fields, self.config.data.mode) + 1
        found = eigenbasis(Space(self.faces.mesh), max(model.modes, least))
        mode = self.config.data.mode
        if mode >= found.k:
            raise ConfigError(
                f"data.mode is {mode}, and '{self.mesh.name}' of {self.mesh.n} points has modes 1 to {found.k - 1}; "
                f"take one of these"
            )
        return found

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        if x is not None and (x.dim() != 2 or x.shape[1] != 3):
            raise DatasetError(f"the samples have shape {list(x.shape)}, expected points x, y, z on the surface")
        return {"channels": 3}

    def encode(self, x: Tensor) -> Tensor:
        self.fits(x, 3)
        found = Locator(self.faces.mesh).locate(x, reach=math.inf)
        far = float(found.distance.max())
        size = float((self.mesh.points.max(0).values - self.mesh.points.min(0).values).max())
        if far > 0.05 * size:
            raise DatasetError(
                f"a sample lies {far:.3g} from the surface, whose size is {size:.3g}; are both in the same units?"
            )
        return torch.cat([found.cells[:, None].double(), found.weights[:, :3]], 1)

    def decode(self, state: Tensor) -> Tensor:
        return self.faces.position(OnSurface.of_rows(state))

    def shape(self) -> tuple[int, ...]:
        return (4,)

    def columns(self) -> list[str]:
        return list(self.about.get("names") or self.usual[0])

    def width(self) -> int:
        return 64  # a few numbers for each edge of the face

    def exact(self, model: nn.Module) -> nn.Module:
        return model  # traced in double precision as it is

    @cached
    def density(self) -> Tensor:
        """The positive part of a mode, at the points of the mesh, with the integral 1."""
        positive = self.basis.vectors[:, self.config.data.mode].clamp_min(0)
        return positive / float((self.faces.area[:, None] * positive[self.faces.corners] / 3).sum())

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        return self.faces.draw(count, rng, self.density).rows

    def entropy(self, states: Tensor) -> float | None:
        if not self.config.data.mode:
            return None
        return -float(self.faces.interpolate(self.density[:, None], OnSurface.of_rows(states)).log().mean())

    def module(self, kept: Mapping[str, Tensor] | None = None) -> nn.Module:
        model = self.config.model
        net = smooth_network(model, model.features, 2 * model.fields)
        basis = self.basis if kept is None or not {"modes", "values"} <= kept.keys() else self._again(kept)
        return SurfaceVelocity(self.faces, basis, net, fields=model.fields, features=model.features)

    def _again(self, kept: Mapping[str, Tensor]) -> EigenBasis:
        """The modes of the training: signs and turns of new ones would be others."""
        modes = kept["modes"]
        return EigenBasis(kept["values"], modes, mass_operator(Space(self.faces.mesh).mass, modes).matvec(modes))

    @cached
    def premetric(self) -> SpectralPremetric:
        """By which points go to their ends, and are coupled."""
        return SpectralPremetric(self.faces, self.basis)

    @property
    def cost(self) -> Cost:
        return self.premetric.squared_distances

    def objective(self) -> Any:
        matching = SurfaceMatching(self.premetric, steps=self.config.flow.steps, coupling=self.coupling)
        return lambda model, batch, rng: matching(model, OnSurface.of_rows(batch), rng)

    def flow(self, model: nn.Module) -> Any:
        return _SurfaceStates(SurfaceFlow(model, steps=self.config.flow.steps))  # type: ignore[arg-type]


class _SurfaceStates:
    """A flow on a surface whose points are rows of numbers."""

    def __init__(self, flow: SurfaceFlow):
        self.flow = flow

    def sample(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        with torch.no_grad():
            return self.flow.sample(len(like), rng).at.rows

    def log_density(self, states: Tensor) -> Tensor:
        return self.flow.log_density(OnSurface.of_rows(states))


class Fields(OnMesh, Standardised):
    """Fields at the points of a mesh [k, n, c], each channel in units of its deviation; the base is a smooth field."""

    sample = "state"
    dense = False  # the law lives on modes, of which there are fewer than nodes

    def __init__(self, config: FlowConfig, about: About, folder: Path | None = None):
        super().__init__(config, about, folder)
        self.space = Space(self.mesh)
        if "nodes" in about and about["nodes"] != self.space.n:
            raise DatasetError(f"the fields have {about['nodes']} nodes, the mesh has {self.space.n} used points")

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        if x is None or x.dim() != 3:
            got = "none" if x is None else f"of shape {list(x.shape)}"
            raise DatasetError(f"the samples are {got}, expected fields [k, n, c] at the points of the mesh")
        return {"nodes": x.shape[1], "channels": x.shape[2], **moments(x, "channel")}

    def shape(self) -> tuple[int, ...]:
        return (int(self.about["nodes"]), int(self.about["channels"]))

    @cached
    def _base(self) -> GaussianField:
        length = self.config.model.length
        field = GaussianField(self.space, kappa=1 / length, s=2.0, modes=self.config.model.modes)
        size = float((field.deviations.square().sum() / self.space.measure.sum()).sqrt())  # root mean square
        return GaussianField(self.space, kappa=1 / length, s=2.0, scale=1 / size, modes=self.config.model.modes)

    @property
    def base(self) -> Law:
        return self._base

    def width(self) -> int:
        return int(self.about["nodes"]) * max(self.config.model.hidden * self.config.model.blocks, self.shape()[1])

    def module(self, kept: Mapping[str, Tensor] | None = None) -> nn.Module:
        model = self.config.model
        sizes = {"hidden": model.hidden, "blocks": model.blocks, "modes": model.modes}
        return MeshVelocity(int(self.about["channels"]), length=model.length, **sizes)

    def objective(self) -> Any:
        return FlowMatching(self.path, self.coupling, base=self.base, sample=self.sample, graph=self.space)

    def flow(self, model: nn.Module) -> Flow:
        return super().flow(model.on(self.space))  # type: ignore[operator]
