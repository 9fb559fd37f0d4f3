"""The last line of every table that a run wrote beside its fields, under names that stay the same between runs."""

from __future__ import annotations

from pathlib import Path

from graphpde.run.records import FLUXES, FORCES, INTEGRALS, PROBES
from graphpde.run.rows import last_row

TABLES = {"probe": PROBES, "flux": FLUXES, "force": FORCES, "integral": INTEGRALS}
"""How the numbers of each table begin: ``probe.tip.u``, ``flux.left.u``, ``force.wing.force_x``."""


def final_values(folder: Path) -> dict[str, float]:
    """Probes, fluxes, forces and integrals at the end of the run in ``folder``; empty where it measured none."""
    out: dict[str, float] = {}
    for kind, name in TABLES.items():
        row = last_row(folder / name)
        out |= {f"{kind}.{column}": value for column, value in row.items() if column != "t"}
    return out


def picture_name(name: str) -> str | None:
    """How a picture calls such a number; None for one that says what another says: amounts, integrals beside means."""
    kind, _, rest = name.partition(".")
    if kind == "probe":
        return rest
    if kind == "force":
        return rest.replace("_", " ")
    if kind == "flux" and not rest.endswith(".amount") and not rest.startswith(("storage.", "content.")):
        return f"flux through {rest}" if not rest.startswith(("total.", "sources.", "elsewhere.")) else None
    if kind == "integral" and rest.endswith(".mean"):
        return f"mean of {rest.removesuffix('.mean')}"
    return None
