"""The benchmark harness measures what it says: graphs, right outputs, medians, ratios, tables."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import gpu, scaling
from benchmarks.core import __main__ as command
from benchmarks.core import cases, contenders, graphs, measure, memory, problem, report, targets
from benchmarks.core.graphs import Edges

TINY = Edges(4, np.array([1, 0, 2, 1]), np.array([0, 1, 1, 2]))  # 0 - 1 - 2, and node 3 alone


@pytest.fixture(autouse=True)
def _threads_stay() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# graphs


def _is_symmetric_and_sorted(edges: Edges) -> bool:
    keys = edges.dst * edges.n + edges.src
    back = np.sort(edges.src * edges.n + edges.dst)
    return bool((np.diff(keys) > 0).all() and (keys == back).all() and (edges.src != edges.dst).all())


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_mesh_has_the_edges_of_its_triangles(shuffled: bool) -> None:
    edges = graphs.mesh(7, 9, shuffled=shuffled)
    assert edges.n == 63 and edges.e == 2 * (7 * 8 + 6 * 9 + 6 * 8)  # along rows, along columns, one diagonal a square
    assert _is_symmetric_and_sorted(edges)
    degree = np.diff(edges.ptr)
    assert degree.min() >= 2 and degree.max() <= 8
    assert (np.sort(degree) == np.sort(np.diff(graphs.mesh(7, 9).ptr))).all()


def test_a_shuffled_mesh_has_neighbours_far_apart() -> None:
    near, far = graphs.mesh(30, 30), graphs.mesh(30, 30, shuffled=True)
    assert np.abs(near.src - near.dst).max() == 31
    assert np.abs(far.src - far.dst).mean() == pytest.approx(300, rel=0.1)  # a third of n between random numbers


def test_a_power_law_graph_has_the_links_asked_for_and_hubs() -> None:
    edges = graphs.power_law(2000, 9000)
    assert edges.n == 2000 and edges.e == 18_000 and _is_symmetric_and_sorted(edges)
    degree = np.diff(edges.ptr)
    assert degree.max() > 50 * np.median(degree[degree > 0]) / 2
    assert (graphs.power_law(2000, 9000).src == edges.src).all()


def test_the_stated_counts() -> None:
    cora, plate = graphs.GRAPHS["cora"](), graphs.GRAPHS["mesh100k"]()
    assert (cora.n, cora.e) == (2708, 10_556) and _is_symmetric_and_sorted(cora)
    assert plate.n == 100_000 and plate.e / plate.n == pytest.approx(6, abs=0.05)


def test_a_pickle_that_asks_for_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    file = tmp_path / "ind.cora.graph"
    file.write_bytes(pickle.dumps(os.getcwd))
    monkeypatch.setattr(graphs, "CORA", file)
    with pytest.raises(pickle.UnpicklingError, match="expected a dictionary of lists"):
        graphs.cora()


# right outputs


def test_the_oracle_is_the_dense_computation() -> None:
    posed = problem.pose("learned", TINY, 3)
    x, w, g = posed.inputs[0].detach().double(), posed.weight.double(), posed.cotangent.double()
    dense = torch.zeros(4, 4, dtype=torch.float64)
    dense[TINY.dst, TINY.src] = w
    y, gx, gw = problem.oracle(posed)
    np.testing.assert_allclose(y, dense @ x, rtol=1e-13)
    np.testing.assert_allclose(gx, dense.T @ g, rtol=1e-13)
    np.testing.assert_allclose(gw, (g @ x.T)[TINY.dst, TINY.src], rtol=1e-13)


def test_the_oracle_of_the_maximum_gives_lonely_nodes_zero() -> None:
    posed = problem.pose("max", TINY, 20)
    x = posed.inputs[0].numpy()
    expected = np.stack([x[1], np.maximum(x[0], x[2]), x[1], 0 * x[0]])
    np.testing.assert_array_equal(problem.oracle(posed)[0], expected)


def test_the_oracle_of_attention_is_a_masked_softmax() -> None:
    posed = problem.pose("attention", TINY, 4)
    q, k, v = (x.detach().double().requires_grad_() for x in posed.inputs)
    score = torch.full((4, 4), -torch.inf, dtype=torch.float64)
    allowed = torch.zeros(4, 4, dtype=torch.bool)
    allowed[TINY.dst, TINY.src] = True
    score = torch.where(allowed, q @ k.T / 2, score)
    y = torch.cat([score[:3].softmax(1) @ v, 0 * v[3:]])
    right = [y, *torch.autograd.grad(y, (q, k, v), posed.cotangent.double())]
    for mine, dense in zip(problem.oracle(posed), right):
        np.testing.assert_allclose(mine, dense.detach(), atol=1e-12)


def test_an_error_is_relative_to_the_largest_entry_and_shapes_must_agree() -> None:
    right = [np.array([[1.0, 100.0]]), np.array([2.0])]
    assert problem.largest_error([torch.tensor([[2.0, 100.0]]), torch.tensor([2.0])], right) == pytest.approx(0.01)
    with pytest.raises(ValueError, match=r"expected \[\(1, 2\), \(2,\)\]|expected \[\(1, 2\), \(1,\)\]"):
        problem.largest_error([torch.zeros(1, 2)], right)


def test_what_cannot_run_or_is_wrong_becomes_a_row_that_says_so() -> None:
    posed = problem.pose("sum", TINY, 2)
    right = torch.from_numpy(problem.oracle(posed)[0])

    def absent() -> Any:
        raise contenders.Absent("not installed")

    def broken() -> Any:
        raise RuntimeError("first line\nsecond line")

    calls, results = cases.checked(
        posed,
        {"good": lambda: lambda: (right,), "wrong": lambda: lambda: (1.1 * right,), "away": absent, "broken": broken},
    )
    assert list(calls) == ["good"]
    assert "wrong by 1.0e-01" in results["wrong"]["failed"]
    assert results["away"]["failed"] == "not installed"
    assert results["broken"]["failed"] == "RuntimeError: first line"


def test_compulsory_bytes_of_the_weighted_sum_are_those_of_its_arrays() -> None:
    posed = problem.pose("sum", TINY, 2)
    assert cases.compulsory_bytes(posed) == 8 * 4 * 2 + 8 * 4 + 8 * 4  # fields, columns and weights, offsets


# measuring


def test_calls_take_turns_and_medians_are_per_call() -> None:
    order: list[str] = []

    def busy(name: str) -> Any:
        def call() -> None:
            order.append(name)
            sum(range(200_000))

        return call

    prepared: list[str] = []
    found = measure.interleaved({"a": busy("a"), "b": busy("b")}, rounds=3, limit=0.0, before=prepared.append)
    turns = [name for k, name in enumerate(order) if k == 0 or order[k - 1] != name]
    assert turns[-6:] == ["a", "b"] * 3 and prepared == ["a", "b"] * 4
    assert found["a"]["rounds"] == 3
    assert found["a"]["cpu_ms"] == pytest.approx(found["b"]["cpu_ms"], rel=2.0)
    assert found["a"]["wall_ms"] >= 0.1  # adding 200,000 numbers in Python takes a millisecond or more


def test_medians_ignore_one_slow_round() -> None:
    samples = measure.Samples([0.001, 0.5, 0.001], [0.002, 0.5, 0.002], [0, 900, 0])
    assert samples.medians() == {"cpu_ms": 1.0, "wall_ms": 2.0, "faults": 0, "rounds": 3}


def test_bandwidth_counts_what_is_read_and_what_is_written() -> None:
    assert measure.copy_bandwidth(1000.0) == 2 * 4 * measure.COPIED


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the use of the machine is read from Linux's /proc")
def test_own_work_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(100.0, 400.0, 50.0), (103.0, 410.0, 51.0)])  # seconds busy, of all cores, of this process
    monkeypatch.setattr(measure, "_ticks", lambda: next(readings))
    with measure.Company() as others:
        pass
    assert others.percent == pytest.approx(20.0)
    monkeypatch.undo()
    busy, total, own = measure._ticks()
    assert 0 < own < busy < total


@pytest.mark.parametrize(("name", "given", "anew"), [("pool", {}, True), ("pool", measure.POOL, False)])
def test_the_allocator_is_chosen_before_the_process_starts(
    monkeypatch: pytest.MonkeyPatch, name: str, given: dict[str, str], anew: bool
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda program, arguments, environment: started.append(environment))
    for key in measure.POOL:
        monkeypatch.delenv(key, raising=False)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    measure.choose_allocator(name)
    assert bool(started) == anew
    assert not anew or measure.POOL.items() <= started[0].items()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_counts_inputs_outputs_and_what_is_alive_at_the_peak() -> None:
    found = memory.figures("PyG MessagePassing", problem.pose("attention", graphs.mesh(200, 200), memory.CHANNELS))
    field = 4 * 40_000 * memory.CHANNELS / memory.MEGABYTE
    assert found["inputs_mb"] == pytest.approx(4 * field) and found["outputs_mb"] == pytest.approx(4 * field)
    assert found["saved_mb"] > 2 * 6 * field * 0.9  # the gathered queries, keys and values [e, c] at the least
    together = found["inputs_mb"] + found["outputs_mb"] + found["saved_mb"]
    assert found["multiple"] == pytest.approx(found["peak_mb"] / together)
    assert found["multiple"] > 1  # the gradients of the gathered fields join them on the way back


# ratios, targets, tables


def _row(name: str, **times: float) -> dict[str, Any]:
    work, graph, channels = name.split("/")[:3]
    results = {key.replace("_", " "): {"cpu_ms": value, "wall_ms": value} for key, value in times.items()}
    sizes = {"compulsory_bytes": 4e6, "copy_bytes_per_s": 4e9, "threads": 1}  # the floor is one millisecond
    return {"id": name, "work": work, "graph": graph, "channels": channels, "results": results} | sizes


def _outcomes(rows: dict[str, Any]) -> dict[tuple[str, str, str], tuple[float | None, str]]:
    return {(v.target.row, v.ours, v.against): (v.measured, v.outcome) for v in targets.verdicts(rows)}


def test_a_ratio_is_their_time_over_ours_and_the_best_of_several_counts() -> None:
    row = _row("sum/mesh1M/16", graphpde_csr=2.0, PyG_MessagePassing=26.0, torch_CSR=4.0, scipy_CSR=2.8)
    found = _outcomes({row["id"]: row})
    assert found["sum/mesh1M/16", "graphpde csr", "PyG MessagePassing"] == (13.0, "met")
    assert found["sum/mesh1M/16", "graphpde csr", "best: scipy CSR"] == (pytest.approx(1.4), "missed")
    assert found["sum/mesh1M/16", "graphpde csr", "byte floor, %"] == (pytest.approx(50.0), "met")
    assert found["sum/mesh1M/16", "graphpde csr", "torch_scatter segment_csr"] == (None, "not measured")


def test_figures_that_must_stay_small() -> None:
    row = {"id": memory.MEMORY_ROW, "work": "memory", "results": {"graphpde native": {"multiple": 2.1, "cpu_ms": 1.0}}}
    assert _outcomes({memory.MEMORY_ROW: row})[memory.MEMORY_ROW, "graphpde native", "multiple"] == (2.1, "missed")


@pytest.mark.parametrize(("milliseconds", "wanted", "outcome"), [(4.0, 1.6, "missed"), (1.5, 1.0, "met")])
def test_two_threads_must_gain_only_below_the_memory_limit(milliseconds: float, wanted: float, outcome: str) -> None:
    row = _row("threads/sum/mesh1M/16", graphpde_native=milliseconds)
    row["results"]["graphpde native"]["speedup"] = 1.3
    verdict = targets.verdicts({row["id"]: row})[-1]
    assert (verdict.target.value, verdict.measured, verdict.outcome) == (wanted, 1.3, outcome)
    assert "others" not in verdict.against
    row["results"]["graphpde native"]["others_percent"] = 40.0
    assert targets.verdicts({row["id"]: row})[-1].against.endswith("; others used 40 % of the machine")


def test_a_table_shows_ratios_and_names_failures() -> None:
    row = _row("sum/mesh1M/16", graphpde_native=2.0, torch_CSR=5.0)
    row["results"]["numba CSR"] = {"failed": "no numba here"}
    text = report.work_table([row])
    assert "| torch CSR | 5.00 (x2.50) |" in text
    assert "| numba CSR | failed |" in text and "- numba CSR, mesh1M x 16: no numba here" in text
    assert "% of the byte floor* | 50 |" in text and "| *copy, GB/s* | 4 |" in text


@pytest.mark.parametrize(("value", "shown"), [(0.01234, "0.0123"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234")])
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert report.figure(value) == shown


def test_tables_between_markers_are_replaced_and_nothing_else() -> None:
    once = report.between_markers("# Title\n\nprose\n", "core", "old")
    twice = report.between_markers(once + "\nmore prose\n", "core", "new")
    assert "old" not in twice and "new" in twice and "prose" in twice and twice.rstrip().endswith("more prose")
    assert report.between_markers(twice, "core", "new") == twice


def test_rows_of_other_circumstances_are_not_kept(tmp_path: Path) -> None:
    file, facts = tmp_path / "rows.json", {"commit": "abc"}
    report.write_json(file, facts, {"a": {"id": "a"}})
    assert report.kept_rows(file, facts) == {"a": {"id": "a"}}
    assert report.kept_rows(file, {"commit": "def"}) == {}
    assert list(tmp_path.iterdir()) == [file]


def test_the_exponent_of_a_power_is_found() -> None:
    assert scaling.exponent([1, 10, 100], [3, 30, 300]) == pytest.approx(1.0)
    assert scaling.exponent([1, 10, 100], [1, 100, 10_000]) == pytest.approx(2.0)


# whole runs


def test_a_quick_run_has_every_contender_and_continues_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    wanted = ["--quick", "--json", str(file), "--only", "sum/mesh1M/16", "--only", "learned/cora", "--only", "max/cora"]
    assert command.main([*wanted, "--only", "attention/cora"]) == 0
    text = capsys.readouterr().out
    for contender in contenders.CONTENDERS:
        assert contender.compiled or f"| {contender.name} |" in text
    rows = json.loads(file.read_text())["rows"]
    assert list(rows) == ["sum/mesh1M/16", "learned/cora/64", "attention/cora/64", "max/cora/64"]
    for row in rows.values():
        measured = {name: found for name, found in row["results"].items() if "cpu_ms" in found}
        assert {"graphpde csr", "PyG MessagePassing"} <= set(measured)
        assert all(found["error"] <= problem.TOLERANCE for found in measured.values())
    assert command.main(wanted) == 0
    assert json.loads(file.read_text())["rows"] == rows  # nothing was measured again


def test_an_unknown_row_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "sums"]) == 2
    assert "sum/mesh1M-random/16" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_device_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 0
    assert capsys.readouterr().out == "no CUDA device: nothing measured\n"


def test_the_device_check_compares_every_kernel_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    monkeypatch.setattr(gpu, "BACKEND", "csr")
    found = gpu.deviations(graphs.mesh(6, 5), 8, 2)
    assert len(found) == 8
    assert all(isinstance(error, float) and error <= problem.TOLERANCE for error in found.values()), found


def test_a_part_that_fails_is_a_line_and_not_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    def part() -> None:
        raise RuntimeError("out of memory")

    gpu.guarded("part 1", part, started=float("inf"))
    gpu.guarded("part 2", part, started=-1e9)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("part 1: failed: RuntimeError: out of memory (") and "not started" in lines[1]


def test_the_scaling_table_ends_in_an_exponent(capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["--largest", "3e3", "--rounds", "3"]) == 0
    assert "graphpde csr: time ~ edges^" in capsys.readouterr().out
