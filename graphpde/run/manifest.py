"""Where a result comes from: versions, machine, commit, seed, mesh and command."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

import torch

from graphpde import __version__
from graphpde.config import Setup
from graphpde.core.kernels import backend_name
from graphpde.run.checkpoint import file_checksum
from graphpde.run.kit import Kit

PACKAGES = ("torch", "numpy", "scipy", "meshio", "matplotlib")


def describe(kit: Kit, command: str) -> dict[str, Any]:
    """What stays the same during the run; status, times and results are added to it."""
    setup = kit.setup
    return {
        "status": "running",
        "command": command,
        "started": now(),
        "versions": versions(),
        "git": commit(),
        "seed": setup.config.seed,
        "device": str(setup.u0.device),
        "dtype": setup.config.dtype,
        "threads": torch.get_num_threads(),
        "kernels": backend_name(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **kit.place(),
        "unknowns": setup.u0.numel(),
        "steps": setup.steps,
        "warnings": list(setup.warnings),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Version of everything that computes."""
    out = {"graphpde": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def commit() -> str | None:
    """The commit of the checkout that the package runs from; None for an installed one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def mesh_facts(setup: Setup) -> dict[str, Any]:
    """The mesh and where it came from."""
    mesh, source = setup.space.mesh, setup.config.mesh
    out: dict[str, Any] = {"points": mesh.n, "cells": {kind: len(nodes) for kind, nodes in mesh.cells.items()}}
    if source.path is None:
        return {"shape": source.shape, **out}
    return {"path": str(source.path), "sha256": file_checksum(source.path), **out}
