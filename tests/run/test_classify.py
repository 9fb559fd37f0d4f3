"""One trained classifier: validation chooses, the test nodes are looked at once; recipes build what they name."""

from dataclasses import replace

import pytest
import torch

from graphpde.data import NodeData, csbm, karate
from graphpde.errors import ConfigError, InputError, UnknownName
from graphpde.graph_diffusion import MODELS, Grand
from graphpde.run.classify import _batches, learn, prepare
from graphpde.run.recipe import FOLDER, from_table, recipe
from graphpde.train.metrics import accuracy
from graphpde.train.split import Split, fractions

DATA = csbm(120, 3, 8, 0.8, features=8, mu=120, seed=2)
SPLIT = fractions(DATA.y, seed=0)


def short(model, **training):
    return recipe(model).having({"hidden": 8}, {"epochs": 8, "features": "given", **training})


@pytest.mark.parametrize("model", ["gcn", "grand", "grand++", "gread", "label_propagation"])
def test_a_model_learns_more_than_chance_and_the_same_seed_gives_the_same(model):
    one, two = (learn(DATA, SPLIT, short(model, epochs=25), 3) for _ in range(2))
    assert one.test > 0.6 and (one.test, one.val, one.epoch) == (two.test, two.val, two.epoch)
    assert torch.equal(one.logits, two.logits)
    other = learn(DATA, SPLIT, short(model, epochs=25), 4)
    assert model == "label_propagation" or not torch.equal(one.logits, other.logits)


def test_nothing_outside_sees_the_seed():
    torch.manual_seed(9)
    before = torch.rand(3)
    torch.manual_seed(9)
    learn(DATA, SPLIT, short("gcn"), 3)
    assert torch.equal(torch.rand(3), before)


def test_the_epoch_with_the_best_validation_is_kept():
    found = learn(DATA, SPLIT, short("gcn", rate=0.05, epochs=12), 0)
    values = found.history["val"]
    assert found.epoch == 1 + values.index(max(values)) and found.val == max(values)
    assert found.test == accuracy(found.logits, DATA.y, SPLIT.test)
    by_loss = learn(DATA, SPLIT, short("gcn", rate=0.05, epochs=12, choose="loss"), 0)
    losses = by_loss.history["val_loss"]
    assert by_loss.epoch == 1 + losses.index(min(losses))


def test_test_labels_change_nothing_but_the_score():
    wrong = replace(DATA, y=torch.where(SPLIT.test, (DATA.y + 1) % 3, DATA.y))
    one, other = (learn(data, SPLIT, short("grand"), 0) for data in (DATA, wrong))
    assert torch.equal(one.logits, other.logits) and one.test != other.test


def test_patience_ends_early():
    found = learn(DATA, SPLIT, short("gcn", epochs=200, patience=3), 0)
    assert found.epochs == found.epoch + 3


def test_parts_of_the_graph_train_as_well():
    made = short("sage", epochs=6, fanouts=[4, 4], batch=16)
    found = learn(DATA, SPLIT, made, 0)
    steps = -(-int(SPLIT.train.sum()) // 16)
    assert len(found.history) == 6 * steps and found.epochs == 6 and found.test > 0.6
    with pytest.raises(InputError, match=r"fanouts = \[4\], expected one number for each of the 2 layers of Sage"):
        learn(DATA, SPLIT, short("sage", fanouts=[4]), 0)
    alone, training = torch.nn.Linear(1, 1), short("sage", fanouts=[2]).training
    with pytest.raises(InputError, match="Linear cannot be trained on parts of a graph; leave fanouts out"):
        _batches(alone, SPLIT, training, prepare(DATA, made))


def test_features_are_given_or_add_to_one():
    counts = replace(DATA, x=DATA.x.abs())
    torch.testing.assert_close(prepare(counts, short("gcn")).x, counts.x.float())
    torch.testing.assert_close(prepare(counts, short("gcn", features="rows")).x.sum(1), torch.ones(120))
    torch.testing.assert_close(prepare(DATA, short("gcn", features="rows")).x, DATA.x.float())  # signs: left alone


def test_directed_graphs_with_loops_isolated_nodes_and_unknown_labels_are_trained_on():
    x, y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1, 0, 1, -1, 0])
    edges = torch.tensor([[0, 1, 2, 3, 3, 0], [1, 2, 3, 3, 0, 1]])
    at = torch.arange(8)
    split = Split(at < 2, (at >= 2) & (at < 4), (at == 4) | (at == 5))
    data = NodeData.of(edges, x, y, [split])
    for model in ("grand", "gcn", "gat"):
        assert torch.isfinite(learn(data, split, short(model), 0).logits).all()


