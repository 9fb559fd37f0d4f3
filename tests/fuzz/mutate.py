"""Seeded ways to damage a file: the same seed, name and number give the same bytes on every machine."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Operator = Callable[[bytes, random.Random], bytes]

_WHOLE = re.compile(rb"(?<![\w.+-])\d+(?![\w.])")
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")
_ODD = (
    *(b"nan", b"inf", b"-inf", b"1_0", b"1e400", b"-1e308", b"1e-320", b"0x10", b"1,5", b"--1", b"1e", b"NaN(1)"),
    *(b"99999999999999999999", b"9223372036854775808", b"-1", b"1.5", b"None", b"\xd9\xa1", "²".encode(), b"\xff"),
)
_COUNTS = (0, -1, 1, 2**31 - 1, 2**31, 2**32 - 1, 10**9, 10**12, 2**63 - 1)


def mutant(data: bytes, seed: int, name: str, number: int) -> tuple[str, bytes]:
    """The damaged bytes and the name of the way they were damaged, never equal to ``data``."""
    rng = random.Random(f"{seed}:{name}:{number}")
    if not data:
        return "append", append(data, rng)
    for _ in range(20):
        way = rng.choice(list(OPERATORS))
        out = OPERATORS[way](data, rng)
        if out != data:
            return way, out
    return "append", data + b"\0"


def flip(data: bytes, rng: random.Random) -> bytes:
    """One to eight bytes get another value or lose one bit."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(out))
        out[place] = rng.randrange(256) if rng.random() < 0.5 else out[place] ^ (1 << rng.randrange(8))
    return bytes(out)


def cut(data: bytes, rng: random.Random) -> bytes:
    """The file ends early, often at the end of a line or close to its own end."""
    lines = [match.end() for match in re.finditer(rb"\n", data[:-1])]
    if lines and rng.random() < 0.4:
        return data[: rng.choice(lines)]
    if rng.random() < 0.3:
        return data[: len(data) - rng.randint(1, min(16, len(data)))]
    return data[: rng.randrange(len(data))]


def count(data: bytes, rng: random.Random) -> bytes:
    """A whole number of the text becomes another one: 0, -1, one more or less, ten times as much, or huge."""
    head = len(data) if rng.random() < 0.5 else min(len(data), 600)
    found = list(_WHOLE.finditer(data, 0, head))
    if not found:
        return word(data, rng)
    match = rng.choice(found)
    value = int(match[0][:30])
    new = rng.choice((0, -1, value - 1, value + 1, 10 * value, 10**9, 10**12, 2**31, 2**32, 2**63))
    return data[: match.start()] + str(new).encode() + data[match.end() :]


def word(data: bytes, rng: random.Random) -> bytes:
    """A binary word of 1, 2, 4 or 8 bytes, where it may be a count, becomes another one."""
    size = rng.choice((1, 2, 4, 4, 8, 8))
    if len(data) < size:
        return flip(data, rng)
    place = rng.randrange(len(data) - size + 1)
    order = "little" if rng.random() < 0.7 else "big"
    value = int.from_bytes(data[place : place + size], order)
    new = rng.choice((*_COUNTS, value - 1, value + 1, 10 * value)) % (1 << 8 * size)
    return data[:place] + new.to_bytes(size, order) + data[place + size :]


def swap_bytes(data: bytes, rng: random.Random) -> bytes:
    """One word, or a stretch of words, stands in the other byte order."""
    size = rng.choice((2, 4, 8))
    if len(data) < size:
        return flip(data, rng)
    place = rng.randrange(len(data) - size + 1)
    words = min(rng.choice((1, 1, 4, 1000)), (len(data) - place) // size)
    parts = [data[place + size * k : place + size * (k + 1)][::-1] for k in range(words)]
    return data[:place] + b"".join(parts) + data[place + size * words :]


def odd_number(data: bytes, rng: random.Random) -> bytes:
    """A number of the text becomes what is none, is not finite, or fits no type."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return flip(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(_ODD) + data[match.end() :]


def swap_lines(data: bytes, rng: random.Random) -> bytes:
    """Two lines change places."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return swap_stretches(data, rng)
    i, j = rng.sample(range(len(lines)), 2)
    lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines)


def swap_stretches(data: bytes, rng: random.Random) -> bytes:
    """Two stretches that follow one another change places."""
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeat_line(data: bytes, rng: random.Random) -> bytes:
    """A line stands there twice."""
    lines = data.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    return b"".join([*lines[: place + 1], *lines[place:]])


def drop_line(data: bytes, rng: random.Random) -> bytes:
    """A line is missing."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return zero(data, rng)
    place = rng.randrange(len(lines))
    return b"".join([*lines[:place], *lines[place + 1 :]])


def drop_word(data: bytes, rng: random.Random) -> bytes:
    """A word of the text is missing."""
    found = list(re.finditer(rb"\S+", data))
    if not found:
        return flip(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + data[match.end() :]


def zero(data: bytes, rng: random.Random) -> bytes:
    """A stretch is all zero bytes, as after a crash of a disc."""
    start, stop = _stretch(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """A stretch stands there twice."""
    start, stop = _stretch(data, rng)
    return data[:stop] + data[start:stop] + data[stop:]


def drop(data: bytes, rng: random.Random) -> bytes:
    """A stretch is missing."""
    start, stop = _stretch(data, rng)
    return data[:start] + data[stop:]


def insert(data: bytes, rng: random.Random) -> bytes:
    """Random bytes stand in between."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 7, 64))) + data[place:]


def append(data: bytes, rng: random.Random) -> bytes:
    """Something follows the end: random bytes, zeros, a number, the file itself."""
    return data + rng.choice((rng.randbytes(9), bytes(64), b" 17\n", b"\n\n", data))


def _stretch(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 4, 16, 64, 512)))


OPERATORS: dict[str, Operator] = {
    **{"flip": flip, "cut": cut, "count": count, "word": word, "swap bytes": swap_bytes, "odd number": odd_number},
    **{"swap lines": swap_lines, "swap stretches": swap_stretches, "repeat line": repeat_line, "drop line": drop_line},
    **{"drop word": drop_word, "zero": zero, "repeat": repeat, "drop": drop, "insert": insert, "append": append},
}
