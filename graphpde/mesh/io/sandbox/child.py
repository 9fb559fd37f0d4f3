"""The inside of the sandbox: run as a script, it takes limits upon itself, reads one file and leaves what it found.

It is started without the site's modules and finds the packages where its starter found them. The packages above the
readers are entered without their own ``__init__``, which would load all of torch for a reader that needs numpy.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

REQUEST = "request.json"


def run(folder: Path) -> None:
    """Do what the request in a folder asks for; the result or the failure is left beside it."""
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    sys.path[:] = request["places"]
    for name, place in request["packages"].items():
        package = ModuleType(name)
        package.__path__ = [place]
        sys.modules[name] = package
    handover = importlib.import_module("graphpde.mesh.io.sandbox.handover")
    try:
        module, function = request["reader"].split(":")
        reader = getattr(importlib.import_module(module), function)
        limit(request["seconds"], request["memory"], request["output"])
        handover.save(reader(Path(request["path"]), **request["options"]), folder)
    except BaseException as error:
        handover.save_failure(error, folder)


def limit(seconds: float, memory: int, output: int) -> None:
    """From here on: so much more processor time and memory, files no longer than ``output``, no core dump.

    A system that does not know one of these goes without it; the starter's clock still runs.
    """
    try:
        import resource
    except ModuleNotFoundError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    stop = math.ceil(used.ru_utime + used.ru_stime + seconds)
    wanted: dict[str, tuple[int, int]] = {
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_FSIZE": (output, output),
        "RLIMIT_CPU": (stop, stop + 1),
    }
    held = _held(resource.getpagesize())
    if held:
        wanted["RLIMIT_AS"] = (held + memory, held + memory)
    for name, pair in wanted.items():
        _set(resource, name, pair)


def _held(page: int) -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * page
    except (OSError, ValueError):
        return 0


def _set(resource: Any, name: str, pair: tuple[int, int]) -> None:
    try:
        known = getattr(resource, name)
        ceiling = resource.getrlimit(known)[1]
        if ceiling != resource.RLIM_INFINITY:  # a limit can only be lowered
            pair = (min(pair[0], ceiling), min(pair[1], ceiling))
        resource.setrlimit(known, pair)
    except (AttributeError, ValueError, OSError):
        return


if __name__ == "__main__":
    run(Path.cwd())
