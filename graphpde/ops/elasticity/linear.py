"""Linear elasticity: the displacement as the channels of one state, stresses as fluxes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError, LockingCaveat, ShapeError
from graphpde.mesh.space import Space
from graphpde.ops.elasticity.orthotropic import Orthotropic
from graphpde.ops.elasticity.rigid import free_motions, rigid_modes
from graphpde.ops.form import Coefficient, LinearForm, Local, Values, beside_gradients
from graphpde.ops.term import Free
from graphpde.ops.values import evaluate, require_finite
from graphpde.typing import Field

_AXES = ("x", "y", "z")
KINDS = ("plane_strain", "plane_stress", "axisymmetric", "solid")


def displacement_channels(dim: int) -> tuple[str, ...]:
    """Names of the channels in ``dim`` dimensions: displacement_x, ..."""
    return tuple(f"displacement_{axis}" for axis in _AXES[:dim])


class Elasticity(LinearForm):
    r"""Small deformations, 0 = div sigma + f with sigma = lambda tr(e) I + 2 mu e and e = (grad u + grad u^T) / 2.

    The state is the displacement [*, n, d]. F_i = -\int sigma : grad N_i is the force of the body on its nodes, so
    ``steady(Elasticity(space, E, nu) + Source(space, f) + Neumann("right", traction) + Dirichlet("left", 0.0), u0)``
    is the state of rest; where nothing is said the boundary is free. Strains of a change of temperature are taken off.

    Args:
        domain: a Space on cells that fill the plane or space.
        young: Young's modulus E > 0 in force/area: a number, {set: number}, one per cell or f(x). Or the material as
            an :class:`~graphpde.ops.elasticity.orthotropic.Orthotropic`.
        poisson: Poisson's ratio, -1 < nu < 1/2; likewise. Not read beside an orthotropic material.
        kind: in the plane "plane_strain" (long across it), "plane_stress" (thin) or "axisymmetric" (about x = 0, the
            first coordinate is the radius; integrals are per radian, and loads beside it are taken with the radius); in
            space "solid". Default by dimension.
        expansion: thermal, in 1/temperature. temperature: above that at which nothing is stressed: a number, a value
            for each node [n, 1], or f(x [k, d], t).
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: a surface or network, a kind that does not fit, a modulus that is not positive, nu out of range,
            a negative radius.
        LockingCaveat: as a warning, for nu > 0.49 with elements of first order.

    Reference: Hughes 2000, The Finite Element Method, sections 2.7 to 2.9 and 4.4.
    """

    units: ClassVar = {"young": "force/area", "poisson": "1", "expansion": "1/temperature"}
    reference = "Hughes 2000, The Finite Element Method, section 2.7"
    symmetric = True

    def __init__(
        self,
        domain: Any,
        young: Coefficient | Orthotropic = 1.0,
        poisson: Coefficient = 0.3,
        *,
        kind: str | None = None,
        expansion: Coefficient = 0.0,
        temperature: Field | None = None,
        **options: Any,
    ):
        space = checked_space(domain)
        usual = "plane_strain" if space.mesh.space_dim == 2 else "solid"
        self.kind = usual if kind is None else kind
        if self.kind not in KINDS or (self.kind == "solid") != (usual == "solid"):
            fits = ("solid",) if usual == "solid" else KINDS[:-1]
            raise InputError(f"kind='{kind}' in {space.mesh.space_dim} dimensions, expected one of: {', '.join(fits)}")
        self.material = young if isinstance(young, Orthotropic) else None
        given = {"young": young, "poisson": poisson} if self.material is None else self.material.coefficients
        super().__init__(space, **given, expansion=expansion, **options)
        self.channels = displacement_channels(space.mesh.space_dim)
        self.axisymmetric = self.kind == "axisymmetric"
        self.homogeneous = not self.axisymmetric
        self.temperature = self._checked_temperature(temperature, expansion)
        self._check()

    def _checked_temperature(self, given: Field | None, expansion: Coefficient) -> Field | None:
        if given is None or callable(given):
            return given
        if isinstance(expansion, int | float) and expansion == 0:
            raise InputError("a temperature is given without expansion, which says what it does; give both")
        if isinstance(given, Tensor) and given.dim() and given.shape not in ((n := self.domain.n,), (n, 1), (1,)):
            raise ShapeError(f"temperature has shape {list(given.shape)}, expected a number or [{n}, 1]: one a node")
        require_finite(torch.as_tensor(given).detach(), "temperature")
        return given

    @torch.no_grad()
    def _check(self) -> None:
        """Refuse what is no material, or no body about an axis."""
        if self.material is not None:
            self.material.fit(self.kind)
        x = self.domain.mesh.points[:, 0]
        if self.axisymmetric and float(x.min()) < -1e-12 * float(x.abs().max()):
            raise InputError(
                f"'{self.domain.mesh.name}' reaches x = {float(x.min()):g}, expected x >= 0: the first coordinate is "
                f"the distance from the axis"
            )
        zero, points = torch.zeros((), dtype=torch.float64, device=self.domain.device), self.points
        given = [self._at(zero, k, points) for k in range(len(points.blocks))]
        if self.material is not None:
            for p, block in zip(given, points.blocks, strict=True):
                self.material.check(p, block.ids, self.kind)
            return
        self._require("young", lambda v: v > 0, "finite numbers > 0: force per area")
        self._require("poisson", lambda v: (v > -1) & (v < 0.5), "numbers between -1 and 1/2")
        soft = any(bool((torch.as_tensor(p["poisson"]) > 0.49).any()) for p in given)
        if soft and self.kind != "plane_stress" and self.domain.element.degree == 1:
            warnings.warn(
                "poisson > 0.49 with elements of first order: the body hardly changes its volume, and they lock, which "
                "makes it too stiff; take element='p2' (or 'q2')",
                LockingCaveat,
                stacklevel=4,
            )

    @property
    def dim(self) -> int:
        """How many components the displacement has."""
        return len(self.channels)

    # what deforms and what pulls

    def strain(self, x: Tensor, u: Tensor, grad: Tensor) -> Tensor:
        """e [*, m, q, 3, 3] but for what a plane state of stress adds across the plane; the third is that axis."""
        e = torch.nn.functional.pad(0.5 * (grad + grad.mT), (0, 3 - self.dim, 0, 3 - self.dim))
        if self.kind != "axisymmetric":
            return e
        hoop = torch.zeros(3, 3, dtype=e.dtype, device=e.device)
        hoop[2, 2] = 1
        return e + (u[..., 0] / x[..., 0])[..., None, None] * hoop

    def law(self, e: Tensor, p: Values) -> Tensor:
        """sigma [*, m, q, 3, 3] of strains, without that of the temperature."""
        if self.material is not None:
            return self.material.stress(e, p, plane_stress=self.kind == "plane_stress")
        first, shear = self.lame(p)
        trace = e.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        return first * trace * self._inside(e) + 2 * shear * e

    def lame(self, p: Values) -> tuple[Any, Any]:
        """lambda (in plane stress 2 lambda mu / (lambda + 2 mu)) and mu, numbers or [m, q, 1, 1]."""
        young, nu = beside_gradients(p["young"]), beside_gradients(p["poisson"])
        first, shear = lame_constants(young, nu)
        return (young * nu / (1 - nu**2) if self.kind == "plane_stress" else first), shear

    def _inside(self, e: Tensor) -> Tensor:
        """The identity of the directions in which something pulls [3, 3]."""
        one = torch.eye(3, dtype=e.dtype, device=e.device)
        if self.kind == "plane_stress":
            one[2, 2] = 0
        return one

    def heated(self, x: Tensor, t: Tensor, block: int, p: Values) -> Tensor:
        """The stress [m, q, 3, 3] that holds a body of this temperature at its size."""
        return self.law(self._growth(x, t, block, p), p)

    def _growth(self, x: Tensor, t: Tensor, block: int, p: Values) -> Tensor:
        grown = (p["expansion"] * self._rise(x, t, block))[..., None]
        return grown * self._inside(grown)

    def _rise(self, x: Tensor, t: Tensor, block: int) -> Tensor:
        """The temperature at the points of a block [m, q, 1]."""
        given, n = self.temperature, self.domain.n
        if isinstance(given, Tensor) and given.dim() and len(given) == n > 1:
            return self.points.fields(given.reshape(n, 1).to(x))[block][0]
        at = evaluate(given, x.flatten(0, 1), t, "temperature")  # type: ignore[arg-type]
        return at.unflatten(0, x.shape[:2]).to(x)

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return self._pull(x, self.law(self.strain(x, u, grad), p))

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        """What the temperature pushes [n, d]."""
        if self.temperature is None:
            return None
        points = self.points
        parts = []
        for k, block in enumerate(points.blocks):
            stress = self.heated(block.points, t, k, self._at(t, k, points))
            parts.append(self._pull(block.points, -stress))
        return points.integrate(parts).to(like)

    def _pull(self, x: Tensor, stress: Tensor) -> Local:
        """Source and flux of a stress [*, m, q, 3, 3]; about an axis per radian, with the radius."""
        d = self.dim
        flux = -stress[..., :d, :d]
        if self.kind != "axisymmetric":
            return None, flux
        hoop = torch.zeros(d, dtype=stress.dtype, device=stress.device)
        hoop[0] = 1
        return -stress[..., 2, 2, None] * hoop, flux * x[..., 0, None, None]

    def stress(self, u: Tensor, t: float | Tensor = 0.0) -> list[Tensor]:
        """sigma [*, m, q, 3, 3] at the quadrature points of each block of cells; the third axis is across the plane, or
        around the axis. t: of the temperature, where it changes in time."""
        return [stress for _, stress in self._strained(u, t)]

    def strains(self, u: Tensor) -> list[Tensor]:
        """e [*, m, q, 3, 3] at the quadrature points of each block; in plane stress without that across the plane."""
        points = self.points
        return [self.strain(b.points, *at) for b, at in zip(points.blocks, self._fields(points, u), strict=True)]

    def energy(self, u: Tensor, t: float | Tensor = 0.0) -> Tensor:
        r"""The energy of the strains [*], half the integral of sigma : (e - alpha T); about an axis per radian."""
        densities = []
        for block, (e, stress) in zip(self.points.blocks, self._strained(u, t), strict=True):
            density = 0.5 * (e * stress).sum((-2, -1))
            densities.append(density * block.points[..., 0] if self.axisymmetric else density)
        return self.points.total(densities)

    def _strained(self, u: Tensor, t: float | Tensor) -> list[tuple[Tensor, Tensor]]:
        """Strains without those of the temperature, and their stresses, [*, m, q, 3, 3], a pair a block."""
        now, points, found = torch.as_tensor(t, dtype=torch.float64, device=u.device), self.points, []
        for k, (v, g) in enumerate(self._fields(points, u)):
            x, p = points.blocks[k].points, self._at(now, k, points)
            e = self.strain(x, v, g)
            e = e if self.temperature is None else e - self._growth(x, now, k, p)
            found.append((e, self.law(e, p)))
        return found

    def rigid_modes(self) -> Tensor:
        """Motions without strain [n, d, q]: translations, then turns about the middle of the body."""
        return rigid_modes(self.domain, axisymmetric=self.axisymmetric)

    def near_null(self) -> Tensor:
        """Motions [n, d, q] that hardly strain a small part: those of the plane about an axis, too."""
        return rigid_modes(self.domain).detach()

    def free(self, held: Tensor | None, supports: Sequence[LinearOperator]) -> Free:
        return free_motions(self.domain, held, supports, axisymmetric=self.axisymmetric)


def lame_constants(young: Any, poisson: Any) -> tuple[Any, Any]:
    """lambda and mu."""
    return young * poisson / ((1 + poisson) * (1 - 2 * poisson)), young / (2 * (1 + poisson))


def checked_space(domain: Any) -> Space:
    """The space of a body.

    Raises:
        InputError: no space, or cells that do not fill the plane or space.
    """
    if not isinstance(domain, Space):
        raise InputError(f"elasticity is computed with finite elements, got {domain!r}; build a Space from a mesh")
    mesh = domain.mesh
    if mesh.dim != mesh.space_dim or mesh.dim == 1:
        raise InputError(
            f"elasticity needs cells that fill the plane or space, '{mesh.name}' is {mesh.dim}-D in {mesh.space_dim}-D"
        )
    return domain
