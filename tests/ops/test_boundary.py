"""Conditions: values in every form, places in every form, clashes, inflow against exact integrals, refusals."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import ConditionError, UnknownName
from graphpde.mesh import P2, CellSpace, Space, box, interval, jittered, random_square, rectangle
from graphpde.ops import Diffusion, Dirichlet, Neumann, Reaction, Robin, System
from graphpde.ops.constraint import Constraint, Fixed

SPACE = Space(rectangle(4, 4))
LEFT = [0, 5, 10, 15, 20]


def at(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


def bound(where: Any, value: Any, **more: Any) -> Constraint:
    return Dirichlet(where, value, **more).bind(SPACE)


def system(*conditions: Any, t: float = 0.0) -> System:
    return System(sum(conditions, Diffusion(SPACE)), None, at(t))


def fixed(*conditions: Any) -> Fixed:
    found = system(*conditions).fixed
    assert found is not None
    return found


def state(channels: int = 1) -> Tensor:
    return torch.zeros(SPACE.n, channels, dtype=torch.float64)


# Dirichlet values


class TestValues:
    def test_number(self) -> None:
        u = fixed(Dirichlet("left", 2.5)).put(state(3), fixed(Dirichlet("left", 2.5)).value(at(0), state(3)))
        assert bool((u[LEFT] == 2.5).all()) and float(u.sum()) == 2.5 * 15

    def test_one_a_channel(self) -> None:
        pair = torch.tensor([1.0, -2.0], dtype=torch.float64)
        assert torch.equal(fixed(Dirichlet("left", pair)).value(at(0), state(2)), pair.expand(5, 2))

    def test_one_a_node_follows_the_nodes_given(self) -> None:
        nodes = [20, 0, 10]
        values = torch.tensor([[2.0, 20.0], [0.0, 0.5], [1.0, 10.0]], dtype=torch.float64)
        one = fixed(Dirichlet(nodes, values))
        assert one.nodes.tolist() == [0, 10, 20]
        assert one.value(at(0), state(2)).tolist() == [[0.0, 0.5], [1.0, 10.0], [2.0, 20.0]]

    def test_function_of_place_and_time(self) -> None:
        one = fixed(Dirichlet("left", lambda x, t: x[:, 1] * torch.cos(t)))
        y = SPACE.pos[LEFT, 1]
        for t in (0.0, 0.7):
            assert torch.allclose(one.value(at(t), state())[:, 0], y * math.cos(t), rtol=1e-15)
            assert torch.allclose(one.rate(at(t), state())[:, 0], -y * math.sin(t), rtol=1e-14)
        assert not one.constant

    def test_function_with_channels(self) -> None:
        one = fixed(Dirichlet("left", lambda x, t: torch.stack([x[:, 1], t.expand(len(x)) ** 2], 1)))
        assert one.value(at(3.0), state(2))[2].tolist() == [0.5, 9.0]
        assert one.rate(at(3.0), state(2))[2].tolist() == [0.0, 6.0]

    def test_function_that_gives_a_number(self) -> None:
        one = fixed(Dirichlet("left", lambda x, t: 4.0))
        assert torch.equal(one.value(at(1), state()), torch.full((5, 1), 4.0, dtype=torch.float64))
        assert torch.equal(one.rate(at(1), state()), torch.zeros(5, 1, dtype=torch.float64))

    def test_constants_have_no_rate(self) -> None:
        assert fixed(Dirichlet("left", 1.0)).constant
        assert float(fixed(Dirichlet("left", 1.0)).rate(at(0), state()).abs().max()) == 0

    def test_values_keep_the_type_of_the_state(self) -> None:
        assert fixed(Dirichlet("left", 1.5)).value(at(0), state().float()).dtype == torch.float32

    def test_put_works_on_batches(self) -> None:
        one = fixed(Dirichlet("left", 1.0))
        batch = torch.zeros(3, SPACE.n, 2, dtype=torch.float64)
        assert torch.equal(one.put(batch, one.value(at(0), batch)).sum((1, 2)), torch.full((3,), 10.0).double())
        assert float(batch.abs().sum()) == 0

    def test_gradient_reaches_the_value(self) -> None:
        amplitude = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        one = bound("left", lambda x, t: amplitude * torch.sin(t) + 0 * x[:, 0])
        one.rate(at(0.3)).sum().backward()
        assert float(amplitude.grad) == pytest.approx(5 * math.cos(0.3), rel=1e-14)

    def test_rate_inside_forward_mode(self) -> None:
        one = bound("left", lambda x, t: torch.sin(t) * x[:, 1])
        _, slope = torch.func.jvp(one.rate, (at(0.3),), (at(1.0),))
        assert torch.allclose(slope[:, 0], -math.sin(0.3) * SPACE.pos[LEFT, 1])

    @pytest.mark.parametrize("value", [torch.ones(3, 1), torch.ones(2, 2, 2), lambda x, t: torch.ones(3)])
    def test_wrong_shape(self, value: Any) -> None:
        with pytest.raises(
            ConditionError, match="Dirichlet value on 'left' has shape .* at 5 points, expected one numbe"
        ):
            system(Dirichlet("left", value))

    def test_wrong_number_of_channels(self) -> None:
        with pytest.raises(ConditionError, match="the value of Dirichlet on 'left' has 2 channels, the state has 3"):
            fixed(Dirichlet("left", torch.ones(2))).value(at(0), state(3))

    @pytest.mark.parametrize("value", [float("nan"), torch.tensor([1.0, math.inf]), lambda x, t: x[:, 1] / 0.0])
    def test_value_that_is_not_finite(self, value: Any) -> None:
        with pytest.raises(ConditionError, match="Dirichlet on 'left' at t=0.5 is not finite at"):
            system(Dirichlet("left", value), t=0.5)

    @pytest.mark.parametrize(
        "value",
        [
            lambda x, t: math.sin(t),
            lambda x, t: x[:, 1] * float(t) ** 2 + math.exp(t),
            lambda x, t: math.cos(t),  # its slope is zero at the start
            lambda x, t: x[:, 1] * t.item() ** 2,
        ],
    )
    @pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
    def test_functions_of_math_hide_their_rate(self, value: Any) -> None:
        with pytest.raises(ConditionError, match="time derivative of Dirichlet on 'left' does not agree .* torch func"):
            system(Dirichlet("left", value))

    def test_fast_and_rough_values_pass(self) -> None:
        system(Dirichlet("left", lambda x, t: torch.sin(1e4 * t)))
        system(Dirichlet("left", lambda x, t: 1e6 * torch.exp(-t)))
        system(Dirichlet("left", lambda x, t: torch.sqrt(1 + t)), t=100.0)
        system(Dirichlet("left", lambda x, t: torch.cos(t)))
        system(Dirichlet("left", lambda x, t: x[:, 1]))


# places


class TestPlaces:
    def test_names_lists_masks_and_predicates(self) -> None:
        mask = SPACE.pos[:, 0] == 0
        for where in ("left", LEFT, LEFT[::-1], torch.tensor(LEFT), mask, lambda x: x[:, 0] == 0):
            assert bound(where, 1.0).nodes.tolist() == LEFT

    def test_repeated_nodes_count_once(self) -> None:
        assert bound([3, 1, 3], 1.0).nodes.tolist() == [1, 3]

    def test_repeated_nodes_with_rows(self) -> None:
        with pytest.raises(
            ConditionError, match=r"a node list names a node twice, so its values \[k, c\] may contradict"
        ):
            bound([3, 1, 3], torch.tensor([[1.0], [2.0], [3.0]]))

    def test_unknown_set_lists_the_names(self) -> None:
        with pytest.raises(
            UnknownName, match=r"'lefft'; did you mean 'left'\? it has: bottom, boundary, left, right, top"
        ):
            system(Dirichlet("lefft", 1.0))
        with pytest.raises(UnknownName, match="'inlet'; .*it has: bottom, boundary, left, right, top"):
            system(Neumann("inlet", 1.0))

    def test_empty_places(self) -> None:
        mesh = rectangle(2, 2)
        empty = Space(mesh.with_tags(none=mesh.make_tag(1, [])))
        for kind, what in ((Dirichlet, "nodes"), (Neumann, "facets")):
            with pytest.raises(ConditionError, match=f"named set 'none' holds no {what}"):
                System(Diffusion(empty) + kind("none", 1.0), None, at(0))
            with pytest.raises(ConditionError, match=f"the predicate holds no {what}"):
                System(Diffusion(empty) + kind(lambda x: x[:, 0] > 5, 1.0), None, at(0))

    def test_node_out_of_range(self) -> None:
        with pytest.raises(ConditionError, match="the node list names node 25, expected 0..24"):
            bound([25], 1.0)

    @pytest.mark.parametrize("condition", [Dirichlet("left", 1.0), Neumann("left", 1.0)])
    def test_without_a_domain(self, condition: Any) -> None:
        with pytest.raises(ConditionError, match="the condition on 'left' needs a domain; add a term that has one or"):
            System(Reaction(lambda u: -u) + condition, None, at(0))
        System(Reaction(lambda u: -u) + condition, SPACE, at(0))

    def test_predicate_on_a_graph_without_positions(self) -> None:
        with pytest.raises(ConditionError, match="a predicate needs node positions and this graph has none"):
            System(Diffusion(nx.path_graph(3)) + Dirichlet(lambda x: x[:, 0] > 0, 1.0), None, at(0))

    def test_function_of_position_on_a_graph_without_positions(self) -> None:
        with pytest.raises(ConditionError, match="is a function of position and the graph has none"):
            System(Diffusion(nx.path_graph(3)) + Dirichlet([0], lambda x, t: x[:, 0]), None, at(0))


# clashes


class TestClashes:
    def test_names_both_sets_a_node_and_the_values(self) -> None:
        with pytest.raises(
            ConditionError,
            match="Dirichlet on 'left' and Dirichlet on 'bottom' clash on 1 shared nodes, first node 0 "
            r"at \(0, 0\) \(1 against 2 at t=0\); set override=True",
        ):
            system(Dirichlet("left", 1.0), Dirichlet("bottom", 2.0))

    def test_equal_values_are_silent(self) -> None:
        both = fixed(Dirichlet("left", lambda x, t: x[:, 1]), Dirichlet("bottom", lambda x, t: x[:, 1]))
        assert len(both.nodes) == 9

    @pytest.mark.parametrize("first", [True, False])
    def test_override_wins_whatever_the_order(self, first: bool) -> None:
        pair = [Dirichlet("left", 1.0, override=True), Dirichlet("bottom", 2.0)]
        both = fixed(*(pair if first else pair[::-1]))
        value = dict(zip(both.nodes.tolist(), both.value(at(0), state())[:, 0].tolist()))
        assert value == {0: 1.0, 5: 1.0, 10: 1.0, 15: 1.0, 20: 1.0, 1: 2.0, 2: 2.0, 3: 2.0, 4: 2.0}

    def test_two_overrides_clash(self) -> None:
        with pytest.raises(ConditionError, match="clash on 1 shared nodes"):
            system(Dirichlet("left", 1.0, override=True), Dirichlet("bottom", 2.0, override=True))

    def test_one_channel_is_enough(self) -> None:
        with pytest.raises(ConditionError, match=r"first node 0 at \(0, 0\) \(5 against 6"):
            system(Dirichlet("left", torch.tensor([1.0, 5.0])), Dirichlet("bottom", torch.tensor([1.0, 6.0])))

    def test_a_clash_that_comes_later(self) -> None:
        both = fixed(Dirichlet("left", lambda x, t: t), Dirichlet("bottom", 0.0))
        with pytest.raises(ConditionError, match=r"\(3 against 0 at t=3\)|\(0 against 3 at t=3\)"):
            both.refuse_clashes(at(3.0))

    def test_node_lists_and_predicates_are_named(self) -> None:
        def lower(x: Tensor) -> Tensor:
            return x[:, 1] == 0

        with pytest.raises(ConditionError, match="Dirichlet on a node list and Dirichlet on lower clash"):
            system(Dirichlet([0, 1], 1.0), Dirichlet(lower, 2.0))


# Neumann


def load_of(space: Space, condition: Neumann, t: float = 0.0, channels: int = 1) -> Tensor:
    like = torch.zeros(space.n, channels, dtype=torch.float64)
    found = System(Diffusion(space) + condition, None, at(t)).load(at(t), like)
    assert found is not None
    return found


class TestInflow:
    @pytest.mark.parametrize("where", ["left", lambda x: x[:, 0] < 1e-12])
    def test_plane(self, where: Any) -> None:
        """g = 2 + 3 y through x = 0: the integral is 3.5 and its first moment 2."""
        space = Space(random_square(4, seed=1))
        b = load_of(space, Neumann(where, lambda x, t: 2 + 3 * x[:, 1]))[:, 0]
        assert float(b.sum()) == pytest.approx(3.5, rel=1e-14)
        assert float(b @ space.pos[:, 1]) == pytest.approx(2.0, rel=1e-14)
        assert bool((b[space.pos[:, 0] > 1e-12] == 0).all())

    def test_corners_share(self) -> None:
        """Two elements a side: each corner carries half of its edge, the middle both halves."""
        space = Space(rectangle(2, 2))
        assert load_of(space, Neumann("left", 4.0))[[0, 3, 6], 0].tolist() == pytest.approx([1.0, 2.0, 1.0])

    @pytest.mark.parametrize("where", ["top", lambda x: x[:, 2] > 0.7 - 1e-12])
    def test_solid(self, where: Any) -> None:
        space = Space(jittered(box(2, 3, 2, lengths=(2.0, 1.0, 0.7)), 0.1))
        b = load_of(space, Neumann(where, lambda x, t: 1 + x[:, 0]))[:, 0]
        assert float(b.sum()) == pytest.approx(4.0, rel=1e-13)
        assert float(b @ space.pos[:, 0]) == pytest.approx(2 + 8 / 3, rel=1e-13)

    def test_interval(self) -> None:
        b = load_of(Space(interval(4)), Neumann("right", 3.0))[:, 0]
        assert b.tolist() == [0.0, 0.0, 0.0, 0.0, 3.0]

    def test_quads(self) -> None:
        space = Space(jittered(rectangle(3, 3, cells="quad"), 0.2))
        assert float(load_of(space, Neumann("top", lambda x, t: x[:, 0])).sum()) == pytest.approx(0.5, rel=1e-14)

    def test_time_and_channels(self) -> None:
        b = load_of(SPACE, Neumann("left", lambda x, t: torch.stack([x[:, 1] * t, 1 + 0 * x[:, 1]], 1)), 4.0, 2)
        assert b.sum(0).tolist() == pytest.approx([2.0, 1.0])
        assert load_of(SPACE, Neumann("left", torch.tensor([1.0, 3.0])), 0.0, 2).sum(0).tolist() == pytest.approx(
            [1, 3]
        )

    def test_on_a_graph_it_is_per_node(self) -> None:
        graph = Graph(Relation.from_edges([0, 1], [1, 0], 2, 2), measure=torch.tensor([5.0, 7.0], dtype=torch.float64))
        term = Diffusion(graph, 0.0) + Neumann([1], lambda x, t: 2 * t)
        u = torch.zeros(2, 1, dtype=torch.float64)
        found = System(term, None, at(3.0))
        assert found.load(at(3.0), u)[:, 0].tolist() == [0.0, 6.0]
        assert found.rate(at(3.0), u)[:, 0].tolist() == [0.0, 6.0 / 7.0]

    def test_rows_on_a_graph_follow_the_nodes_given(self) -> None:
        term = Diffusion(nx.path_graph(4)) + Neumann([3, 1], torch.tensor([[30.0], [10.0]]))
        u = torch.zeros(4, 1, dtype=torch.float64)
        assert System(term, None, at(0)).load(at(0), u)[:, 0].tolist() == [0.0, 10.0, 0.0, 30.0]

    def test_gradient_reaches_the_inflow(self) -> None:
        inflow = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
        load_of(SPACE, Neumann("left", inflow)).sum().backward()
        assert inflow.grad.tolist() == pytest.approx([1.0])

    @pytest.mark.parametrize(("name", "dim"), [("solid", 2), ("corner", 0)])
    def test_wrong_dimension(self, name: str, dim: int) -> None:
        mesh = rectangle(2, 2)
        space = Space(mesh.with_tags(solid=mesh.make_tag(2, [0, 1]), corner=mesh.make_tag(0, [0])))
        with pytest.raises(ConditionError, match=f"set '{name}' has dimension {dim}, a flux through it needs facets"):
            System(Diffusion(space) + Neumann(name, 1.0), None, at(0))

    @pytest.mark.parametrize("inflow", [float("nan"), lambda x, t: x[:, 0] / 0.0])
    def test_inflow_that_is_not_finite(self, inflow: Any) -> None:
        with pytest.raises(ConditionError, match="inflow on 'left'.* is not finite at"):
            System(Diffusion(SPACE) + Neumann("left", inflow), None, at(0))

    def test_wrong_shape(self) -> None:
        with pytest.raises(ConditionError, match="inflow on 'left' has shape"):
            System(Diffusion(SPACE) + Neumann("left", lambda x, t: torch.ones(2)), None, at(0))


# a flux where a value is held

DOMAINS = [SPACE, Space(rectangle(4, 4), P2()), CellSpace(rectangle(4, 4)), Space(interval(4))]
ON_THE_LEFT = ["left", lambda x: x[:, 0] < 1e-9]


@pytest.mark.parametrize("domain", DOMAINS, ids=["P1", "P2", "cells", "line"])
@pytest.mark.parametrize("where", ON_THE_LEFT, ids=["name", "predicate"])
@pytest.mark.parametrize("flux", [Robin("left", 3.0, 1.0), Neumann("left", 1.0)])
def test_a_flux_where_only_values_are_held_is_refused(domain: Any, where: Any, flux: Any) -> None:
    kind = type(flux).__name__
    with pytest.raises(
        ConditionError, match=rf"{kind} on 'left' has no effect: Dirichlet on .* holds the value on all"
    ):
        System(Diffusion(domain) + Dirichlet(where, 0.0) + flux, None, at(0.0))


@pytest.mark.parametrize("domain", DOMAINS[:3], ids=["P1", "P2", "cells"])
def test_a_flux_beside_a_value_stays(domain: Any) -> None:
    """Sides that meet share nodes; and of a flux all round, that through the free sides acts, to the last digit."""
    for flux in (Robin("bottom", 3.0, 1.0), Robin("boundary", 3.0, 1.0)):
        System(Diffusion(domain) + Dirichlet("left", 0.0) + flux, None, at(0.0))
    u = torch.zeros(domain.n, 1, dtype=torch.float64)
    free = [Neumann(side, 1.0) for side in ("right", "bottom", "top")]
    one = System(Diffusion(domain) + Dirichlet("left", 0.0) + Neumann("boundary", 1.0), None, at(0.0))
    other = System(sum(free, Diffusion(domain) + Dirichlet("left", 0.0)), None, at(0.0))
    assert torch.allclose(one.rate(at(0.0), u), other.rate(at(0.0), u), atol=1e-13)


def test_neighbours_that_hold_every_node_of_a_side_are_no_reason() -> None:
    """One cell between top and bottom: the nodes of the right side are theirs, its facet is not."""
    flat = Space(rectangle(4, 1))
    System(Diffusion(flat) + Dirichlet("bottom", 0.0) + Dirichlet("top", 0.0) + Robin("right", 1.0), None, at(0.0))
    with pytest.raises(ConditionError, match="Robin on 'right' has no effect: Dirichlet on 'boundary'"):
        System(Diffusion(flat) + Dirichlet("boundary", 0.0) + Robin("right", 1.0), None, at(0.0))


def test_on_a_graph_nodes_count() -> None:
    graph = nx.path_graph(5)
    with pytest.raises(ConditionError, match="Neumann on a node list has no effect: Dirichlet on a node list"):
        System(Diffusion(graph) + Dirichlet([0, 1], 0.0) + Neumann([1], 1.0), None, at(0.0))
    System(Diffusion(graph) + Dirichlet([0, 1], 0.0) + Neumann([1, 2], 1.0), None, at(0.0))
