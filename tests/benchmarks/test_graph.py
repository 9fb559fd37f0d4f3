"""The benchmarks of the graph family: candidates are built, trials kept and not run twice, tables put together."""

import json
import tomllib

import pytest

from benchmarks.graph import __main__ as graph
from benchmarks.graph import accuracy, depth, search, trials
from benchmarks.physics.rows import Row
from graphpde.run.recipe import from_table, recipe


@pytest.mark.parametrize("model", search.SPACES)
def test_every_candidate_can_be_built_and_is_the_same_each_time(model):
    setting = search.SETTINGS["Cora"]
    for k in range(12):
        made = search.draw(model, k, setting)
        assert made == search.draw(model, k, setting)
        made.build(10, 3)
        made.training.rule()
    for made in (*search.published(model), search.draw(model, 0, setting)):
        for k in range(6):
            other = search.varied(made, k, setting)
            assert other == search.varied(made, k, setting)
            other.build(10, 3)
    assert all(made.model == model for made in search.published(model))


def test_groups_of_parameters_without_penalty_are_there():
    for model, names in search.SPEEDS.items():
        parameters = dict(search.draw(model, 0, search.SETTINGS["Cora"]).build(10, 3).named_parameters())
        assert all(any(p == name or p.startswith(f"{name}.") for p in parameters) for name in names)


def test_a_section_of_toml_is_the_recipe():
    made = search.draw("grand++", 3, search.SETTINGS["Texas"])
    origin = 'a "quoted" place, C:\\here'
    table = tomllib.loads(search.as_toml(made, origin))["grand++"]
    again = from_table("grand++", table)
    assert trials.trial("Texas", "geom-gcn", 0, 0, again) == trials.trial("Texas", "geom-gcn", 0, 0, made)
    assert again.origin == origin


def test_the_variants_of_the_depth_study_can_be_built():
    for variant in depth.VARIANTS:
        for number in range(depth.DRAWS):
            depth.draw(variant, 2, number).build(10, 3)


@pytest.fixture
def aside(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "KEPT", tmp_path / "trials.jsonl")
    monkeypatch.setattr(trials, "WORKERS", 1)
    return tmp_path / "trials.jsonl"


def test_a_trial_is_run_once(aside, monkeypatch):
    made = recipe("gcn").having({"hidden": 4}, {"epochs": 2})
    wanted = [trials.trial("karate", "fractions", 0, seed, made) for seed in (0, 1)]
    with pytest.raises(trials.NotRun, match="2 of 2"), trials.kept_only():
        trials.results(wanted)
    first = trials.results(wanted)
    lines = aside.read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 1] or len(lines) == 2
    with trials.kept_only():
        assert [r["test"] for r in trials.results(wanted)] == [r["test"] for r in first]
    assert trials.measure(wanted[0])["test"] == first[0]["test"]


def test_what_cannot_be_integrated_is_the_worst_there_is(aside):
    made = recipe("grand").having(
        {"integration": {"stepper": "euler", "dt": 1.0}, "time": 1e-3, "attention": {"heads": 3}}
    )
    found = trials.measure(trials.trial("karate", "fractions", 0, 0, made))
    assert found["val"] == 0.0 and "3 heads" in found["failure"]


def test_rows_have_names_of_their_own_and_a_table_each(tmp_path):
    rows = graph.graph_rows()
    assert len({row.name for row in rows}) == len(rows) and all(isinstance(row, Row) for row in rows)
    known = {
        row.name: {"value": 0.0, "text": "x", "on": "y", "note": "", "seconds": 1.0, "commit": "c"} for row in rows
    }
    page = tmp_path / "page.md"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "KEPT", tmp_path / "none.jsonl")
        graph.put_tables(known, page)
    text = page.read_text()
    assert all(row.name in text for row in rows) and text.count("begin -->") == text.count("end -->")


def test_the_spread_of_scores():
    found = accuracy.summary([{"test": 0.8, "val": 0.7}, {"test": 0.9, "val": 0.7}])
    assert (found.mean, found.runs, found.val) == (pytest.approx(85), 2, pytest.approx(70))
    assert found.std == pytest.approx(50**0.5) and found.error == pytest.approx(5.0)
