"""The command line: one module per verb; help loads neither torch nor numpy."""

from graphpde.cli.main import main

__all__ = ["main"]
