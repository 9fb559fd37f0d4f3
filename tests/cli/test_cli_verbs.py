"""Every verb does what its help says, quickly, and says what it does not understand in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphpde.cli.main import VERBS
from graphpde.core import kernels
from graphpde.core.graph import TagSet
from graphpde.mesh import SHAPES, Mesh, read_mesh, write_mesh

ROOT = Path(__file__).resolve().parents[2]


def fresh(*argv: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, outside of the checkout."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from graphpde.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *argv], cwd=folder, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_is_light(verb: str | None) -> None:
    argv = ["--help"] if verb is None else [verb, "--help"]
    program = (
        "import contextlib, io, json, sys\nfrom graphpde.cli import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()) as out: code = main({argv!r})\n"
        "heavy = ('torch', 'numpy', 'scipy', 'matplotlib', 'meshio', 'rich')\n"
        "print(json.dumps([code, out.getvalue(), [m for m in heavy if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    code, out, heavy = json.loads(done.stdout)
    assert (code, heavy, done.stderr) == (0, [], "")
    assert out.startswith("usage: graphpde") and all(name in out for name in ([verb] if verb else VERBS))


def test_no_verb_shows_the_help(graphpde) -> None:
    done = graphpde()
    assert done.code == 0 and "first steps" in done.out


def test_version(graphpde) -> None:
    done = graphpde("--version")
    assert done.code == 0 and done.out.startswith("graphpde 0.")


def test_doctor(graphpde) -> None:
    done = graphpde("doctor")
    assert done.code == 0
    best = "csr" if kernels.missing("native") else "native"
    for word in ("python", "torch", "devices   cpu", f"kernels   {best} (the fastest measured)", 'install "graphpde['):
        assert word in done.out
    for name in kernels.BACKENDS:  # each ready, or why not
        line = next(line for line in done.out.splitlines() if line.split()[:1] == [name])
        assert "ready" in line or kernels.missing(name) in line
    assert "MISSING" not in done.out


def test_doctor_says_why_kernels_are_chosen(graphpde, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHPDE_KERNELS", "reference")
    assert "kernels   reference (GRAPHPDE_KERNELS=reference)" in graphpde("doctor").out
    monkeypatch.setenv("GRAPHPDE_KERNELS", "referense")
    done = graphpde("doctor")
    assert done.code == 2 and "did you mean 'reference'?" in done.err


def test_doctor_names_what_is_missing(graphpde, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphpde.cli import doctor

    monkeypatch.setattr(doctor, "REQUIRED", (*doctor.REQUIRED, "no-such-package"))
    done = graphpde("doctor")
    assert done.code == 1 and "run: pip install no-such-package" in done.out


def test_demo_outside_of_the_checkout(tmp_path: Path) -> None:
    done = fresh("demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and "\x1b" not in done.stdout  # no colours, no bar: this is no terminal
    for name in ("figures/final.png", "fields/run.pvd", "report.html"):
        assert str(Path("runs/demo-1") / name) in done.stdout
        assert (tmp_path / "runs/demo-1" / name).stat().st_size > 500
    assert "FAILED" not in done.stdout and "ok: energy increase" in done.stdout and "ok: overshoot" in done.stdout


def test_info(graphpde, square: Path) -> None:
    done = graphpde("info", square, "--json")
    assert done.code == 0 and done.err == ""
    assert done.json == {
        "nodes": 49,
        "dim": 2,
        "space_dim": 2,
        "box": [[0.0, 0.0], [1.0, 1.0]],
        "cells": {"triangle": 72},
        "tags": {
            **{side: {"dim": 1, "count": 6} for side in ("left", "right", "bottom", "top")},
            **{metal: {"dim": 2, "count": 36} for metal in ("copper", "steel")},
        },
        "point_data": {},
        "cell_data": {},
        "warnings": [],
    }
    text = graphpde("info", square).out
    assert "box       [0, 1] x [0, 1]\n" in text and "area 1; edges" in text and "quality" in text
    assert "plane, 49 points, 72 triangle" in text and "24 edges" in text and "cells (a material)" in text


def test_info_shows_fields_and_one_screen_of_sets(graphpde, square: Path) -> None:
    mesh = read_mesh(square)
    many = {f"p{k}": TagSet(0, torch.tensor([k]), torch.tensor([k])) for k in range(40)}
    u = torch.linspace(-1, 2, mesh.n)
    u[3] = float("nan")
    fields = {"u": u, "v": torch.stack([3 * torch.ones(mesh.n), 4 * torch.ones(mesh.n)], 1)}
    write_mesh("many.vtu", mesh.with_tags(**many).with_data(fields, {"k": torch.full((mesh.n_cells,), 7)}))
    text = graphpde("info", "many.vtu").out
    assert "field u   at points, -1 to 2, 1 not finite\n" in text
    assert "field v   at points, 2 components, size 5\n" in text and "field k   at cells, 7\n" in text
    assert "and 26 more" in text and len(text.splitlines()) < 36
    assert text.index("copper") < text.index("left") < text.index("p0")
    assert "p39" in graphpde("info", "many.vtu", "--all").out
    made = graphpde("make-mesh", "sphere", "ball.vtu", "--size", 0.5)
    assert made.code == 0 and "boundary  none, it is closed" in graphpde("info", "ball.vtu").out
    hexahedra = {"hexahedron": [[0, 1, 3, 2, 4, 5, 7, 6], [8, 9, 11, 10, 12, 13, 15, 14]]}
    corners = [[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    write_mesh("two.vtu", Mesh([*corners, *([x + 3, y, z] for x, y, z in corners)], hexahedra))
    text = graphpde("info", "two.vtu").out
    assert "volume 2; edges 1\n" in text and "2 that share no point" in text and "quality   1\n" in text


def test_info_warns_on_stderr(graphpde, tmp_path: Path) -> None:
    (tmp_path / "spare.off").write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n5 5 0\n3 0 1 2\n")
    done = graphpde("info", "spare.off")
    assert done.code == 0 and "warning: 1 of 4 points belong to no cell" in done.err
    assert len(graphpde("info", "spare.off", "--json").json["warnings"]) == len(done.err.splitlines())


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_make_mesh_then_info(graphpde, shape: str) -> None:
    done = graphpde("make-mesh", shape, f"{shape}.vtu", "--size", 0.5)
    assert done.code == 0 and done.err == ""
    made = SHAPES[shape](size=0.5)
    read = graphpde("info", f"{shape}.vtu", "--json").json
    assert read["nodes"] == made.n and set(read["tags"]) == set(made.tags)


def test_make_mesh_takes_the_options_of_a_shape(graphpde) -> None:
    assert graphpde("make-mesh", "annulus_quads", "ring.vtu", "--option", "inner=0.25", "--option", "outer=2").code == 0
    radius = read_mesh("ring.vtu").points.norm(dim=1)
    assert radius.min().item() == pytest.approx(0.25) and radius.max().item() == pytest.approx(2)
    assert graphpde("make-mesh", "rectangle", "r.vtu", "--size", 0.5, "--option", "grading=[3,[1,1]]").code == 0
    assert sorted(set(read_mesh("r.vtu").points[:, 0].tolist())) == pytest.approx([0, 0.25, 1])
    for word, says in (
        ("radus=2", "unknown option 'radus'; known: inner, outer"),
        ("inner=wide", "--option inner=wide: expected inner= a number or a list"),
        ("inner=true", "expected inner= a number"),
        ("inner=3", "radii of the ring are 3 and 1.0"),
        ("inner=[1]", "cannot be made with inner = [1]"),
    ):
        done = graphpde("make-mesh", "annulus", "ring.vtu", "--option", word)
        assert done.code != 0 and says in done.err


def test_make_mesh_chooses_the_format_by_extension(graphpde) -> None:
    assert graphpde("make-mesh", "disk", "disk.msh").code == 0
    assert "outer" in read_mesh("disk.msh").tags
    done = graphpde("make-mesh", "disk", "disk.stl")
    assert done.code == 0 and "warning:" in done.err  # STL has no names


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("pdes", "du/dt = div(kappa grad u) + f"),
        ("steppers", "backward_euler"),
        ("elements", "p1"),
        ("reactions", "feed = 0.037"),
        ("steppers", "rk4             4      explicit     no "),
        ("steppers", "ark3            3      imex         yes "),
        ("steppers", "bdf2            2      implicit     yes "),
        ("steppers", "etd2rk          2      exponential  yes "),
        ("steppers", "rkc2            2      stabilised   yes "),
        ("steppers", "leapfrog        2      symplectic   no "),
        ("schemes", "limited"),
        ("schemes", "advection (default)"),
        ("forms", "exponent [1], kappa [length^p / (u^(p-2) time)]"),
        ("shapes", "plate_with_holes"),
        ("shapes", "size=0.05 width=1 height=1 grading=[1,1]"),
        ("formats", "reads, writes"),
        ("datasets", "10000  78804    7         2        roc_auc    yandex"),
        ("datasets", "geom-gcn          files           Pei et al. 2020 "),
        ("models", " alpha, clamped, tolerance  "),
        ("models", "u_i' = alpha sum_j (a_ij - beta) (u_j - u_i)"),
    ],
)
def test_list(graphpde, what: str, says: str) -> None:
    done = graphpde("list", what)
    squeezed = " ".join(done.out.split())  # columns are as wide as their longest entry
    assert done.code == 0 and " ".join(says.split()) in squeezed and "\\" not in done.out


@pytest.mark.parametrize(
    "argv",
    [
        ("turing", "--pde", "heat"),
        ("smooth", "nowhere"),
        ("predict", "nowhere", "karate"),
        ("info", "nowhere.msh"),
        ("classify", "--dataset", "karate", "--model", "none"),
    ],
)
def test_an_error_is_one_json_document_where_json_is_asked_for(graphpde, argv: tuple[str, ...]) -> None:
    done = graphpde(*argv, "--json")
    assert done.code == 2 and done.json["status"] == "failed" and done.err == f"error: {done.json['error']}\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["simulat"], "did you mean 'simulate'?"),
        (["list", "stepers"], "did you mean 'steppers'?"),
        (["make-mesh", "dsk", "x.msh"], "did you mean 'disk'?"),
        (["make-mesh", "disk", "x.mhs"], "did you mean '.msh'?"),
        (["make-mesh", "disk", "x.msh", "--size", "0"], "--size is 0.0, expected a finite number > 0"),
        (["make-mesh", "disk", "x.msh", "--size", "nan"], "--size is nan, expected a finite number > 0"),
        (["make-mesh", "disk", "x.msh", "--size", "big"], "invalid float value: 'big'"),
        (["make-mesh", "disk"], "the following arguments are required: OUT"),
        (["info", "a.msh", "b.msh"], "'b.msh' is one argument too many"),
        (["info", "a.msh", "--jsn"], "unknown option '--jsn'; did you mean '--json'?"),
        (["simulate", "--dry"], "did you mean '--dry-run'?"),
        (["--json"], "unknown option '--json'"),
        (["simulate", "--frames", "many"], "invalid int value: 'many'"),
    ],
)
def test_bad_lines_are_one_sentence(graphpde, argv: list[str], says: str, tmp_path: Path) -> None:
    done = graphpde(*argv)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and says in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried ...")]
)
def test_memory_that_runs_out_is_no_fault_of_ours(graphpde, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from graphpde.cli import listing

    def greedy() -> None:
        raise error

    monkeypatch.setitem(listing._TABLES, "pdes", greedy)
    done = graphpde("list", "pdes")
    assert done.code == 1
    assert done.err.startswith("error: there is not enough memory for this; take fewer unknowns, a smaller model or")


def test_errors_of_ours_are_one_sentence_too(graphpde, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphpde.cli import listing

    def broken() -> None:
        raise KeyError("planted")

    monkeypatch.setitem(listing._TABLES, "pdes", broken)
    done = graphpde("list", "pdes")
    assert done.code == 1 and done.err.count("\n") == 1 and "internal error" in done.err and "planted" in done.err
    monkeypatch.setenv("GRAPHPDE_DEBUG", "1")
    assert "Traceback" in graphpde("list", "pdes").err
