"""Rules that can be read off the source: layers, one place for sums over edges, no side effects, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "graphpde"

# a module imports only from layers left of its own, or from itself; members of one layer do not know each other
LAYERS = (
    *({name} for name in ("errors", "checks", "typing", "registry", "formula")),
    *({name} for name in ("core", "solve", "mesh", "ops", "dynamics", "nets", "train")),
    {
        *("pinn", "operator_learning", "gradient_flow", "sampling", "hamiltonian", "flow", "score", "graph_diffusion"),
        "design",
    },
    {"data", "viz", "distributed"},
    *({name} for name in ("problems", "config", "run", "cli", "__main__")),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SPEAKS = {"cli", "__main__"}  # may print and end the process

EDGE_SUMS = {
    "scatter_add",
    "scatter_add_",
    "scatter_reduce",
    "scatter_reduce_",
    "index_add",
    "index_add_",
    "index_reduce_",
}
NAMELESS = {"utils", "util", "common", "misc", "helpers"}
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 8


class Module(NamedTuple):
    """One parsed file; ``path`` is its dotted name below the package, () for the package's own ``__init__``."""

    path: tuple[str, ...]
    is_package: bool
    nodes: tuple[ast.AST, ...]
    lines: int

    @property
    def top(self) -> str:
        return self.path[0] if self.path else "__init__"


