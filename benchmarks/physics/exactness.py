"""What must hold to rounding: patch tests, rigid motions, symmetry, null spaces, d d = 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.manufactured import meshes
from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.core.linear_operator import LinearOperator
from graphpde.dynamics import steady
from graphpde.mesh import (
    P1,
    P2,
    Q1,
    Q2,
    CellSpace,
    Cochains,
    Mesh,
    Space,
    box,
    interval,
    jittered,
    rectangle,
    sphere,
    torus,
)
from graphpde.mesh.elements import Element
from graphpde.mesh.second_order import completed
from graphpde.ops import Diffusion, Dirichlet, LinearForm, Robin, Source, Sum
from graphpde.ops.form import Local, Values

SECTION = "Exact to rounding"
BOUND = at_most(1e-12)
_SLOPE, _BEND = (0.7, -1.3, 0.4), ((1.0, 0.3, -0.2), (0.3, -0.6, 0.5), (-0.2, 0.5, 0.8))

LINES, PLANES, SOLIDS = ("line",), ("triangle", "quad", "mixed"), ("tetra", "hexahedron", "wedge", "pyramid", "mixed")
SOURCES = (*SOLVING, "benchmarks/manufactured/meshes.py", "benchmarks/physics/exactness.py")


def distorted(dim: int, cells: str) -> Mesh:
    """A few random cells of one kind, or of several."""
    if dim == 1:
        return jittered(interval(9), 0.3, seed=5)
    if dim == 2:
        return jittered(rectangle(5, 4, cells=cells), 0.25, seed=5)
    return jittered(box(4, 3, 3, cells=cells), 0.12, seed=5)


def curved(dim: int, cells: str) -> Mesh:
    """The same with its points, those in the middle of the sides as well, moved by a smooth map."""
    mesh = completed(distorted(dim, cells))
    x = mesh.points
    bent = x + 0.05 * torch.sin(3 * x.roll(1, 1) + 2 * x)
    return mesh.with_points(bent)


def spaces() -> dict[str, tuple[Callable[[], Mesh], Element]]:
    """Every element on every kind of cell, with straight and curved sides."""
    first: dict[tuple[int, str], Element] = {(1, "line"): P1(), (2, "triangle"): P1(), (3, "tetra"): P1()}
    first |= {(2, c): Q1() for c in ("quad", "mixed")} | {
        (3, c): Q1() for c in ("hexahedron", "wedge", "pyramid", "mixed")
    }
    second: dict[tuple[int, str], Element] = {(1, "line"): P2(), (2, "triangle"): P2(), (3, "tetra"): P2()}
    second |= {(2, c): Q2() for c in ("quad", "mixed")} | {(3, c): Q2() for c in ("hexahedron", "wedge")}
    out: dict[str, tuple[Callable[[], Mesh], Element]] = {}
    for given in (first, second):
        for (dim, cells), element in given.items():
            name = f"{type(element).__name__} on {_spoken(dim, cells)}"
            out[name] = (lambda dim=dim, cells=cells: distorted(dim, cells)), element
    for (dim, cells), element in second.items():
        if dim > 1:
            name = f"{type(element).__name__} on {_spoken(dim, cells)} with curved sides"
            out[name] = (lambda dim=dim, cells=cells: curved(dim, cells)), element
    return out


def _spoken(dim: int, cells: str) -> str:
    if cells == "mixed":
        return "triangles and quadrilaterals" if dim == 2 else "all solids mixed"
    return {"line": "lines", "quad": "quadrilaterals", "tetra": "tetrahedra", "hexahedron": "hexahedra"}.get(
        cells, f"{cells}s"
    )


def rows() -> list[Row]:
    """The rows."""
    out = []
    for name, (mesh, element) in spaces().items():
        out.append(
            _row(f"patch test, linear u, {name}", lambda m=mesh, e=element: _patch(Space(m(), e), _linear, None))
        )
        flat = element.degree == 2 and "curved" not in name
        if flat and ("lines" in name or "triangles" in name or "quadrilaterals" in name or "tetra" in name):
            run = lambda m=mesh, e=element: _patch(Space(m(), e), _quadratic, -2 * _trace(m().dim))  # noqa: E731
            out.append(_row(f"patch test, quadratic u, {name}", run))
        out.append(_row(f"symmetry and null space, {name}", lambda m=mesh, e=element: _symmetry(Space(m(), e))))
        if "mixed" not in name and "lines" not in name and "curved" not in name:
            out.append(_row(f"rigid motions strain nothing, {name}", lambda m=mesh, e=element: _rigid(Space(m(), e))))
    for dim, kinds in ((1, LINES), (2, PLANES), (3, SOLIDS)):
        for cells in kinds:
            name = f"cell averages on {_spoken(dim, cells)}"
            mesh = lambda dim=dim, cells=cells: distorted(dim, cells)  # noqa: E731
            out.append(_row(f"patch test, linear u, {name}", lambda m=mesh: _patch(CellSpace(m()), _linear, None)))
    return [*out, *_complexes()]


def _row(name: str, measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, "1e-12", BOUND, measure, "", SOURCES)


def _linear(x: Tensor, t: Any = 0.0) -> Tensor:
    return 0.2 + x @ torch.tensor(_SLOPE[: x.shape[1]], dtype=x.dtype)


def _quadratic(x: Tensor, t: Any = 0.0) -> Tensor:
    d = x.shape[1]
    bend = torch.tensor(_BEND, dtype=x.dtype)[:d, :d]
    return _linear(x) + ((x @ bend) * x).sum(1)


def _trace(dim: int) -> float:
    return sum(_BEND[k][k] for k in range(dim))


def _patch(space: Any, exact: Callable[..., Tensor], load: float | None) -> Found:
    """The largest error of the solution whose boundary values (and load) are those of a polynomial of the space."""
    terms = Sum.of(Diffusion(space, 1.7), Dirichlet("boundary", exact))
    if load is not None:
        terms = terms + Source(space, 1.7 * load)
    u = steady(terms, torch.zeros(space.n, 1, dtype=torch.float64), method="direct").value
    right = exact(space.pos)[:, None]
    error = float((u - right).abs().max() / right.abs().max())
    return Found(error, f"{error:.1e}", f"{space.n} unknowns")


def _symmetry(space: Space) -> Found:
    """|A - A^T| of stiffness, mass and Robin matrices and |K 1|, over their largest entries."""
    stiff = Diffusion(space).operator
    matrices = [stiff, space.consistent_mass, Sum.of(Diffusion(space, 2.0), Robin("boundary", 0.7))]
    worst = 0.0
    for given in matrices:
        a = _assembled(given, space).toarray()
        worst = max(worst, float(np.abs(a - a.T).max() / np.abs(a).max()))
    ones = torch.ones(space.n, 1, dtype=torch.float64)
    rest = float(stiff(ones).abs().max()) / float(np.abs(stiff.to_scipy()).max())
    return Found(max(worst, rest), f"{max(worst, rest):.1e}", f"{space.n} unknowns; stiffness, mass, Robin; constants")


def _assembled(given: Any, space: Space) -> Any:
    from graphpde.ops import System

    if isinstance(given, LinearOperator):
        return given.to_scipy()
    operator = System(given, None, torch.zeros((), dtype=torch.float64)).operator
    assert operator is not None
    return operator.to_scipy()


class Elasticity(LinearForm):
    """Linear elasticity: minus the stress 2 mu e + lambda tr(e) 1 of the displacement, a channel a dimension."""

    def __init__(self, domain: Space, mu: float = 1.3, lame: float = 0.8):
        super().__init__(domain)
        self.channels = ("u", "v", "w")[: domain.mesh.dim]
        self.symmetric, self.mu, self.lame = True, mu, lame

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        strain = (grad + grad.mT) / 2
        trace = strain.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        return None, -2 * self.mu * strain - self.lame * trace * torch.eye(grad.shape[-1], dtype=grad.dtype)


def _rigid(space: Space) -> Found:
    """The forces of translations and turns, and that of the eigenvalues of elasticity no other one vanishes."""
    operator, d = Elasticity(space).operator, space.mesh.dim
    assert space.pos is not None
    x = space.pos - space.pos.mean(0)
    motions = [torch.eye(d, dtype=torch.float64)[k].expand(space.n, d) for k in range(d)]
    for i in range(d):
        for j in range(i):
            turn = torch.zeros(d, d, dtype=torch.float64)
            turn[i, j], turn[j, i] = 1.0, -1.0
            motions.append(x @ turn)
    a = operator.to_matrix(d).toarray()
    forces = max(float(operator(m).abs().max()) for m in motions) / float(np.abs(a).max())
    values = np.linalg.eigvalsh((a + a.T) / -2) / np.abs(a).max()
    free = int((np.abs(values) < 1e-10).sum())
    skew = float(np.abs(a - a.T).max() / np.abs(a).max())
    worst = max(forces, skew) if free == len(motions) else float("inf")
    note = f"{free} modes without energy, {len(motions)} expected; asymmetry {skew:.0e}"
    return Found(worst, f"{worst:.1e}", f"{space.n} nodes with {d} components", note)


def _complexes() -> list[Row]:
    kinds: dict[str, Callable[[], Mesh]] = {
        "triangles": lambda: meshes.square(2),
        "sphere": lambda: sphere(3),
        "torus": lambda: torus(0.25),
        "tetrahedra": lambda: distorted(3, "tetra"),
    }
    return [
        Row(SECTION, f"d d = 0, {name}", "exactly 0", at_most(0.0), lambda m=mesh: _exact_sequence(m()), "", SOURCES)
        for name, mesh in kinds.items()
    ]


def _exact_sequence(mesh: Mesh) -> Found:
    forms = Cochains(mesh)
    worst = 0.0
    for k in range(mesh.dim - 1):
        worst = max(worst, float(np.abs(forms.d(k + 1).to_scipy() @ forms.d(k).to_scipy()).max()))
    counts = ", ".join(str(forms.count(k)) for k in range(mesh.dim + 1))
    return Found(worst, f"{worst:g}", f"{counts} simplices of dimension 0, 1, ...")
