"""Derivatives at quadrature points: plain reverse mode equals the transforms, and so do long rows small matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core import BlockSparse
from graphpde.mesh import Mesh, Space, box, interval, random_cube, random_square, rectangle, sphere
from graphpde.ops.constant_gradients import over_channels, over_directions, squared
from graphpde.ops.form import FORMS, Energy, Form, Local, Values
from graphpde.ops.integration import Integration

NOW = torch.tensor(0.3, dtype=torch.float64)


class Mixing(Form):
    """Two channels; source and flux read both values and gradients."""

    channels = ("a", "b")

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        a, b = u.unbind(-1)
        source = torch.stack([p["k"] * a * b + t, grad[..., 1, 0] * a + x.sum(-1) * b**2], -1)
        flux = torch.stack([(1 + b * b)[..., None] * grad[..., 1, :], a[..., None] * x + grad[..., 0, :] ** 3], -2)
        return source, flux


class Still(Form):
    """What depends on nothing at all."""

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return torch.ones_like(u), None


class Flat(Energy):
    """An energy that does not depend on the state."""

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        return x.sum(-1).expand(u.shape[:-1])


class Weighed(Energy):
    """An energy whose subclass adds a source that no energy has."""

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        return over_channels(u**4 + squared(grad) * u)


class Driven(Weighed):
    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        source, flux = super().local(t, x, u, grad, p)
        assert source is not None
        return source + 3 * u, flux


def forms(space: Space) -> dict[str, Form]:
    mine = {"mixing": Mixing(space, k=2.0), "still": Still(space), "flat": Flat(space), "weighed": Weighed(space)}
    able = [
        name
        for name in FORMS
        if name not in FLOWS or (space.mesh.space_dim == space.mesh.dim > 1 and _simplices(space))
    ]
    return {**{name: FORMS[name](space) for name in able}, **mine, "driven": Driven(space)}


FLOWS = ("stokes", "convection")


def _simplices(space: Space) -> bool:
    return set(space.mesh.cells) <= {"triangle", "tetra"}


MESHES: dict[str, Mesh] = {
    "lines": interval(5),
    "triangles": random_square(3, seed=1),
    "quadrilaterals": rectangle(3, 2, cells="quad"),
    "mixed": rectangle(3, 3, cells="mixed"),
    "tetrahedra": random_cube(2, seed=1),
    "mixed solids": box(3, 1, 1, cells="mixed"),
    "sphere": sphere(1),
}


def state(form: Form, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    n = form.domain.n
    return torch.rand(n, max(len(form.channels), 1), dtype=torch.float64, generator=generator) + 0.1


def entries(operator: Any) -> tuple[Tensor, Tensor]:
    return operator.weight, operator.diag


def close(a: Tensor, b: Tensor) -> bool:
    """Up to the rounding of some dozens of additions in another order."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-13 * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("where", MESHES)
def test_without_watchers_as_with(where: str) -> None:
    """Newton's method works without gradients; everything else must see the same numbers."""
    for name, form in forms(Space(MESHES[where])).items():
        u = state(form)
        watched, value = form.linearise(NOW, u), form(NOW, u)
        with torch.no_grad():
            alone, again = form.linearise(NOW, u), form(NOW, u)
        assert isinstance(alone, BlockSparse) == (u.shape[1] > 1), name
        assert all(close(a, b) for a, b in zip(entries(alone), entries(watched), strict=True)), name
        assert close(again, value), name
        assert not any(w.requires_grad for w in alone.tensors()), name
        with torch.inference_mode():
            inferred = form.linearise(NOW, u)
            assert all(close(a, b) for a, b in zip(entries(inferred), entries(watched), strict=True)), name


@pytest.mark.parametrize("where", ["lines", "triangles", "tetrahedra", "sphere"])
@pytest.mark.parametrize("degree", [1, 4])
def test_long_rows_as_small_matrices(where: str, degree: int) -> None:
    space = Space(MESHES[where])
    for name in ("mixing", "weighed", "burgers", "driven"):
        form = forms(space)[name]
        fast, slow = Integration(space, degree), Integration(space, degree)
        assert all(constant is not None for constant in fast._constant)
        slow._constant = [None] * len(slow.blocks)
        batch = torch.stack([state(form, seed) for seed in range(2)])
        for u in (batch, batch[0]):
            pairs = zip(fast.fields(u), slow.fields(u), strict=True)
            assert all(close(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))
        found = []
        for points in (fast, slow):
            form._points = points
            found.append((form(NOW, batch), *entries(form.linearise(NOW, batch[0]))))
        assert all(close(a, b) for a, b in zip(*found, strict=True)), name


def test_a_learned_coefficient_keeps_its_gradient() -> None:
    space = Space(MESHES["triangles"])
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    form, u = Mixing(space, k=k), state(Mixing(space, k=2.0))
    with torch.no_grad():
        assert not any(w.requires_grad for w in form.linearise(NOW, u).tensors())
    assert torch.autograd.gradcheck(lambda k: entries(Mixing(space, k=k).linearise(NOW, u)), (k,))


def test_sums_over_directions_and_channels() -> None:
    rows = torch.randn(3, 2, 4, 7, dtype=torch.float64)  # cells last in memory
    for grad in (
        rows.movedim(-1, 0),
        rows.movedim(-1, 0).contiguous(),
        rows.movedim(-1, 0)[None].expand(2, -1, -1, -1, -1),
    ):
        assert torch.allclose(over_directions(grad), grad.sum(-1), atol=1e-14)
        assert torch.allclose(squared(grad), (grad * grad).sum(-1), atol=1e-14)
        assert grad.stride(-4) != 1 or over_directions(grad).stride(-3) == 1
        assert torch.equal(over_channels(grad[..., 0]), grad[..., 0].sum(-1))
        assert torch.equal(over_channels(grad[..., :1, 0]), grad[..., 0, 0])