@cache
def read(file: Path, package: Path) -> Module:
    """The module in a file; parsed and walked once for all checks."""
    source = file.read_text(encoding="utf-8")
    inside = file.relative_to(package).with_suffix("").parts
    is_package = inside[-1] == "__init__"
    return Module(
        inside[:-1] if is_package else inside, is_package, tuple(ast.walk(ast.parse(source))), source.count("\n")
    )


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an attribute chain; a leading dot when it hangs on something other than a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)])


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything from graphpde that a module imports, inside functions as well."""
    for node in module.nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = ("graphpde", *module.path)
            base = here[: len(here) - node.level + module.is_package] if node.level else ()
            names = [".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names]
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            names = [str(part.value) for part in node.args[:1] if isinstance(part, ast.Constant)]
        yield from ((getattr(node, "lineno", 1), name) for name in names if name.split(".")[0] == "graphpde")


def layer_faults(module: Module) -> Iterator[str]:
    if not module.path:
        return  # the table of lazy names points everywhere
    if module.top not in LEVEL:
        yield f"1: {module.top} has no layer; give it one in the design and here"
        return
    for line, name in imported(module):
        target = [*name.split("."), ""][1]
        if name == "graphpde.__version__" or target == module.top:
            continue
        if target not in LEVEL:
            yield f"{line}: imports {name} through the top of the package; name the module that defines it"
        elif LEVEL[target] >= LEVEL[module.top]:
            yield f"{line}: {module.top} imports {target}, which is not left of it"


def edge_sum_faults(module: Module) -> Iterator[str]:
    for node in module.nodes if module.top != "core" else ():
        if isinstance(node, ast.Attribute) and (node.attr in EDGE_SUMS or dotted(node).endswith("torch.sparse.mm")):
            yield f"{node.lineno}: {node.attr} outside core; sums over edges go through Relation"


def side_effect_faults(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            if {name.split(".")[0] for name in names} & {"pickle", "dill", "marshal", "shelve"}:
                yield f"{node.lineno}: pickle runs what a file says"
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in {"eval", "exec", "builtins.eval", "builtins.exec"}:
                yield f"{node.lineno}: {called} runs what a text says"
            elif called in {"print", "sys.exit", "exit", "quit", "os._exit"} and module.top not in SPEAKS:
                yield f"{node.lineno}: {called} outside cli; return or raise instead"
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if (keyword.arg, value) in {("allow_pickle", True), ("weights_only", False)}:
                    yield f"{node.lineno}: {keyword.arg}={value!r} runs what a file says"


def size_faults(module: Module) -> Iterator[str]:
    if NAMELESS & set(module.path):
        yield "1: what has no name has no home"
    if module.lines > LONGEST_FILE:
        yield f"1: {module.lines} lines, at most {LONGEST_FILE}"
    for node in module.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield f"{node.lineno}: {node.name} has {length} lines, at most {LONGEST_FUNCTION}"
            count = len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) - 1
            if node.name == "__init__" and count > MOST_PARAMETERS:
                yield f"{node.lineno}: a constructor with {count} parameters, at most {MOST_PARAMETERS}"


CHECKS = {
    "layers": layer_faults,
    "edge sums": edge_sum_faults,
    "side effects": side_effect_faults,
    "sizes": size_faults,
}


def faults(package: Path, kind: str) -> list[str]:
    """All faults of a kind below a package folder, as "file:line: what"."""
    return [
        f"{file.relative_to(package).as_posix()}:{fault}"
        for file in sorted(package.rglob("*.py"))
        for fault in CHECKS[kind](read(file, package))
    ]


@pytest.mark.parametrize("kind", CHECKS)
def test_the_package_keeps_the_rules(kind: str) -> None:
    assert faults(PACKAGE, kind) == []


@pytest.mark.parametrize(
    ("kind", "file", "source", "says"),
    [
        ("layers", "core/relation.py", "from graphpde.mesh.mesh import Mesh", "core imports mesh"),
        ("layers", "core/relation.py", "def f():\n    import graphpde.dynamics.evolve", "2: core imports dynamics"),
        ("layers", "core/relation.py", "from ..solve import krylov", "core imports solve"),
        ("layers", "core/__init__.py", "from .. import ops", "core imports ops"),
        ("layers", "core/kernels/csr.py", "from ...mesh import Mesh", "core imports mesh"),
        ("layers", "core/kernels/__init__.py", "from ...mesh.mesh import Mesh", "core imports mesh"),
        ("layers", "pinn/a.py", "from graphpde.flow import Velocity", "pinn imports flow"),
        ("layers", "viz/a.py", "from graphpde.data import karate", "viz imports data"),
        ("layers", "errors.py", "from graphpde import registry", "errors imports registry"),
        ("layers", "mesh/a.py", "from graphpde import Graph", "through the top of the package"),
        ("layers", "mesh/a.py", "import importlib\nimportlib.import_module('graphpde.cli')", "2: mesh imports cli"),
        ("layers", "run.py", "from graphpde.cli import main", "run imports cli"),
        ("layers", "extra/a.py", "", "extra has no layer"),
        ("edge sums", "ops/a.py", "def f(y, i, x):\n    y.index_add_(0, i, x)", "2: index_add_ outside core"),
        ("edge sums", "ops/a.py", "import torch\ntorch.scatter_add", "2: scatter_add outside core"),
        ("edge sums", "ops/a.py", "import torch\ntorch.sparse.mm(a, b)", "2: mm outside core"),
        ("side effects", "mesh/a.py", "print(1)", "1: print outside cli"),
        ("side effects", "mesh/a.py", "import sys\nsys.exit(1)", "2: sys.exit outside cli"),
        ("side effects", "cli/a.py", "eval('1')", "1: eval runs"),
        ("side effects", "cli/a.py", "def f():\n    from pickle import loads", "2: pickle runs"),
        ("side effects", "data/a.py", "np.load(p, allow_pickle=True)", "1: allow_pickle=True runs"),
        ("sizes", "mesh/utils.py", "", "no name has no home"),
        ("sizes", "mesh/a.py", "x = 1\n" * 401, "401 lines, at most 400"),
        ("sizes", "mesh/a.py", "def f():\n" + "    x = 1\n" * 60, "1: f has 61 lines"),
        (
            "sizes",
            "mesh/a.py",
            "def __init__(self, a, b, c, d, e, f, g, *, h, i): ...",
            "constructor with 9 parameters",
        ),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, kind: str, file: str, source: str, says: str) -> None:
    plant(tmp_path, file, source)
    found = faults(tmp_path, kind)
    assert len(found) == 1 and found[0].startswith(f"{file}:") and says in found[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/relation.py", "from graphpde.errors import GraphError\ny.index_add_(0, i, x)"),
        ("core/__init__.py", "from .relation import Relation\nfrom graphpde.core.graph import Graph"),
        (
            "cli/main.py",
            "import sys\nfrom graphpde import __version__\nfrom graphpde.run import run\nprint(1)\nsys.exit(0)",
        ),
        ("train/a.py", "from graphpde.mesh import Mesh\nmodel.eval()\nnp.load(p, allow_pickle=False)"),
        ("__init__.py", "import graphpde.cli"),
    ],
)
def test_what_is_allowed_is_not_reported(tmp_path: Path, file: str, source: str) -> None:
    plant(tmp_path, file, source)
    assert [fault for kind in CHECKS for fault in faults(tmp_path, kind)] == []


def plant(folder: Path, file: str, source: str) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
