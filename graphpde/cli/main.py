"""``graphpde VERB``: reads the line, runs the verb, turns every error into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from graphpde import __version__
from graphpde.cli import (
    check,
    classify,
    compare,
    convert,
    demo,
    doctor,
    extract,
    info,
    likelihood,
    listing,
    make_mesh,
    predict,
    repair,
    sample,
    simulate,
    smooth,
    train,
    transfer,
    turing,
)
from graphpde.cli.console import failing_in_json, in_options
from graphpde.cli.parser import Parser, UsageError, described
from graphpde.errors import GraphpdeError, InputError

VERBS = {
    "check": check,
    "classify": classify,
    "compare": compare,
    "convert": convert,
    "demo": demo,
    "doctor": doctor,
    "extract": extract,
    "info": info,
    "likelihood": likelihood,
    "list": listing,
    "make-mesh": make_mesh,
    "predict": predict,
    "repair": repair,
    "sample": sample,
    "simulate": simulate,
    "smooth": smooth,
    "train": train,
    "transfer": transfer,
    "turing": turing,
}
OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

EPILOG = """\
first steps:
  graphpde demo                                        a first simulation, with a report to look at
  graphpde info part.msh                               what is in your mesh, and how its parts are called
  graphpde check part.msh -o part.png                  what is wrong with it, and where
  graphpde repair part.msh mended.vtu                  the same mesh without what can be mended
  graphpde simulate --pde heat --mesh part.msh --bc inlet=1
  graphpde classify --dataset karate --model grand     learn the classes of the nodes of a graph
  graphpde train flow.toml                             learn a flow from samples, then draw more of them

exit codes: 0 done, 1 the run failed and its last good state is kept, 2 bad input, 130 interrupted (143 by SIGTERM).
GRAPHPDE_DEBUG=1 shows the whole traceback of an error."""


_NO_MEMORY = ("enough memory", "out of memory", "can't allocate memory", "tried to allocate")


def build_parser() -> Parser:
    """The parser with every verb."""
    parser = Parser(
        prog="graphpde",
        description="Simulate partial differential equations on meshes and graphs.",
        **described(EPILOG),
    )
    parser.add_argument("--version", action="version", version=f"graphpde {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    for name, module in VERBS.items():
        module.add(verbs, name)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(argv)
    except UsageError as error:
        return _say(f"{error}", BAD_INPUT)
    except InputError as error:
        return _say(str(error), BAD_INPUT, error)
    except GraphpdeError as error:
        return _say(str(error), BAD_INPUT if isinstance(error, TypeError) else FAILED, error)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # whoever read the output has gone; keep Python from complaining again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        place = f" '{error.filename}'" if error.filename else ""
        return _say(f"cannot use{place or ' a file'}: {error.strerror or error}", BAD_INPUT, error)
    except Exception as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            remedy = "take fewer unknowns, a smaller model or, on meshes, --dtype float32"
            return _say(f"there is not enough memory for this; {remedy}", FAILED, error)
        # a fault of ours: still one sentence, and a way to see all of it
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"internal error, please report it with GRAPHPDE_DEBUG=1 ({detail})", FAILED, error)


def _run(argv: list[str]) -> int:
    parser = build_parser()
    if not argv:
        parser.print_help()
        return OK
    parser.check_verb(argv[0], VERBS)
    try:
        args = parser.parse_strictly(argv)
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    args.argv = argv  # recorded as the way to do it again
    with failing_in_json(getattr(args, "json", False)):
        return int(args.run(args))


def _say(sentence: str, code: int, error: BaseException | None = None) -> int:
    """One line on stderr."""
    if error is not None and os.environ.get("GRAPHPDE_DEBUG") not in (None, "", "0"):
        import traceback

        traceback.print_exception(error)
    more = getattr(error, "__notes__", ())
    print(f"error: {in_options(' '.join('; '.join([sentence, *more]).split()))}", file=sys.stderr)
    return code
