"""The pictures and the page of a learned motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphpde.errors import GraphpdeError
from graphpde.run.folder import RunFolder
from graphpde.run.manifest import versions
from graphpde.run.motions.kinds import KINDS, Law, Pairs
from graphpde.run.motions.material import Material, held_states
from graphpde.viz import Picture, Report, Table, plot_curves, save_figure, write_report
from graphpde.viz.motions import plot_followed, plot_portrait

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphpde.run.motions.learn import Learned
    from graphpde.train import History

_ROWS, _GRID, _ROOM = 4, 120, 0.15
Drawn = Iterator[tuple["Figure", str]]


def headline(result: Learned) -> str:
    """The result in one line."""
    failed = "failed: " if result.status == "failed" else ""
    if result.error is None:
        return f"{failed}{result.steps} steps, last loss {result.loss:.4g}"
    text = f"{failed}motions kept aside are followed for {result.until:.4g} with an error of {percent(result.error)}"
    for what, value in (("learned", result.energy), ("true", result.true_energy)):
        text += "" if value is None else f", the {what} energy changes by {percent(value)}"
    return text


def percent(value: float) -> str:
    """2.1 %."""
    return f"{100 * value:.2g} %" if value < 10 else f"{100 * value:.3g} %"


def write_page(result: Learned, given: Material, law: Law, history: History, folder: RunFolder, command: str) -> None:
    """Write ``report.html`` and the pictures in it; what cannot be drawn is said there."""
    pictures, notes = [], list(result.notes)
    for name, draw in _PICTURES.items():
        try:
            for figure, caption in draw(given, law, history):
                file = save_figure(figure, folder.path / "figures" / f"{name}.png", dpi=130)
                pictures.append(Picture(file.read_bytes(), caption))
        except GraphpdeError as error:
            notes.append(f"the picture '{name}' could not be drawn: {error}")
    config, kind = given.config, KINDS[given.config.learn]
    numbers = {
        "equation": kind.equation, "motions learned from": len(given.train.runs), "kept aside": len(given.held.runs),
        "nodes": given.body.n, "step of the data": f"{given.train.step:.6g}", "steps": result.steps,
        "ended because": result.reason, "last loss": f"{result.loss:.5g}", "seconds": f"{result.seconds:.3g}",
        **result.facts,
    }  # fmt: skip
    if result.error is not None:
        numbers["error of motions kept aside"] = f"{percent(result.error)} of the deviation of the data"
    for what, value in (("learned", result.energy), ("true", result.true_energy)):
        if value is not None:
            numbers[f"largest change of the {what} energy"] = f"{percent(value)} of the mean kinetic energy"
    settings = [(f"{part}.{name}", str(value)) for part, table in config.as_dict().items() if isinstance(table, dict)
                for name, value in table.items()]  # fmt: skip
    tables = [Table("Learning", [(k, str(v)) for k, v in numbers.items()], notes=notes), Table("Settings", settings)]
    report = Report(
        f"{kind.title}: {config.source}", headline(result) + ".", [], pictures, tables, command=command,
        versions=versions(),
    )  # fmt: skip
    write_report(folder.path / "report.html", report)


def _followed(given: Material, law: Law, history: History) -> Drawn:
    """The first motion that was kept aside."""
    states, known = held_states(given)
    count = int(torch.nonzero(known[:, 0].flatten(1).any(1)).max()) + 1
    states = torch.where(known, states, torch.nan)[:count, :1]
    found = given.pace.run(law, states[0], count)
    names = [f"{name} of node {k}" if given.body.n > 1 else name for k in range(given.body.n)
             for name in given.train.names][:_ROWS]  # fmt: skip
    both = [given.units.decode(u)[:, 0].flatten(1) for u in (states, found)]
    t = given.held.starts[0] + given.train.step * torch.arange(count)
    figure = plot_followed(
        t, {name: (both[0][:, k], both[1][:, k]) for k, name in enumerate(names)}, title=_title(given)
    )
    yield figure, "A motion that was not learned from: the law starts from its first moment and sees nothing after it."


def _portrait(given: Material, law: Law, history: History) -> Drawn:
    """Level curves of a learned energy of one coordinate."""
    if given.body.n * given.body.d > 1 or given.config.learn == "plain":
        return
    ways = [run[:, 0] for run in (*given.train.runs, *given.held.runs)]
    every = torch.cat([way[~way.isnan().any(1)] for way in ways])
    room = _ROOM * (every.amax(0) - every.amin(0))
    low, high = every.amin(0) - room, every.amax(0) + room
    x, y = (torch.linspace(float(low[k]), float(high[k]), _GRID, dtype=torch.float64) for k in (0, 1))
    grid = torch.cartesian_prod(x, y)[:, None]
    with torch.no_grad():
        energy = law.energy(given.units.encode(grid))
    values = (energy * given.units.energy).reshape(_GRID, _GRID)
    figure = plot_portrait(x, y, values, ways, given.train.names, title=_title(given))
    yield figure, "Level curves of the learned energy, known up to a constant, and the data."


def _pair(given: Material, law: Law, history: History) -> Drawn:
    """The learned energy of a pair beside the true one."""
    if not isinstance(law, Pairs) or given.body.reach is None:
        return
    r = torch.linspace(0.02, 1, 200, dtype=torch.float64) * given.body.reach
    with torch.no_grad():
        curves = {"learned": _centred(law.curve(r / given.units.place) * given.units.energy)}
        true = getattr(given.held.system, "pairs", None)
        if true is not None and given.held.system.charge is None:
            apart = torch.nn.functional.pad(r[:, None], (0, given.body.d - 1))
            curves["true"] = _centred(true.energy(apart)[:, 0])
    figure = plot_curves(r, curves, "distance", "energy of a pair", drifts=False, title=_title(given))
    yield figure, "The energy of a pair by its distance, up to a constant; only distances that occurred were learned."


def _centred(v: Tensor) -> Tensor:
    return v - v[len(v) // 2 :].mean()


def _energies(given: Material, law: Law, history: History) -> Drawn:
    """Energies along the first motion that was kept aside."""
    states, _ = held_states(given)
    with torch.no_grad():
        found = given.pace.run(law, states[0, :1], len(states))
        curves = {}
        if given.config.learn != "plain":
            curves["learned energy"] = law.energy(found)[:, 0] * given.units.energy
        if given.held.system is not None and not KINDS[given.config.learn].angles:
            curves["true energy"] = given.held.system.energy(given.units.decode(found))[:, 0]
    if curves:
        t = given.held.starts[0] + given.train.step * torch.arange(len(states))
        figure = plot_curves(t, {k: v - v[0] for k, v in curves.items()}, "t", "change of energy", drifts=False)
        yield figure, "How energies change along the motion that the law says."


def _losses(given: Material, law: Law, history: History) -> Drawn:
    steps, losses = [row["step"] for row in history.rows], [row["loss"] for row in history.rows]
    yield plot_curves(steps, {"loss": losses}, "step", "loss", log=True), "The loss; windows may grow on the way."


def _title(given: Material) -> str:
    return f"{KINDS[given.config.learn].title}: {given.config.source}"


_PICTURES: dict[str, Callable[[Material, Law, History], Drawn]] = {
    "followed": _followed, "portrait": _portrait, "pair": _pair, "energy": _energies, "loss": _losses,
}  # fmt: skip
