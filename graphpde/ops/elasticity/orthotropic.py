"""Materials with three planes of symmetry: wood, rolled sheet, layers of fibres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.ops.form import Coefficient, Values
from graphpde.ops.values import require_each

_PAIRS = ((0, 1), (0, 2), (1, 2))


class Orthotropic:
    """sigma of a material with moduli of its own along its axes 1, 2 and 3, in place of Young's modulus.

    ``Elasticity(space, Orthotropic((12e9, 0.7e9), 0.4, 0.8e9, angle=30.0), kind="plane_stress")``. Along its axes
    e_1 = s_1 / E1 - nu12 s_2 / E1 - nu13 s_3 / E1 and so on, nu_ij / E_i = nu_ji / E_j, and s_ij = 2 G_ij e_ij. Every
    number may also be {set: number}, one per cell or f(x).

    Args:
        young: (E1, E2, E3) in force/area; (E1, E2) is enough in plane stress.
        poisson: (nu12, nu13, nu23), or nu12 alone in plane stress: how much 2 shrinks where 1 is pulled.
        shear: (G12, G13, G23) in force/area, or G12 alone in the plane.
        angle: of axis 1 from x towards y, in degrees; axis 3 is then across the plane, around the axis, or z.
        axes: in space the unit vectors of the axes as columns [3, 3], or one such matrix a cell [m, 3, 3].

    Raises:
        InputError: too few numbers, both angle and axes, axes that are not at right angles.

    Reference: Jones 1999, Mechanics of Composite Materials, equations (2.25) and (2.61).
    """

    def __init__(
        self,
        young: Sequence[Coefficient],
        poisson: Coefficient | Sequence[Coefficient],
        shear: Coefficient | Sequence[Coefficient],
        *,
        angle: Coefficient = 0.0,
        axes: Tensor | None = None,
    ):
        self.coefficients: dict[str, Any] = {}
        young = tuple(young) if isinstance(young, Sequence) else (young,)
        self._sheet = len(young) == 2
        wanted = 1 if self._sheet else 3
        self.coefficients |= _numbered("young", young, ("1", "2", "3"), (2, 3))
        self.coefficients |= _numbered("poisson", poisson, ("12", "13", "23"), (wanted,))
        self.coefficients |= _numbered("shear", shear, ("12", "13", "23"), (1, 3))
        self._turned = axes is not None
        if axes is None:
            self.coefficients["angle"] = angle
        else:
            self.coefficients["axes"] = _checked_axes(axes, angle)

    def fit(self, kind: str) -> None:
        """Refuse a kind of body for which too little is known.

        Raises:
            InputError: two moduli outside plane stress, one shear modulus in space, axes in the plane.
        """
        if self._sheet and kind != "plane_stress":
            raise InputError(f"two moduli are enough in plane stress alone, kind='{kind}' needs (E1, E2, E3)")
        if kind == "solid" and "shear_13" not in self.coefficients:
            raise InputError("a solid needs three shear moduli (G12, G13, G23), got one")
        if self._turned and kind != "solid":
            raise InputError(f"axes are for solids, kind='{kind}' takes an angle in degrees")

    def stress(self, e: Tensor, p: Values, *, plane_stress: bool) -> Tensor:
        """sigma [*, m, q, 3, 3] of strains in the directions of the coordinates."""
        axes = self._axes(e, p)
        along = axes.mT @ e @ axes
        compliance = self.compliance(p, e)
        if plane_stress:
            stiff = torch.nn.functional.pad(torch.linalg.inv(compliance[..., :2, :2]), (0, 1, 0, 1))
        else:
            stiff = torch.linalg.inv(compliance)
        normal = torch.einsum("...ij,...j->...i", stiff, along.diagonal(dim1=-2, dim2=-1))
        return axes @ (torch.diag_embed(normal) + 2 * self._shears(p, e) * along) @ axes.mT

    def compliance(self, p: Values, like: Tensor) -> Tensor:
        """Strains along the axes by stresses along them [.., 3, 3]."""
        young = [_at(p, f"young_{k + 1}", like) for k in range(2 if self._sheet else 3)]
        young += young[1:] if self._sheet else []  # of no consequence in plane stress
        cross = {pair: _at(p, _pair("poisson", pair), like) for pair in _PAIRS}
        rows = [
            [1 / young[i] if i == j else -cross[min(i, j), max(i, j)] / young[min(i, j)] for j in range(3)]
            for i in range(3)
        ]
        return _matrix(rows)

    def _shears(self, p: Values, like: Tensor) -> Tensor:
        """G_ij [.., 3, 3] with a zero diagonal; in the plane those across it are of no consequence."""
        zero = like.new_zeros(())
        each = {pair: _at(p, _pair("shear", pair), like) for pair in _PAIRS}
        return _matrix([[zero if i == j else each[min(i, j), max(i, j)] for j in range(3)] for i in range(3)])

    def _axes(self, e: Tensor, p: Values) -> Tensor:
        if self._turned:
            return p["axes"].to(e)
        angle = _at(p, "angle", e) * (math.pi / 180)
        c, s, zero, one = angle.cos(), angle.sin(), e.new_zeros(()), e.new_ones(())
        return _matrix([[c, -s, zero], [s, c, zero], [zero, zero, one]])

    def check(self, p: Values, ids: Tensor, kind: str) -> None:
        """Refuse moduli for which some strain would set energy free.

        Raises:
            InputError: names the first cell.
        """
        like = torch.zeros((), dtype=torch.float64, device=ids.device)
        for name in self.coefficients:
            if name.startswith(("young", "shear")):
                require_each(name, p[name], ids, lambda v: v > 0, "finite numbers > 0: force per area")
        used = 2 if kind == "plane_stress" else 3
        compliance = self.compliance(p, like)[..., :used, :used]
        scale = compliance.diagonal(dim1=-2, dim2=-1).rsqrt()
        least = torch.linalg.eigvalsh(scale[..., :, None] * compliance * scale[..., None, :])[..., 0]
        bound = "nu12^2 < E1 / E2" if used == 2 else "nu_ij^2 < E_i / E_j, and numbers that suit each other"
        require_each(
            "the least eigenvalue of the compliance",
            least,
            ids,
            lambda v: v > 1e-12,
            f"a positive definite one: {bound}",
        )


def _numbered(name: str, given: Any, ends: Sequence[str], counts: Sequence[int]) -> dict[str, Any]:
    """{name_12: ...} of one value or a sequence of them."""
    values = list(given) if isinstance(given, list | tuple) else [given]
    if len(values) not in counts:
        raise InputError(
            f"{name} of the orthotropic material has {len(values)} values, expected {' or '.join(map(str, counts))}"
        )
    return {f"{name}_{end}": value for end, value in zip(ends, values, strict=False)}


def _checked_axes(axes: Tensor, angle: Any) -> Tensor:
    given = torch.as_tensor(axes, dtype=torch.float64)
    if given.dim() not in (2, 3) or given.shape[-2:] != (3, 3):
        raise InputError(f"axes have shape {list(given.shape)}, expected [3, 3] or one matrix a cell: [m, 3, 3]")
    given = given[None] if given.dim() == 2 else given
    if not isinstance(angle, int | float) or angle:
        raise InputError("got an angle and axes, expected one of them")
    off = (given.mT @ given - torch.eye(3, dtype=given.dtype, device=given.device)).abs().amax((1, 2)).detach()
    if not bool((off <= 1e-6).all()):
        raise InputError(
            f"the axes of the material are off right angles and length 1 by {float(off.max()):.2g}, expected unit "
            f"vectors as columns"
        )
    return given


def _pair(name: str, pair: tuple[int, int]) -> str:
    return f"{name}_{pair[0] + 1}{pair[1] + 1}"


def _at(p: Values, name: str, like: Tensor) -> Tensor:
    """A coefficient [m, q] or [], 0 where it is not given."""
    v = p.get(name, 0.0)
    v = v.to(like) if isinstance(v, Tensor) else torch.tensor(v, dtype=like.dtype, device=like.device)
    return v[..., 0] if v.dim() else v


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    """Entries [..] as matrices [.., k, k]."""
    k = len(rows)
    flat = torch.broadcast_tensors(*(v for row in rows for v in row))
    return torch.stack(flat, -1).unflatten(-1, (k, k))
