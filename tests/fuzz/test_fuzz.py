"""The readers against damaged files, in short; and the judge and the ways of damaging against faults on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.mesh import Mesh
from tests.fuzz import judge
from tests.fuzz.__main__ import main, records
from tests.fuzz.bench import Bench
from tests.fuzz.corpus import MAKERS, corpus, names
from tests.fuzz.judge import FAULTS, GOOD, complaints_of, judged
from tests.fuzz.listed import LISTED
from tests.fuzz.mutate import OPERATORS, mutant

SEED = 20261120


@pytest.fixture(autouse=True)
def _extras() -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("netCDF4")


def test_readers_withstand_mutants_of_every_file() -> None:
    chosen = {name: sample for name, sample in corpus().items() if not sample.bridged}
    assert len(chosen) >= 60
    slow = {name: sample for name, sample in chosen.items() if sample.apart}
    fast = {name: sample for name, sample in chosen.items() if not sample.apart}
    found = [*records(fast, 6 * len(fast), SEED, None), *records(slow, len(slow), SEED, None)]
    assert [one for one in found if one["kind"] in FAULTS] == []
    kinds = [one["kind"] for one in found]
    assert kinds.count("refused") > len(found) / 3 and set(kinds) == set(GOOD)


@pytest.mark.slow
def test_bridged_readers_withstand_mutants_of_every_file() -> None:
    chosen = {name: sample for name, sample in corpus().items() if sample.bridged}
    found = list(records(chosen, 2 * len(chosen), SEED, None))
    assert [one for one in found if one["kind"] in FAULTS] == []


@pytest.mark.parametrize(
    "name, kind, detail",
    [
        ("good", "plausible", ""),
        ("printing", "printed", "a word from the reader"),
        ("warning", "printed", "another one"),
        ("hanging", "hang", "more than 5 s"),
        ("greedy", "memory", ""),
        ("declared", "memory", ""),
        ("dying", "crash", "SIGABRT"),
        ("leaving", "exit", "exit code 3"),
        ("swearing", "refused", "\ufffd[2J"),
        ("lying", "invalid", "name points 7"),
    ],
)
def test_judge_finds_planted_faults(tmp_path: Path, planted: Bench, name: str, kind: str, detail: str) -> None:
    path = tmp_path / f"m.{name}"
    path.write_bytes(b"planted\n\n\n")
    verdict = planted.file(path)
    assert verdict["kind"] == kind and detail in verdict["detail"]
    if name == "lying":
        planted.stop()  # it has spoiled the library in its worker
    (tmp_path / "m.good").write_bytes(b"planted\n\n\n")
    assert planted.file(tmp_path / "m.good", at_least=2)["kind"] == "plausible"  # and the next file is read as ever
    assert planted.file(tmp_path / "m.good", at_least=3) == {"way": "", "kind": "lost", "detail": "2 cells of 3"}


@pytest.fixture(scope="module")
def planted() -> Iterator[Bench]:
    with Bench({}, ["tests.fuzz.planted"]) as bench:
        yield bench


@pytest.mark.parametrize(
    "raised, kind",
    [
        (KeyError("x"), "exception"),
        (SystemExit(1), "exit"),
        (MemoryError(), "memory"),
        (KeyboardInterrupt(), "exception"),
        (MeshReadError("p", "f", "no"), "sentence"),
        (MeshReadError("p", "f", "a reason that is\na traceback"), "sentence"),
        (MeshReadError("p", "f", "a whole sentence about it"), "refused"),
    ],
)
def test_judge_knows_exceptions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: BaseException, kind: str
) -> None:
    def read(path: Path) -> Mesh:
        raise raised

    monkeypatch.setattr(judge, "read_mesh", read)
    assert judged(tmp_path, None, 1 << 40).kind == kind


def test_complaints_about_meshes() -> None:
    def mesh() -> Mesh:
        return Mesh([[0.0, 0], [1, 0], [0, 1]], {"triangle": [[0, 1, 2]]}, point_data={"u": [1.0, 2, 3]})

    assert complaints_of(mesh()) == []
    for change, words in (
        (lambda m: m.points.fill_(torch.nan), "not finite"),
        (lambda m: m.cells["triangle"].fill_(-1), "name points -1"),
        (lambda m: m.cells.update(triangle=m.cells["triangle"][:, :2]), r"(1, 2)"),
        (lambda m: m.cells.update(line=torch.tensor([[0, 1]])), "dimensions [1, 2]"),
        (lambda m: m.point_data.update(u=torch.ones(2)), "for 3"),
        (lambda m: m.tags.update(a=mesh().make_tag(2, [0])._replace(ids=torch.tensor([4]))), "members 4..4 of 1"),
        (lambda m: m.tags.update(a=mesh().make_tag(1, [0])._replace(nodes=torch.tensor([2]))), "other points"),
    ):
        bad = mesh()
        change(bad)
        assert any(words in complaint for complaint in complaints_of(bad)), words


def test_mutants_repeat_and_differ() -> None:
    data = "".join(f"{k} {k / 7}\n" for k in range(60)).encode()
    found = [mutant(data, 1, "a", number) for number in range(400)]
    assert found == [mutant(data, 1, "a", number) for number in range(400)]
    assert {way for way, _ in found} == set(OPERATORS) and all(out != data for _, out in found)
    assert found[:50] != [mutant(data, 2, "a", number) for number in range(50)]
    assert found[:50] != [mutant(data, 1, "b", number) for number in range(50)]
    for short in (b"", b"x", b"\n", b"1"):
        for number in range(60):
            mutant(short, 1, "a", number)


def test_counts_of_cells_that_a_cut_text_lists() -> None:
    for name in ("obj", "abaqus", "stl-ascii", "vtk-polydata", "nastran-free", "mdpa", "flac3d", "medit-ascii"):
        sample = corpus([name])[name]
        data = sample.files[sample.main]
        counts = [LISTED[sample.listed](data[:stop]) for stop in range(len(data) + 1)]
        whole = {
            "obj": 4,
            "abaqus": 3,
            "stl-ascii": 3,
            "vtk-polydata": 4,
            "nastran-free": 2,
            "mdpa": 2,
            "flac3d": 3,
            "medit-ascii": 2,
        }[name]
        assert counts[-1] == whole and counts[0] == 0 and sorted(counts) == counts, name


def test_samples_are_the_same_each_time() -> None:
    assert corpus(["vtu-zlib", "med", "exodus"]) == corpus(["vtu-zlib", "med", "exodus"])
    assert len(MAKERS) == len(names()) >= 70


def test_command_resumes_and_reproduces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    command = ["--mutants", "5", "--format", "off", "--resume", str(log)]
    assert main(command) == 0 and capsys.readouterr().out.splitlines()[-1] == "5 mutants, 0 faults"
    lines = log.read_text().splitlines()
    planted = {**json.loads(lines[0]), "kind": "hang", "detail": "a long story"}
    log.write_text("\n".join([json.dumps(planted), *lines[1:3]]) + '\n{"cut')
    assert main(command) == 1
    assert "hang (" in (said := capsys.readouterr().out) and "--reproduce off:20261120:0" in said
    assert main(["--reproduce", "off:20261120:0", "--keep", str(tmp_path / "kept")]) == 0
    assert (tmp_path / "kept" / "m.off").exists()
