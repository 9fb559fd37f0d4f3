"""The Ginzburg-Landau energy on graphs: phases that separate along few edges, and labels spread from few nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import Diagonal
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.trajectory import SaveLast
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.convex_split import Accelerated, ConvexSplit
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.reaction import Reaction
from graphpde.ops.term import LinearTerm, Sum
from graphpde.solve.linear import LinearSolver
from graphpde.typing import check_shape


@dataclass(frozen=True)
class DoubleWell:
    r"""A potential with equal minima 0 at two phases and bounded curvature.

    With s = (2 u - low - high) / (high - low): W = (1 - s^2)^2 / 4 between the phases and (|s| - 1)^2 beyond them, so
    that W'' is continuous and W - curvature u^2 / 2 concave everywhere; the quartic alone has no such bound.

    Attributes:
        low, high: the two phases, in units of u.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"the phases are {self.low:g} and {self.high:g}, expected low < high")

    @property
    def scale(self) -> float:
        """ds/du."""
        return 2 / (self.high - self.low)

    @property
    def curvature(self) -> float:
        """The largest W''."""
        return 2 * self.scale**2

    def __call__(self, u: Tensor) -> Tensor:
        """W(u), any shape."""
        s = self._centred(u)
        return torch.where(s.abs() <= 1, (1 - s * s).square() / 4, (s.abs() - 1).square())

    def slope(self, u: Tensor) -> Tensor:
        """W'(u), any shape."""
        s = self._centred(u)
        return torch.where(s.abs() <= 1, s * (s * s - 1), 2 * (s - s.sign())) * self.scale

    def _centred(self, u: Tensor) -> Tensor:
        return (u - (self.low + self.high) / 2) * self.scale


class Springs(LinearTerm):
    r"""Each node pulled towards a target: m_i u_i' = m_i k_i (y_i - u_i).

    Args:
        graph: Graph, torch-geometric Data or networkx graph; its measure is m.
        stiffness: k >= 0, a number or one per node [n]; 0 leaves a node free.
        target: y, a number or [n, c].
    """

    def __init__(self, graph: Any, stiffness: float | Tensor, target: float | Tensor = 0.0):
        super().__init__()
        self.domain: Graph = as_graph(graph)
        k = torch.as_tensor(stiffness, dtype=self.domain.dtype, device=self.domain.device)
        if k.dim() and tuple(k.shape) != (self.domain.n,):
            raise ShapeError(f"the stiffness has shape {list(k.shape)}, expected a number or [{self.domain.n}]")
        if not bool(((k >= 0) & torch.isfinite(k)).all()):
            raise InputError("the stiffness is negative or not finite somewhere, expected finite numbers >= 0")
        self.stiffness = k.expand(self.domain.n)
        y = torch.as_tensor(target, dtype=self.domain.dtype, device=self.domain.device)
        self.target = check_shape(y, "n c", "the target", n=self.domain.n) if y.dim() else y

    @property
    def operator(self) -> Diagonal:
        return Diagonal(-self.domain.measure * self.stiffness)

    def load(self, t: Tensor, like: Tensor) -> Tensor:
        pull = (self.domain.measure * self.stiffness)[:, None] * self.target
        return pull.to(like.dtype).expand(like.shape)

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(x for x in (self.stiffness, self.target) if x.requires_grad)


