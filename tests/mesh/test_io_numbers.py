"""Numbers in text: the parser in C and NumPy's give the same bits, and refuse the same things."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphpde.mesh.io import text
from graphpde.mesh.io.raw import Unreadable, numbers

compiled = pytest.mark.skipif(text._compiled() is None, reason="the parser in C was not built")
LEADING = b"1 " * 300  # texts shorter than this go to NumPy


def by_c(tail: bytes, dtype: object = np.float64) -> np.ndarray:
    return text.parsed(LEADING + tail, dtype)[300:]


@compiled
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40), st.sampled_from(["r", ".15e", ".17g", ".19e", "f"])
)
def test_any_double_in_any_form_has_the_bits_of_python(words: list[int], form: str) -> None:
    values = [struct.unpack("d", struct.pack("Q", word))[0] for word in words]
    values = [value for value in values if np.isfinite(value)]
    texts = [repr(value) if form == "r" else format(value, form) for value in values]
    got = by_c(" ".join(texts).encode())
    assert got.tobytes() == np.array([float(word) for word in texts]).tobytes()


@compiled
def test_numbers_half_way_between_two_doubles_round_to_even() -> None:
    rng = np.random.default_rng(3)
    mantissas = rng.integers(2**52, 2**53, 2000).tolist()
    shifts = rng.integers(1, 10, 2000).tolist()
    whole = [m * 2**e + 2 ** (e - 1) for m, e in zip(mantissas, shifts)]  # exactly between m 2^e and (m + 1) 2^e
    assert by_c(" ".join(map(str, whole)).encode()).tolist() == [float(w) for w in whole]
    below = [str(m) + ".49999999999" for m in mantissas]
    assert by_c(" ".join(below).encode()).tolist() == [float(w) for w in below]
    tenths = [f"{m}e-{int(k)}" for m, k in zip(mantissas, rng.integers(1, 300, 2000))]
    assert by_c(" ".join(tenths).encode()).tolist() == [float(w) for w in tenths]


@compiled
def test_scaling_is_exact_for_every_power_of_ten() -> None:
    rng = np.random.default_rng(4)
    texts = [f"{m}e{p}" for p in range(-340, 310) for m in (1, 7, 123456789012345678, int(rng.integers(2**62)))]
    assert np.array_equal(by_c(" ".join(texts).encode()), [float(w) for w in texts])


@pytest.mark.parametrize(
    "word", ["1_0", "١", "0x10", "1d5", "--1", "1e", "1e+", "+", ".", "1,2", "1;", "\x00", "1.2.3"]
)
@pytest.mark.parametrize("leading", [b"", LEADING])
def test_what_is_no_number_is_refused(word: str, leading: bytes) -> None:
    for dtype in (np.float64, np.int64):
        with pytest.raises(Unreadable, match="the list holds something that is not a number"):
            numbers(leading + word.encode(), dtype, "the list")


@pytest.mark.parametrize("leading", [b"", LEADING])
def test_unusual_numbers_are_read(leading: bytes) -> None:
    tail = b"nan -inf 1e400 -0 1. +.5 1e-400 123456789012345678901234567890\t\n\v\f\r 00012"
    got = text.parsed(leading + tail, np.float64)[leading.count(b"1") :]
    assert got.tobytes() == np.array([float(word) for word in tail.split()]).tobytes()
    assert np.signbit(got[3])


@pytest.mark.parametrize("leading", [b"", LEADING])
def test_whole_numbers_keep_all_digits_and_fit_their_type(leading: bytes) -> None:
    tail = b"9007199254740993 -9223372036854775807 +7 00000000000000000000012"
    assert text.parsed(leading + tail, np.int64)[-4:].tolist() == [9007199254740993, -9223372036854775807, 7, 12]
    assert text.parsed(leading + b"-128 127", np.int8).dtype == np.int8
    for word, dtype in ((b"128", np.int8), (b"2147483648", np.int32), (b"1.5", np.int64), (b"1e3", np.int64)):
        with pytest.raises(Unreadable, match="not a number"):
            numbers(leading + word, dtype, "it")


def test_without_the_parser_in_c_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = LEADING + b" ".join(repr(x).encode() for x in np.random.default_rng(5).normal(size=1000).tolist())
    with_c = text.parsed(tail, np.float32)
    monkeypatch.setattr(text, "_compiled", lambda: None)
    assert text.parsed(tail, np.float32).tobytes() == with_c.tobytes()
    assert len(text.parsed(b" \n ", np.int32)) == 0
