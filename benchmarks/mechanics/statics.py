"""Bodies at rest beside exact and published answers: patch tests, beams, holes, cylinders, sheets of fibres."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import steady
from graphpde.mesh import Mesh, Space, annulus_sector, box, jittered, rectangle
from graphpde.ops import Dirichlet, Neumann, Source, Sum, System
from graphpde.ops.elasticity import (
    Elasticity,
    ElasticSupport,
    Orthotropic,
    PressureLoad,
    Symmetry,
    at_nodes,
    principal,
    reactions,
    resultant,
)
from graphpde.ops.integration import Integration

F64 = torch.float64
EXACT, STRESSES = "Patch tests and rigid motions", "Stresses"
SOURCES = (*SOLVING, "graphpde/ops/elasticity", "benchmarks/mechanics/statics.py")
SLOPES = torch.tensor([[0.01, 0.02, -0.01], [-0.005, 0.03, 0.004], [0.02, 0.01, -0.02]], dtype=F64)
DISTORTED = {
    "P1 triangles": lambda: Space(jittered(rectangle(8, 8), 0.2, seed=0), "p1"),
    "P2 triangles": lambda: Space(jittered(rectangle(8, 8), 0.2, seed=0), "p2"),
    "Q1 quadrilaterals": lambda: Space(jittered(rectangle(8, 8, cells="quad"), 0.2, seed=0), "q1"),
    "Q2 quadrilaterals": lambda: Space(jittered(rectangle(6, 6, cells="quad"), 0.2, seed=0), "q2"),
    "P1 tetrahedra": lambda: Space(jittered(box(4, 4, 4), 0.15, seed=0), "p1"),
    "P2 tetrahedra": lambda: Space(jittered(box(3, 3, 3), 0.15, seed=0), "p2"),
    "Q1 hexahedra": lambda: Space(jittered(box(4, 4, 4, cells="hexahedron"), 0.15, seed=0), "q1"),
    "Q2 hexahedra": lambda: Space(jittered(box(3, 3, 3, cells="hexahedron"), 0.15, seed=0), "q2"),
}
"""Inner points moved at random, so that no cell is a parallelogram or a brick."""


def rows() -> list[Row]:
    """The rows."""
    small, tiny, one = at_most(1e-11), at_most(1e-8), at_most(0.01)
    return [
        *(_row(EXACT, f"patch test, {on}", "1e-11", small, partial(_patch, on)) for on in DISTORTED),
        *(
            _row(EXACT, f"rigid motions pull at nothing, {where}", "1e-11", small, partial(_rigid, names))
            for where, names in (("the plane", [*DISTORTED][:4]), ("space", [*DISTORTED][4:]))
        ),
        _row(EXACT, "loads and reactions balance, plane and space", "1e-8", tiny, _balance),
        _row(EXACT, "a bar that is warmed: free and held", "1e-8", tiny, _warm_bar),
        _row(EXACT, "a sheet pulled at 30 degrees to its fibres", "1e-8", tiny, _sheet),
        _row(EXACT, "order of the displacement, P1", "2 (at least 1.9)", lambda v: v >= 1.9, partial(_order, "p1")),
        _row(EXACT, "order of the displacement, P2", "3 (at least 2.9)", lambda v: v >= 2.9, partial(_order, "p2")),
        _row(STRESSES, "Cook's membrane: rise of the tip", "1 %", one, _cook),
        _row(STRESSES, "cantilever under a shear at its end: displacement and bending stress", "1 %", one, _cantilever),
        _row(STRESSES, "a hole in a pulled plate: stress concentration 3", "1 %", one, _hole),
        _row(STRESSES, "thick cylinder under pressure, plane strain", "1 %", one, _lame_plane),
        _row(STRESSES, "thick cylinder under pressure, about the axis", "1 %", one, _lame_axis),
        _row(STRESSES, "turning shaft, about the axis", "1 %", one, _shaft),
        _row(STRESSES, "hollow ball under pressure, about the axis", "1 %", one, _ball),
    ]


def _row(section: str, name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(section, name, target, check, measure, "", SOURCES)


def _at_rest(space: Space, *parts: Any) -> Tensor:
    return steady(Sum.of(*parts), torch.zeros(space.n, space.mesh.space_dim, dtype=F64)).value


def _pos(space: Space) -> Tensor:
    assert space.pos is not None
    return space.pos


def _at(space: Space, *place: float) -> int:
    return int((_pos(space) - torch.tensor(place, dtype=F64)).norm(dim=1).argmin())


def _on(space: Space) -> str:
    mesh = space.mesh
    return f"{type(space.element).__name__}, {mesh.n_cells} cells, {space.n} nodes"


# patch tests and rigid motions


def _patch(name: str) -> Found:
    """Linear displacements on the boundary give them inside, and the stress of Hooke's law everywhere."""
    space = DISTORTED[name]()
    x = _pos(space)
    d = x.shape[1]

    def linear(x: Tensor, t: Tensor | None = None) -> Tensor:
        return x @ SLOPES[:d, :d].T + 0.1

    body = Elasticity(space, 200.0, 0.3)
    u = _at_rest(space, body, Dirichlet("boundary", linear))
    e = torch.zeros(3, 3, dtype=F64)
    e[:d, :d] = 0.5 * (SLOPES[:d, :d] + SLOPES[:d, :d].T)
    stress = 200 / 1.3 * (e + 0.3 / 0.4 * e.trace() * torch.eye(3, dtype=F64))
    apart = float((u - linear(x)).abs().max() / linear(x).abs().max())
    pulled = max(float((s - stress).abs().max()) for s in body.stress(u)) / float(stress.abs().max())
    value = max(apart, pulled)
    return Found(value, f"{value:.1e}", _on(space), f"displacement {apart:.1e}, stress {pulled:.1e}, both relative")


