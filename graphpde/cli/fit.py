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


def run(args: argparse.Namespace, given: Mapping[str, Any], command: str) -> int:
    """Fit, run what was found, and say both."""
    from graphpde.config import load, merge, prepare, read_config
    from graphpde.run import next_folder
    from graphpde.run.fit import fit_run

    others = {"--dry-run": args.dry_run, "--show-code": args.show_code, "--resume": args.resume is not None}
    for option, asked in others.items():
        if asked:
            raise UsageError(f"{option} does not go with --fit; leave one of them out")
    if len(args.fit) < 2:
        raise UsageError("--fit takes a table and what to fit, such as --fit data.csv kappa")
    config = read_config(merge(load(args.problem) if args.problem else {}, given))
    out = next_folder(f"{prepare(config).name}-fit") if args.output is None else args.output
    with StopRequest() as stop:
        fitted = fit_run(config, args.fit[0], args.fit[1:], out, command=command, stop=stop)
    result = fitted.run
    warn(result.warnings)
    if args.json:
        warnings = [in_options(sentence) for sentence in result.warnings]
        say_json({**result.as_dict(), "fit": fitted.as_dict(), "warnings": warnings})
    else:
        _say(fitted)
    return 0 if result.status == "ok" else stop.code


def _say(fitted: Fitted) -> None:
    history, result = fitted.history, fitted.run
    said = "" if fitted.assumed is None else f" of an assumed {fitted.assumed:.3g} (no column sigma: 1 % of the values)"
    say(f"fitted to {fitted.points} measurements in {len(history)} steps ({history.reason})")
    for name, value in fitted.values.items():
        if not isinstance(value, Mapping):
            say(f"  {name} = {value:.6g}")
        elif value.keys() == {"min", "max"}:
            say(f"  {name} in [{value['min']:.6g}, {value['max']:.6g}], roughness weighted by {fitted.weight:.2g}")
        else:
            say(*(f"  {name} of {where} = {v:.6g}" for where, v in value.items()))
    say(f"  residuals {fitted.misfit**0.5:.3g} times the noise{said}")
    if fitted.misfit > 2:
        say("  the fit does not explain the measurements: the noise may be larger, or the model lacks something")
    shown = {"field": "fields/fitted.vtu", "history": "fit.csv", "picture": "figures/final.png"}
    shown["report"] = "report.html"
    for what, name in shown.items():
        if (result.folder / name).exists():
            say(f"{what:9} {result.folder / name}")
