"""The meshes of the folder meshes/: what its README says, and the same again when they are made anew."""

import hashlib
import importlib.util
import re
from pathlib import Path

import pytest
import torch

from graphpde.mesh import Mesh, cell_measures, read_mesh, signed_measures

FOLDER = Path(__file__).resolve().parents[2] / "meshes"


def load_script():
    spec = importlib.util.spec_from_file_location("make_meshes", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()
RELAXED = ("plate_with_holes.msh", "l_bracket.vtu")  # on another processor the springs may round to other places


def readme_rows(folder: Path) -> dict[str, list[str]]:
    lines = [line for line in (folder / "README.md").read_text().splitlines() if re.match(r"\| \w+\.\w+ ", line)]
    return {cells[0]: cells for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines)}


@pytest.fixture(scope="module")
def remade(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    SCRIPT.make(folder)
    return folder


def test_every_file_has_its_row_and_its_checksum():
    rows = readme_rows(FOLDER)
    assert set(rows) == set(SCRIPT.FILES) == {p.name for p in FOLDER.iterdir() if p.suffix not in (".md", ".py", "")}
    for name, cells in rows.items():
        content = (FOLDER / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == cells[-1].strip("`"), f"run meshes/make.py: {name} changed"
        assert len(content) < 300_000


@pytest.mark.parametrize("name", SCRIPT.FILES)
def test_files_are_what_the_script_makes(name, remade):
    stored, again = read_mesh(FOLDER / name), read_mesh(remade / name)
    if name not in RELAXED:
        assert torch.allclose(stored.points, again.points, atol=1e-12)
    assert {k: len(v) for k, v in stored.cells.items()} == {k: len(v) for k, v in again.cells.items()}
    assert readme_rows(remade)[name][:-1] == readme_rows(FOLDER)[name][:-1]


@pytest.mark.parametrize("name", SCRIPT.FILES)
def test_files_keep_the_mesh_and_its_named_sets(name, remade):
    made: Mesh = SCRIPT.FILES[name]()
    read = read_mesh(remade / name)
    assert read.n == made.n and read.space_dim == made.space_dim
    assert cell_measures(read).sum().item() == pytest.approx(cell_measures(made).sum().item(), rel=1e-6)
    assert set(read.tags) == set(made.tags)
    for label, tag in made.tags.items():
        assert read.tags[label].dim == tag.dim and len(read.tags[label].ids) == len(tag.ids)
    if read.dim == read.space_dim:
        assert signed_measures(read).min() > 0


def test_the_two_metals_of_the_bar_meet_at_the_interface():
    bar = read_mesh(FOLDER / "mixed_boundaries.msh")
    shared = set(bar.tag("steel").nodes.tolist()) & set(bar.tag("copper").nodes.tolist())
    assert shared == set(bar.tag("interface").nodes.tolist())
    names = ("heater", "cooler", "air", "insulated")
    assert sum(len(bar.tag(n).ids) for n in names) == len(bar.boundary_facets)
