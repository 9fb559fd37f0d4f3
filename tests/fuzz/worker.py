"""The process that reads damaged files one after another: jobs as lines of JSON on stdin, verdicts as lines on stdout.

It is a process of its own so that a reader that dies, hangs in C or eats memory takes nothing else with it.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

from graphpde.mesh.io import read_mesh
from tests.fuzz.judge import MEMORY, RATIO, Print, Verdict, judged, peak, print_of
from tests.fuzz.listed import LISTED
from tests.fuzz.mutate import mutant

_NO_LIMIT = 1 << 42


class Worker:
    """Reads mutants of the samples that lie in a folder, each in a folder of its own.

    Args:
        corpus: the folder. scratch: where mutants are put, made new for each.
    """

    def __init__(self, corpus: Path, scratch: Path):
        self.corpus, self.scratch = corpus, scratch
        self.whole: dict[str, Print] = {}
        self.children = max(_children(), peak() >> 10)  # before it starts a program, a child is as large as this one

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The verdict about {"path", "allowed", "at_least"} or about {"sample", "seed", "number"}."""
        if "path" in asked:
            allowed, apart = asked["allowed"], asked["apart"]
            verdict = judged(Path(asked["path"]), None, allowed, asked.get("at_least"), apart=apart)
            verdict = self._with_children(verdict, allowed)
            return {"kind": verdict.kind, "detail": verdict.detail}
        way, verdict = self._mutant(asked["sample"], asked["seed"], asked["number"])
        return {"kind": verdict.kind, "detail": verdict.detail, "way": way}

    def _mutant(self, name: str, seed: int, number: int) -> tuple[str, Verdict]:
        sample = json.loads((self.corpus / name / "sample.json").read_text())
        home = self.corpus / name / "files"
        if name not in self.whole and (wrong := self._meet(name, home / sample["main"])):
            return "", wrong
        way, data = mutant((home / sample["target"]).read_bytes(), seed, name, number)
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.copytree(home, self.scratch)
        (self.scratch / sample["target"]).write_bytes(data)
        at_least = None
        if way == "cut":
            listed = LISTED.get(sample["listed"])
            at_least = self.whole[name].cells if listed is None else listed(data)
        size = sum(file.stat().st_size for file in self.scratch.iterdir())
        allowed = MEMORY + RATIO * max(sample["decoded"], size)
        for _ in range(2):  # a hang counts when it comes twice: other processes may have taken the time
            verdict = judged(self.scratch / sample["main"], self.whole[name], allowed, at_least, apart=sample["apart"])
            if verdict.kind != "hang":
                break
        return way, self._with_children(verdict, allowed)

    def _meet(self, name: str, path: Path) -> Verdict | None:
        """Learn what the undamaged file holds; it is read twice, so that whatever a first call loads is loaded."""
        for _ in range(2):
            verdict = judged(path, None, _NO_LIMIT, apart=True)
            if verdict.kind != "plausible":
                return Verdict("sample", f"the undamaged file is {verdict.kind}: {verdict.detail}")
        self.whole[name] = print_of(read_mesh(path))
        self.children = max(self.children, _children())
        return None

    def _with_children(self, verdict: Verdict, allowed: int) -> Verdict:
        """The verdict, or the memory that a process started by the reader took beyond what an undamaged file takes."""
        most = _children()
        grown = (most - self.children) << 10
        if grown > allowed:
            self.children = most
            return Verdict("memory", f"{grown >> 20} MB in a process of its own")
        return verdict


def _children() -> int:
    """The most memory of any process started from here, in kB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def main() -> None:
    """Answer lines until there are no more."""
    corpus, scratch, planted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    for module in planted:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a reader prints outside of a judgement must not look like an answer
    faulthandler.enable(open(scratch.with_suffix(".trace"), "w"))  # noqa: SIM115 - open as long as the process
    worker = Worker(corpus, scratch)
    gc.collect()
    gc.freeze()
    answers.write("{}\n")
    for line in sys.stdin:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
