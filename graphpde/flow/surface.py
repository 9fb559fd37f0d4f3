r"""Flows of points on a triangle mesh that stay on its faces, with exact densities.

The velocity is given by what flows through the edges, F_i out of a face over edge i:

    v(x) = sum_i F_i (x - V_i) / (2 A),     div v = sum_i F_i / A

the lowest Raviart-Thomas field. What leaves one face over an edge enters the next one, so that nothing is lost or made
at edges, and a density that is carried along does not jump there. While the flows stand still, barycentric coordinates
obey (w_j)' = (S w_j - F_j) / (2 A), S = sum_i F_i, which is solved in closed form up to the next edge: points are
traced exactly, and so is the density, by exp(-S t / A). Flows that change in time are held over each step.

Reference: Raviart and Thomas 1977; Pollock 1988 (exact tracing); Chen and Lipman 2024 (flow matching on meshes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.stepper import Carry, Step
from graphpde.errors import InputError, MeshError, SolveError
from graphpde.mesh.faces import Faces, OnSurface
from graphpde.ops.eigenbasis import EigenBasis
from graphpde.ops.system import System
from graphpde.typing import Scalar, State

Network = Callable[[Tensor, Tensor], Tensor]
_MOST = 20_000  # edges that a point may cross in one step
_OFF, _NEAR = 1e-10, 1e-5  # weights: of a point moved off its corner, and of those close to one


class Traced(NamedTuple):
    """Points on a surface with their log-densities by area: a state.

    Attributes:
        weights: barycentric coordinates [k, 3]. face: [k], whole numbers. log_density: [k, 1].
    """

    weights: Tensor
    face: Tensor
    log_density: Tensor

    @property
    def at(self) -> OnSurface:
        """The points."""
        return OnSurface(self.face, self.weights)


class SurfaceVelocity(nn.Module):
    """Flows through the edges of a closed surface, made of smooth fields with coefficients from a network.

    F = sum_j a_j(t, z) G_j + b_j(t, z) R_j, where G_j is the gradient of mode j, its divergence that of the mode on
    every face, R_j the gradient turned by a right angle, without divergence, and z are the first modes at the middle of
    the edge. All of these belong to the surface and not to the space around, so that folds as small as the faces make
    no noise. The parameters belong to these modes, whose signs and turns within an eigenspace are arbitrary: modes and
    eigenvalues are buffers, so that they are saved and loaded with the parameters. Another mesh needs a new fit.

    Args:
        faces: the surface, in one piece. basis: modes at the points of its mesh, the constant one first.
        network: (t, z [k, features]) -> [k, 2 fields], such as ``PointVelocity(features, out=2 * fields)``.
        fields: how many modes give fields. features: how many are seen by the network.

    Raises:
        MeshError: a surface with a rim, in several parts, or with points that belong to no triangle.
        InputError: modes of another mesh, or too few.
    """

    modes: Tensor
    values: Tensor

    def __init__(self, faces: Faces, basis: EigenBasis, network: Network, *, fields: int = 8, features: int = 32):
        super().__init__()
        if len(faces.mesh.boundary_facets):
            raise MeshError(
                f"'{faces.mesh.name}' has {len(faces.mesh.boundary_facets)} edges on its rim, expected none"
            )
        count = max(whole("fields", fields), whole("features", features)) + 1
        check_modes(faces, basis, count)
        self.faces, self.network, self._counts = faces, network, (features, fields)
        self.register_buffer("modes", basis.vectors[:, :count].double().clone())
        self.register_buffer("values", basis.values[:count].double().clone())
        self._found: tuple[Any, Tensor, Tensor] | None = None

    @property
    def radius(self) -> float:
        """Largest distance of a corner from the mean of all."""
        return self.faces.radius

    @property
    def seen(self) -> Tensor:
        """The first modes at the middles of the edges [E, features], which the network sees."""
        return self._of_edges()[0]

    @property
    def fields(self) -> Tensor:
        """Flows through the edges by every gradient, then by each turned one [E, 2 fields]."""
        return self._of_edges()[1]

    def _of_edges(self) -> tuple[Tensor, Tensor]:
        """Both, worked out again where other modes have been loaded."""
        kept = [(id(x), x._version) for x in (self.modes, self.values)]
        if self._found is None or self._found[0] != kept:
            faces, (features, fields) = self.faces, self._counts
            modes = self.modes[:, 1:].double()
            seen = modes[faces.mesh.facets.nodes, :features].mean(1) * float(faces.area.sum().sqrt())
            flows = _fields(faces, modes[:, :fields], self.values[1 : fields + 1].double()) * faces.radius
            self._found = kept, seen, flows
        return self._found[1], self._found[2]

    def through(self, t: Scalar, edges: Tensor | None = None) -> Tensor:
        """F of edges [k] (None: all), positive out of their first owner; t 0-d or [k, 1]."""
        z, fields = (y if edges is None else y[edges] for y in (self.seen, self.fields))
        kind = next((p.dtype for p in self.parameters()), torch.float64)
        a = self.network(torch.as_tensor(t, dtype=kind), z.to(kind))
        return (a.double() * fields).sum(-1)

    def out_of(self, flows: Tensor, face: Tensor) -> Tensor:
        """F out of faces [k] over their three edges [k, 3], from those of all edges."""
        return torch.where(self.faces.first[face], flows[self.faces.edge[face]], -flows[self.faces.edge[face]])

    def at(self, t: Tensor, at: OnSurface) -> Tensor:
        """v at points of the surface [k, d], at times t, 0-d or [k, 1]; only their own edges are looked at."""
        faces, face = self.faces, at.face
        edges = faces.edge[face]
        times = t if t.dim() == 0 else t.repeat_interleave(3, 0)
        f = self.through(times, edges.flatten()).reshape(-1, 3)
        f = torch.where(faces.first[face], f, -f)
        away = faces.position(at)[:, None] - faces.place[face]
        return (f[..., None] * away).sum(1) / (2 * faces.area[face][:, None])

    def forward(self, t: Tensor, state: Traced) -> Traced:
        """Not a rate of barycentric coordinates alone: points change faces. :class:`Tracing` steps it."""
        raise InputError("flows on a surface are traced from edge to edge; use SurfaceFlow")


class Tracing:
    """The stepper of flows on a surface: exact for flows that stand still over each step, those of its middle."""

    name, order, implicit, symplectic, stiff, accepts = "tracing", 2.0, False, "no", "none", "surface"
    error_power: float | None = None

    def __init__(self, velocity: SurfaceVelocity):
        self.velocity = velocity

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        return None

    def real_extent(self) -> float:
        """No bound: a step goes over as many edges as it takes."""
        return float("inf")

    def step(self, f: System, t: Tensor, dt: Scalar, u: Traced, carry: Carry) -> Step:
        with torch.no_grad():
            flows = self.velocity.through(t + 0.5 * dt)
            return Step(traced(self.velocity, flows, u, float(dt)), None, None, {"evaluations": 1})


def check_modes(faces: Faces, basis: EigenBasis, least: int) -> None:
    """Refuse modes that are not those of a surface in one piece, or fewer than ``least``.

    Raises:
        MeshError: several parts, or points that belong to no triangle. InputError: modes of another mesh, or too few.
    """
    mesh = faces.mesh
    idle = mesh.n - len(mesh.used_points)
    if idle:
        raise MeshError(
            f"'{mesh.name}' has {idle} points that belong to no triangle, expected none; "
            f"drop them with repair_mesh or 'graphpde repair'"
        )
    if faces.parts > 1:
        raise MeshError(
            f"'{mesh.name}' has {faces.parts} components, expected one: no point gets from one to another; "
            f"take each as a mesh of its own"
        )
    if basis.n != mesh.n or basis.k < least:
        raise InputError(
            f"the basis has {basis.k} modes at {basis.n} nodes, expected at least {least} at the {mesh.n} points of "
            f"'{mesh.name}'"
        )


def traced(velocity: SurfaceVelocity, flows: Tensor, u: Traced, dt: float) -> Traced:
    """Points after a time ``dt`` in flows that stand still [edges].

    Where flows circle round a corner, whole rounds of a point close to it are taken at once.

    Raises:
        SolveError: a point crosses more than 20 000 edges.
    """
    faces, area = velocity.faces, velocity.faces.area
    at, logp = u.at, u.log_density.clone()
    left = torch.full((len(at.face),), dt, dtype=torch.float64)
    rounds = _Rounds(at.face)
    for _ in range(_MOST):
        at = _off_corners(at)
        f = velocity.out_of(flows, at.face)
        twice = 2 * area[at.face]
        total = f.sum(1)
        rate = total / twice  # S / 2A
        speed = (total[:, None] * at.weights - f) / twice[:, None]  # of the weights, now
        when = _until_zero(at.weights, speed, rate)
        first, edge = when.min(1)
        step = torch.minimum(first, left)
        grown = torch.where(rate.abs() * step > 1e-12, torch.expm1(rate * step) / rate, step)
        weights = (at.weights + speed * grown[:, None]).clamp_min(0)
        weights = weights / weights.sum(1, keepdim=True)
        change = -2 * rate * step
        logp, left = logp + change[:, None], left - step
        at = OnSurface(at.face, weights)
        over = (left > 0) & (first <= step) & (faces.across[at.face, edge] >= 0)
        if not bool(over.any()):
            return Traced(at.weights, at.face, logp)
        at = faces.cross(at, edge, over)
        again, spent, change = rounds.passed(at, over, step, change, left)
        logp, left = logp + (again * change)[:, None], (left - again * spent).clamp_min(0)
    raise SolveError(f"{int(over.sum())} points cross more than {_MOST} edges in one step; take shorter steps")


def _off_corners(at: OnSurface) -> OnSurface:
    """Points on a corner, hardly moved into their face: round a corner itself every crossing would take no time."""
    on = at.weights.topk(2, 1).values[:, 1:] < 1e-2 * _OFF
    if not bool(on.any()):
        return at
    weights = torch.where(on, at.weights.clamp_min(_OFF), at.weights)
    return OnSurface(at.face, weights / weights.sum(1, keepdim=True))


class _Rounds:
    """Rounds of points close to a corner: near it streamlines that come round are closed."""

    def __init__(self, face: Tensor):
        self.home = torch.full_like(face, -1)
        self.spent = torch.zeros(len(face), dtype=torch.float64)
        self.change = torch.zeros_like(self.spent)

    def passed(
        self, at: OnSurface, over: Tensor, step: Tensor, change: Tensor, left: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """How many more rounds fit into the time left [k], the time of one and what it does to the log-density."""
        self.spent, self.change = self.spent + step, self.change + change
        near = over & (at.weights.amax(1) > 1 - _NEAR)
        round_ = near & (at.face == self.home)
        again = torch.where(round_, torch.floor(left / torch.where(round_, self.spent, 1.0).clamp_min(1e-300)), 0.0)
        found = again, self.spent, self.change
        begun = round_ | (near & (self.home < 0))
        self.home = torch.where(near, torch.where(begun, at.face, self.home), -1)
        self.spent, self.change = (torch.where(begun, 0.0, x) for x in (self.spent, self.change))
        return found


def _until_zero(w: Tensor, speed: Tensor, rate: Tensor) -> Tensor:
    """The time at which weights that obey w' = speed + rate (w - w_0) become 0 [k, 3]; inf for those that do not."""
    q = -w / torch.where(speed < 0, speed, -1.0)  # (e^(rate t) - 1) / rate
    x = rate[:, None] * q
    t = torch.where(x.abs() > 1e-9, torch.log1p(x.clamp(min=-1 + 1e-16)) / rate[:, None], q * (1 - x / 2))
    return torch.where((speed < 0) & (x > -1), t, torch.inf)


