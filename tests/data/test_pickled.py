"""Pickles as data: the same numbers as Python's pickle gives, and nothing is ever run."""

from __future__ import annotations

import functools
import os
import pickle
import re
import subprocess
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from graphpde.data import load
from graphpde.data.pickled import Csr, Unreadable, read_pickled
from graphpde.errors import DatasetError
from tests.data.planetoid_folder import planetoid_parts, write_planetoid

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")


class Runs:
    """Unpickling it calls something."""

    def __init__(self, called: Any, *arguments: Any):
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> Any:
        return self.called, self.arguments


def gadgets(canary: Path) -> dict[str, bytes]:
    """Pickles that create the canary when they are loaded; some in raw instructions."""
    code = f"open({str(canary)!r}, 'w').close()"
    touch = f"touch {canary}"
    byte = os.fsencode(touch)
    system = Runs(os.system, touch)
    hidden = np.empty(1, dtype=object)
    hidden[0] = system
    matrix = sp.csr_matrix(np.eye(2))
    matrix.extra = system  # type: ignore[attr-defined]
    return {
        "system": pickle.dumps(system, 2),
        "eval": pickle.dumps(Runs(eval, code), 2),
        "exec": pickle.dumps(Runs(exec, code), 2),
        "popen": pickle.dumps(Runs(subprocess.Popen, ["touch", str(canary)]), 2),
        "partial": pickle.dumps(Runs(functools.partial(os.system, touch)), 2),
        "in a list": pickle.dumps({0: [1, system]}, 2),
        "in an array of objects": pickle.dumps(hidden, 2),
        "in the state of a matrix": pickle.dumps(matrix, 2),
        "protocol 4": pickle.dumps(system, 4),
        "protocol 0": pickle.dumps(system, 0),
        "INST": b"(S'" + byte + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + byte + b"'\no.",
        "by attribute": pickle.dumps(Runs(getattr, 1, "real"), 2),
        "two names in one": b"\x80\x02cos\nsystem\nX" + len(byte).to_bytes(4, "little") + byte + b"\x85R.",
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__call__\x93\x8c\x02f4\x85R.",
        "an extension": b"\x80\x02\x82\x01.",
        "a persistent name": b"Pos.system\n.",
        "a factory": b"\x80\x02ccollections\ndefaultdict\ncos\nsystem\n\x85R.",
    }  # fmt: skip


