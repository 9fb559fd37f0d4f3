"""Writes the meshes of this folder and its README: ``python meshes/make.py [FOLDER]``."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from graphpde.mesh import (
    Mesh,
    cell_centroids,
    l_bracket,
    network,
    plate_with_holes,
    random_cube,
    read_mesh,
    rectangle,
    sphere,
    tag_boundary,
    write_mesh,
)

HEAD = """# Small meshes with named sets

Made by `python meshes/make.py`, which also writes this page; lengths are in metres. Every file comes from the
generators of `graphpde.mesh`, under the licence of the project. `graphpde info FILE` shows what a file holds.

| file | what | points | cells | named sets (dimension: count) | SHA-256 |
|---|---|---|---|---|---|
"""


def mixed_boundaries() -> Mesh:
    """A bar of two metals, heated below, cooled at its right end"""
    mesh = rectangle(40, 20, width=2.0, height=1.0)
    mesh = tag_boundary(
        mesh,
        heater=lambda x: (x[:, 1] == 0) & (x[:, 0] >= 0.5) & (x[:, 0] <= 1.5),
        cooler=lambda x: x[:, 0] == 2,
        air=lambda x: x[:, 1] == 1,
    )
    named = torch.cat([mesh.tags[name].ids for name in ("heater", "cooler", "air")])
    rest = mesh.boundary_facets[~torch.isin(mesh.boundary_facets, named)]
    left = cell_centroids(mesh)[:, 0] < 1
    inside = mesh.facets.cells[:, 1] >= 0
    between = inside & (left[mesh.facets.cells[:, 0]] != left[mesh.facets.cells[:, 1]])
    tags = {name: mesh.tags[name] for name in ("heater", "cooler", "air")}
    tags["insulated"] = mesh.make_tag(1, rest)
    tags["interface"] = mesh.make_tag(1, between.nonzero()[:, 0])
    tags["steel"] = mesh.make_tag(2, left.nonzero()[:, 0])
    tags["copper"] = mesh.make_tag(2, (~left).nonzero()[:, 0])
    return Mesh(mesh.points, mesh.cells, tags=tags, name="mixed_boundaries")


def pipes() -> Mesh:
    """Pipes in the plane: a main line with a ring and three outlets"""
    points = [(0, 0), (1, 0), (2, 0.5), (2, -0.5), (3, 0), (4, 0), (2, 1.2), (2.4, -1.3)]
    lines = [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5), (2, 6), (3, 7)]
    return network(
        points,
        lines,
        size=0.05,
        names={"inlet": [0], "outlets": [5, 6, 7]},
        branches={"main": [0, 5], "ring": [1, 2, 3, 4], "side": [6, 7]},
        name="pipes",
    )


def plate() -> Mesh:
    """A plate with two round holes"""
    return plate_with_holes(0.04)


def bracket() -> Mesh:
    """An L-shaped bracket with a bolt hole"""
    return l_bracket(0.035)


def ball() -> Mesh:
    """The unit sphere as a surface of triangles"""
    return sphere(3)


def cube() -> Mesh:
    """The unit cube in irregular tetrahedra"""
    return random_cube(6, seed=1)


FILES: dict[str, Callable[[], Mesh]] = {
    "plate_with_holes.msh": plate,
    "l_bracket.vtu": bracket,
    "sphere.off": ball,
    "mixed_boundaries.msh": mixed_boundaries,
    "cube.vtu": cube,
    "network.vtu": pipes,
}


def row(path: Path, what: str) -> str:
    mesh = read_mesh(path)
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    sets = ", ".join(f"{name} ({tag.dim}: {len(tag.ids)})" for name, tag in mesh.tags.items()) or "none"
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"| {path.name} | {what} | {mesh.n} | {cells} | {sets} | `{checksum}` |\n"


def make(folder: Path) -> list[Path]:
    """Write every mesh and the README into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    page = HEAD
    for name, build in FILES.items():
        write_mesh(folder / name, build())
        page += row(folder / name, str(build.__doc__))
    (folder / "README.md").write_text(page, encoding="utf-8")
    return [folder / name for name in FILES]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    for path in make(parser.parse_args().folder):
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
