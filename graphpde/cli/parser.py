"""argparse with errors of one line that name the nearest known word."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable
from typing import Any, NoReturn

_MEANT = {"--movie": "--gif", "--animation": "--gif", "--video": "--gif"}
"""What somebody may call an option that has another name."""


class UsageError(Exception):
    """The command line cannot be read."""


def check_seed(seed: int) -> None:
    """Refuse what no generator takes.

    Raises:
        UsageError: it is no whole number from 0 to 2^63 - 1.
    """
    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed is {seed}, expected a whole number from 0 to 2^63 - 1")


class Parser(argparse.ArgumentParser):
    """A parser that raises :class:`UsageError` instead of ending the program."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")

    def check_verb(self, word: str, verbs: Iterable[str]) -> None:
        """Refuse an unknown verb with the nearest known one.

        Raises:
            UsageError: ``word`` is neither an option nor a verb.
        """
        if word.startswith("-") or word in verbs:
            return
        known = sorted(verbs)
        self.error(f"unknown verb '{word}'; known: {', '.join(known)}{_nearest(word, known)}")

    def parse_strictly(self, argv: list[str]) -> argparse.Namespace:
        """The arguments.

        Raises:
            UsageError: something is missing, unknown (the nearest option is named) or superfluous.
        """
        args, extra = self.parse_known_args(argv)
        if not extra:
            if "run" not in args:
                self.error("the verb is missing")
            return args
        reader = getattr(args, "parser", self)
        word = extra[0].split("=")[0]
        if word.startswith("-"):
            known = reader._option_string_actions
            meant = _MEANT.get(word)
            hint = f"; did you mean '{meant}'?" if meant in known else _nearest(word, known)
            return reader.error(f"unknown option '{word}'{hint}")
        return reader.error(f"'{extra[0]}' is one argument too many")


def described(epilog: str) -> dict[str, Any]:
    """Keywords of a parser whose epilog keeps its lines."""
    return {"epilog": epilog, "formatter_class": _Formatter}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
