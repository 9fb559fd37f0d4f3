"""``python -m graphpde`` is the command ``graphpde``."""

from __future__ import annotations

from graphpde.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