def _rigid(names: Sequence[str]) -> Found:
    worst = {}
    for name in names:
        space = DISTORTED[name]()
        body = Elasticity(space, 200.0, 0.3)
        diagonal = body.operator.diagonal()
        assert diagonal is not None
        pulls = [float(body.operator(mode.contiguous()).abs().max()) for mode in body.rigid_modes().unbind(-1)]
        worst[name] = max(pulls) / float(diagonal.abs().max())
    name = max(worst, key=lambda key: worst[key])
    return Found(
        worst[name], f"{worst[name]:.1e}", ", ".join(names), f"worst on {name}; over the largest entry of the stiffness"
    )


def _balance() -> Found:
    """Force and moment of loads, reactions and springs, over those of the loads."""
    worst, start = 0.0, torch.zeros((), dtype=F64)
    for space in (DISTORTED["P2 triangles"](), DISTORTED["Q1 quadrilaterals"](), DISTORTED["P2 tetrahedra"]()):
        d = space.mesh.space_dim
        body = Elasticity(space, 210e9, 0.3)
        pull = torch.tensor([1e5, -3e5, 2e5], dtype=F64)[:d]
        weight = torch.tensor([0.0, -7.7e4, 0.0], dtype=F64)[:d]
        loaded = Sum.of(body, Neumann("right", pull), Source(space, weight), PressureLoad("top", 4e5))
        total = loaded + Dirichlet("left", 0.0) + ElasticSupport("bottom", 1e9)
        u = _at_rest(space, total)
        load = System(loaded, None, start).load(start, u)
        assert load is not None
        for held, given in zip(resultant(space, reactions(total, u)), resultant(space, load), strict=True):
            worst = max(worst, float((held + given).norm() / given.norm()))
    return Found(worst, f"{worst:.1e}", "P2 triangles, Q1 quadrilaterals, P2 tetrahedra", "forces and moments")