class GinzburgLandau(nn.Module):
    r"""The energy of phases: E(u) = w/2 u'Lu + 1/w \sum m_i W(u_i) + f/2 \sum_{known} m_i |u_i - y_i|^2.

    u'Lu is the sum of w_ij |u_i - u_j|^2 over undirected edges. Minimisers are near one phase at most nodes and change
    over edges of little total weight: a smoothed minimal cut, pulled to the known values. Called with u [*, n, c] it
    gives E [*], summed over channels. The descent is ordinary terms, so ``evolve(energy.flow(), u0, times,
    stepper=...)`` runs it with any stepper.

    Args:
        graph: symmetric Graph, torch-geometric Data or networkx graph, with ``weight`` and ``measure``.
        width: w > 0; wide layers at large values. A layer spans some edges where w^2 times the degree is about W''.
        well: the potential W of each channel.
        known: y [n, c], read where ``mask`` [n] is true; None = nothing is known.
        fidelity: f >= 0, strength of the pull.
        shares: the channels are shares of classes that sum to one in each node, as they do at the start: the descent is
            projected onto that plane, on which the potential with phases 0 and 1 has its wells at the corners of the
            simplex.

    Raises:
        ShapeError: ``known`` or ``mask`` with other rows than nodes. InputError: a width that is not positive, a mask
            without values or the other way round, a directed graph.

    Reference: Bertozzi and Flenner 2012 (the energy on graphs); Garcke, Nestler and Stoth 1999 (several phases on the
        plane of shares); Akande, Dondl, Gupta, Onwunta and Wojtowytsch 2025 (its minimisation with momentum).
    """

    def __init__(
        self,
        graph: Any,
        *,
        width: float = 1.0,
        well: DoubleWell | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        fidelity: float = 1.0,
        shares: bool = False,
    ):
        super().__init__()
        if not (0 < width < float("inf")):
            raise InputError(f"width = {width}, expected a finite number > 0")
        if (known is None) != (mask is None):
            raise InputError("known values and their mask go together; give both or neither")
        self.width, self.shares = float(width), shares
        self.well = well if well is not None else DoubleWell(0.0, 1.0) if shares else DoubleWell()
        self.diffusion = Diffusion(graph, self.width)
        self.springs: Springs | None = None
        if known is not None and mask is not None:
            mask = check_shape(mask, "n", "the mask", n=self.graph.n).to(torch.bool)
            known = check_shape(known, "n c", "the known values", n=self.graph.n)
            clean = torch.where(mask[:, None], known, torch.zeros_like(known))
            self.springs = Springs(self.graph, fidelity * mask.to(self.graph.dtype), clean)

    @property
    def graph(self) -> Graph:
        """Where the energy lives."""
        assert self.diffusion.domain is not None
        return self.diffusion.domain

    def forward(self, u: Tensor) -> Tensor:
        """E(u), u [*, n, c] -> [*]."""
        check_shape(u, "* n c", "the state", n=self.graph.n)
        smooth = -(u * self.diffusion.operator(u)).sum((-2, -1)) / 2
        total = smooth + self.graph.integral(self.well(u)).sum(-1) / self.width
        if self.springs is None:
            return total
        away = (u - self.springs.target.to(u.dtype)).square() * self.springs.stiffness.to(u.dtype)[:, None]
        return total + self.graph.integral(away).sum(-1) / 2

    def gradient(self, u: Tensor) -> Tensor:
        """dE/du, and with ``shares`` its part along the plane of shares, u [*, n, c] -> [*, n, c]."""
        return -self.flow()(u.new_zeros(()), u)

    def flow(self) -> Sum:
        """The descent m u' = -dE/du as diffusion, reaction and springs."""
        return self._linear() + Reaction(self._descent)

    def split(self) -> Sum:
        """The same descent, with the convex part of E in its linear terms and the concave rest in its reaction.

        The curvature c of the well is moved from one to the other: W = c u^2 / 2 + (W - c u^2 / 2).
        """
        c = self.well.curvature / self.width

        def concave(u: Tensor) -> Tensor:
            return c * u + self._descent(u)

        return self._linear() + Springs(self.graph, c) + Reaction(concave)

    def _linear(self) -> Sum:
        return Sum.of(self.diffusion) if self.springs is None else self.diffusion + self.springs

    def _descent(self, u: Tensor) -> Tensor:
        slope = self.well.slope(u)
        if self.shares:
            slope = slope - slope.mean(-1, keepdim=True)
        return slope / -self.width


class Descent(NamedTuple):
    """A minimisation.

    Attributes:
        u: the last state [*, n, c]. energies: of the start and after each step, [steps + 1, *]. solves: linear solves.
    """

    u: Tensor
    energies: Tensor
    solves: int


def minimise(
    energy: GinzburgLandau, u0: Tensor, *, tau: float, steps: int, momentum: bool = True, monotone: bool = True
) -> Descent:
    """Descend the energy by convex-concave split steps, with momentum or without.

    Without momentum the energy falls at every step whatever ``tau`` is. Momentum needs fewer steps at large ``tau``;
    ``monotone`` then drops it wherever it would raise the energy, at the price of a second solve.

    Args:
        u0: start [*, n, c]. tau: step, in units of the flow's time. steps: how many.

    Raises:
        InputError: a step or a number of steps that is not positive.
    """
    if not steps >= 1:
        raise InputError(f"steps = {steps}, expected a whole number >= 1")
    if not 0 < tau < float("inf"):
        raise InputError(f"tau = {tau}, expected a finite step > 0")
    stepper = Accelerated(ConvexSplit(), energy if monotone else None) if momentum else ConvexSplit()
    energies = [energy(u0).detach()]

    def watch(step: int, of: int, t: float, u: Tensor) -> None:
        energies.append(energy(u.detach()))

    times = [0.0, tau * steps]
    run = evolve(energy.split(), u0, times, stepper=stepper, dt=tau, save=SaveLast(), watch=watch)
    return Descent(run.final, torch.stack(energies), run.statistics["solves"])


