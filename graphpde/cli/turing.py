"""``graphpde turing``: which patterns grow out of a homogeneous state, in free space or on a mesh, network or grid."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json
from graphpde.cli.parser import UsageError, described
from graphpde.errors import InputError

if TYPE_CHECKING:
    from graphpde.core.graph import Graph
    from graphpde.ops.turing import Prediction

EPILOG = """\
examples:
  graphpde turing --pde schnakenberg
  graphpde turing --pde schnakenberg --set kappa_u=1 kappa_v=40 --grid 64 -o dispersion.png
  graphpde turing --pde mimura-murray --set kappa_u=0.12 kappa_v=1.9 --network ba:1000:10 -o network.png
  graphpde turing --pde brusselator --mesh part.msh --json

--set takes the constants of the reaction ('graphpde list reactions') and kappa_<species>, the diffusivities. Networks:
ba:NODES:LINKS (Barabasi-Albert), ws:NODES:NEIGHBOURS:P (Watts-Strogatz), er:NODES:P (Erdos-Renyi), each with :SEED at
the end if you like. --grid N (or NxM) is a periodic grid with spacing 1. Modes are counted by the eigenvalue of minus
the Laplacian: k^2 in free space."""

_KINDS = {
    "stable": "stable, with diffusion as without",
    "turing": "stable alone, unstable to standing patterns with diffusion (Turing)",
    "wave": "stable alone, unstable to oscillating patterns with diffusion",
    "unstable": "unstable already without diffusion",
}
_CONDITIONS = (
    "trace f_{u} + g_{v} < 0",
    "determinant f_{u} g_{v} - f_{v} g_{u} > 0",
    "kappa_{v} f_{u} + kappa_{u} g_{v} > 0",
    "the same > 2 sqrt(kappa_{u} kappa_{v} determinant)",
)
_MOST_NODES = 5000  # of a network, whose whole spectrum is found
_NETWORKS: dict[str, tuple[str, tuple[Callable[[str], float], ...], str]] = {
    "ba": ("barabasi_albert", (int, int), "ba:NODES:LINKS, such as ba:1000:3"),
    "ws": ("watts_strogatz", (int, int, float), "ws:NODES:NEIGHBOURS:P, such as ws:50:4:0.18"),
    "er": ("erdos_renyi", (int, float), "er:NODES:P, such as er:500:0.02"),
}


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="say which patterns grow, and how fast",
        description="The linear analysis of Turing: homogeneous states, conditions, unstable band, fastest mode, and "
        "which modes of a mesh, network or grid grow.",
        **described(EPILOG),
    )
    parser.add_argument("--pde", metavar="NAME", required=True, help="a reaction of 'graphpde list reactions'")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="a constant, or kappa_<species>"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--mesh", metavar="FILE", help="count the modes of a mesh (first-order elements)")
    where.add_argument("--network", metavar="SPEC", help="of a random network: ba:1000:3, ws:50:4:0.18, er:500:0.02")
    where.add_argument("--grid", metavar="N", help="of a periodic grid of N by N points, or NxM")
    parser.add_argument("-o", "--output", metavar="PNG", help="picture of the dispersion curve (.png, .svg or .pdf)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Analyse, print, draw."""
    from graphpde.run.turing import study

    given = dict(_number(text) for text in args.set)
    name, domain = _domain(args)
    found = study(args.pde, given, domain)
    picture = None if args.output is None else str(found.draw(args.output, name.partition(" (")[0]))
    if args.json:
        say_json({**found.as_dict(), "where": name or None, "picture": picture})
        return 0
    constants = ", ".join(f"{k} = {v:g}" for k, v in zip(found.kinetics.constants, found.kinetics.numbers()))
    say(f"{found.name} with {constants}")
    spread = ", ".join(f"kappa_{species} = {value:.6g}" for species, value in found.kappa.items())
    chosen = ", ".join(f"kappa_{species}" for species in found.chosen)
    say(spread + (f" ({chosen} by default; --set says otherwise)" if chosen else ""))
    if name:
        say(f"on the {name}" if args.mesh is None else f"on {name}")
    for prediction in found.predictions:
        _say_state(found.kinetics.channels, prediction, bool(name), args.network is None)
    if found.kinetics.remark():
        say("", f"note: {found.kinetics.remark()}")
    if picture:
        say("", f"picture: {picture}")
    return 0