def _warm_bar() -> Found:
    """alpha T x where it is free, -E alpha T where its ends are held."""
    space = Space(jittered(rectangle(12, 4), 0.15, seed=0), "p2")
    young, alpha, rise = 210e9, 12e-6, 50.0
    body = Elasticity(space, young, 0.3, kind="plane_stress", expansion=alpha, temperature=rise)
    free = _at_rest(space, body, Symmetry("left"), Symmetry("bottom"))
    held = _at_rest(space, body, Symmetry("left"), Symmetry("right"), Symmetry("bottom"))
    grown = float((free / (alpha * rise) - _pos(space)).abs().max())
    squeezed = max(float((s[..., 0, 0] / (-young * alpha * rise) - 1).abs().max()) for s in body.stress(held))
    value = max(grown, squeezed)
    return Found(value, f"{value:.1e}", _on(space), f"growth {grown:.1e}, stress between walls {squeezed:.1e}")


def _sheet() -> Found:
    """Jones 1999, equation (2.97): the moduli along and across the pull of a sheet whose fibres are turned."""
    e1, e2, nu, g = 140e9, 10e9, 0.3, 5e9
    space = Space(jittered(rectangle(8, 6), 0.15, seed=0), "p1")
    body = Elasticity(space, Orthotropic((e1, e2), nu, g, angle=30.0), kind="plane_stress")
    pull = torch.tensor([1e6, 0.0], dtype=F64)
    pin = Dirichlet(torch.tensor([_at(space, 0, 0)]), 0.0)
    u = _at_rest(
        space, body, Neumann("right", pull), Neumann("left", -pull), pin, Dirichlet("bottom", 0.0, channels=[1])
    )
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    along = c**4 / e1 + (1 / g - 2 * nu / e1) * s**2 * c**2 + s**4 / e2
    across = (1 / e1 + 1 / e2 - 1 / g) * s**2 * c**2 - nu / e1 * (s**4 + c**4)
    shear = (2 / e1 + 2 * nu / e1 - 1 / g) * s * c**3 - (2 / e2 + 2 * nu / e1 - 1 / g) * s**3 * c
    x, y = _pos(space).unbind(1)
    exact = 1e6 * torch.stack([along * x + shear * y, across * y], 1)
    value = float((u - exact).abs().max() / exact.abs().max())
    return Found(value, f"{value:.1e}", _on(space), "it shears as it stretches")


def _order(element: str) -> Found:
    """Least order of the L2 error over three refinements of a distorted mesh, for a smooth displacement."""
    young, nu = 3.0, 0.3
    shear, first = young / (2 * (1 + nu)), young * nu / ((1 + nu) * (1 - 2 * nu))

    def displacement(x: Tensor) -> Tensor:
        return torch.stack([torch.sin(2 * x[0]) * torch.exp(x[1]), torch.cos(3 * x[1] - x[0])])

    def stress(x: Tensor) -> Tensor:
        slope = torch.func.jacfwd(displacement)(x)
        return first * slope.trace() * torch.eye(2, dtype=F64) + shear * (slope + slope.T)

    def pull(x: Tensor) -> Tensor:
        return -torch.func.jacfwd(stress)(x).diagonal(dim1=-2, dim2=-1).sum(-1)

    errors = []
    for k in (4, 8, 16, 32):
        space = Space(jittered(rectangle(k, k), 0.15, seed=0), element)
        force = Source(space, lambda x, t: torch.vmap(pull)(x))
        held = Dirichlet("boundary", lambda x, t: torch.vmap(displacement)(x))
        u = _at_rest(space, Elasticity(space, young, nu), force, held)
        fine = Integration(space, 8)
        off = [
            (v - torch.vmap(torch.vmap(displacement))(b.points)).square().sum(-1)
            for b, (v, _) in zip(fine.blocks, fine.fields(u), strict=True)
        ]
        errors.append(float(fine.total(off)) ** 0.5)
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    value = min(orders[1:])
    told = ", ".join(f"{order:.2f}" for order in orders)
    return Found(value, f"{value:.2f}", f"{element.upper()}, 4 to 32 cells a side", f"orders {told}; plane strain")


# stresses


