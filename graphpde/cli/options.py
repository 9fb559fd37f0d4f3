"""The options of ``simulate`` and the tables they stand for."""

from __future__ import annotations

import argparse
import re
from typing import Any

from graphpde.errors import ConfigError

_ASSIGNED = re.compile(r"([^=<>!]+)=(?!=)(.*)", re.DOTALL)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare every option, in groups."""
    what = parser.add_argument_group("problem")
    what.add_argument("--pde", metavar="NAME", help="heat, poisson, nbody, ...; see 'graphpde list pdes' and systems")
    what.add_argument("--mesh", metavar="FILE", help="mesh file; 'graphpde info FILE' says how its sets are called")
    what.add_argument(
        "--bc",
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        help="value on a set: number or formula, one for each field",
    )
    what.add_argument("--inflow", nargs="+", action="extend", metavar="NAME=VALUE", help="what enters through a set")
    what.add_argument(
        "--robin", nargs="+", action="extend", metavar="NAME=A:AMBIENT", help="exchange A (ambient - u) through a set"
    )
    what.add_argument("--override", nargs="+", action="extend", metavar="NAME", help="this --bc wins on shared nodes")
    what.add_argument("--initial", nargs="+", metavar="VALUE", help="value at the start, or FIELD=VALUE")
    what.add_argument(
        "--initial-from",
        metavar="FILE",
        help="start from a field: RUN, FILE, FILE:FIELD, FILE@TIME (default: the last)",
    )
    what.add_argument("--source", nargs="+", metavar="VALUE", help="source, or FIELD=VALUE")
    what.add_argument("--kappa", nargs="+", metavar="VALUE", help="conductivity, or MATERIAL=VALUE with * for the rest")
    what.add_argument(
        "--material", nargs="+", action="extend", metavar="SET=NAME", help="material of a set of cells, * for the rest"
    )
    what.add_argument(
        "--velocity", metavar="VX,VY[,VZ]", help="of advection; write --velocity=-y,x if it starts with -"
    )
    how = parser.add_argument_group("discretisation")
    how.add_argument("--element", metavar="NAME", help="p1, p2, q1, ...; see 'graphpde list elements'")
    how.add_argument("--scheme", metavar="NAME", help="of advection: upwind, limited, supg or centred; of mixtures")
    how.add_argument(
        "--periodic", nargs="+", action="extend", metavar="SET=SET", help="two sets of the boundary that are one"
    )
    how.add_argument(
        "--adapt",
        type=float,
        metavar="TOL",
        help="refine the mesh of a steady state where needed until the error is about this share, such as 0.02",
    )
    what.add_argument("--set", nargs="+", action="extend", metavar="KEY=VALUE", help="any key of a problem file")
    _add_time(parser.add_argument_group("time"))
    _add_more_runs(parser)
    _add_measures(parser.add_argument_group("measures"))
    where = parser.add_argument_group("output and machine")
    where.add_argument("-o", "--output", metavar="DIR", help="run folder (default: runs/<pde>-<mesh>-<n>)")
    where.add_argument("--pictures", metavar="WHICH", help="none, summary (default) or all: one of every frame")
    where.add_argument("--series", metavar="KIND", help="fields as vtu (default, with .pvd), xdmf or both")
    where.add_argument("--gif", action="store_true", help="an animation of the saved moments")
    where.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    where.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
    where.add_argument("--show-code", action="store_true", help="print a Python script that does the same, and stop")
    where.add_argument("--device", metavar="NAME", help="cpu (default), cuda, cuda:1, mps")
    where.add_argument("--dtype", metavar="NAME", help="float64 (default) or float32")
    where.add_argument("--seed", type=int, metavar="N", help="of the noise on initial values (default: 0)")


def _add_time(when: Any) -> None:
    when.add_argument("--steady", action="store_true", help="solve for the steady state")
    when.add_argument("--t-end", type=float, metavar="T", help="end (default: from the size of the mesh)")
    when.add_argument(
        "--dt", type=float, metavar="DT", help="step (default: a hundredth of the run, or the stable one)"
    )
    when.add_argument(
        "--rtol",
        type=float,
        metavar="R",
        help="adaptive steps: relative error allowed in each, such as 1e-4; --dt is then the first step",
    )
    when.add_argument(
        "--atol", type=float, metavar="A", help="absolute error (default: 1e-3 rtol times the largest value)"
    )
    when.add_argument("--stepper", metavar="NAME", help="see 'graphpde list steppers'")
    when.add_argument("--frames", type=int, metavar="N", help="saved moments after the start (default: 20)")
    when.add_argument("--allow-unstable", action="store_true", help="take explicit steps beyond the stability bound")


def _add_more_runs(parser: argparse.ArgumentParser) -> None:
    many = parser.add_argument_group("sweeps")
    many.add_argument(
        "--sweep",
        nargs="+",
        action="extend",
        metavar="NAME=VALUES",
        help="one run each: 0.1,1,10 or log:0.1:10:5, lin:0:1:3",
    )
    many.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: one for each core)")
    found = parser.add_argument_group("inverse problems")
    found.add_argument(
        "--fit",
        nargs="+",
        metavar=("DATA.csv", "WHAT"),
        help="fit kappa, source, kappa=field or source=field to a table with the columns x,y[,z][,t],FIELD[,sigma]",
    )
    on = parser.add_argument_group("going on")
    on.add_argument("--resume", metavar="RUN", help="go on with a stopped run or sweep, or from a moment RUN@TIME")


def _add_measures(group: Any) -> None:
    group.add_argument("--probe", nargs="+", action="extend", metavar="NAME=X,Y[,Z]", help="fields there at every step")
    group.add_argument(
        "--line", nargs="+", action="extend", metavar="NAME=X,Y:X,Y", help="fields along a segment at saved moments"
    )
    group.add_argument("--fluxes", nargs="*", metavar="SET", help="flow through sets of the boundary (default: all)")
    group.add_argument("--forces", nargs="*", metavar="SET", help="of a flow on sets of the boundary (default: all)")
    group.add_argument("--integrals", nargs="*", metavar="SET", help="integrals over the domain and sets of cells")


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The tables that the options stand for; what was not given is not there.

    Raises:
        ConfigError: something that should read NAME=VALUE does not.
    """
    from graphpde.config import assign, merge

    out: dict[str, Any] = {}
    for key in ("pde", "mesh", "element", "scheme", "device", "dtype", "seed"):
        if getattr(args, key) is not None:
            out[key] = getattr(args, key)
    if args.periodic:
        out["periodic"] = [list(_pair("--periodic", text)) for text in args.periodic]
    if args.steady:
        out["steady"] = True
    times = {"end": args.t_end, **{key: getattr(args, key) for key in ("dt", "stepper", "frames", "rtol", "atol")}}
    if args.adapt is not None:
        out["adapt"] = {"tolerance": args.adapt}
    groups = {
        "time": {key: value for key, value in times.items() if value is not None},
        "boundary": _boundary(args),
        "coefficients": _coefficients(args),
        "materials": dict(_pair("--material", text) for text in args.material or ()),
        "output": _output(args),
        "solver": {"allow_unstable": True} if args.allow_unstable else {},
    }
    out |= {key: table for key, table in groups.items() if table}
    for key in ("initial", "source"):
        if getattr(args, key) is not None:
            out[key] = _fields(f"--{key}", getattr(args, key))
    if args.initial_from is not None:
        start = out.get("initial", {})
        if not isinstance(start, dict):
            raise ConfigError("both --initial and --initial-from give the initial value; leave one of them out")
        out["initial"] = {"from": args.initial_from, **start}
    for setting in args.set or ():
        out = merge(out, assign(setting))
    return out


