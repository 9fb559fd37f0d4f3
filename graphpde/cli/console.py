"""What goes to the terminal: plain results on stdout, warnings and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphpde.run.advance import Progress


def say(*lines: str) -> None:
    """Lines on stdout, as they are."""
    for line in lines:
        print(line)


def say_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False))


def warn(sentences: Iterable[str]) -> None:
    """Warnings on stderr, each once."""
    for sentence in dict.fromkeys(sentences):
        print(f"warning: {in_options(sentence)}", file=sys.stderr)


_OPTIONS = {
    "set override=True on the one that wins (--override NAME)": "say which one wins with --override NAME",
    "allow_unstable=True": "--allow-unstable",
    "leave allow_unstable out": "leave --allow-unstable out",
    "override=True": "--override NAME",
}
"""What the library calls an argument, and the option that stands for it."""


def in_options(sentence: str) -> str:
    """A sentence of the library in the words of the command line."""
    for word, option in _OPTIONS.items():
        sentence = sentence.replace(word, option)
    return sentence


@contextmanager
def failing_in_json(wanted: bool) -> Iterator[None]:
    """If ``wanted``, an error on its way out leaves its sentence as the one JSON document on stdout."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if wanted:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            said = {"status": status, "error": in_options(" ".join(str(error).split())) or type(error).__name__}
            notes = [in_options(note) for note in getattr(error, "__notes__", [])]
            say_json({**said, "remedy": " ".join(notes)} if notes else said)
        raise


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout, its last column wrapped to the terminal, or one line per row where there is none."""
    rows = [[str(part) for part in row] for row in rows]
    if not sys.stdout.isatty():
        widths = [max(len(row[k]) for row in [list(header), *rows]) for k in range(len(header))]
        for row in [list(header), *rows]:
            say("  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for k, title in enumerate(header):
        shown.add_column(title, no_wrap=k == 0, overflow="fold")
    for row in rows:
        shown.add_row(*[Text(part) for part in row])  # names of sets may look like markup
    Console().print(shown)


@contextmanager
def progress_bar(title: str, wanted: bool, unit: str = "steps") -> Iterator[Progress | None]:
    """A bar with the time left on stderr, if that is a terminal and ``wanted``; else None. ``unit``: what it counts."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, count="")

        def advance(step: int, steps: int | None, share: float) -> None:
            """Adaptive steps have no known number: the bar then shows how much of the time is over."""
            count = f"{step} {unit}, {share:.1%} of the time" if steps is None else f"{step}/{steps} {unit}"
            bar.update(task, completed=share, total=1.0, count=count)

        yield advance
