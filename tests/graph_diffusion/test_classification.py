"""The objective of node classification, and what of the labels a model may see."""

import pytest
import torch

from graphpde.data import csbm
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion import MODELS, Gcn, Grand, Known, NeighbourSampler, NodeClassification, known
from graphpde.train import Adam, fit

DATA = csbm(60, 3, 6, 0.8, features=8, mu=60, seed=1)
TRAIN = torch.arange(60) % 2 == 0


class Told(torch.nn.Module):
    """Answers with its one parameter and remembers what it was told."""

    def __init__(self, reads="nothing"):
        super().__init__()
        self.reads, self.told = reads, []
        self.logits = torch.nn.Parameter(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))

    def forward(self, graph, x, known=None):
        self.told.append(known)
        return self.logits


def batch(y=DATA.y):
    return DATA.graph, DATA.x, y


def test_the_loss_is_the_mean_cross_entropy_of_the_training_nodes():
    model = Told()
    loss = NodeClassification(TRAIN)(model, batch())["cross_entropy"]
    chosen = torch.log_softmax(model.logits, 1)[TRAIN, DATA.y[TRAIN]]
    torch.testing.assert_close(loss, -chosen.mean())
    assert model.told == [None]


def test_unknown_labels_do_not_count():
    y = DATA.y.clone()
    y[:4] = -1
    model = Told()
    loss = NodeClassification(TRAIN)(model, batch(y))["cross_entropy"]
    at = TRAIN & (y >= 0)
    torch.testing.assert_close(loss, -torch.log_softmax(model.logits, 1)[at, y[at]].mean())


def test_no_node_is_asked_for_the_label_it_was_told():
    model, rng = Told("labels"), torch.Generator().manual_seed(3)
    seen = torch.zeros(60, dtype=torch.bool)
    for _ in range(20):
        loss = NodeClassification(TRAIN, reveal=0.6)(model, batch(), rng)["cross_entropy"]
        shown = model.told[-1].mask
        asked = torch.autograd.grad(loss, model.logits)[0].abs().sum(1) > 0
        assert not bool((shown & asked).any()) and bool(((shown | asked) == TRAIN).all())
        seen |= shown
    assert int(seen.sum()) == int(TRAIN.sum())


def test_what_is_told_in_use_are_training_labels_and_only_to_those_who_read_them():
    assert known(Told(), TRAIN, DATA.y, labels=True) is None
    places = known(Told("places"), TRAIN, DATA.y, labels=True)
    assert torch.equal(places.mask, TRAIN) and bool((places.labels == -1).all())
    labels = known(Told("labels"), TRAIN, DATA.y, labels=True)
    assert torch.equal(labels.mask, TRAIN) and torch.equal(labels.labels, DATA.y)
    assert known(Told("labels"), TRAIN, DATA.y) is None


def test_labels_as_input_reach_other_nodes_and_test_labels_reach_none():
    torch.manual_seed(0)
    model = Grand(8, 6, 3, time=2.0, labels=True).eval()
    x, y = DATA.x.double(), DATA.y
    model = model.double()
    with torch.no_grad():
        one = model(DATA.graph, x, Known(TRAIN, y))
        other = model(DATA.graph, x, Known(TRAIN, torch.where(TRAIN, y, (y + 1) % 3)))
        changed = model(DATA.graph, x, Known(TRAIN, torch.where(TRAIN, (y + 1) % 3, y)))
    assert torch.equal(one, other) and float((one - changed).abs().max()) > 1e-3
    with pytest.raises(InputError, match="a known label is 3, expected classes 0 to 2"):
        model(DATA.graph, x, Known(TRAIN, torch.where(TRAIN, 3, y)))


def test_parts_of_a_graph_with_all_neighbours_give_the_loss_of_the_whole():
    torch.manual_seed(0)
    model = Gcn(8, 5, 3).eval()
    objective = NodeClassification(TRAIN, DATA.y)
    sampler = NeighbourSampler(DATA.graph, DATA.x.float(), (None, None), TRAIN, 7, model=model)
    losses, sizes = [], []
    for part in sampler.drawn(torch.Generator().manual_seed(0)):
        losses.append(float(objective(model, part)["cross_entropy"].detach()) * len(part.seeds))
        sizes.append(len(part.seeds))
    whole = float(objective(model, (DATA.graph, DATA.x.float(), DATA.y))["cross_entropy"].detach())
    assert sum(losses) / sum(sizes) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((torch.zeros(60, dtype=torch.bool),), InputError, "with 0 nodes"),
        ((torch.ones(60, 10, dtype=torch.bool),), InputError, r"\[60, 10\].*of several splits take one column"),
        ((torch.ones(60),), InputError, "torch.float32"),
    ],
)
def test_masks_that_are_none_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        NodeClassification(*arguments)


def test_a_batch_without_a_training_node_is_refused():
    model = Gcn(8, 5, 3)
    sampler = NeighbourSampler(DATA.graph, DATA.x.float(), (2, 2), ~TRAIN, 7, model=model)
    with pytest.raises(InputError, match="the batch has no training node with a known label .* seeds=split.train"):
        fit(model, NodeClassification(TRAIN, DATA.y), sampler, update=Adam(), steps=2)
    mixed = NeighbourSampler(DATA.graph, DATA.x.float(), (2, 2), None, 1, model=model)  # some batches have one
    with pytest.raises(InputError, match="the batch has no training node"):
        fit(model, NodeClassification(TRAIN, DATA.y), mixed, update=Adam(), steps=60, rng=torch.Generator())
    with pytest.raises(InputError, match="the batch has no training node"):
        NodeClassification(TRAIN)(Told(), batch(torch.full_like(DATA.y, -1)))


def test_shares_and_sizes_are_checked():
    with pytest.raises(InputError, match="reveal = 1"):
        NodeClassification(TRAIN, reveal=1.0)
    with pytest.raises(ShapeError, match=r"expected \[60\]"):
        NodeClassification(torch.ones(9, dtype=torch.bool))(Told(), batch())
    sampler = NeighbourSampler(DATA.graph, DATA.x.float(), (2,), TRAIN, 7, model=Gcn(8, 5, 3))
    with pytest.raises(InputError, match="the labels of all its nodes"):
        NodeClassification(TRAIN)(Told(), next(sampler.drawn(torch.Generator().manual_seed(0))))


def test_every_model_says_what_it_reads():
    assert {name: model.reads for name, model in MODELS.items() if getattr(model, "reads", "nothing") != "nothing"} == {
        "grand++": "places",
        "label_propagation": "labels",
    }
