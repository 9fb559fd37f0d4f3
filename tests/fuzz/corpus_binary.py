"""Samples whose bytes other libraries or our own writers produce: Gmsh, VTK, XDMF, HDF5 and the binary surfaces."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.io import write_mesh
from graphpde.mesh.mesh import Mesh
from tests.fuzz.corpus import MAKERS, Sample, one, taken
from tests.mesh import test_io_cgns, test_io_decks, test_io_ply, test_io_stl, test_io_vtk
from tests.mesh.io_samples import POINTS, TRIANGLES, solid, square

CUBE = np.array([[x, y, z] for z in (0.0, 1) for y in (0, 1) for x in (0, 1)])
SOLID = np.r_[CUBE, [[2, 0, 0], [2, 0, 1], [0.5, 0.5, 2], [2, -1, 0]]]
HEX, WEDGE, PYRAMID, TETRA = [0, 1, 3, 2, 4, 5, 7, 6], [1, 8, 3, 5, 9, 7], [4, 5, 7, 6, 10], [1, 11, 8, 5]
SOLIDS = [("hexahedron", np.array([HEX])), ("wedge", np.array([WEDGE])), ("pyramid", np.array([PYRAMID]))]
SOLIDS += [("tetra", np.array([TETRA])), ("quad", np.array([[0, 1, 3, 2], [1, 8, 9, 5]]))]
RAISED = POINTS + np.array([0, 0, 0.25]) * np.arange(5)[:, None]


def mixed(tags: str = "", data: bool = True, types: tuple[str, ...] = ()) -> Any:
    """A mesh of meshio with solids of four types and two faces, or those of some types."""
    import meshio

    cells = [(kind, nodes) for kind, nodes in SOLIDS if not types or kind in types]
    numbers = [np.arange(7, 7 + len(nodes)) for _, nodes in cells]
    more: dict[str, Any] = {}
    if data:
        u = np.linspace(0, 1, len(SOLID))
        more["point_data"] = {"u": u, "v": np.stack([u, -u, u * u], 1)}
        more["cell_data"] = {"k": [part.astype(float) for part in numbers]}
    if tags:
        cell_data = more.setdefault("cell_data", {})
        for name in tags.split():
            cell_data[name] = numbers
    return meshio.Mesh(SOLID, cells, **more)


def triangles(**more: Any) -> Any:
    """A mesh of meshio with three triangles in space."""
    import meshio

    return meshio.Mesh(RAISED, [("triangle", TRIANGLES)], **more)


def written(folder: Path, name: str, mesh: Any, format: str, target: str = "", **options: Any) -> Sample:
    """What meshio writes."""
    from graphpde.mesh.io.bridge.read import muted

    kind = options.pop("kind", format)
    decoded, listed = options.pop("decoded", 0), options.pop("listed", "")
    with muted():
        mesh.write(folder / name, file_format=kind, **options)
    return taken(format, folder, name, target, listed, decoded)


def _gmsh(folder: Path, kind: str, binary: bool) -> Sample:
    mesh = mixed("gmsh:physical gmsh:geometrical", data=binary)
    if kind == "gmsh":
        mesh.point_data["gmsh:dim_tags"] = np.array([[3, 1]] * len(SOLID))
    mesh.field_data = {"fluid": np.array([7, 3]), "wall": np.array([8, 2])}
    sample = written(folder, "m.msh", mesh, "gmsh", kind=kind, binary=binary)
    if binary:
        return sample
    rows = "".join(f"{k} {0.5 * k}\n" for k in range(1, 13))
    text = sample.files["m.msh"].decode() + f'$NodeData\n1\n"u"\n1\n0.0\n3\n0\n1\n12\n{rows}$EndNodeData\n'
    return one("gmsh", "m.msh", text)


def _own(folder: Path, name: str, format: str) -> Sample:
    mesh = solid()
    data = {"point_data": {"u": np.arange(float(mesh.n))}, "cell_data": {"k": np.arange(3)}} if format == "vtu" else {}
    write_mesh(folder / name, mesh, **data)
    return taken(format, folder, name, decoded=4096)


def _own_plane(folder: Path, name: str, format: str) -> Sample:
    write_mesh(folder / name, square())
    return taken(format, folder, name, decoded=4096)


def _grid() -> Any:
    """A mesh of meshio with 80 quadrilaterals and 20 lines, long enough for whatever reads many numbers at once."""
    import meshio

    x, y = np.meshgrid(np.linspace(0, 1, 11), np.linspace(0, 2 / 3, 9))
    first = (np.arange(10) + 11 * np.arange(8)[:, None]).reshape(-1, 1)
    along = np.arange(10)[:, None]
    cells = [("quad", first + np.array([0, 1, 12, 11])), ("line", np.r_[along, along + 88] + np.array([0, 1]))]
    points = np.stack([x.ravel(), y.ravel(), np.sin(x * y).ravel()], 1)
    tags = [np.full(80, 7), np.repeat([8, 9], 10)]
    mesh = meshio.Mesh(points, cells, point_data={"u": x.ravel()})
    mesh.cell_data = {"gmsh:physical": tags, "gmsh:geometrical": tags}
    return mesh


def _gmsh_grid(folder: Path) -> Sample:
    mesh = _grid()
    mesh.point_data = {}
    return written(folder, "m.msh", mesh, "gmsh", kind="gmsh22", binary=False)


def _su2_grid(folder: Path) -> Sample:
    mesh = _grid()
    write_mesh(folder / "m.su2", Mesh(mesh.points[:, :2], {"quad": mesh.cells[0].data}))
    return taken("su2", folder, "m.su2")


def _ply(folder: Path, encoding: str) -> Sample:
    faces = (
        "face",
        ["list uchar int vertex_indices", "uchar red"],
        [[(0, 1, 2), 9], [(0, 1, 2, 3), 8], [(1, 4, 2), 7]],
    )
    vertices = (
        "vertex",
        [*test_io_ply.POINTS[1], "uchar red"],
        [[*row, k] for k, row in enumerate(test_io_ply.POINTS[2])],
    )
    return one("ply", "m.ply", test_io_ply.ply(encoding, vertices, faces))


def _xdmf(folder: Path, form: str, target: str = "") -> Sample:
    mesh = triangles(point_data={"u": np.arange(5.0)}, cell_data={"k": [np.arange(3)]})
    sample = written(folder, "m.xdmf", mesh, "xdmf", target, data_format=form)
    plain = sample.files["m.xdmf"].replace(f"{folder}/".encode(), b"")  # meshio names its side files by whole paths
    return replace(sample, files={**sample.files, "m.xdmf": plain})


def _exodus(folder: Path, element: str) -> Sample:
    test_io_decks.exodus(folder / "m.e", element, 2 if element == "QUAD4" else 3)
    return taken("exodus", folder, "m.e")


def _med(folder: Path) -> Sample:
    mesh = mixed("cell_tags", data=False, types=("tetra", "hexahedron", "quad"))
    mesh.cell_data["cell_tags"] = [np.full(len(block.data), -6 - k) for k, block in enumerate(mesh.cells)]
    mesh.cell_tags = {-6: ["fluid"], -7: ["fluid", "inner"], -8: ["wall"]}
    mesh.point_data["point_tags"] = np.array([2] * 3 + [0] * 9)
    mesh.point_tags = {2: ["corner"]}
    return written(folder, "m.med", mesh, "med")


def _cgns(folder: Path) -> Sample:
    import h5py

    with h5py.File(folder / "m.cgns", "w") as file:
        zone = test_io_cgns.zone(test_io_cgns.base(file), SOLID, 2)
        test_io_cgns.section(zone, "tetra", 10, 1, [[2, 12, 9, 6]])
        test_io_cgns.section(zone, "pyramid", 12, 2, [[5, 6, 8, 7, 11]])
        test_io_cgns.section(zone, "wall", 7, 3, [[5, 6, 8, 7]])
        test_io_cgns.condition(zone, "floor", "PointList", [[3]], "FaceCenter")
        test_io_cgns.solution(zone, "Vertex", u=np.arange(float(len(SOLID))))
    return taken("cgns", folder, "m.cgns")


def _stl(folder: Path) -> Sample:
    return one("stl", "m.stl", test_io_stl.binary(test_io_stl.TETRA, b"a header", 7))


def _medit(folder: Path, name: str) -> Sample:
    mesh = mixed("medit:ref", data=False, types=("tetra", "hexahedron", "quad"))
    return written(folder, name, mesh, "medit", listed="medit" if name.endswith(".mesh") else "")


MAKERS.update(
    {
        "gmsh22-ascii": partial(_gmsh, kind="gmsh22", binary=False),
        "gmsh22-binary": partial(_gmsh, kind="gmsh22", binary=True),
        "gmsh41-ascii": partial(_gmsh, kind="gmsh", binary=False),
        "gmsh41-binary": partial(_gmsh, kind="gmsh", binary=True),
        "gmsh-own": partial(_own, name="m.msh", format="gmsh"),
        "gmsh22-grid": _gmsh_grid,
        "vtu-grid": lambda folder: written(folder, "m.vtu", _grid(), "vtu", binary=False),
        "vtk-grid": lambda folder: written(folder, "m.vtk", _grid(), "vtk", kind="vtk51", binary=False),
        "su2-grid": _su2_grid,
        "vtu-ascii": lambda folder: written(folder, "m.vtu", mixed(), "vtu", binary=False),
        "vtu-base64": lambda folder: written(folder, "m.vtu", mixed(), "vtu", compression=None),
        "vtu-zlib": lambda folder: written(folder, "m.vtu", mixed(), "vtu", compression="zlib", decoded=4096),
        "vtu-lzma": lambda folder: written(folder, "m.vtu", mixed(), "vtu", compression="lzma", decoded=4096),
        "vtu-raw": lambda folder: one("vtu", "m.vtu", test_io_vtk.appended("raw")),
        "vtu-raw-big": lambda folder: one("vtu", "m.vtu", test_io_vtk.appended("raw", ">")),
        "vtu-appended": lambda folder: one("vtu", "m.vtu", test_io_vtk.appended("base64")),
        "vtu-own": partial(_own, name="m.vtu", format="vtu"),
        "vtu-own-plane": partial(_own_plane, name="m.vtu", format="vtu"),
        "vtk42-ascii": lambda folder: written(folder, "m.vtk", mixed(), "vtk", kind="vtk42", binary=False),
        "vtk42-binary": lambda folder: written(folder, "m.vtk", mixed(), "vtk", kind="vtk42", binary=True),
        "vtk51-ascii": lambda folder: written(folder, "m.vtk", mixed(), "vtk", kind="vtk51", binary=False),
        "vtk51-binary": lambda folder: written(folder, "m.vtk", mixed(), "vtk", kind="vtk51", binary=True),
        "stl-binary": _stl,
        "ply-ascii": partial(_ply, encoding="ascii"),
        "ply-little": partial(_ply, encoding="binary_little_endian"),
        "ply-big": partial(_ply, encoding="binary_big_endian"),
        "medit-ascii": partial(_medit, name="m.mesh"),
        "medit-binary": partial(_medit, name="m.meshb"),
        "xdmf-xml": partial(_xdmf, form="XML"),
        "xdmf-hdf": partial(_xdmf, form="HDF"),
        "xdmf-hdf-side": partial(_xdmf, form="HDF", target="m.h5"),
        "xdmf-binary": partial(_xdmf, form="Binary"),
        "xdmf-binary-side": partial(_xdmf, form="Binary", target="m0.bin"),
        "exodus": partial(_exodus, element="QUAD4"),
        "exodus-shell": partial(_exodus, element="SHELL4"),
        "exodus-hdf": lambda folder: written(folder, "m.e", mixed(types=("tetra", "hexahedron")), "exodus"),
        "med": _med,
        "cgns": _cgns,
    }
)