NAMES = list(gadgets(Path("x")))
RUN = ("system", "eval", "exec", "in a list", "protocol 4", "protocol 0", "INST", "OBJ", "two names in one")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_run(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    content = gadgets(canary)[name]
    with pytest.raises(Unreadable):
        read_pickled(content)
    assert not canary.exists()
    if name in RUN:  # the gadget is a real one
        pickle.loads(content)
        assert canary.exists()


@pytest.mark.parametrize("part", PARTS)
def test_a_data_set_with_a_gadget_is_refused(tmp_path: Path, part: str) -> None:
    canary = tmp_path / "canary"
    parts = planetoid_parts() | {part: gadgets(canary)["system"]}
    write_planetoid(tmp_path / "Cora" / "raw", parts)
    says = rf"ind\.cora\.{part}' of the data set 'Cora': it names '(posix|os)\.system'.*nothing of it was run"
    with pytest.raises(DatasetError, match=says):
        load("Cora", tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_numbers_are_those_of_pickle(protocol: int) -> None:
    rng = np.random.default_rng(0)
    values = [
        rng.normal(size=(3, 4)), np.asfortranarray(rng.normal(size=(3, 4)).astype("f4")), np.arange(6, dtype=">i4"),
        np.array([True, False]), np.zeros((0, 3)), np.int64([[1], [2]]),
    ]  # fmt: skip
    for value in values:
        read = read_pickled(pickle.dumps(value, protocol))
        assert read.dtype == value.dtype.newbyteorder("=") and np.array_equal(read, value)
    matrix = sp.random(30, 20, 0.2, "csr", dtype=np.float32, rng=rng)
    read = read_pickled(pickle.dumps(matrix, protocol))
    assert isinstance(read, Csr) and read.shape == (30, 20)
    row, column, value = read.entries()
    assert np.array_equal(sp.coo_matrix((value, (row, column)), read.shape).toarray(), matrix.toarray())
    lists = defaultdict(list, {0: [1, 2], 7: [], 300: [70000, -1]})
    assert read_pickled(pickle.dumps(lists, protocol)) == dict(lists)
    assert read_pickled(pickle.dumps([(1, 2.5, "a", None, True), {1: (2, 3, 4, 5)}], protocol)) == [
        (1, 2.5, "a", None, True), {1: (2, 3, 4, 5)},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.array(["a", "b"]), "values of type 'U1', expected numbers"),
        (np.array([None]), "values of type 'O8', expected numbers"),
        (np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]), "values of type 'V8', expected numbers"),
        (np.zeros(2, dtype="M8[s]"), "values of type 'M8', expected numbers"),
        (1 + 2j, "names 'builtins.complex'|names '__builtin__.complex'"),
        (OrderedDict(a=1), "names 'collections.OrderedDict'"),
        (sp.csc_matrix(np.eye(2)), "csc_matrix"),
        (np.float64(1.0), "scalar"),
    ],
)
def test_what_is_no_number_is_named(value: Any, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        read_pickled(pickle.dumps(value, 2))


def test_a_matrix_whose_parts_do_not_fit() -> None:
    for part, wrong, says in (
        ("indices", np.array([0, 9], dtype="i4"), "a sparse matrix of 2 columns names column 9"),
        ("indices", np.array([0, -1], dtype="i4"), "names column -1"),
        ("indices", np.array([[0], [1]], dtype="i4"), "no arrays with one axis"),
        ("_shape", (2.0, 2), "the shape of a sparse matrix is not two whole numbers"),
        ("_shape", (2, 2, 2), "not two whole numbers"),
        ("indptr", np.array([0, 2, 1], dtype="i4"), "do not count up"),
        ("indptr", np.array([1, 1, 2], dtype="i4"), "do not count up"),
        ("indptr", np.array([0, 2], dtype="i4"), "do not fit each other"),
        ("data", np.ones(3), "do not fit each other"),
        ("indices", np.array([0.0, 1.0]), "do not fit each other"),
    ):
        matrix = sp.csr_matrix(np.eye(2))
        setattr(matrix, part, wrong)
        with pytest.raises(Unreadable, match=says):
            read_pickled(pickle.dumps(matrix, 2))


def test_every_cut_and_damage_is_one_kind_of_error() -> None:
    rng = np.random.default_rng(0)
    graph = defaultdict(list, {k: rng.integers(0, 400, 5).tolist() for k in range(20)})
    for value in (graph, sp.random(6, 5, 0.4, "csr", rng=rng), rng.normal(size=(2, 3))):
        content = pickle.dumps(value, 2)
        for end in range(len(content)):
            with pytest.raises(Unreadable):
                read_pickled(content[:end])
        for _ in range(2000):
            damaged = bytearray(content)
            damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
            try:
                read_pickled(bytes(damaged))
            except Unreadable as error:
                assert re.fullmatch(r".{5,200}", str(error))


@pytest.mark.parametrize("depth", [1, 4 * 10**5])
def test_what_is_nested_deeply_is_neither_hashed_nor_printed(depth: int) -> None:
    nested = b")" + b"\x85" * depth
    for content, says in (
        (b"\x80\x02}" + nested + b"K\x01s.", "whose keys are neither whole numbers nor text"),
        (b"\x80\x02}(" + nested + b"K\x01u.", "whose keys are neither whole numbers nor text"),
        (b"\x80\x04" + nested + b"\x8c\x01a\x93.", "no str where one is needed"),
        (b"\x80\x02cnumpy\ndtype\n" + nested + b"\x85R.", "no str where one is needed"),
        (b"\x80\x02c_codecs\nencode\n" + nested + b"X\x06\0\0\0latin1\x86R.", "no str where one is needed"),
    ):
        with pytest.raises(Unreadable, match=says):
            read_pickled(content)


def test_bytes_are_not_copied_more_often_than_the_file_holds_them() -> None:
    text = b"X" + (1000).to_bytes(4, "little") + b"a" * 1000
    once = b"\x80\x02](c_codecs\nencode\nq\x00" + text + b"q\x01X\x06\0\0\0latin1q\x02"
    assert read_pickled(once + b"h\x00h\x01h\x02\x86R" + b"e.")[-1] == b"a" * 1000
    with pytest.raises(Unreadable, match="makes more numbers than a file of its size can hold"):
        read_pickled(once + b"h\x00h\x01h\x02\x86R" * 50 + b"e.")


def test_a_long_declared_size_costs_nothing() -> None:
    with pytest.raises(Unreadable, match="cut or damaged"):
        read_pickled(b"\x80\x02T\xff\xff\xff\x7fabc.")
    shape = pickle.dumps(np.zeros(3), 2).replace(b"K\x03\x85q", b"J\xff\xff\xff\x7f\x85q", 1)
    with pytest.raises(Unreadable, match="comes with 24 bytes"):
        read_pickled(shape)
