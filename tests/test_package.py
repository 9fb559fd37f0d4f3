"""What a stranger relies on before any mathematics: light imports, one version, names that exist, pins."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import graphpde

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch_geometric", "matplotlib", "meshio", "rich")


def loaded(code: str, watched: tuple[str, ...]) -> list[str]:
    """Which of the watched modules a fresh interpreter has loaded after running the code."""
    program = f"{code}\nimport json, sys\nprint(json.dumps([m for m in {watched!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_graphpde_is_light() -> None:
    watched = (*HEAVY, "torch", "scipy", "numpy", "networkx")
    assert loaded("import graphpde; dir(graphpde); graphpde.__version__", watched) == []
    assert loaded("import graphpde.errors, graphpde.registry", watched) == []
    assert loaded("import graphpde; graphpde.Formula", watched)[0] == "torch"  # the check itself sees what is loaded


def test_the_kernel_loads_no_reader_no_pictures_no_layers() -> None:
    packages = [
        p for p in ("core", "solve", "mesh", "ops", "dynamics") if (ROOT / "graphpde" / p / "__init__.py").exists()
    ]
    if not packages:
        pytest.skip("none of the kernel's packages is there yet")
    assert loaded("\n".join(f"import graphpde.{p}" for p in packages), HEAVY) == []


@pytest.mark.parametrize("name", sorted(graphpde._LAZY))
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(graphpde, name)
    assert value is getattr(importlib.import_module(graphpde._LAZY[name]), name)
    assert name in dir(graphpde) and name in graphpde.__all__


def test_names_of_the_package() -> None:
    assert graphpde.errors.MeshReadError.__name__ == "MeshReadError"  # submodules load on first use as well
    assert {"errors", "registry", "__version__"} <= set(dir(graphpde))
    with pytest.raises(AttributeError, match="module 'graphpde' has no attribute 'evolv'") as caught:
        graphpde.evolv  # noqa: B018
    assert caught.value.name == "evolv" and caught.value.obj is graphpde  # so the traceback can offer the nearest


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert project["version"] == graphpde.__version__ == newest[1]
    assert project["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_folder_of_the_package_is_shipped() -> None:
    folders = {path.parent for path in (ROOT / "graphpde").rglob("*.py")}
    assert [f.name for f in folders if not (f / "__init__.py").exists()] == []
    assert (ROOT / "graphpde" / "py.typed").exists()


def test_what_is_needed_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []

    def canonical(requirement: str) -> str:
        return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", requirement)[0]).lower()

    pinned = {canonical(pin) for pin in pins}
    extras = project["optional-dependencies"]
    needed = {canonical(r) for r in (*project["dependencies"], *extras["test"], *extras["io"])}
    assert needed - pinned == set()
    assert "torch-scatter" not in {canonical(r) for r in (*project["dependencies"], *extras["test"], *extras["all"])}


def test_pip_is_held_to_the_pins() -> None:
    calls = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    assert calls and all("-c constraints.txt" in line for line in calls)
