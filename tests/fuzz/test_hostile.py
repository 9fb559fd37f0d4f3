"""Hostile files: each is refused with one sentence, or read within the limits, and nothing outside is ever read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from graphpde.mesh.io.bridge import read as bridge
from graphpde.mesh.io.formats import FORMATS
from graphpde.mesh.io.sandbox import parent as sandbox
from tests.fuzz import hostile, hostile_hdf5, hostile_text
from tests.fuzz.bench import Bench
from tests.fuzz.hostile import MAKERS, SECRET
from tests.fuzz.judge import MEMORY, RATIO
from tests.mesh.io_samples import put

_ = hostile_hdf5, hostile_text  # they add to MAKERS
# asks for much in few bytes, in vain: sets hold no more than there is to be in them
HARMLESS = ("abaqus_generate_often", "abaqus_nested_sets")
LONG = [name for name in MAKERS if name.endswith("_long_line")]
APART = {
    extension
    for known in FORMATS.values()
    for extension in known.extensions
    if getattr(known.read, "func", None) in (bridge.read, sandbox.read)
}
SHORT = [name for name in MAKERS if name not in LONG]
LARGE = 1 << 25  # bytes of a file beyond which it may take no more memory than at this size


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    pytest.importorskip("h5py")
    pytest.importorskip("netCDF4")
    with Bench({}) as bench:
        yield bench


def judge(bench: Bench, folder: Path, name: str) -> None:
    home = folder / "mesh"
    home.mkdir()
    path = MAKERS[name](home)
    size = sum(os.lstat(file).st_size for file in home.iterdir())
    verdict = bench.file(path, MEMORY + RATIO * min(size, LARGE), apart=path.suffix in APART)
    assert verdict["kind"] == ("plausible" if name in HARMLESS else "refused"), verdict
    assert SECRET not in verdict["detail"] and str(int(hostile.CANARY)) not in verdict["detail"]


def test_there_are_enough() -> None:
    assert len(SHORT) >= 140 and set(HARMLESS) <= set(SHORT)


@pytest.mark.parametrize("name", [name for name in SHORT if "bomb" not in name and "count" not in name])
def test_hostile_files_are_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    judge(bench, tmp_path, name)


@pytest.mark.parametrize("name", [name for name in SHORT if "bomb" in name or "count" in name])
def test_bombs_and_counts_are_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    judge(bench, tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_lines_of_100_megabytes_are_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    judge(bench, tmp_path, name)


@pytest.mark.parametrize("extension", ["msh", "mesh", "off", "vtu", "stl"])
def test_a_file_that_shrinks_while_it_is_read(bench: Bench, tmp_path: Path, extension: str) -> None:
    heads = {"msh": b"$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n", "mesh": b"MeshVersionFormatted 2\nDimension 3\n"}
    path = tmp_path / f"m.{extension}"
    path.write_bytes(heads.get(extension, b"") + b"1 2 3 4\n" * 1_000_000)

    def shrink() -> None:
        for size in (6_000_000, 4_000_000, 10):
            time.sleep(0.03)
            os.truncate(path, size)

    other = threading.Thread(target=shrink)
    other.start()
    verdict = bench.file(path, 1 << 30)
    other.join()
    assert verdict["kind"] == "refused", verdict


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be read by this user")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = put(tmp_path, "m.obj", "v 0 0 0\n")
    path.chmod(0)
    with pytest.raises(MeshReadError, match="you may not read it"):
        read_mesh(path)


def test_names_in_files_and_paths_reach_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff\x1b[2J\nall is well.obj")
    path.write_text("v 0 0 0\n\x1b[31mv 1\n")
    with pytest.raises(MeshReadError) as caught:
        read_mesh(path)
    assert str(caught.value).isprintable() and caught.value.path == str(path)
    deck = "*NODE\n1,0,0\n2,1,0\n3,0,1\n*ELEMENT,TYPE=S3\n1,1,2,3\n*NSET,NSET=\x1b[2J\n1,9\n*NSET,NSET=\xff\xfe\n2\n"
    mesh = read_mesh(put(tmp_path, "m.inp", deck.encode("latin-1")))
    assert mesh.warnings and all(sentence.isprintable() for sentence in mesh.warnings)