class SurfaceFlow:
    """A flow of points on a surface from the uniform law at t = 0 to that of the data at t = 1.

    Densities are exact: what is told of a sample is the density of the law that samples are drawn from, but for
    rounding, whatever the steps.

    Args:
        velocity: see :class:`SurfaceVelocity`. steps: flows are held over each.

    Raises:
        InputError: steps is no whole number >= 1.
    """

    def __init__(self, velocity: SurfaceVelocity, steps: int = 100):
        self.velocity, self.steps = velocity, whole("steps", steps)
        self.log_area = float(velocity.faces.area.sum().log())

    def push(self, at: OnSurface, log_density: Tensor | None = None) -> Traced:
        """From t = 0 to 1; the log-density of the uniform law is carried along."""
        logp = torch.full((len(at.face), 1), -self.log_area, dtype=torch.float64)
        return self._run(at, logp if log_density is None else log_density, self.velocity)

    def sample(self, count: int, rng: torch.Generator | None = None) -> Traced:
        """New points and their log-densities by area."""
        return self.push(self.velocity.faces.draw(count, rng))

    def log_density(self, at: OnSurface) -> Tensor:
        """log p by area at points of the surface [k, 1]; without gradient, for points are traced from edge to edge."""
        zero = torch.zeros(len(at.face), 1, dtype=torch.float64)
        start = self._run(at, zero, _Backward(self.velocity))
        return -self.log_area - start.log_density

    def paths(self, at: OnSurface, times: Any) -> Tensor:
        """Where points from t = 0 lie at the times, [s, k, d]."""
        logp = torch.zeros(len(at.face), 1, dtype=torch.float64)
        state = self._run(at, logp, self.velocity, times)
        moments = zip(state.face, state.weights, strict=True)
        return torch.stack([self.velocity.faces.position(OnSurface(*moment)) for moment in moments])

    def _run(self, at: OnSurface, logp: Tensor, velocity: Any, times: Any = None) -> Traced:
        """The last state, or those at the times [s, ...]."""
        start = Traced(at.weights.double(), at.face, logp)
        saved = [0.0, 1.0] if times is None else times
        run = evolve(_still, start, saved, stepper=Tracing(velocity), dt=1 / self.steps)
        return run.final if times is None else run.states


