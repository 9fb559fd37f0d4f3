"""The pictures and the movie of particles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphpde.hamiltonian.balance import particles_of
from graphpde.hamiltonian.systems import mode_energies
from graphpde.run.frames import Frames
from graphpde.run.particles.config import ParticleSetup
from graphpde.run.particles.series import placed, velocities
from graphpde.viz import Picture, Section, plot_curves, save_figure
from graphpde.viz.canvas import labelled
from graphpde.viz.movie import write_figures
from graphpde.viz.particles import limits_of, plot_history, plot_particles, plot_ways

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN, _MOVIE = 6, 60  # moments in one picture, and in a movie
_MODES = 4
_CARRIED = 2_000_000  # bytes of a movie that the report carries itself
Drawn = tuple["Figure", str]


def draw(frames: Frames, folder: Path, ways: list[Tensor] | None = None) -> tuple[list[Picture], list[Section]]:
    """Save the pictures below ``folder`` and return them with captions, and the movie as a part of its own.

    Args:
        ways: positions [n, d] at many moments, where they are to be drawn.
    """
    setup: ParticleSetup = frames.setup
    if setup.config.output.pictures == "none":
        return [], []
    kinds: dict[str, Callable[[Frames], Iterator[tuple[str, Drawn]]]] = {"chain": _chain, "angle": _angle}
    pictures = []
    drawn = [*kinds.get(setup.known.where, _space)(frames), *_ways(frames, ways), *_curves(frames)]
    for name, (figure, caption) in drawn:
        file = save_figure(figure, folder / f"{name}.png", dpi=130)
        pictures.append(Picture(file.read_bytes(), caption))
    if not setup.config.output.animation or len(frames.moments) < 2:
        return pictures, []
    path = folder / "animation.gif"
    count = write_figures(path, _movie(frames))
    data = path.read_bytes()
    linked = len(data) > _CARRIED
    shown = Picture(b"" if linked else data, f"{count} moments.", "figures/animation.gif" if linked else "")
    return pictures, [Section("In motion", figures=[shown], files=["figures/animation.gif"])]


def _moments(frames: Frames, most: int) -> list[int]:
    count = len(frames.moments)
    return [int(k) for k in np.unique(np.linspace(0, count - 1, min(most, count)).round())]


def _when(frames: Frames, k: int) -> str:
    return f"t = {labelled(f'{frames.moments[k].t:.4g}', None)}"


def _speeds(setup: ParticleSetup, states: list[Tensor]) -> list[np.ndarray]:
    """Of every particle [n] of each state; NaN of walls."""
    held = getattr(particles_of(setup.term), "held", None)
    speeds = [velocities(setup, u).norm(dim=1) for u in states]
    return [(v if held is None else torch.where(held.cpu(), torch.nan, v)).numpy() for v in speeds]


def _seen(setup: ParticleSetup, u: Tensor) -> np.ndarray:
    """Where pictures show the particles of a state [n, 2 or 3]: those of chains and lattices by number, displaced."""
    q = u[:, : setup.d]
    if setup.known.where == "chain":
        return np.stack([np.arange(len(q)), q[:, 0].cpu().numpy()], 1)
    return placed(setup, q)[:, : max(setup.d, 2)].numpy()


def _along(setup: ParticleSetup) -> str:
    return "number" if len(setup.config.system.get("shape", ())) > 1 else "number along the row"


def _space(frames: Frames) -> Iterator[tuple[str, Drawn]]:
    """Particles in the plane or in space."""
    setup: ParticleSetup = frames.setup
    shown = _moments(frames, _SHOWN)
    states = [frames.state(k) for k in shown]
    places = [_seen(setup, u) for u in states]
    speeds, unit = _speeds(setup, states), setup.units["length"]
    limits = limits_of(np.concatenate(places))
    look: dict[str, Any] = {"limits": limits, "length_unit": unit, "highest": _highest(speeds)}
    seen = " seen along z" if setup.d == 3 else ""
    yield (
        "final",
        (
            plot_particles(places[-1:], speeds[-1:], title=f"{setup.known.title}, {_when(frames, shown[-1])}", **look),
            f"The particles{seen} at the end, coloured by their speed.",
        ),
    )
    if len(shown) > 1:
        titles = [_when(frames, k) for k in shown]
        figure = plot_particles(places, speeds, titles=titles, **look)
        yield "frames", (figure, f"The particles{seen} at several moments, in one colour scale.")


def _ways(frames: Frames, ways: list[Tensor] | None) -> Iterator[tuple[str, Drawn]]:
    """The ways of a few particles in the plane or in space."""
    if ways is None or len(ways) < 3:
        return
    setup: ParticleSetup = frames.setup
    axes = [labelled(x, setup.units["length"]) for x in ("x", "y")]
    seen = ", seen along z" if setup.d == 3 else ""
    figure = plot_ways(torch.stack(ways)[..., :2], axes, title=setup.known.title)
    yield "paths", (figure, f"The ways of the particles{seen}.")


def _chain(frames: Frames) -> Iterator[tuple[str, Drawn]]:
    """Displacements along a row, and the energies of its modes."""
    setup: ParticleSetup = frames.setup
    every = _moments(frames, 1000)
    t, q = [frames.moments[k].t for k in every], torch.stack([frames.state(k)[:, 0] for k in every])
    axis = labelled("t", setup.units["time"])
    yield (
        "history",
        (
            plot_history(t, q, label="displacement", time_label=axis, along=_along(setup), title=setup.known.title),
            "Displacement of each mass over time.",
        ),
    )
    if bool(torch.isinf(setup.term.masses[0])):  # between walls, where modes are sines
        each = mode_energies(torch.stack([frames.state(k) for k in every]))[:, :_MODES]
        curves = {f"mode {k + 1}": each[:, k] for k in range(each.shape[1])}
        figure = plot_curves(t, curves, axis, "energy", drifts=False)
        yield "modes", (figure, "Energies of the lowest harmonic modes.")


def _angle(frames: Frames) -> Iterator[tuple[str, Drawn]]:
    """The way in phase space."""
    every = _moments(frames, 4000)
    states = torch.stack([frames.state(k) for k in every])
    figure = plot_ways(states, ("angle", "momentum"), equal=False, title=frames.setup.known.title)
    yield "phase", (figure, "The way in phase space.")


def _curves(frames: Frames) -> Iterator[tuple[str, Drawn]]:
    """Energies over time."""
    if len(frames.moments) < 2:
        return
    held = [m.kept for m in frames.moments]
    t, axis = [m.t for m in frames.moments], labelled("t", frames.setup.units["time"])
    curves = {"energy": [k.energy for k in held], "kinetic": [k.kinetic for k in held]}
    yield (
        "energy",
        (
            plot_curves(t, curves, axis, "energy"),
            "The energy, which stays as far as the stepper keeps it, and its kinetic part.",
        ),
    )


def _highest(speeds: list[np.ndarray]) -> float:
    """End of the colours: nearly all speeds are below."""
    return float(np.nanquantile(np.concatenate(speeds), 0.995)) or 1.0


def _movie(frames: Frames) -> Iterator[Figure]:
    """A figure of one size for each moment."""
    setup: ParticleSetup = frames.setup
    shown = _moments(frames, _MOVIE)
    states = [frames.state(k) for k in shown]
    places = [_seen(setup, u) for u in states]
    speeds, limits = _speeds(setup, states), limits_of(np.concatenate(places))
    highest = _highest(speeds)
    for k, x, v in zip(shown, places, speeds, strict=True):
        title = f"{setup.known.title}, {_when(frames, k)}"
        if setup.known.where == "chain":
            axes = (_along(setup), "displacement")
            yield plot_ways(x[:, None], axes, equal=False, limits=limits, title=title)
        else:
            yield plot_particles([x], [v], limits=limits, highest=highest, title=title)
