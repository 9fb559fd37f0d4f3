"""``graphpde doctor``: what is installed, what computes, and how to get the rest."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from typing import Any, NamedTuple

from graphpde.cli.console import say, table
from graphpde.cli.parser import described


class Extra(NamedTuple):
    """An optional package: what it is called, which extra installs it, what it is for."""

    module: str
    package: str
    extra: str
    purpose: str


REQUIRED = ("torch", "torch-geometric", "numpy", "scipy", "networkx", "meshio", "matplotlib", "rich", "safetensors")
EXTRAS = (
    Extra("h5py", "h5py", "io", "XDMF, MED, CGNS and MOAB meshes"),
    Extra("netCDF4", "netCDF4", "io", "Exodus meshes"),
    Extra("gmsh", "gmsh", "mesh", "meshing CAD geometry"),
    Extra("pyvista", "pyvista", "viz", "interactive pictures in space"),
    Extra("pyamg", "pyamg", "solvers", "algebraic multigrid"),
    Extra("pymetis", "pymetis", "dist", "partitioning"),
    Extra("torchdiffeq", "torchdiffeq", "ode", "adaptive ODE solvers to compare with"),
    Extra("sklearn", "scikit-learn", "datasets", "the graph of handwritten digits"),
    Extra("torch_scatter", "torch-scatter", "scatter", "compiled sums over edges"),
)


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="check the installation",
        description="Say which versions, devices and optional packages are there, and how to install what is not.",
        **described("exit code 1 if something that graphpde needs is missing."),
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Print the findings."""
    from graphpde import __version__

    say(f"graphpde  {__version__}  ({os.path.dirname(os.path.dirname(__file__))})")
    say(f"python    {platform.python_version()}  ({sys.executable})")
    missing = [package for package in REQUIRED if _version(package) is None]
    if "torch" not in missing:
        _say_torch()
    say("", "needed:   " + ", ".join(f"{p} {_version(p) or 'MISSING'}" for p in REQUIRED), "")
    table(("optional", "version", "for", "to install"), [_row(extra) for extra in EXTRAS])
    if missing:
        say("", f"missing: {', '.join(missing)}; run: pip install {' '.join(missing)}")
    return 1 if missing else 0


def _say_torch() -> None:
    import torch

    from graphpde.core.kernels import BACKENDS, backend_name, missing

    say(f"torch     {torch.__version__}, {torch.get_num_threads()} of {os.cpu_count()} threads")
    say(f"devices   {', '.join(_devices(torch))}")
    wanted = os.environ.get("GRAPHPDE_KERNELS", "auto")
    why = "the fastest measured" if wanted == "auto" else f"GRAPHPDE_KERNELS={wanted}"
    say(f"kernels   {backend_name()} ({why})")
    for name in BACKENDS:
        about = getattr(BACKENDS[name], "about", lambda: "")
        say(f"          {name:<14}{missing(name) or ', '.join(filter(None, ['ready', about()]))}")


def _devices(torch: Any) -> list[str]:
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    elif torch.version.cuda is None:
        found.append("no cuda (this torch is built without it)")
    else:
        found.append("no cuda (no device or driver)")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _row(extra: Extra) -> tuple[str, str, str, str]:
    install = f'pip install "graphpde[{extra.extra}]"'
    if extra.extra == "scatter":  # its build needs the installed torch
        install = "pip install --no-build-isolation torch-scatter"
    from importlib.util import find_spec

    if find_spec(extra.module) is None:
        return extra.package, "absent", extra.purpose, install
    if extra.extra == "scatter":
        try:
            importlib.import_module(extra.module)
        except (ImportError, OSError) as error:
            return extra.package, f"broken ({str(error).splitlines()[0][:60]})", extra.purpose, install
    return extra.package, _version(extra.package) or "present", extra.purpose, ""


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # a third of the time that help may take

    try:
        return version(package)
    except PackageNotFoundError:
        return None
