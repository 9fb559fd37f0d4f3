"""``graphpde simulate PROBLEM.toml --fit DATA.csv kappa``: coefficients from measurements, and the run with them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import in_options, say, say_json, warn
from graphpde.cli.parser import UsageError
from graphpde.cli.signals import StopRequest

if TYPE_CHECKING:
    from graphpde.run.fit import Fitted
    from graphpde.run.fit_record import FitRecord


def run(args: argparse.Namespace, problem: Mapping[str, Any], command: str) -> int:
    """Fit, run what was found, and say both."""
    from graphpde.config import read_config
    from graphpde.run.fit import fit_run

    others = {
        "--dry-run": args.dry_run, "--show-code": args.show_code, "--resume": args.resume is not None,
        "--sweep": bool(args.sweep), "--jobs": args.jobs is not None, "--adapt": args.adapt is not None,
    }  # fmt: skip
    for option, asked in others.items():
        if asked:
            raise UsageError(f"{option} does not go with --fit; leave one of them out")
    if len(args.fit) < 2:
        raise UsageError("--fit takes a table and what to fit, such as --fit data.csv kappa")
    with StopRequest() as stop:
        fitted = fit_run(read_config(problem), args.fit[0], args.fit[1:], args.output, command=command, stop=stop)
    result = fitted.run
    warn(result.warnings)
    if args.json:
        warnings = [in_options(sentence) for sentence in result.warnings]
        say_json({**result.as_dict(), "fit": fitted.record.as_dict(), "warnings": warnings})
    else:
        _say(fitted)
    return 0 if result.status == "ok" else stop.code


def _say(fitted: Fitted) -> None:
    record, result = fitted.record, fitted.run
    say(f"fitted to {len(record.seen)} measurements in {len(record.history)} steps ({record.history.reason})")
    say(*(f"  {name} = {value:.6g}{_spread(record, name)}" for name, value in record.each.items()))
    for name, field in record.fields.items():
        low, high = float(field.min()), float(field.max())
        say(f"  {name} in [{low:.6g}, {high:.6g}], roughness weighted by {record.weight:.2g}")
    assumed = record.assumed
    said = "" if assumed is None else f" of an assumed {assumed:.3g} (no column sigma: 1 % of the values)"
    say(f"  residuals {record.misfit**0.5:.3g} times the noise{said}")
    if record.interrupted:
        say("  interrupted before its end: these are the values so far")
    elif record.misfit > 2:
        say("  the fit does not explain the measurements: the noise may be larger, or the model lacks something")
    shown = {"field": "fields/fitted.vtu", "history": "fit.csv", "picture": "figures/final.png"}
    shown["report"] = "report.html"
    for what, name in shown.items():
        if (result.folder / name).exists():
            say(f"{what:9} {result.folder / name}")


def _spread(record: FitRecord, name: str) -> str:
    """The standard deviation behind a number, where it is known."""
    if name not in record.deviations:
        return ""
    value = record.deviations[name]
    return " (not determined)" if value is None else f" +- {value:.2g}"
