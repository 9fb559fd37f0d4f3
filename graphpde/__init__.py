"""PDEs and machine learning as message passing on graphs and meshes.

A relation carries messages; a term says what moves; a stepper says how it advances; an objective says how it learns.

Names load on first use, so that ``import graphpde`` and the command line's help cost no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# name -> module that exports it
_LAZY = {
    "Relation": "graphpde.core",
    "Graph": "graphpde.core",
    "TagSet": "graphpde.core",
    "LinearOperator": "graphpde.core",
    "Mesh": "graphpde.mesh",
    "Space": "graphpde.mesh",
    "CellSpace": "graphpde.mesh",
    "P1": "graphpde.mesh",
    "P2": "graphpde.mesh",
    "Q1": "graphpde.mesh",
    "Q2": "graphpde.mesh",
    "Cochains": "graphpde.mesh",
    "read_mesh": "graphpde.mesh",
    "write_mesh": "graphpde.mesh",
    "Term": "graphpde.ops",
    "Diffusion": "graphpde.ops",
    "Advection": "graphpde.ops",
    "CentredAdvection": "graphpde.ops",
    "LimitedAdvection": "graphpde.ops",
    "StreamlineUpwind": "graphpde.ops",
    "Reaction": "graphpde.ops",
    "Form": "graphpde.ops",
    "Energy": "graphpde.ops",
    "Source": "graphpde.ops",
    "Dirichlet": "graphpde.ops",
    "Neumann": "graphpde.ops",
    "Robin": "graphpde.ops",
    "BackwardEuler": "graphpde.dynamics",
    "CrankNicolson": "graphpde.dynamics",
    "Dopri5": "graphpde.dynamics",
    "Euler": "graphpde.dynamics",
    "Rk4": "graphpde.dynamics",
    "STEPPERS": "graphpde.dynamics",
    "Trajectory": "graphpde.dynamics",
    "adapt": "graphpde.dynamics",
    "evolve": "graphpde.dynamics",
    "steady": "graphpde.dynamics",
    "Formula": "graphpde.formula",
    "plot_field": "graphpde.viz",
    "write_series": "graphpde.viz",
}

__all__ = ["__version__", *_LAZY]


def _submodules() -> list[str]:
    import pkgutil  # here, because it costs the command line's help a tenth of its time

    return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value  # the next access costs nothing
        return value
    if name in _submodules():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(
        f"module '{__name__}' has no attribute '{name}'", name=name, obj=importlib.import_module(__name__)
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_submodules()})
