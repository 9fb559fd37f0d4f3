"""Points on curved meshes: densities made of eigenfunctions, learned and compared with their entropies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.flow.trainings import SHARED, trained
from benchmarks.physics.rows import SOLVING, Absent, Found, Row, at_most
from graphpde.flow import (
    OptimalCoupling,
    PointVelocity,
    SpectralPremetric,
    SurfaceFlow,
    SurfaceMatching,
    SurfaceVelocity,
)
from graphpde.mesh import Space, read_mesh
from graphpde.mesh.faces import Faces, OnSurface
from graphpde.ops import eigenbasis
from graphpde.train import Adam, Cosine, Ema, fit

SECTION = "Points on curved meshes"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "benchmarks/flow/surfaces.py")
MESHES = {"bunny": "libigl/bunny.off", "spot": "common3d/spot.obj"}
MODES = (10, 50)
STEPS = {10: 2500, 50: 4000}
TESTED = 4000


def rows() -> list[Row]:
    """The promises."""
    made = []
    for mesh in MESHES:
        for mode in MODES:
            made += [
                Row(SECTION, f"{mesh}, eigenfunction {mode}: NLL above the entropy", "<= 0.1 nats", at_most(0.1),
                    partial(_above, mesh, mode), sources=SOURCES),
                Row(SECTION, f"{mesh}, eigenfunction {mode}: samples off their faces", "<= 1e-6 of the size",
                    at_most(1e-6), partial(_off, mesh, mode), sources=SOURCES),
            ]  # fmt: skip
    return made


@cache
def surface(mesh: str) -> tuple[Faces, Any]:
    """A mesh and its modes."""
    read = read_mesh(SHARED / "meshes" / MESHES[mesh])
    return Faces(read), eigenbasis(Space(read), 101)


def entropy(faces: Faces, values: Tensor) -> float:
    """Of the density in proportion to a function that is linear on every face, by 64 points in each of them.

    The mean of log over the law is the integral of w log w, the rule is exact but for the logarithm.
    """
    side = (torch.arange(8, dtype=torch.float64) + 1 / 3) / 8
    s, t = torch.meshgrid(side, side, indexing="ij")
    inside = s + t < 1
    lower = torch.stack([s, t], -1)[inside]
    upper = torch.stack([s + 1 / 24, t + 1 / 24], -1)[s + t + 1 / 12 < 1]
    st = torch.cat([lower, upper])
    weights = torch.cat([1 - st.sum(1, keepdim=True), st], 1)  # [q, 3]
    w = (values[faces.corners] @ weights.T).clamp_min(0)  # [m, q]
    share = faces.area[:, None] / len(weights)
    total = (w * share).sum()
    p = w / total
    return -float((torch.xlogy(p, p) * share).sum())


def density(mesh: str, mode: int, steps: int) -> dict[str, float]:
    """A flow learned from points of max(v_k, 0): its NLL on fresh ones and the entropy."""
    faces, basis = surface(mesh)
    values, rng = basis.vectors[:, mode].clamp_min(0), torch.Generator().manual_seed(0)
    premetric = SpectralPremetric(faces, basis)
    matching = SurfaceMatching(premetric, steps=50, seen=8, coupling=OptimalCoupling(premetric.squared_distances))

    class Batches:
        def drawn(self, rng: torch.Generator) -> Iterator[OnSurface]:
            for _ in range(steps):
                yield faces.draw(256, rng, values)

    torch.manual_seed(0)
    network = PointVelocity(100, hidden=128, layers=3, frequencies=2, activation=nn.functional.silu, out=48)
    velocity = SurfaceVelocity(faces, basis, network, fields=24, features=100)
    average = Ema(0.999)
    fit(velocity, matching, Batches(), update=Adam(2e-3, schedule=Cosine(steps)), steps=steps, rng=rng,
        hooks=(average,))  # fmt: skip
    flow, x = SurfaceFlow(velocity, steps=100), faces.draw(TESTED, rng, values)
    found: dict[str, float] = {}
    with torch.no_grad(), average.swapped(velocity):
        found["nll"] = -float(flow.log_density(x).mean())
        samples = flow.sample(1000, rng).at
    at = faces.position(samples)
    normal = torch.linalg.cross(*(faces.place[samples.face][:, k] - faces.place[samples.face][:, 0] for k in (1, 2)))
    off = ((at - faces.place[samples.face][:, 0]) * normal).sum(1) / normal.norm(dim=1)
    outside = (-samples.weights).clamp_min(0).amax(1)
    size = float((faces.place - faces.place.mean((0, 1))).norm(dim=-1).max())
    found |= {"off": float((off.abs() / size + outside).max()), "entropy": entropy(faces, values)}
    return {**found, "uniform": float(faces.area.sum().log()), "faces": float(faces.m)}


def _run(mesh: str, mode: int) -> dict[str, float]:
    (found,) = trained("surfaces.density", {"mesh": mesh, "mode": mode, "steps": STEPS[mode]})
    return found


def _above(mesh: str, mode: int) -> Found | Absent:
    if not (SHARED / "meshes").is_dir():
        return Absent("the meshes are not there")
    found = _run(mesh, mode)
    above = found["nll"] - found["entropy"]
    note = f"NLL {found['nll']:.3f}, entropy {found['entropy']:.3f}, uniform law {found['uniform']:.3f}"
    return Found(above, f"{above:.3f} nats", f"{found['faces']:,.0f} faces, {TESTED} points, exact densities", note)


def _off(mesh: str, mode: int) -> Found | Absent:
    if not (SHARED / "meshes").is_dir():
        return Absent("the meshes are not there")
    off = _run(mesh, mode)["off"]
    return Found(off, f"{off:.1e}", "1000 samples: distance from the plane of the face, and outside of its edges")