class Segmentation(NamedTuple):
    """Classes of nodes.

    Attributes:
        labels: the largest share [n], int64. shares: of each class [n, k]. energies: on the way [steps + 1].
        solves: linear solves.
    """

    labels: Tensor
    shares: Tensor
    energies: Tensor
    solves: int


def segment(
    graph: Any,
    labels: Tensor,
    mask: Tensor,
    *,
    width: float | None = None,
    fidelity: float | None = None,
    tau: float | None = None,
    steps: int = 100,
    momentum: bool = True,
) -> Segmentation:
    """Classes of all nodes from those of a few: a descent of :class:`GinzburgLandau` with one share for each class.

    No features are read: what counts are the edges, and a component without a known node is guessed. On graphs that
    mix, the lowest energy is one class everywhere; the descent stays near its start, :func:`spread`, as long as the
    layers are narrow.

    Args:
        graph: as for :class:`GinzburgLandau`.
        labels: classes 0 .. k - 1 of the nodes in ``mask`` [n]; other entries are not read. mask: bool [n].
        width: default: half of what makes width^2 times the mean degree the curvature of the well.
        fidelity: default: ten times the curvature over the width, so that known nodes keep their class.
        tau: step; default: ten times the time in which the well separates.
        steps, momentum: as for :func:`minimise`.

    Raises:
        InputError: no node is known, a negative class, fewer than two classes. ShapeError: other lengths than n.
    """
    domain = as_graph(graph)
    known, mask = _shares(domain, labels, mask)
    well = DoubleWell(0.0, 1.0)
    if width is None:
        degree = float(domain.weight.sum()) / float(domain.measure.sum())
        width = (well.curvature / degree) ** 0.5 / 2 if degree > 0 else 1.0
    rate = well.curvature / width
    energy = GinzburgLandau(
        domain, width=width, known=known, mask=mask, fidelity=10 * rate if fidelity is None else fidelity, shares=True
    )
    start = spread(domain, known, mask)
    found = minimise(energy, start, tau=10 / rate if tau is None else tau, steps=steps, momentum=momentum)
    return Segmentation(found.u.argmax(-1), found.u, found.energies, found.solves)


def spread(graph: Any, known: Tensor, mask: Tensor, *, contrast: float = 0.2) -> Tensor:
    """Shares [n, k] to start from: the known ones less their mean, as sources of a diffusion over the edges.

    Subtracting the mean keeps a frequent class from winning everywhere; a decay at a hundredth of the mean degree lets
    components without a known node go to zero, which is equal shares.

    Args:
        graph: as for :class:`GinzburgLandau`. known: shares [n, k] where ``mask`` [n] is true.
        contrast: standard deviation of each class over the nodes.

    Reference: Calder, Cook, Thorpe and Slepcev 2020 (sources less their mean).
    """
    diffusion = Diffusion(graph)
    domain = diffusion.domain
    assert domain is not None
    sources = torch.where(mask[:, None], known - known[mask].mean(0), 0.0)
    decay = 0.01 * domain.weight.sum() / domain.measure.sum()
    field = LinearSolver(Diagonal(domain.measure * decay.clamp(min=1e-12)) - diffusion.operator)(sources)
    field = field / field.std(0).clamp(min=1e-300) * contrast
    field = field - field.mean(1, keepdim=True)
    return torch.where(mask[:, None], known, 1 / known.shape[1] + field)


def _shares(domain: Graph, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Known classes as shares [n, k], and the mask as bool [n]."""
    labels = check_shape(labels, "n", "labels", n=domain.n).to(torch.int64)
    mask = check_shape(mask, "n", "the mask", n=domain.n).to(torch.bool)
    if not bool(mask.any()):
        raise InputError("the mask holds no node, expected at least one known node of each class")
    if int(labels[mask].min()) < 0:
        raise InputError(f"labels in the mask go down to {int(labels[mask].min())}, expected classes 0, 1, ...")
    count = torch.bincount(labels[mask])
    if len(count) < 2:
        raise InputError("the known nodes are all of class 0, expected at least two classes")
    if int(count.min()) == 0:
        raise InputError(f"no known node is of class {int(count.argmin())}; number the classes without gaps")
    known = torch.zeros(domain.n, len(count), dtype=domain.dtype, device=domain.device)
    known[mask] = torch.nn.functional.one_hot(labels[mask], len(count)).to(known)
    return known, mask
