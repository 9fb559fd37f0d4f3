"""Large deformations: bodies whose stress derives from an energy of the deformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError
from graphpde.ops.elasticity.linear import checked_space, displacement_channels, lame_constants
from graphpde.ops.elasticity.rigid import free_motions, rigid_modes
from graphpde.ops.form import Coefficient, Energy, Local, Values
from graphpde.ops.term import Free


class NeoHookean(Energy):
    r"""Rubber: 0 = Div P + f, the rest of W = mu/2 (I_1 - 3) - mu ln J + lambda/2 (ln J)^2 per undeformed volume.

    F = I + grad u is the deformation, J = det F, I_1 = F : F, P = dW/dF = mu (F - F^-T) + lambda ln J F^-T. The state
    is the displacement [*, n, d] of the undeformed mesh, over which all is integrated; Neumann gives forces per
    undeformed area. Small strains follow :class:`~graphpde.ops.elasticity.linear.Elasticity` with the same constants.

    ``steady(NeoHookean(space, E, nu) + ... , u0)`` is Newton's method, which takes no step that turns a cell inside
    out: W is infinite there. Loads too large for it are reached by
    :func:`~graphpde.ops.elasticity.load_steps.load_steps`.

    Args:
        domain: a Space on cells that fill the plane or space.
        young: Young's modulus E > 0 of small strains in force/area: a number, {set: number}, one per cell or f(x).
        poisson: Poisson's ratio of small strains, -1 < nu < 1/2; likewise.
        kind: "plane_strain" in the plane, "solid" in space; None = the one that fits.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: a surface or network, a kind that does not fit, a modulus that is not positive, nu out of range.

    Reference: Bonet and Wood 2008, Nonlinear Continuum Mechanics for Finite Element Analysis, eq. (6.28).
    """

    units: ClassVar = {"young": "force/area", "poisson": "1"}
    reference = "Bonet and Wood 2008, Nonlinear Continuum Mechanics for Finite Element Analysis, eq. (6.28)"

    def __init__(
        self,
        domain: Any,
        young: Coefficient = 1.0,
        poisson: Coefficient = 0.3,
        *,
        kind: str | None = None,
        **options: Any,
    ):
        space = checked_space(domain)
        fits = "plane_strain" if space.mesh.space_dim == 2 else "solid"
        if kind not in (None, fits):
            raise InputError(f"kind='{kind}' in {space.mesh.space_dim} dimensions, expected '{fits}'")
        super().__init__(space, young=young, poisson=poisson, **options)
        self.kind, self.channels = fits, displacement_channels(space.mesh.space_dim)
        self._require("young", lambda v: v > 0, "finite numbers > 0: force per area")
        self._require("poisson", lambda v: (v > -1) & (v < 0.5), "numbers between -1 and 1/2")

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        first, shear = _lame(p)
        j = volume_change(grad)
        log = j.log1p()
        w = shear / 2 * (grad.square() + 2 * _diagonal(grad)).sum((-2, -1)) - shear * log + first / 2 * log**2
        return torch.where(j > -1, w, torch.inf)

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        """-P, from grad u alone: as F F^T - I its small differences would drown in rounding.

        Turned inside out it is not finite, so that no line search ends there.
        """
        first, shear = (_beside(v) for v in _lame(p))
        j = volume_change(grad)[..., None, None]
        kirchhoff = shear * (grad + grad.mT + grad @ grad.mT) + first * j.log1p() * _one(grad)
        return None, -kirchhoff @ _cofactor(grad + _one(grad)) / (1 + j)

    def stress(self, u: Tensor, t: float | Tensor = 0.0) -> list[Tensor]:
        """Cauchy's stress (mu (F F^T - I) + lambda ln J I) / J [*, m, q, 3, 3] at the quadrature points of each block.

        It is the force per deformed area; the third axis is across the plane.

        Raises:
            InputError: a cell is turned inside out.
        """
        now, found = self._checked_time(u, t), []
        for k, (_, grad) in enumerate(self._fields(self.points, u)):
            first, shear = (_beside(v) for v in _lame(self._at(now, k, self.points)))
            j = volume_change(grad)[..., None, None]
            left = torch.nn.functional.pad(grad + grad.mT + grad @ grad.mT, (0, 3 - self.dim, 0, 3 - self.dim))
            found.append((shear * left + first * j.log1p() * _one(left)) / (1 + j))
        return found

    def piola(self, u: Tensor, t: float | Tensor = 0.0) -> list[Tensor]:
        """The first Piola-Kirchhoff stress P = dW/dF [*, m, q, d, d] at the quadrature points: force per undeformed
        area, P_ij through the area across axis j.

        Raises:
            InputError: a cell is turned inside out.
        """
        now, found = self._checked_time(u, t), []
        for k, fields in enumerate(self._fields(self.points, u)):
            flux = self._local(now, k, self.points, *fields)[1]
            assert flux is not None
            found.append(-flux)
        return found

    def _checked_time(self, u: Tensor, t: float | Tensor) -> Tensor:
        wrong = self.defect(torch.as_tensor(t), u)
        if wrong:
            raise InputError(wrong)
        return torch.as_tensor(t, dtype=torch.float64, device=u.device)

    @torch.no_grad()
    def defect(self, t: Tensor, u: Tensor) -> str:
        """The cell that is most turned inside out, or nothing."""
        worst, cell = 0.0, -1
        for block, (_, grad) in zip(self.points.blocks, self._fields(self.points, u), strict=True):
            j = 1 + volume_change(grad)
            j = j.reshape(-1, *j.shape[-2:]).amin((0, 2))  # of every cell
            least = int(j.argmin())
            if float(j[least]) <= worst:
                worst, cell = float(j[least]), int(block.ids[least])
        return "" if cell < 0 else f"cell {cell} is turned inside out (det F = {worst:.2g}); take more load steps"

    @property
    def dim(self) -> int:
        """How many components the displacement has."""
        return len(self.channels)

    def rigid_modes(self) -> Tensor:
        """Motions without strain [n, d, q] of the undeformed body: translations, then small turns about its middle."""
        return rigid_modes(self.domain)

    def near_null(self) -> Tensor:
        return self.rigid_modes().detach()

    def free(self, held: Tensor | None, supports: Sequence[LinearOperator]) -> Free:
        return free_motions(self.domain, held, supports)


def volume_change(grad: Tensor) -> Tensor:
    """det(I + H) - 1 [*] of H [*, 2, 2] or [*, 3, 3], by its invariants."""
    first = _diagonal(grad).sum((-2, -1))
    second = (first**2 - (grad * grad.mT).sum((-2, -1))) / 2
    if grad.shape[-1] == 2:
        return first + second
    a, b, c = grad.unbind(-2)
    return first + second + (a * torch.linalg.cross(b, c)).sum(-1)


def _cofactor(f: Tensor) -> Tensor:
    """det(F) F^-T."""
    if f.shape[-1] == 2:
        (a, b), (c, d) = (row.unbind(-1) for row in f.unbind(-2))
        return torch.stack([d, -c, -b, a], -1).unflatten(-1, (2, 2))
    a, b, c = f.unbind(-2)
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], -2)


def _one(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)


def _diagonal(grad: Tensor) -> Tensor:
    return grad * _one(grad)


def _lame(p: Values) -> tuple[Any, Any]:
    """lambda and mu, numbers or [m, q]."""
    young, nu = (v[..., 0] if isinstance(v, Tensor) and v.dim() else v for v in (p["young"], p["poisson"]))
    return lame_constants(young, nu)


def _beside(v: Any) -> Any:
    """A number at the points [m, q] beside tensors [m, q, 3, 3]."""
    return v[..., None, None] if isinstance(v, Tensor) and v.dim() else v
