"""The side that asks: keeps a worker alive, starts another when one dies or hangs, and knows what it was reading."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fuzz.corpus import Sample
from tests.fuzz.judge import MEMORY

ROOT = Path(__file__).resolve().parents[2]
_START = 120.0  # seconds for a worker to load the library
_PATIENCE = 25.0  # seconds for one answer: two alarms, and what no alarm can stop


class Bench:
    """Judges files and mutants of samples in a worker process.

    Args:
        samples: what may be asked for, by name. planted: modules that the worker loads beside, for tests of the judge.
    """

    def __init__(self, samples: dict[str, Sample], planted: Iterable[str] = ()):
        self.folder = Path(tempfile.mkdtemp(prefix="graphpde-fuzz-"))
        self.planted = list(planted)
        self.process: subprocess.Popen[str] | None = None
        for name, sample in samples.items():
            sample.put(self.folder / "corpus" / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def mutant(self, name: str, seed: int, number: int) -> dict[str, str]:
        """The verdict about one mutant: its kind, a detail, and the way the file was damaged."""
        return self._ask({"sample": name, "seed": seed, "number": number})

    def file(
        self, path: Path, allowed: int = MEMORY, at_least: int | None = None, apart: bool = False
    ) -> dict[str, str]:
        """The verdict about a file; see ``judge.judged``."""
        return self._ask({"path": str(path), "allowed": allowed, "at_least": at_least, "apart": apart})

    def _ask(self, asked: dict[str, Any]) -> dict[str, str]:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        answer = self._answer(process, _PATIENCE)
        if answer is not None:
            return {"way": "", **answer}
        code = process.poll()
        self.stop()
        if code is None:
            return {"kind": "hang", "detail": f"no answer within {_PATIENCE:g} s", "way": ""}
        trace = (self.folder / "scratch.trace").read_text("utf-8", "replace")
        named = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        where = next((line.strip() for line in trace.splitlines() if "graphpde/mesh" in line), "")
        return {"kind": "crash" if code < 0 else "exit", "detail": f"{named} {where}".strip(), "way": ""}

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            command = [sys.executable, "-m", "tests.fuzz.worker", self.folder / "corpus", self.folder / "scratch"]
            self.process = subprocess.Popen(
                [*map(str, command), *self.planted],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            if self._answer(self.process, _START) is None:
                raise RuntimeError("the process that reads mutants did not start")
        return self.process

    @staticmethod
    def _answer(process: subprocess.Popen[str], seconds: float) -> dict[str, str] | None:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if ready else ""
        if not line and ready:
            process.wait(10)
        return json.loads(line) if line.endswith("\n") else None

    def stop(self) -> None:
        """End the worker and what it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()
            self.process = None
