"""The pictures and the page of a learned flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from graphpde.errors import GraphpdeError
from graphpde.run.flows.pictures import PICTURES, source
from graphpde.run.folder import RunFolder
from graphpde.run.manifest import versions
from graphpde.viz import Picture, Report, Table, save_figure, write_report

if TYPE_CHECKING:
    from graphpde.run.flows.learn import Learned, Material
    from graphpde.train import History


def headline(result: Learned) -> str:
    """The result in one line."""
    failed = "failed: " if result.status == "failed" else ""
    if result.nll is None:
        return f"{failed}{result.steps} steps, last loss {result.loss:.4g}"
    text = f"{failed}negative log-likelihood of samples kept aside {_with_error(result, 3)} nats"
    if result.entropy is not None:
        text += f", entropy of the law {result.entropy:.3f} (the least there is)"
    return text


def _with_error(result: Learned, digits: int) -> str:
    error = "" if result.nll_error is None else f" \u00b1 {result.nll_error:.{digits}f}"
    return f"{result.nll:.{digits}f}{error}"


def write_page(
    result: Learned, given: Material, model: nn.Module, history: History, folder: RunFolder, command: str
) -> None:
    """Write ``report.html`` and the pictures in it; what cannot be drawn is said there."""
    pictures, notes = [], list(result.notes)
    for name, draw in PICTURES.items():
        try:
            for figure, caption in draw(given, model, history):
                file = save_figure(figure, folder.path / "figures" / f"{name}.png", dpi=130)
                pictures.append(Picture(file.read_bytes(), caption))
        except GraphpdeError as error:
            notes.append(f"the picture '{name}' could not be drawn: {error}")
    config = given.place.config
    title = f"A flow on {config.model.on}: {source(config)}"
    numbers = {
        "samples": given.count or "drawn anew", "kept aside": len(given.held), "steps": result.steps,
        "ended because": result.reason, "last loss": f"{result.loss:.5g}", "seconds": f"{result.seconds:.3g}",
    }  # fmt: skip
    if result.nll is not None:
        numbers["negative log-likelihood"] = f"{_with_error(result, 4)} nats, per {result.by}"
    if result.entropy is not None:
        numbers["entropy of the law"] = f"{result.entropy:.4f} nats"
    settings = [(f"{part}.{name}", str(value)) for part in ("model", "flow", "training")
                for name, value in vars(getattr(config, part)).items()]  # fmt: skip
    tables = [Table("Learning", list(numbers.items()), notes=notes), Table("Settings", settings)]
    report = Report(title, headline(result) + ".", [], pictures, tables, command=command, versions=versions())
    write_report(folder.path / "report.html", report)
