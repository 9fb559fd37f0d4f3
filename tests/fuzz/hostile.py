"""Files that somebody made to hurt whoever reads them; each is written by a function of a folder, and refused.

Beside the folder of each mesh lies another one, ``outside``, with files that are none of the mesh's business.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

Maker = Callable[[Path], Path]

MAKERS: dict[str, Maker] = {}
CANARY = 48271.625  # the value in all files outside
SECRET = "hunter2"  # and the word in those of text
BIG = 10**12
SIZE = 2 << 30  # bytes that the bombs unpack to


def outside(folder: Path) -> Path:
    """The folder beside, with its canaries."""
    place = folder.parent / "outside"
    if not place.exists():
        import h5py

        place.mkdir()
        x = np.full((3, 3), CANARY)
        x.tofile(place / "x.bin")
        (place / "part.inp").write_text(f"*NODE\n1,{CANARY},0,0\n2,1,0,0\n3,0,1,0\n** {SECRET}\n")
        (place / "part.bdf").write_text(f"GRID,1,,{CANARY},0.,0.\nGRID,2,,1.,0.,0.\nGRID,3,,0.,1.,0.\n$ {SECRET}\n")
        (place / "m.ele").write_text("1 3 0\n1 1 2 3\n")
        (place / "m.node").write_text(f"3 2 0 0\n1 {CANARY} 0\n2 1 0\n3 0 1\n")
        (place / "secret.txt").write_text(SECRET)
        with h5py.File(place / "x.h5", "w") as file:
            file["x"] = x
            file["t"] = np.array([[0, 1, 2]])
    return place


def hostile(maker: Maker) -> Maker:
    MAKERS[maker.__name__] = maker
    return maker


def text(name: str, file: str, content: str | bytes | Callable[[], bytes]) -> None:
    """A hostile file of fixed content, or one so long that it is made when it is asked for."""

    def make(folder: Path) -> Path:
        path = folder / file
        data = content() if callable(content) else content
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    MAKERS[name] = make


# other files


def xdmf(source: str, form: str, triangles: str = "0 1 2", size: str = "3 3") -> str:
    return (
        '<Xdmf Version="3.0"><Domain><Grid><Topology TopologyType="Triangle" NumberOfElements="1">'
        f'<DataItem Dimensions="1 3" Format="XML" NumberType="Int">{triangles}</DataItem></Topology>'
        f'<Geometry GeometryType="XYZ"><DataItem Dimensions="{size}" Format="{form}" NumberType="Float" '
        f'Precision="8">{source}</DataItem></Geometry></Grid></Domain></Xdmf>'
    )


def xdmf_source(name: str, form: str, source: Callable[[Path], str]) -> None:
    def make(folder: Path) -> Path:
        (folder / "m.xdmf").write_text(xdmf(source(folder), form))
        return folder / "m.xdmf"

    MAKERS[f"xdmf_{name}"] = make


def linked(folder: Path, name: str, target: Path) -> str:
    (folder / name).symlink_to(target)
    return name


def fifo(folder: Path, name: str) -> str:
    os.mkfifo(folder / name)
    return name


xdmf_source("binary_absolute", "Binary", lambda folder: str(outside(folder) / "x.bin"))
xdmf_source("binary_above", "Binary", lambda folder: f"../{outside(folder).name}/x.bin")
xdmf_source("binary_device", "Binary", lambda folder: "/dev/zero")
xdmf_source("binary_link", "Binary", lambda folder: linked(folder, "x.bin", outside(folder) / "x.bin"))
xdmf_source("binary_link_to_device", "Binary", lambda folder: linked(folder, "x.bin", Path("/dev/zero")))
xdmf_source("binary_fifo", "Binary", lambda folder: fifo(folder, "x.bin"))
xdmf_source("binary_folder", "Binary", lambda folder: ".")
xdmf_source("hdf_absolute", "HDF", lambda folder: f"{outside(folder) / 'x.h5'}:/x")
xdmf_source("hdf_above", "HDF", lambda folder: f"../{outside(folder).name}/x.h5:/x")
xdmf_source("hdf_link", "HDF", lambda folder: f"{linked(folder, 'x.h5', outside(folder) / 'x.h5')}:/x")
xdmf_source("hdf_fifo", "HDF", lambda folder: f"{fifo(folder, 'x.h5')}:/x")
xdmf_source("hdf_is_text", "HDF", lambda folder: "m.xdmf:/x")


def deck(name: str, file: str, content: Callable[[Path], str]) -> None:
    def make(folder: Path) -> Path:
        (folder / file).write_text(content(folder))
        return folder / file

    MAKERS[name] = make


_TAIL = "*ELEMENT,TYPE=S3\n1,1,2,3\n"
deck("abaqus_include_absolute", "m.inp", lambda f: f"*INCLUDE, INPUT={outside(f) / 'part.inp'}\n{_TAIL}")
deck("abaqus_include_above", "m.inp", lambda f: f"*INCLUDE, INPUT=../{outside(f).name}/part.inp\n{_TAIL}")
deck(
    "abaqus_include_link",
    "m.inp",
    lambda f: f"*INCLUDE, INPUT={linked(f, 'part.inp', outside(f) / 'part.inp')}\n{_TAIL}",
)
deck("abaqus_include_secret", "m.inp", lambda f: f"*NODE\n*INCLUDE, INPUT={outside(f) / 'secret.txt'}\n{_TAIL}")
deck("abaqus_include_device", "m.inp", lambda f: f"*INCLUDE, INPUT=/dev/zero\n{_TAIL}")
deck("abaqus_include_fifo", "m.inp", lambda f: f"*INCLUDE, INPUT={fifo(f, 'part.inp')}\n{_TAIL}")
deck("abaqus_include_itself", "m.inp", lambda f: f"*INCLUDE, INPUT=m.inp\n{_TAIL}")
deck("abaqus_include_doubling", "m.inp", lambda f: "*INCLUDE, INPUT=m.inp\n" * 40)
deck("abaqus_generate", "m.inp", lambda f: f"*NODE\n1,0,0\n2,1,0\n3,0,1\n{_TAIL}*NSET,NSET=a,GENERATE\n1,{BIG},1\n")
deck(
    "abaqus_generate_often",
    "m.inp",
    lambda f: f"*NODE\n1,0,0\n2,1,0\n3,0,1\n{_TAIL}*NSET,NSET=a,GENERATE\n" + "1,9999999,1\n" * 200,
)
deck(
    "abaqus_nested_sets",
    "m.inp",
    lambda f: (
        f"*NODE\n1,0,0\n2,1,0\n3,0,1\n{_TAIL}*NSET,NSET=s0\n1\n"
        + "".join(f"*NSET,NSET=s{k}\n" + f"s{k - 1},s{k - 1},s{k - 1}\n" * 5 for k in range(1, 30))
    ),
)
deck(
    "nastran_include_absolute",
    "m.bdf",
    lambda f: f"BEGIN BULK\nINCLUDE '{outside(f) / 'part.bdf'}'\nCTRIA3,1,1,1,2,3\n",
)
deck(
    "nastran_include_above",
    "m.bdf",
    lambda f: f"BEGIN BULK\nINCLUDE '../{outside(f).name}/part.bdf'\nCTRIA3,1,1,1,2,3\n",
)
deck(
    "nastran_include_link",
    "m.bdf",
    lambda f: f"BEGIN BULK\nINCLUDE '{linked(f, 'part.bdf', outside(f) / 'part.bdf')}'\nCTRIA3,1,1,1,2,3\n",
)
deck("nastran_include_itself", "m.bdf", lambda f: "BEGIN BULK\nINCLUDE 'm.bdf'\nCTRIA3,1,1,1,2,3\n")
deck("nastran_include_doubling", "m.bdf", lambda f: "INCLUDE 'm.bdf'\n" * 40)


@hostile
def abaqus_include_cycle(folder: Path) -> Path:
    (folder / "a.inp").write_text("*INCLUDE, INPUT=b.inp\n")
    (folder / "b.inp").write_text("*INCLUDE, INPUT=a.inp\n")
    return folder / "a.inp"


@hostile
def tetgen_side_file_is_a_link(folder: Path) -> Path:
    (folder / "m.ele").write_text("1 3 0\n1 1 2 3\n")
    linked(folder, "m.node", outside(folder) / "m.node")
    return folder / "m.ele"


@hostile
def tetgen_side_file_is_afifo(folder: Path) -> Path:
    (folder / "m.ele").write_text("1 3 0\n1 1 2 3\n")
    fifo(folder, "m.node")
    return folder / "m.ele"


@hostile
def mesh_is_afifo(folder: Path) -> Path:
    return folder / fifo(folder, "m.msh")


@hostile
def mesh_is_a_device(folder: Path) -> Path:
    return folder / linked(folder, "m.obj", Path("/dev/zero"))


@hostile
def mesh_is_a_circle_of_links(folder: Path) -> Path:
    (folder / "m.obj").symlink_to(folder / "m.obj")
    return folder / "m.obj"
