"""What physics and meshes do not allow: exit code 2, one sentence that names it and the way out, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphpde.mesh import Mesh, rectangle, write_mesh

QUIET = ("--pictures", "none")
SQUARE = ("--set", "mesh.shape=rectangle", "mesh.size=0.25")


def refused(graphpde, *line: object) -> str:
    """The one sentence of a refusal that leaves no trace."""
    before = sorted(Path().rglob("*"))
    done = graphpde("simulate", *line, *QUIET)
    assert done.code == 2 and done.out == "", done.err
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and "Traceback" not in done.err
    assert sorted(Path().rglob("*")) == before
    return done.err.removeprefix("error: ").strip()


class TestSteps:
    @pytest.mark.parametrize("dt", ["1e-300", "1e-17"])
    def test_a_step_that_moves_nothing(self, graphpde, dt: str) -> None:
        said = refused(graphpde, "--pde", "heat", *SQUARE, "--bc", "left=1", "--dt", dt)
        assert "does not move time on from 0 to 0.2" in said and "take a longer one (time.dt or --dt)" in said

    def test_a_step_below_the_rounding_of_a_late_time(self, graphpde) -> None:
        line = (*SQUARE, "--bc", "left=1", "--dt", "1e-8", "--set", "time.start=1e9", "time.end=1000000001")
        assert "does not move time on from 1e+09" in refused(graphpde, "--pde", "heat", *line)

    def test_an_explicit_step_beyond_its_bound(self, graphpde) -> None:
        line = (*SQUARE, "--bc", "left=1", "--stepper", "rk4", "--dt", "0.1", "--frames", "2")
        assert "exceeds the stability bound" in refused(graphpde, "--pde", "heat", *line)


class TestConditions:
    def test_an_over_constrained_corner_names_both_the_place_and_the_remedy(self, graphpde) -> None:
        said = refused(graphpde, "--pde", "heat", *SQUARE, "--bc", "left=1", "top=0")
        assert said.startswith("Dirichlet on 'left' and Dirichlet on 'top' clash on 1 shared nodes, first node ")
        assert " at (0, 1) (1 against 0 at t=0)" in said and said.endswith("--override NAME")

    def test_the_remedy_works(self, graphpde) -> None:
        line = (*SQUARE, "--bc", "left=1", "top=0", "--override", "left", "--t-end", "0.1", "-o", "run", *QUIET)
        assert graphpde("simulate", "--pde", "heat", *line).code == 0

    def test_a_corner_that_parts_later(self, graphpde) -> None:
        said = refused(graphpde, "--pde", "heat", *SQUARE, "--bc", "left=t", "top=0", "--t-end", "2", "-o", "run")
        assert "clash on 1 shared nodes" in said and "(2 against 0 at t=2)" in said

    def test_a_set_within_another_one(self, graphpde) -> None:
        said = refused(graphpde, "--pde", "heat", *SQUARE, "--bc", "boundary=1", "left=2")
        assert "'boundary' and Dirichlet on 'left' clash on 5 shared nodes" in said

    @pytest.mark.parametrize(
        "line",
        [("--bc", "left=1", "left=2"), ("--bc", "left=1", "--inflow", "left=2"), ("--inflow", "left=1", "left=1")],
    )
    def test_a_name_given_twice(self, graphpde, line: tuple[str, ...]) -> None:
        assert "'left' is given twice" in refused(graphpde, "--pde", "heat", *SQUARE, *line)

    def test_a_name_that_the_file_uses_for_edges_and_cells(self, graphpde) -> None:
        """The mesh calls them "hot:1d" and "hot:2d"; the short name is refused and both are listed."""
        mesh = rectangle(3, 3)
        names = {"hot:1d": mesh.tags["left"], "hot:2d": mesh.make_tag(2, torch.tensor([0, 1]))}
        write_mesh("m.vtu", mesh.with_tags(**names))
        said = refused(graphpde, "--pde", "heat", "--mesh", "m.vtu", "--bc", "hot=1")
        assert "'hot'" in said and "hot:1d" in said and "hot:2d" in said
        said = refused(graphpde, "--pde", "heat", "--mesh", "m.vtu", "--inflow", "hot:2d=1")
        assert "needs facets of dimension 1" in said

    def test_a_value_is_needed_somewhere(self, graphpde) -> None:
        said = refused(graphpde, "--pde", "poisson", *SQUARE, "--source", "1")
        assert "needs a value somewhere" in said and "--bc NAME=VALUE" in said


class TestCoefficients:
    @pytest.mark.parametrize(
        ("kappa", "says"),
        [
            ("-1", "coefficients.kappa is -1.0, expected a finite number >= 0"),
            ("x-0.5", "negative or not finite), expected >= 0 everywhere"),
            ("1/(x-x)", "negative or not finite"),
        ],
    )
    def test_negative_conductivity(self, graphpde, kappa: str, says: str) -> None:
        assert says in refused(graphpde, "--pde", "heat", *SQUARE, f"--kappa={kappa}")

    def test_negative_conductivity_of_a_material(self, graphpde, square: Path) -> None:
        said = refused(graphpde, "--pde", "heat", "--mesh", square, "--kappa", "copper=-1", "*=1")
        assert "coefficients.kappa.copper is -1.0, expected a finite number >= 0" in said

    @pytest.mark.parametrize("reaction", ["decay", "logistic"])
    def test_a_reaction_of_the_wrong_sign(self, graphpde, reaction: str) -> None:
        line = (*SQUARE, "--set", f"reaction.name={reaction}", "reaction.rate=-1")
        said = refused(graphpde, "--pde", "heat", *line)
        assert "rate = -1" in said and "expected a finite number >= 0; check its sign" in said

    def test_a_reaction_whose_formula_changes_sign(self, graphpde) -> None:
        line = (*SQUARE, "--set", "reaction.name=decay", "reaction.rate=x-0.5")
        assert "rate" in refused(graphpde, "--pde", "heat", *line)


class TestElements:
    def test_an_element_that_does_not_know_the_cells(self, graphpde) -> None:
        quads = ("--set", "mesh.shape=rectangle_quads", "mesh.size=0.25", "element=p1")
        said = refused(graphpde, "--pde", "heat", *quads, "--bc", "left=1")
        assert "quad" in said and "1" in said

    def test_an_unknown_element(self, graphpde) -> None:
        said = refused(graphpde, "--pde", "heat", *SQUARE, "--set", "element=p7")
        assert "unknown element 'p7'; known: " in said and "p1" in said

    def test_a_mesh_of_points_only(self, graphpde) -> None:
        write_mesh("points.vtu", Mesh([[0.0, 0.0], [1.0, 0.0]], {"vertex": [[0], [1]]}))
        assert "point" in refused(graphpde, "--pde", "heat", "--mesh", "points.vtu")


class TestGoingOn:
    def test_what_cannot_be_resumed(self, graphpde) -> None:
        assert "is not the folder of a run" in refused(graphpde, "--resume", "nowhere")
        line = ("--pde", "heat", *SQUARE, "--bc", "left=1", "-o", "run", *QUIET)
        assert graphpde("simulate", *line).code == 0
        assert "has reached its end at t=0.2; give a later one with --t-end" in refused(graphpde, "--resume", "run")
        said = refused(graphpde, "--resume", "run", "--kappa", "3", "--t-end", "1")
        assert "coefficients.kappa was 1.0 and is 3.0 now" in said and "--initial-from run" in said
        assert "leave -o out" in refused(graphpde, "--resume", "run", "-o", "other", "--t-end", "1")

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("none.vtu", "there is no file or folder"),
            ("m.vtu:w", "unknown field of"),
            ("m.vtu@0.5", "gives one moment without its time"),
            ("bare.vtu", "has no field u to start from (it has: none)"),
            ("two.vtu", "has no field u to start from (it has: a, b); name one with --initial-from two.vtu:FIELD"),
        ],
    )
    def test_files_that_hold_no_initial_value(self, graphpde, given: str, says: str) -> None:
        mesh = rectangle(3, 3)
        x = mesh.points[:, 0]
        write_mesh("m.vtu", mesh.with_data({"u": x}, {}))
        write_mesh("bare.vtu", mesh)
        write_mesh("two.vtu", mesh.with_data({"a": x, "b": x}, {}))
        assert says in refused(graphpde, "--pde", "heat", *SQUARE, "--initial-from", given)

    def test_both_initial_values(self, graphpde) -> None:
        line = (*SQUARE, "--initial-from", "m.vtu", "--initial", "1")
        assert "both --initial and --initial-from" in refused(graphpde, "--pde", "heat", *line)

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            (("--sweep", "kapa=1,2"), "--sweep does not know 'kapa'; known: kappa"),
            (("--sweep", "kappa"), "--sweep takes NAME=VALUE,VALUE"),
            (("--sweep", "kappa=1,2", "--jobs", "0"), "--jobs is 0, expected at least 1"),
            (("--jobs", "2"), "there is no --sweep"),
            (("--sweep", "kappa=1,2", "--dry-run"), "--dry-run shows one run"),
            (("--sweep", "kappa=1,2", "--show-code"), "--show-code shows one run"),
        ],
    )
    def test_sweeps(self, graphpde, line: tuple[str, ...], says: str) -> None:
        assert says in refused(graphpde, "--pde", "heat", *SQUARE, *line)