def value_of(text: str) -> float | str:
    """A number if it reads as one, else the text of a formula."""
    try:
        return float(text)
    except ValueError:
        return text


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise ConfigError(f"{option} takes NAME=VALUE, got '{text}'")
    return name.strip(), value.strip()


def _boundary(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for option, kind, given in (("--bc", "value", args.bc), ("--inflow", "inflow", args.inflow)):
        for text in given or ():
            name, value = _pair(option, text)
            if name in out:
                raise ConfigError(f"'{name}' is given twice, by {option} {text} and before; say it once")
            parts = [value_of(part) for part in _split(value)]
            out[name] = {kind: parts if len(parts) > 1 else parts[0]}
    for text in args.robin or ():
        name, value = _pair("--robin", text)
        a, colon, ambient = value.partition(":")
        if not colon:
            raise ConfigError(f"--robin takes NAME=COEFFICIENT:AMBIENT, such as wall=25:293, got '{text}'")
        if name in out:
            raise ConfigError(f"'{name}' is given twice, by --robin {text} and before; say it once")
        out[name] = {"robin": {"coefficient": value_of(a), "ambient": value_of(ambient)}}
    for name in args.override or ():
        out.setdefault(name, {})["override"] = True
    return out


def _output(args: argparse.Namespace) -> dict[str, Any]:
    chosen = {"pictures": args.pictures, "series": args.series, "animation": args.gif or None}
    out: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    for key, sets in (("fluxes", args.fluxes), ("forces", args.forces), ("integrals", args.integrals)):
        if sets is not None:
            out[key] = sets or "all"
    if args.probe:
        out["probes"] = {name: _point("--probe", x) for name, x in (_pair("--probe", text) for text in args.probe)}
    if args.line:
        out["lines"] = {}
        for name, ends in (_pair("--line", text) for text in args.line):
            if ends.count(":") != 1:
                raise ConfigError(f"--line takes NAME=X,Y:X,Y, got '{name}={ends}'")
            out["lines"][name] = [_point("--line", end) for end in ends.split(":")]
    return out


def _point(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} takes numbers joined by commas, such as 0.5,0.2, got '{text}'") from None


def _fields(option: str, given: list[str]) -> Any:
    """One value, or a value per field."""
    if len(given) == 1 and not _ASSIGNED.fullmatch(given[0]):
        return value_of(given[0])
    return {name: value_of(value) for name, value in (_pair(option, text) for text in given)}


def _coefficients(args: argparse.Namespace) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if args.kappa is not None:
        out["kappa"] = _fields("--kappa", args.kappa)
    if args.velocity is not None:
        out["velocity"] = [value_of(part) for part in _split(args.velocity)]
    return out


def _split(text: str) -> list[str]:
    """Parts between commas that stand outside of parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
