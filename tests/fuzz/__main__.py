"""Damage small files in thousands of ways and see that each is read within the limits or refused with one sentence.

``python -m tests.fuzz --mutants 6000 --seed 20261120`` prints a table and ends with 1 if there was any fault;
``python -m tests.fuzz --reproduce NAME:SEED:NUMBER`` reads one mutant again and can keep it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.bench import Bench
from tests.fuzz.corpus import Sample, corpus, names
from tests.fuzz.judge import FAULTS, GOOD
from tests.fuzz.mutate import mutant

Tally = dict[str, Counter[str]]


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if a reader is at fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=6000, help="in all, shared among the files")
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--format", help="only the files of this format, or this file")
    parser.add_argument("--part", choices=("own", "bridged", "all"), default="all", help="whose readers")
    parser.add_argument("--resume", type=Path, help="a file that keeps what is done, one line of JSON a mutant")
    parser.add_argument("--reproduce", metavar="NAME:SEED:NUMBER")
    parser.add_argument("--keep", type=Path, help="with --reproduce: a folder to write the damaged files to")
    given = parser.parse_args(arguments)
    if given.reproduce:
        return reproduce(given.reproduce, given.keep)
    chosen = chosen_samples(given.format, given.part)
    if not chosen:
        parser.error(f"no file of the format '{given.format}'; known are {', '.join(names())}")
    tally: Tally = defaultdict(Counter)
    faults = []
    start = time.monotonic()
    for done, record in enumerate(records(chosen, given.mutants, given.seed, given.resume), 1):
        tally[record["name"]][record["kind"]] += 1
        if record["kind"] in FAULTS:
            faults.append(record)
            _say(told(record))
        if done % 500 == 0:
            _say(f"{done} mutants in {time.monotonic() - start:.0f} s, {len(faults)} faults")
    print(table(tally))
    for record in faults:
        print(told(record))
    return 1 if faults else 0


def chosen_samples(format: str | None, part: str) -> dict[str, Sample]:
    """The files to damage."""
    wanted = [format] if format in names() else names()
    return {
        name: sample
        for name, sample in corpus(wanted).items()
        if format in (None, name, sample.format) and part in ("all", "bridged" if sample.bridged else "own")
    }


def records(chosen: dict[str, Sample], mutants: int, seed: int, resume: Path | None) -> Iterator[dict]:
    """The outcome of each mutant; those that the file ``resume`` knows are not read again."""
    share, more = divmod(mutants, len(chosen))
    known = {(old["name"], old["seed"], old["number"]): old for old in _lines(resume)}
    log = resume.open("a") if resume else None
    try:
        with Bench(chosen) as bench:
            for place, name in enumerate(chosen):
                for number in range(share + (place < more)):
                    record = known.get((name, seed, number))
                    if record is None:
                        verdict = bench.mutant(name, seed, number)
                        record = {"name": name, "seed": seed, "number": number, **verdict}
                        if log and record["kind"] != "sample":
                            log.write(json.dumps(record) + "\n")
                            log.flush()
                    yield record
                    if record["kind"] == "sample":
                        break
    finally:
        if log:
            log.close()


def _lines(path: Path | None) -> list[dict]:
    if path is None or not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # a last line without its end was cut off with the run


def reproduce(word: str, keep: Path | None) -> int:
    """Read one mutant again and say what happens."""
    name, seed, number = word.rsplit(":", 2)
    sample = corpus([name])[name]
    target = sample.target or sample.main
    way, data = mutant(sample.files[target], int(seed), name, int(number))
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        for file, whole in {**sample.files, target: data}.items():
            (keep / file).write_bytes(whole)
    with Bench({name: sample}) as bench:
        verdict = bench.mutant(name, int(seed), int(number))
    print(f"{word} ({target}, {way}): {verdict['kind']}; {verdict['detail']}")
    return 1 if verdict["kind"] in FAULTS else 0


def told(record: dict) -> str:
    """One fault and how to see it again."""
    word = f"{record['name']}:{record['seed']}:{record['number']}"
    return f"{record['kind']} ({record['way'] or '?'}): {record['detail'][:160]}  [--reproduce {word}]"


def table(tally: Tally) -> str:
    """Files by outcomes, faults only where there are some."""
    shown = [*GOOD, *(fault for fault in FAULTS if any(row[fault] for row in tally.values()))]
    rows = [["file", "mutants", *shown]]
    total: Counter[str] = Counter()
    for name, row in tally.items():
        rows.append([name, *map(str, (row.total(), *(row[kind] for kind in shown)))])
        total += row
    rows.append(["all", *map(str, (total.total(), *(total[kind] for kind in shown)))])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(w.rjust(k) for w, k in zip(row[1:], widths[1:]))]) for row in rows]
    faults = sum(total[fault] for fault in FAULTS)
    return "\n".join([*lines, f"{total.total()} mutants, {faults} faults"])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
