"""Where the samples of a flow live: what a network is there, what a user's numbers mean, what densities count by.

Each place turns samples of the user into states of the flow and back, and corrects densities by the change of units.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphpde.data.planar import PLANAR
from graphpde.dynamics.control import Adaptive
from graphpde.errors import DatasetError
from graphpde.flow.coupling import COUPLINGS, Cost, Coupling, OptimalCoupling, SinkhornCoupling
from graphpde.flow.flow import Flow
from graphpde.flow.likelihood import Likelihood
from graphpde.flow.manifold import GeodesicPath, Manifold, Sphere, Tangent, Torus
from graphpde.flow.matching import FlowMatching
from graphpde.flow.particles import PairVelocity
from graphpde.flow.path import PATHS, Path
from graphpde.flow.velocity import PointVelocity
from graphpde.ops.laws import CentredNormal, Law, Normal
from graphpde.run.flows.config import FlowConfig, ModelChoice
from graphpde.solve.transport import squared_distances

_STILL = 1e-12  # deviation of a constant, by its size: what rounding leaves
_WAVES = 128  # that a network on a sphere or torus sees
_ROOM = 2**24  # numbers that are kept at once, about
_SEEN = 1e-4  # tolerance of what is only looked at

About = Mapping[str, Any]
"""What a model has to know of the data it was learned from: plain values, kept with it."""


def smooth_network(model: ModelChoice, channels: int, out: int | None = None, waves: int = 0) -> PointVelocity:
    """A velocity whose densities have no kinks; ``waves`` where the model does not say how many it sees."""
    return PointVelocity(
        channels, hidden=model.hidden, layers=model.layers, activation=nn.functional.silu,
        frequencies=model.frequencies, out=out, waves=waves if model.waves is None else model.waves,
    )  # fmt: skip


class Place:
    """Samples of one kind.

    Args:
        config: what was asked for. about: see :meth:`learn`. folder: of a run that is opened again.

    Attributes:
        sample: what one sample is, see :class:`~graphpde.flow.Flow`. by: what densities count by, in words.
        dense: whether samples have densities. dtype: of states while learning.
        usual: names of columns in the order that counts, for each kind of table.
        notes: sentences on what was done to the data.
    """

    sample: ClassVar[str] = "node"
    by: ClassVar[str] = "unit of every column"
    dense: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.float32
    usual: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __init__(self, config: FlowConfig, about: About, folder: FilePath | None = None):
        self.config, self.about = config, about
        self.notes: list[str] = []

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        """What is to be known of the samples [k, ...] that are learned from; None: they are drawn from a law.

        Raises:
            DatasetError: samples that do not belong there.
        """
        raise NotImplementedError

    def encode(self, x: Tensor) -> Tensor:
        """States of samples, float64.

        Raises:
            DatasetError: samples that do not belong there.
        """
        raise NotImplementedError

    def decode(self, state: Tensor) -> Tensor:
        """Samples of states."""
        raise NotImplementedError

    def correction(self) -> float:
        """What is added to the log-density of a state to get that of the sample."""
        return 0.0

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """States drawn from the law that the configuration names."""
        raise NotImplementedError

    def entropy(self, states: Tensor) -> float | None:
        """Of that law in nats, estimated from states; None where there is no law."""
        return None

    def keep(self, folder: FilePath) -> None:
        """Write what a run folder needs to open the flow again, beside the model."""

    def module(self, kept: Mapping[str, Tensor] | None = None) -> nn.Module:
        """A new model; ``kept``: tensors of a saved one, whose constants it is made with."""
        raise NotImplementedError

    def exact(self, model: nn.Module) -> nn.Module:
        """The model in double precision, for densities: rounding must not decide over the length of steps."""
        return copy.deepcopy(model).double()

    def at_once(self) -> int:
        """How many samples are carried together, so that memory does not grow with their number."""
        return max(_ROOM // self.width(), 1)

    def width(self) -> int:
        """How many numbers are kept for one sample, about."""
        return max(math.prod(self.shape()), self.config.model.hidden * self.config.model.layers)

    @property
    def base(self) -> Law:
        """The law at t = 0."""
        return Normal()

    @property
    def path(self) -> Path:
        """Of flow matching."""
        return PATHS[self.config.flow.path](sigma=self.config.flow.sigma)  # type: ignore[call-arg]

    def flow(self, model: nn.Module) -> Flow:
        """The flow of a model, integrated as tightly as was asked for; each sample takes steps of its own."""
        tolerance = self.config.flow.tolerance
        return self._flow(model, Adaptive(rtol=tolerance, atol=tolerance, each=self.sample))

    def rough_flow(self, model: nn.Module) -> Flow:
        """The same for pictures, to a thousandth of the largest density: all samples take the same steps."""
        tolerance = max(self.config.flow.tolerance, _SEEN)
        return self._flow(model, Adaptive(rtol=tolerance, atol=tolerance))

    def _flow(self, model: nn.Module, control: Adaptive) -> Flow:
        return Flow(model, self.base, sample=self.sample, control=control)

    @property
    def cost(self) -> Cost:
        """Of pairs of states, by which couplings choose."""
        return squared_distances

    @property
    def coupling(self) -> Coupling:
        """Of flow matching."""
        kind: Any = COUPLINGS[self.config.flow.coupling]
        return kind(cost=self.cost) if kind in (OptimalCoupling, SinkhornCoupling) else kind()

    def objective(self) -> Any:
        """What is minimised."""
        choice = self.config.flow
        if choice.method == "likelihood":
            return Likelihood(
                lambda model: Flow(model, self.base, sample=self.sample, stepper="rk4", dt=0.1),
                probes=choice.probes, kinetic=choice.kinetic, jacobian=choice.jacobian,
            )  # fmt: skip
        return FlowMatching(self.path, self.coupling, base=self.base, sample=self.sample)

    def fits(self, x: Tensor, *tail: int) -> None:
        """Refuse samples of another shape than [k, *tail].

        Raises:
            DatasetError: both shapes.
        """
        if list(x.shape[1:]) != list(tail):
            wanted = ", ".join(map(str, ("k", *tail)))
            raise DatasetError(f"the samples have shape {list(x.shape)}, this flow was learned from [{wanted}]")

    def shape(self) -> tuple[int, ...]:
        """Of the state of one sample."""
        return (int(self.about["channels"]),)

    def columns(self) -> list[str]:
        """Names of the columns of a table of samples."""
        names = list(self.about.get("names") or ())
        return names or [f"x{k}" for k in range(1, int(self.about["channels"]) + 1)]


class Standardised(Place):
    """Numbers in units of their deviation, channel by channel."""

    def encode(self, x: Tensor) -> Tensor:
        self.fits(x, *self.shape())
        return (x - self._tensor("mean")) / self._tensor("std")

    def decode(self, state: Tensor) -> Tensor:
        return state.double() * self._tensor("std") + self._tensor("mean")

    def _tensor(self, name: str) -> Tensor:
        return torch.tensor(self.about[name], dtype=torch.float64)


def moments(x: Tensor, what: str) -> dict[str, Any]:
    """Mean and deviation of every channel [*, c].

    Raises:
        DatasetError: a channel that never changes.
    """
    flat = x.flatten(0, -2)
    std = flat.std(0)
    still = std <= _STILL * flat.abs().amax(0)
    if bool(still.any()):
        raise DatasetError(f"{what} {int(still.nonzero()[0, 0]) + 1} of the samples never changes; leave it out")
    return {"mean": flat.mean(0).tolist(), "std": std.tolist()}


class Space(Standardised):
    """Rows of numbers, or points drawn from a law in the plane."""

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        if x is None:
            return {"channels": 2, "mean": [0.0, 0.0], "std": [1.0, 1.0]}
        if x.dim() != 2:
            raise DatasetError(
                f"the samples have shape {list(x.shape)}, expected rows of numbers [k, c]; say model.on for others"
            )
        return {"channels": x.shape[1], **moments(x, "column")}

    def correction(self) -> float:
        return -float(self._tensor("std").log().sum())

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        return self.encode(PLANAR[self.config.data.name].draw(count, rng, torch.float64)).to(self.dtype)

    def entropy(self, states: Tensor) -> float | None:
        law = PLANAR[self.config.data.name] if self.config.data.name else None
        return None if law is None else -float(law.log_density(self.decode(states)).mean())

    def module(self, kept: Mapping[str, Tensor] | None = None) -> nn.Module:
        return smooth_network(self.config.model, int(self.about["channels"]))


class OnManifold(Place):
    """Points of a manifold with closed geodesics."""

    manifold: Manifold

    @property
    def base(self) -> Law:
        return self.manifold.uniform

    @property
    def path(self) -> Path:
        return GeodesicPath(self.manifold)

    @property
    def cost(self) -> Cost:
        return self.manifold.squared_distances

    def module(self, kept: Mapping[str, Tensor] | None = None) -> nn.Module:
        here = self.manifold
        seen = here.features(torch.zeros(1, here.channels)).shape[-1]
        return Tangent(smooth_network(self.config.model, seen, here.channels, waves=_WAVES), here)

    def decode(self, state: Tensor) -> Tensor:
        return self.manifold.nearest(state.double())


class OnSphere(OnManifold):
    """Latitude and longitude, or three coordinates of directions."""

    by = "steradian"
    usual = (("latitude", "longitude"), ("x", "y", "z"))

    def __init__(self, config: FlowConfig, about: About, folder: FilePath | None = None):
        super().__init__(config, about, folder)
        self.manifold = Sphere(3)

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        assert x is not None
        if x.dim() != 2 or x.shape[1] not in (2, 3):
            raise DatasetError(
                f"the samples have shape {list(x.shape)}, expected latitude and longitude, or three coordinates"
            )
        if x.shape[1] == 3 and config.data.unit != "degrees":
            raise DatasetError(
                f"data.unit is '{config.data.unit}' and the samples have three coordinates, no angles; leave it out"
            )
        return {"channels": x.shape[1]}

    def encode(self, x: Tensor) -> Tensor:
        self.fits(x, int(self.about["channels"]))
        if x.shape[1] == 3:
            size = x.norm(dim=1)
            if float((size - 1).abs().max()) > 0.01:
                raise DatasetError(
                    f"directions have lengths from {float(size.min()):.3g} to {float(size.max()):.3g}, expected 1"
                )
            return x / size[:, None]
        unit = math.pi / 180 if self.config.data.unit == "degrees" else 1.0
        latitude, longitude = (x * unit).unbind(1)
        if float(latitude.abs().max()) > math.pi / 2 * (1 + 1e-6):
            most = f"{float(x[:, 0].abs().max()):.4g} {self.config.data.unit}"
            raise DatasetError(f"latitudes reach {most}; the first column is latitude, the second one longitude")
        ring = latitude.cos()
        return torch.stack([ring * longitude.cos(), ring * longitude.sin(), latitude.sin()], 1)

    def decode(self, state: Tensor) -> Tensor:
        x = super().decode(state)
        if self.about["channels"] == 3:
            return x
        unit = 180 / math.pi if self.config.data.unit == "degrees" else 1.0
        return torch.stack([torch.asin(x[:, 2].clamp(-1, 1)), torch.atan2(x[:, 1], x[:, 0])], 1) * unit

    def shape(self) -> tuple[int, ...]:
        return (3,)

    def columns(self) -> list[str]:
        return list(self.about.get("names") or self.usual[self.about["channels"] - 2])


class OnTorus(OnManifold):
    """Angles."""

    by = "unit of every angle"

    def __init__(self, config: FlowConfig, about: About, folder: FilePath | None = None):
        super().__init__(config, about, folder)
        self.manifold = Torus(int(about["channels"]))
        self.unit = 180 / math.pi if config.data.unit == "degrees" else 1.0

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        assert x is not None
        if x.dim() != 2:
            raise DatasetError(f"the samples have shape {list(x.shape)}, expected rows of angles [k, c]")
        return {"channels": x.shape[1]}

    def encode(self, x: Tensor) -> Tensor:
        self.fits(x, int(self.about["channels"]))
        return self.manifold.nearest(x / self.unit)

    def decode(self, state: Tensor) -> Tensor:
        x = super().decode(state)
        return torch.where(x > math.pi, x - 2 * math.pi, x) * self.unit

    def correction(self) -> float:
        return -int(self.about["channels"]) * math.log(self.unit)


class OfParticles(Place):
    """Positions of particles [k, n, d], without their centre and in units of their deviation."""

    sample = "state"
    by = "unit of length in every direction, the centre held"

    @classmethod
    def learn(cls, config: FlowConfig, x: Tensor | None) -> dict[str, Any]:
        assert x is not None
        if x.dim() != 3 or x.shape[1] < 2:
            raise DatasetError(f"the samples have shape {list(x.shape)}, expected particles [k, n, d] with n >= 2")
        centred = x - x.mean(1, keepdim=True)
        n, d = x.shape[1:]
        scale = math.sqrt(float(centred.square().sum()) / (len(x) * (n - 1) * d))
        if scale == 0:
            raise DatasetError("all particles lie in one place")
        reach = config.model.reach or max(
            float(torch.cdist(part, part).max()) for part in centred.split(max(_ROOM // n**2, 1))
        )
        return {"particles": n, "channels": d, "scale": scale, "reach": reach / scale}

    def encode(self, x: Tensor) -> Tensor:
        self.fits(x, self.about["particles"], self.about["channels"])
        return (x - x.mean(1, keepdim=True)) / self.about["scale"]

    def decode(self, state: Tensor) -> Tensor:
        return state.double() * self.about["scale"]

    def correction(self) -> float:
        return -(self.about["particles"] - 1) * self.about["channels"] * math.log(self.about["scale"])

    def shape(self) -> tuple[int, ...]:
        return (int(self.about["particles"]), int(self.about["channels"]))

    def width(self) -> int:
        return int(self.about["particles"]) ** 2 * self.config.model.in_distance

    def module(self, kept: Mapping[str, Tensor] | None = None) -> nn.Module:
        model = self.config.model
        return PairVelocity(self.about["reach"], in_distance=model.in_distance, in_time=model.in_time)

    @property
    def base(self) -> Law:
        return CentredNormal()