def _say_state(channels: tuple[str, ...], found: Prediction, on_domain: bool, lengths: bool) -> None:
    a = found.analysis
    values = ", ".join(f"{x:.6g}" for x in a.state)
    say("", f"homogeneous state ({', '.join(channels)}) = ({values}): {_KINDS[a.kind]}")
    if a.conditions is not None:
        c = a.conditions
        sides = ((c.trace, 0.0), (c.determinant, 0.0), (c.cross, 0.0), (c.cross, c.bound))
        for k, (text, (left, right), holds) in enumerate(zip(_CONDITIONS, sides, c.each, strict=True), start=1):
            said = f"{left:.6g} {'<' if k == 1 else '>'} {'an imaginary one' if math.isnan(right) else f'{right:.6g}'}"
            named = text.format(u=channels[0], v=channels[1])
            say(f"  condition {k}  {named:52} {said:22} {'holds' if holds else 'fails'}")
    if a.kind == "unstable":  # its bands are no patterns
        say(f"  without diffusion it leaves with the rate {a.alone.real:.6g}")
        return
    for low, high in a.bands:
        upto = f"{high:.6g}" if math.isfinite(high) else "infinity"
        waves = f", wavelengths {_wave(high)} .. {_wave(low)}" if lengths else ""
        say(f"  modes grow for eigenvalues {low:.6g} .. {upto}{waves}")
    if a.bands:
        turning = f", frequency {a.frequency:.6g}" if a.frequency > 0 else ""
        if math.isinf(a.fastest.k2):
            say(f"  no fastest mode: rates rise towards {a.fastest.rate:.6g} as eigenvalues grow{turning}")
        else:
            wave = f", wavelength {_wave(a.fastest.k2)}" if lengths else ""
            say(f"  fastest: eigenvalue {a.fastest.k2:.6g}{wave}, rate {a.fastest.rate:.6g}{turning}")
    if on_domain:
        _say_modes(found)


def _say_modes(found: Prediction) -> None:
    known = len(found.eigenvalues)
    if not found.unstable:
        say(f"  none of the {'' if math.isinf(found.below) else 'first '}{known} modes of the domain grows")
        return
    best = found.fastest
    least = "" if found.complete else f"at least (the first {known} were sought) "
    of = f" of {known}" if math.isinf(found.below) else ""
    say(f"  domain: {least}{found.unstable}{of} modes grow")
    say(
        f"  fastest of them: number {best}, eigenvalue {float(found.eigenvalues[best]):.6g}, "
        f"rate {float(found.rates[best].real):.6g}, growth time {found.growth_time:.4g}"
    )


def _wave(k2: float) -> str:
    """The wavelength 2 pi / k."""
    if math.isinf(k2):
        return "0"
    return f"{2 * math.pi / math.sqrt(k2):.4g}" if k2 > 0 else "infinity"


def _domain(args: argparse.Namespace) -> tuple[str, Graph | None]:
    """What the domain is called, and the domain."""
    if args.mesh is not None:
        from graphpde.mesh import Space, read_mesh

        space = Space(read_mesh(args.mesh))
        return f"{args.mesh} ({space.n} unknowns)", space
    if args.network is not None:
        return _network(args.network)
    if args.grid is not None:
        from graphpde.core.lattice import Lattice

        try:
            sides = [int(word) for word in args.grid.lower().split("x")]
        except ValueError:
            raise UsageError(f"--grid takes N or NxM, such as 64 or 64x32, got '{args.grid}'") from None
        shape = sides * 2 if len(sides) == 1 else sides
        if math.prod(shape) > 1_000_000:
            raise InputError(f"--grid {args.grid} has {math.prod(shape):,} points, expected at most a million")
        return f"periodic grid of {' x '.join(map(str, shape))}", Lattice(*shape)
    return "", None


def _network(spec: str) -> tuple[str, Graph]:
    from graphpde.core import networks
    from graphpde.registry import unknown

    kind, *words = spec.split(":")
    if kind not in _NETWORKS:
        raise unknown("network", kind, _NETWORKS)
    maker, reads, usage = _NETWORKS[kind]
    try:
        if not len(reads) <= len(words) <= len(reads) + 1:
            raise ValueError("count")
        readers: tuple[Callable[[str], float], ...] = (*reads, int)
        values = [read(word) for read, word in zip(readers, words, strict=False)]
    except ValueError:
        raise UsageError(f"--network {spec}: expected {usage}, a seed at the end if you like") from None
    if values[0] > _MOST_NODES:
        raise InputError(f"--network {spec} has {values[0]:,} nodes, expected at most {_MOST_NODES:,}: all modes count")
    graph = getattr(networks, maker)(*values[: len(reads)], seed=int(values[len(reads)]) if words[len(reads) :] else 0)
    return f"network {spec} ({graph.n} nodes, {graph.edges.n_edges // 2} links)", graph


def _number(text: str) -> tuple[str, float]:
    """One NAME=VALUE."""
    name, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError(text)
        return name.strip(), float(value)
    except ValueError:
        raise UsageError(f"--set takes NAME=NUMBER, such as a=0.1, got '{text}'") from None
