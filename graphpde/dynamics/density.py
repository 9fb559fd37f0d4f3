r"""Log-densities carried along by a flow: d/dt log p(x(t)) = -div v(t, x(t)) where x' = v(t, x).

A sample is what has one density: every node for itself (nodes that do not talk to each other), or all nodes together
(the particles of one configuration, a field on a mesh). The divergence is worked out exactly, by one reverse pass for
each coordinate of a sample; estimated by probes, E[e^T J e] = tr J for E[e e^T] = 1; or told by the velocity itself,
where a formula is known, such as the edge formula of pair forces.

Reference: Chen et al. 2018 (Neural ODEs), theorem 1; Grathwohl et al. 2019 (FFJORD), eq. (7); Finlay et al. 2020, eqs.
(9), (12): the costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.core.tracing import followed, following, plain
from graphpde.dynamics.state import tree_map
from graphpde.errors import InputError, ShapeError
from graphpde.typing import check_same, check_shape, check_spreads

Velocity = Callable[[Tensor, Tensor], Tensor]
SAMPLES = {"node": 1, "state": 2}
PROBES = ("rademacher", "gaussian")


class Density(NamedTuple):
    """A state with the log-density of each of its samples.

    Attributes:
        x: [*, n, c]. log_density: [*, n, 1] where every node is a sample, [*, 1, 1] where the state is one.
    """

    x: Tensor
    log_density: Tensor


class DensityAndCosts(NamedTuple):
    """The same with what the path has cost so far, for each sample.

    Attributes:
        x: [*, n, c]. log_density: [*, n, 1] or [*, 1, 1], as the others. kinetic: the integral of \\|v\\|^2.
        jacobian: that of the squared Frobenius norm of dv/dx.
    """

    x: Tensor
    log_density: Tensor
    kinetic: Tensor
    jacobian: Tensor


class Found(NamedTuple):
    """Divergence and squared Frobenius norm of a Jacobian for each sample."""

    divergence: Tensor
    frobenius: Tensor


class Divergence(Protocol):
    """How the divergence is found from a velocity v that autograd has followed from x."""

    def __call__(self, v: Tensor, x: Tensor, dims: int, keep: bool) -> Found: ...


@runtime_checkable
class KnowsDivergence(Protocol):
    """A velocity with a formula for its divergence."""

    def with_divergence(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """v [*, n, c], and div v of each sample, [*, n, 1] or [*, 1, 1]."""
        ...


class ExactDivergence:
    """The trace of the Jacobian, by one reverse pass for each coordinate of a sample."""

    def __call__(self, v: Tensor, x: Tensor, dims: int, keep: bool) -> Found:
        flat = v.flatten(-dims)
        trace, square = x.new_zeros(flat.shape[:-1]), x.new_zeros(flat.shape[:-1])
        for k in range(flat.shape[-1]):
            row = _pulled(flat[..., k].sum(), x, keep).flatten(-dims)
            trace, square = trace + row[..., k], square + row.square().sum(-1)
        return Found(_for_each(trace, dims), _for_each(square, dims))


class Hutchinson:
    """The mean of e^T J e over probes e, which are the same through a whole run.

    The estimate of the log-density is unbiased; that of the squared Frobenius norm is the mean of \\|e^T J\\|^2.

    Args:
        probes: [k, *, n, c], k of them for the state, as :meth:`draw` makes them.

    Reference: Hutchinson 1990; of all laws with independent entries Rademacher's has the least variance (Avron and
    Toledo 2011).
    """

    def __init__(self, probes: Tensor):
        self.probes = probes

    @classmethod
    def draw(cls, like: Tensor, count: int = 1, *, kind: str = "rademacher", rng: torch.Generator) -> Hutchinson:
        """Probes for a state.

        Args:
            like: the state [*, n, c]. count: of probes. kind: "rademacher" (+1 or -1) or "gaussian".

        Raises:
            InputError: an unknown kind, no probes.
        """
        whole("count", count)
        if kind not in PROBES:
            raise InputError(f"kind='{kind}', expected one of: {', '.join(PROBES)}")
        shape = (count, *like.shape)
        if kind == "gaussian":
            return cls(torch.randn(shape, generator=rng, dtype=like.dtype, device=like.device))
        return cls(torch.randint(0, 2, shape, generator=rng, device=like.device).to(like.dtype) * 2 - 1)

    def __call__(self, v: Tensor, x: Tensor, dims: int, keep: bool) -> Found:
        if self.probes.shape[1:] != x.shape or not len(self.probes):
            raise ShapeError(f"the probes have shape {list(self.probes.shape)}, expected [k] and {list(x.shape)}")
        trace = square = x.new_zeros(x.shape[: x.dim() - dims])
        for probe in plain(self.probes):
            row = _pulled((v * probe).sum(), x, keep)
            trace = trace + (row * probe).flatten(-dims).sum(-1)
            square = square + row.square().flatten(-dims).sum(-1)
        count = len(self.probes)
        return Found(_for_each(trace / count, dims), _for_each(square / count, dims))


class WithLogDensity(nn.Module):
    """The flow of (x, log-density), to be evolved by an explicit stepper from :meth:`start`, in inference mode too.

    Args:
        velocity: (t, x) -> v [*, n, c], a function or a module.
        divergence: how; None = the velocity's own formula where it has one, else :class:`ExactDivergence`.
        sample: "node": every node has a density of its own, for velocities under which nodes do not talk to each other
            (that is not checked: the result would be wrong); "state": [n, c] together.
        costs: whether to integrate the kinetic energy and the Jacobian's norm as well, see :class:`DensityAndCosts`;
            they have no say in the length of steps.

    Raises:
        InputError: an unknown kind of sample. ShapeError: when called, a velocity or divergence of another shape.
    """

    def __init__(
        self, velocity: Velocity, divergence: Divergence | None = None, *, sample: str = "node", costs: bool = False
    ):
        super().__init__()
        if sample not in SAMPLES:
            raise InputError(f"sample='{sample}', expected one of: {', '.join(SAMPLES)}")
        self.velocity, self.divergence, self.dims, self.costs = velocity, divergence, SAMPLES[sample], costs
        self.controlled = 2

    def start(self, x: Tensor, log_density: Tensor | float = 0.0) -> Density | DensityAndCosts:
        """The state to begin with.

        Args:
            x: [*, n, c]. log_density: one number, or [*, n, 1] for nodes and [*, 1, 1] for states.

        Raises:
            ShapeError: other shapes.
        """
        check_shape(x, "* n c", "the state")
        zero = _for_each(x.flatten(-self.dims)[..., 0] * 0, self.dims)
        if isinstance(log_density, Tensor):
            check_spreads(log_density, zero.shape, "the log-density")
        logp = zero + log_density
        return DensityAndCosts(x, logp, zero, zero) if self.costs else Density(x, logp)

    def tensors(self) -> tuple[Tensor, ...]:
        """Every differentiable tensor of the velocity, as far as it tells."""
        told = getattr(self.velocity, "tensors", None)
        return tuple(self.parameters()) if told is None else told()

    def forward(self, t: Tensor, state: Any) -> Any:
        x = state.x
        if self.divergence is None and not self.costs and isinstance(self.velocity, KnowsDivergence):
            v, divergence = self.velocity.with_divergence(t, x)
            check_same(v, x.shape, "the velocity", "that of the state: ")
            check_same(divergence, state.log_density.shape, "the divergence", "one number for each sample: ")
            return Density(v, -divergence)
        keep = torch.is_grad_enabled()
        with following():
            at = followed(x)
            v = self.velocity(plain(t) if isinstance(t, Tensor) else t, at)
            check_same(v, x.shape, "the velocity", "that of the state: ")
            found = (self.divergence or ExactDivergence())(v, at, self.dims, keep)
        if not keep:
            v, found = v.detach(), tree_map(lambda y: y.detach(), found)
        if not self.costs:
            return Density(v, -found.divergence)
        kinetic = _for_each(v.square().flatten(-self.dims).sum(-1), self.dims)
        return DensityAndCosts(v, -found.divergence, kinetic, found.frobenius)


def _pulled(value: Tensor, x: Tensor, keep: bool) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(x)
    (g,) = torch.autograd.grad(value, x, create_graph=keep, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if g is None else g


def _for_each(value: Tensor, dims: int) -> Tensor:
    """[*] -> [*, 1] for nodes, [*, 1, 1] for states."""
    return value.reshape(*value.shape, *[1] * dims)
