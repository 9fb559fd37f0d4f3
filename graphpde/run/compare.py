"""Two runs beside each other: the difference of their fields at the times that both have saved."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.point_field import PointFields
from graphpde.run.manifest import versions
from graphpde.viz import Panel, SeriesWriter, plot_multiples, save_figure
from graphpde.viz.files import make_folder, written
from graphpde.viz.saved import Saved, open_saved


class Row(NamedTuple):
    """The difference A - B of one field at one time.

    Attributes:
        t, field: which. l2: its norm, (integral of its square)^(1/2). largest: its size at the point ``at`` [d].
        relative: l2 over the larger norm of the two; 0 where both are zero. a, b: their own norms.
    """

    t: float
    field: str
    l2: float
    largest: float
    at: tuple[float, ...]
    relative: float
    a: float
    b: float


class Comparison(NamedTuple):
    """Two runs beside each other.

    Attributes:
        a, b: their folders or files. times, fields: common to both. mesh: the finer one, on which they are compared.
        rows: one for each time and field. notes: what is to be known, one sentence each. files: what was written.
    """

    a: str
    b: str
    times: tuple[float, ...]
    fields: tuple[str, ...]
    mesh: Mesh
    rows: Sequence[Row]
    notes: Sequence[str]
    files: Sequence[Path] = ()

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        rows = [{**row._asdict(), "t": None if math.isnan(row.t) else row.t} for row in self.rows]
        times = [None if math.isnan(t) else t for t in self.times]
        return {
            "a": self.a, "b": self.b, "mesh": {"name": self.mesh.name, "points": self.mesh.n},
            "times": times, "fields": list(self.fields), "differences": rows, "notes": list(self.notes),
            "files": [str(file.resolve()) for file in self.files],
        }  # fmt: skip


def compare(
    a: str | os.PathLike[str], b: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> Comparison:
    """Compare two runs, series or files with fields.

    Where the meshes differ, the fields of the one with fewer points are interpolated on the other: with all nodal
    values of quadratic cells, linearly in others.

    Args:
        out: a folder for the difference fields (``difference.pvd``), ``compare.json`` and a picture of the last time.

    Raises:
        InputError: they have no time or no field in common, or meshes that cannot be compared. OutputError: ``out``
            cannot be written.
    """
    first, second = open_saved(a), open_saved(b)
    pairs = _common_times(first, second, f"'{a}'", f"'{b}'")
    sides = _Sides.of(first.mesh(pairs[-1][0]), second.mesh(pairs[-1][1]), str(a), str(b))
    rows: list[Row] = []
    writer: SeriesWriter | None = None
    shown: dict[str, tuple[Tensor, Tensor]] = {}
    for i, j in pairs:
        t = first.times[i] if math.isfinite(first.times[i]) else second.times[j]
        both = sides.fields(first.mesh(i), second.mesh(j))
        rows += [sides.row(t, name, *values) for name, values in both.items()]
        shown = both
        if out is not None:
            arrays = {f"{name}_{what}": values for name, (u, v) in both.items()
                      for what, values in (("difference", u - v), ("a", u), ("b", v))}  # fmt: skip
            writer = writer or SeriesWriter(Path(out), "difference", sides.mesh, tuple(arrays))
            writer.add(t if math.isfinite(t) else 0.0, arrays)
    times = tuple(first.times[i] for i, _ in pairs)
    result = Comparison(str(a), str(b), times, tuple(shown), sides.mesh, rows, sides.notes)
    return result if out is None else result._replace(files=_write(Path(out), result, shown))


def _common_times(a: Saved, b: Saved, name_a: str, name_b: str) -> list[tuple[int, int]]:
    """Numbers of the moments that both have; a file without time fits the only or the last moment of the other."""
    if math.isnan(a.times[0]) or math.isnan(b.times[0]):
        return [(len(a.times) - 1, len(b.times) - 1)]
    span = max(abs(t) for t in (*a.times, *b.times))
    pairs = []
    for i, t in enumerate(a.times):
        j = int(np.argmin([abs(t - other) for other in b.times]))
        if abs(b.times[j] - t) <= 1e-9 * span:
            pairs.append((i, j))
    if not pairs:
        raise InputError(
            f"{name_a} and {name_b} have no saved time in common ({_range(a)} against {_range(b)}); run one of them "
            f"with the end and the frames of the other"
        )
    return pairs


def _range(saved: Saved) -> str:
    low, high = saved.times[0], saved.times[-1]
    return f"{len(saved.times)} from t={low:g} to {high:g}" if len(saved.times) > 1 else f"t={low:g}"


class _Sides:
    """How the fields of both sides come to one mesh."""

    def __init__(self, a: Mesh, b: Mesh, names: tuple[str, str], same: bool):
        self.names = names
        self.finer = 0 if a.n >= b.n else 1
        mesh, other = (a, b) if self.finer == 0 else (b, a)
        self._functions = PointFields(mesh)
        self.mesh, self._operator = mesh, None
        self.notes: list[str] = [note for note in [self._functions.note] if note is not None]
        if same:
            return
        given, used = PointFields(other), self._functions.points
        if given.note is not None and given.note not in self.notes:
            self.notes.append(given.note)
        self._operator = given.at(mesh.points)
        away = self._operator.outside & used
        coarse, fine = names[1 - self.finer], names[self.finer]
        if bool(away[used].all()):
            raise InputError(f"the meshes of '{names[0]}' and '{names[1]}' share no point of space; check their units")
        self.notes.append(
            f"the meshes differ: the fields of '{coarse}' ({other.n} points) were interpolated on that of '{fine}' "
            f"({mesh.n} points)"
        )
        if bool(away.any()):
            far = float(self._operator.distance[away].max())
            self.notes.append(
                f"{int(away.sum())} of {mesh.n} points lie outside of the mesh of '{coarse}', up to {far:.3g} away; it "
                f"counts there with the value at its nearest point"
            )

    @classmethod
    def of(cls, a: Mesh, b: Mesh, name_a: str, name_b: str) -> _Sides:
        """Both sides, checked.

        Raises:
            InputError: no field in common, or spaces of different dimension.
        """
        if a.space_dim != b.space_dim or a.dim != b.dim:
            raise InputError(
                f"'{name_a}' has cells of dimension {a.dim} in {a.space_dim}-D and '{name_b}' of {b.dim} in "
                f"{b.space_dim}-D; only runs on the same kind of mesh can be compared"
            )
        if not _common_fields(a, b):
            raise InputError(
                f"'{name_a}' and '{name_b}' have no field in common ({', '.join(a.point_data) or 'none'} against "
                f"{', '.join(b.point_data) or 'none'}); compare runs of the same problem"
            )
        return cls(a, b, (name_a, name_b), _alike(a, b))

    def fields(self, a: Mesh, b: Mesh) -> dict[str, tuple[Tensor, Tensor]]:
        """The common fields of both at the points of the finer mesh [n]."""
        out = {}
        for name in _common_fields(a, b):
            values = [side.point_data[name].reshape(side.n, -1)[:, :1].double() for side in (a, b)]
            if self._operator is not None:
                values[1 - self.finer] = self._operator(values[1 - self.finer])
            out[name] = (values[0][:, 0], values[1][:, 0])
        return out

    def row(self, t: float, field: str, u: Tensor, v: Tensor) -> Row:
        """The difference of one field in numbers."""
        space = self._functions.space
        at = self._functions.unknowns(torch.stack([u, v, u - v], 1))
        norms = [float(space.inner(x[:, None], x[:, None]).sum().clamp(min=0).sqrt()) for x in at.unbind(1)]
        worst = int(at[:, 2].abs().argmax())
        assert space.pos is not None
        size = max(norms[:2])
        place = tuple(space.pos[worst].tolist())
        return Row(t, field, norms[2], float(at[worst, 2].abs()), place, norms[2] / size if size else 0.0, *norms[:2])


def _common_fields(a: Mesh, b: Mesh) -> list[str]:
    """Scalar fields at points that both have."""
    return [
        name for name, values in a.point_data.items()
        if name in b.point_data and values.is_floating_point() and values.numel() == a.n
        and b.point_data[name].numel() == b.n
    ]  # fmt: skip


def _alike(a: Mesh, b: Mesh) -> bool:
    return a.points.shape == b.points.shape and bool(torch.equal(a.points, b.points))


def _write(out: Path, result: Comparison, shown: Mapping[str, tuple[Tensor, Tensor]]) -> list[Path]:
    """The picture and the numbers beside the difference fields."""
    make_folder(out)
    files = [out / "difference.pvd"]
    t = result.times[-1]
    when = "" if math.isnan(t) else f", t = {t:.6g}"
    for name, (u, v) in shown.items():
        panels = [
            Panel(result.mesh, u, f"A: {Path(result.a).name}", name),
            Panel(result.mesh, v, f"B: {Path(result.b).name}", name),
            Panel(result.mesh, u - v, "A - B", "difference"),
        ]
        figure = plot_multiples(panels, title=f"{name}{when}", symmetric=["difference"], one_row=True)
        files.append(save_figure(figure, out / f"difference_{name}.png", dpi=130))
    with written(out / "compare.json") as aside:
        aside.write_text(json.dumps({**result.as_dict(), "versions": versions()}, indent=2) + "\n", encoding="utf-8")
    return [*files, out / "compare.json"]