def _cook() -> Found:
    """Cook 1974, J. Struct. Div. ASCE 100; 23.96 is the limit of fine meshes quoted by Simo and Rifai 1990."""
    mesh = rectangle(16, 16)
    s, t = mesh.points.unbind(1)
    space = Space(mesh.with_points(torch.stack([48 * s, 44 * s + (44 - 28 * s) * t], 1)), "p2")
    body = Elasticity(space, 1.0, 1 / 3, kind="plane_stress")
    u = _at_rest(space, body, Neumann("right", torch.tensor([0.0, 1 / 16], dtype=F64)), Dirichlet("left", 0.0))
    tip = float(u[_at(space, 48.0, 52.0), 1])
    value = abs(tip / 23.96 - 1)
    return Found(value, percent(value), _on(space), f"rise {tip:.3f} of the corner (48, 52), reference 23.96")


def _cantilever() -> Found:
    """Timoshenko and Goodier 1970, section 21: a strip of depth D, held at x = 0, sheared by P at x = L."""
    long, deep, young, nu, load = 8.0, 1.0, 1000.0, 0.3, 2.0
    inertia = deep**3 / 12
    mesh = rectangle(16, 3, width=long, height=deep)
    space = Space(jittered(mesh.with_points(mesh.points - torch.tensor([0.0, deep / 2])), 0.15, seed=0), "p2")

    def exact(p: Tensor, t: Tensor | None = None) -> Tensor:
        x, y = p.unbind(1)
        along = -load * y / (6 * young * inertia) * ((6 * long - 3 * x) * x + (2 + nu) * (y**2 - deep**2 / 4))
        up = 3 * nu * y**2 * (long - x) + (4 + 5 * nu) * deep**2 * x / 4 + (3 * long - x) * x**2
        return torch.stack([along, load / (6 * young * inertia) * up], 1)

    def shear(p: Tensor, t: Tensor) -> Tensor:
        return torch.stack([0 * p[:, 1], load / (2 * inertia) * (deep**2 / 4 - p[:, 1] ** 2)], 1)

    body = Elasticity(space, young, nu, kind="plane_stress")
    u = _at_rest(space, body, Neumann("right", shear), Dirichlet("left", exact))
    x = _pos(space)
    bent = float((u - exact(x)).abs().max() / exact(x).abs().max())
    bending = -load * (long - x[:, 0]) * x[:, 1] / inertia
    pulled = float((at_nodes(body, body.stress(u))[:, 0, 0] - bending).abs().max() / bending.abs().max())
    value = max(bent, pulled)
    note = f"displacement {percent(bent)}, stress at all nodes {percent(pulled)}; tip {float(exact(x)[:, 1].max()):.4g}"
    return Found(value, percent(value), _on(space), note)


def _kirsch(x: Tensor) -> Tensor:
    """Stresses [k, 2, 2] round a hole of radius 1 in a plate pulled by 1 along x; Kirsch 1898."""
    q, angle = 1 / (x**2).sum(1), torch.atan2(x[:, 1], x[:, 0])
    c2, c4, s2, s4 = torch.cos(2 * angle), torch.cos(4 * angle), torch.sin(2 * angle), torch.sin(4 * angle)
    xx = 1 - q * (1.5 * c2 + c4) + 1.5 * q**2 * c4
    yy = -q * (0.5 * c2 - c4) - 1.5 * q**2 * c4
    xy = -q * (0.5 * s2 + s4) + 1.5 * q**2 * s4
    return torch.stack([xx, xy, xy, yy], 1).reshape(-1, 2, 2)


def _round_a_hole(radius: float = 5.0) -> Mesh:
    """A quarter of a ring in curved quadratic triangles, fine at the hole."""
    mesh = Space(annulus_sector(0.06, 1.0, 2.0), "p2").mesh  # with the nodes in the middle of its sides
    r = mesh.points.norm(dim=1, keepdim=True)
    return mesh.with_points(mesh.points * radius ** (r - 1) / r)