def test_an_empty_part_of_the_split_is_refused():
    none = torch.zeros(120, dtype=torch.bool)
    with pytest.raises(InputError, match="the split has no val nodes"):
        learn(DATA, SPLIT._replace(val=none), short("gcn"), 0)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_builds_its_model_and_names_its_origin(file):
    import tomllib

    for model, table in tomllib.loads(file.read_text()).items():
        made = from_table(model, table)
        assert isinstance(made.build(5, 3), MODELS[model]) and made.origin
        made.training.rule()


def test_recipes_are_changed_key_by_key():
    made = recipe("grand").having({"attention": {"heads": 2}, "time": 3.0}, {"epochs": 5})
    assert made.settings["attention"] == {"heads": 2, "dim": 32} and made.training.epochs == 5
    model = made.build(4, 2)
    assert isinstance(model, Grand) and model.time == 3.0 and model.coupling.attention.heads == 2
    assert recipe("grand", "reference").settings["hidden"] == 80
    assert recipe("grand", "no such data").origin == recipe("grand").origin
    assert not recipe("grand").having({"source": False}).build(4, 2).source
    assert not from_table("grand", {"source": False, "origin": "here"}).build(4, 2).source


@pytest.mark.parametrize(
    "settings, training, error, message",
    [
        ({"hiden": 3}, {}, UnknownName, "unknown setting of the model 'grand' 'hiden'"),
        ({"attention": {"head": 3}}, {}, ConfigError, "it may hold: heads, dim, kind, over, fresh"),
        ({"time": -1.0}, {}, InputError, "time = -1"),
        ({"source": "yes"}, {}, ConfigError, "source = 'yes', expected true or false"),
        ({"time": "long"}, {}, ConfigError, "time = 'long', expected a number"),
        ({"dropout": {"input": 0.5}}, {}, ConfigError, "dropout = .*'input'.*; it may hold: inputs, hidden"),
        ({}, {"update": "adm"}, UnknownName, "unknown update rule 'adm'.*adam"),
        ({}, {"epochs": 0}, ConfigError, "epochs = 0, expected at least 1"),
        ({}, {"features": "columns"}, ConfigError, "features = 'columns'"),
        ({}, {"fanouts": 5}, ConfigError, r"fanouts = 5, expected a list .* such as \[10, 5\]"),
        ({}, {"fanouts": [5, 0]}, ConfigError, r"fanouts = \[5, 0\], expected whole numbers >= 1"),
        ({}, {"fanouts": [2.5]}, ConfigError, r"fanouts = \[2.5\], expected whole numbers"),
        ({}, {"rate": "fast"}, ConfigError, "rate = 'fast', expected a number"),
        ({}, {"epochs": 2.5}, ConfigError, "epochs = 2.5, expected a whole number"),
        ({}, {"batch": 0}, ConfigError, "batch = 0, expected at least 1"),
        ({"integration": "rk4"}, {}, ConfigError, "integration = 'rk4', expected a table that may hold: stepper, dt"),
        ({"attention": "cosine"}, {}, ConfigError, "attention = 'cosine', expected a table"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused(settings, training, error, message):
    with pytest.raises(error, match=message):
        recipe("grand").having(settings, training).build(4, 2)


def test_an_unknown_model_or_training_option_names_the_nearest():
    with pytest.raises(UnknownName, match="unknown model 'gran'.*did you mean 'grand'"):
        recipe("gran")
    with pytest.raises(UnknownName, match="unknown training option 'epoch'.*did you mean 'epochs'"):
        from_table("gcn", {"training": {"epoch": 3}})


def test_karate_from_its_own_split():
    data = karate()
    assert learn(data, data.splits[0], recipe("grand").having({}, {"epochs": 60}), 0).test >= 0.6


def test_overlapping_parts_are_refused():
    with pytest.raises(InputError, match="nodes in both train and test; the parts must not overlap"):
        learn(DATA, SPLIT._replace(test=SPLIT.test | SPLIT.train), short("gcn"), 0)


def test_unknown_labels_among_those_that_choose_do_not_count():
    y = DATA.y.clone()
    y[SPLIT.val.nonzero()[:3, 0]] = -1
    found = learn(replace(DATA, y=y), SPLIT, short("gcn", choose="loss"), 0)
    assert all(value == value for value in found.history["val_loss"])