class _Backward(SurfaceVelocity):
    """The same flows the other way, from t = 1 to 0."""

    def __init__(self, velocity: SurfaceVelocity):
        nn.Module.__init__(self)
        self.forth, self.faces = velocity, velocity.faces

    def through(self, t: Scalar, edges: Tensor | None = None) -> Tensor:
        return -self.forth.through(1 - t, edges)


def _fields(faces: Faces, modes: Tensor, values: Tensor) -> Tensor:
    """Flows through the edges by the gradients of modes and by those turned by a right angle [E, 2 j].

    Each is scaled to a mean square speed of 1. The gradients are corrected as little as it takes to have on every face
    the divergence -lambda v of their mode.
    """
    edge, corner = faces.edge, modes[faces.corners]  # [m, 3, j]
    rows, local = faces.first.nonzero(as_tuple=True)
    f = torch.empty(len(rows), dtype=torch.int64)
    f[edge[rows, local]] = torch.arange(len(rows))
    f, i = rows[f], local[f]  # the first owner of every edge
    gradient = torch.einsum("mid,mij->mdj", faces.gradient, corner)
    out = torch.einsum("mid,mdj->mij", faces.outward * faces.along.norm(dim=-1, keepdim=True), gradient)
    straight = 0.5 * (out[f, i] - out[faces.across[f, i], faces.seat[f, i, i]])
    sign = torch.where(faces.first, 1.0, -1.0).double()
    wanted = -values * corner.mean(1) * faces.area[:, None]
    wanted = wanted - wanted.sum(0) * (faces.area / faces.area.sum())[:, None]
    straight = straight + _least(faces, sign, wanted - (sign[..., None] * straight[edge]).sum(1))
    turned = modes[faces.corners[f, (i + 2) % 3]] - modes[faces.corners[f, (i + 1) % 3]]
    speed = (gradient.square().sum(1) * faces.area[:, None]).sum(0) / faces.area.sum()
    return torch.cat([straight, turned], 1) / speed.sqrt().repeat(2)


def _least(faces: Faces, sign: Tensor, wanted: Tensor) -> Tensor:
    """The smallest flows through the edges [E, j] with given net flows out of the faces [m, j] that sum up to 0."""
    import scipy.sparse as sparse
    from scipy.sparse.linalg import splu

    rows = torch.arange(faces.m).repeat_interleave(3)
    d = sparse.csr_matrix((sign.flatten().numpy(), (rows.numpy(), faces.edge.flatten().numpy())))
    a = (d @ d.T).tocsc()
    a[0, 0] += 1.0  # it does not see constants, and one is as good as another
    return torch.from_numpy(d.T @ splu(a).solve(wanted.numpy()))


def _still(t: Tensor, u: State) -> State:
    return u