def _hole() -> Found:
    """The exact tractions on a circle round the hole: no width of a plate comes in."""
    space = Space(_round_a_hole(), "p2")
    body = Elasticity(space, 1.0, 0.3, kind="plane_stress")

    def pull(x: Tensor, t: Tensor) -> Tensor:
        return (_kirsch(x) @ (x / x.norm(dim=1, keepdim=True))[..., None])[..., 0]

    u = _at_rest(space, body, Neumann("outer", pull), Symmetry("start"), Symmetry("end"))
    stress = at_nodes(body, body.stress(u))[:, :2, :2]
    top = float(stress[_at(space, 0.0, 1.0), 0, 0])
    value, apart = abs(top / 3 - 1), float((stress - _kirsch(_pos(space))).abs().max())
    return Found(value, percent(value), _on(space), f"{top:.4f} at the edge of the hole; all nodes within {apart:.2g}")


def _thick(space: Space, body: Elasticity, u: Tensor, radial: Tensor, r: Tensor) -> Found:
    """Lame 1852, radii 1 and 2, pressure 10 inside."""
    exact = 1.3 / 1000 * 10 / 3 * (0.4 * r + 4 / r)
    moved = float((radial / exact - 1).abs().max())
    around = principal(at_nodes(body, body.stress(u))).values[:, 2]
    pulled = float((around / (10 / 3 * (1 + 4 / r**2)) - 1).abs().max())
    value = max(moved, pulled)
    return Found(
        value, percent(value), _on(space), f"displacement {percent(moved)}, hoop stress at all nodes {percent(pulled)}"
    )


def _lame_plane() -> Found:
    space = Space(annulus_sector(0.06, 1.0, 2.0), "p2")
    body = Elasticity(space, 1000.0, 0.3)
    u = _at_rest(space, body, PressureLoad("inner", 10.0), Symmetry("start"), Symmetry("end"))
    r = _pos(space).norm(dim=1)
    return _thick(space, body, u, (u * _pos(space)).sum(1) / r, r)


def _lame_axis() -> Found:
    mesh = rectangle(16, 5, height=0.3)
    space = Space(jittered(mesh.with_points(mesh.points + torch.tensor([1.0, 0.0])), 0.15, seed=0), "p2")
    body = Elasticity(space, 1000.0, 0.3, kind="axisymmetric")
    u = _at_rest(space, body, PressureLoad("left", 10.0), Symmetry("bottom"), Symmetry("top"))
    return _thick(space, body, u, u[:, 0], _pos(space)[:, 0])


def _shaft() -> Found:
    """rho w^2 r of a full shaft that cannot grow along its axis; Timoshenko and Goodier 1970, section 32."""
    space = Space(jittered(rectangle(12, 4, height=0.3), 0.15, seed=0), "p2")
    body = Elasticity(space, 1000.0, 0.3, kind="axisymmetric")
    pull = Source(space, lambda x, t: torch.stack([5 * x[:, 0], 0 * x[:, 0]], 1))
    u = _at_rest(space, body, pull, Symmetry("left"), Symmetry("bottom"), Symmetry("top"))
    r = _pos(space)[:, 0]
    exact = 5 * 1.3 * 0.4 * (2.4 - r**2) * r / (8 * 1000 * 0.7)
    value = float((u[:, 0] - exact).abs().max() / exact.max())
    return Found(value, percent(value), _on(space), "displacement at all nodes over the largest")


def _ball() -> Found:
    """Lame 1852: u = p a^3 ((1 - 2 nu) r + (1 + nu) b^3 / (2 r^2)) / (E (b^3 - a^3)), radii 1 and 2."""
    space = Space(annulus_sector(0.1, 1.0, 2.0), "p2")
    body = Elasticity(space, 1000.0, 0.3, kind="axisymmetric")
    u = _at_rest(space, body, PressureLoad("inner", 10.0), Symmetry("start"), Symmetry("end"))
    r = _pos(space).norm(dim=1)
    exact = 10 / (1000 * 7) * (0.4 * r + 1.3 * 8 / (2 * r**2))
    value = float(((u * _pos(space)).sum(1) / r / exact - 1).abs().max())
    return Found(value, percent(value), _on(space), "radial displacement at all nodes")
