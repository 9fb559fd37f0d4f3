"""Initial values from a field that another program or run has written, on this mesh or on another one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import ConfigError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.registry import unknown

_PLACE = re.compile(r"(?P<path>.+?)(?::(?P<field>[^:@/\\]+))?(?:@(?P<time>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?))?")


@dataclass(frozen=True)
class FieldFile:
    """A field in a file: ``FILE``, ``FILE:FIELD``, ``FILE@TIME`` or ``FILE:FIELD@TIME``.

    Attributes:
        path: a run folder, series or mesh file. field: its name; None = named like the field that is wanted.
        time: of the moment; None = the last one.
    """

    path: Path
    field: str | None = None
    time: float | None = None

    @classmethod
    def of(cls, text: str, folder: Path = Path()) -> FieldFile:
        """What ``text`` names, relative to ``folder``; a file whose own name looks so is taken whole."""
        if (folder / text).exists():
            return cls(folder / text)
        found = _PLACE.fullmatch(text)
        assert found is not None
        time = None if found["time"] is None else float(found["time"])
        return cls(folder / found["path"], found["field"], time)

    def __str__(self) -> str:
        at = "" if self.time is None else f"@{self.time!r}"
        return f"{self.path}{'' if self.field is None else ':' + self.field}{at}"


class Loaded(NamedTuple):
    """Values at the unknowns [n] by field, and what is to be known about them."""

    values: dict[str, Tensor]
    notes: list[str]


def load_fields(
    source: FieldFile, fields: Sequence[str], space: Space | CellSpace, given: Collection[str] = ()
) -> Loaded:
    """The initial values that a file holds for the fields of a problem, but those ``given`` otherwise.

    On the same mesh the values are taken as they are, from another one they are interpolated: with all nodal values of
    quadratic cells, linearly in others.

    Raises:
        ConfigError: there is no such file, field or moment, or it does not fit.
    """
    from graphpde.viz.saved import open_saved

    wanted = [name for name in fields if name not in given]
    if not wanted:
        raise ConfigError(f"every field has a value of its own; leave them out, or leave out initial.from = '{source}'")
    saved = open_saved(source.path)
    k = saved.number(source.time)
    kept = _raw(saved.path, k, space) if source.field is None else None
    if kept is not None and all(name in kept for name in wanted):
        return Loaded({name: kept[name] for name in wanted}, [])
    mesh = saved.mesh(k)
    chosen, notes = _chosen(mesh, source, wanted)
    values = {}
    for name, array in chosen.items():
        values[name], more = _at_unknowns(array, mesh, space, source)
        notes += [note for note in more if note not in notes]
    return Loaded(values, notes)


def _raw(series: Path, k: int, space: Space | CellSpace) -> dict[str, Tensor] | None:
    """The states that a run of the library packed beside its series, where they stand on the same unknowns."""
    packed, config = series.with_suffix(".npz"), series.parent.parent / "config.toml"
    try:
        from graphpde.problems import PDES

        fields = PDES[tomllib.loads(config.read_text(encoding="utf-8"))["pde"]].fields
        with np.load(packed, allow_pickle=False) as file:
            points = torch.from_numpy(file["points"])
            pos = None if space.pos is None else space.pos.cpu()
            if pos is None or points.shape != pos.shape or not torch.equal(points, pos.to(points)):
                return None
            state = torch.from_numpy(file["states"][k])
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return {name: state[:, j] for j, name in enumerate(fields)} if state.shape[1] == len(fields) else None


def _chosen(mesh: Mesh, source: FieldFile, wanted: Sequence[str]) -> tuple[dict[str, Tensor], list[str]]:
    """Which array of the file each field takes."""
    data = {**mesh.cell_data, **mesh.point_data}
    data = {name: values for name, values in data.items() if values.is_floating_point()}
    shown = ", ".join(data) or "none"
    if source.field is not None:
        if source.field not in data:
            raise ConfigError(str(unknown(f"field of '{source.path}'", source.field, list(data))))
        return _columns(data[source.field], wanted, source), []
    here = {name: _columns(data[name], [name], source)[name] for name in wanted if name in data}
    if here:
        missing = [name for name in wanted if name not in here]
        return here, [f"'{source.path}' has no {name}, which starts from its default" for name in missing]
    if len(wanted) == 1 and len(data) == 1:
        (name,) = data
        return _columns(data[name], wanted, source), [f"{wanted[0]} starts from the field '{name}' of '{source.path}'"]
    raise ConfigError(
        f"'{source.path}' has no field {' or '.join(wanted)} to start from (it has: {shown}); name one with "
        f"--initial-from {source.path}:FIELD"
    )


def _columns(values: Tensor, wanted: Sequence[str], source: FieldFile) -> dict[str, Tensor]:
    flat = values.reshape(len(values), -1)
    if flat.shape[1] != len(wanted):
        raise ConfigError(
            f"the field of '{source}' has {flat.shape[1]} components, expected {len(wanted)}: one for each of "
            f"{', '.join(wanted)}"
        )
    return {name: flat[:, j] for j, name in enumerate(wanted)}


def _at_unknowns(values: Tensor, mesh: Mesh, space: Space | CellSpace, source: FieldFile) -> tuple[Tensor, list[str]]:
    """Values [n] at the unknowns of an array at the points or cells of the file's mesh."""
    from graphpde.mesh.point_field import PointFields
    from graphpde.mesh.transfer import transfer

    own = space.mesh
    at_points = len(values) == mesh.n
    same = mesh.points.shape == own.points.shape and torch.equal(mesh.points, own.points)
    alike = isinstance(space, Space) and [*mesh.cells] == [*own.cells]
    if at_points and same and (alike or space.n == len(own.used_points)):
        return space.from_points(values[:, None].to(space.device))[:, 0], []
    assert space.pos is not None
    target = space.pos.cpu().double()
    if target.shape[1] != mesh.space_dim:
        raise ConfigError(
            f"'{source.path}' lies in {mesh.space_dim}-D space and '{own.name}' in {target.shape[1]}-D; give a file "
            f"of the same dimension"
        )
    notes = [f"the initial values were interpolated from the {mesh.n} points of '{source.path}' to {space.n} unknowns"]
    if not at_points:
        return transfer(values, mesh, target), notes
    fields = PointFields(mesh)
    notes += [note for note in [fields.note] if note is not None]
    operator = fields.at(target)
    away = operator.outside
    if bool(away.all()):
        raise ConfigError(f"no unknown of '{own.name}' lies in the mesh of '{source.path}'; check its place and units")
    if bool(away.any()):
        far = float(operator.distance[away].max())
        notes.append(
            f"{int(away.sum())} of {space.n} unknowns lie outside of the mesh of '{source.path}', up to {far:.3g} "
            f"away, and start from the value at its nearest point"
        )
    return operator(values[:, None].double())[:, 0], notes
