"""Every example runs and its headline number holds."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str) -> dict[str, Any]:
    """The names an example leaves behind; its picture part runs only as a program."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")


def test_heat_entering_a_plate_leaves_it_in_the_end() -> None:
    found = run("heat_on_a_plate")
    assert found["imbalance"] < 1e-10  # the steady discrete equations sum to zero; only the solver's rounding is left
    assert 0.12 < found["inflow"] < 0.14
    assert 0 < found["distance"] < 0.05
    assert float(found["warming"].states.max()) <= 1 + 1e-12


def test_a_labyrinth_covers_half_of_the_sphere() -> None:
    found = run("patterns_on_a_sphere")
    assert found["pieces"][0] == 2
    assert found["coverage"][0] < 0.1
    assert 0.5 < found["coverage"][-1] < 0.62
    assert bool((found["pattern"].states >= -1e-12).all())


def test_a_rumour_decays_at_the_algebraic_connectivity() -> None:
    found = run("diffusion_on_a_network")
    # Crank-Nicolson at dt = 0.01 changes the rate by lambda^3 dt^2 / 12 = 1.4e-5
    assert found["rate"] == pytest.approx(found["connectivity"], rel=3e-5)
    assert found["drift"] < 1e-12


def test_a_drum_sounds_its_lowest_tone() -> None:
    found = run("waves_on_a_drum")
    # linear elements and leapfrog shift the frequency by less than (j h)^2 / 12 = 8e-4, with opposite signs
    assert found["period"] == pytest.approx(2 * math.pi / 2.404825557695773, rel=8e-4)
    assert abs(found["drift"]) < 1e-4
    assert found["tremble"] < 0.01


def test_a_bracket_bends_like_a_beam_where_it_is_one() -> None:
    found = run("bracket_under_load")
    assert found["found"] == pytest.approx(found["bent"], rel=0.03)
    assert found["lost"] < 1e-8


def test_a_tuning_fork_sounds_at_440_hertz() -> None:
    found = run("tuning_fork")
    assert found["heard"] == pytest.approx(440.0, rel=5e-4)
    # the bend is no beam, and the stem takes a little of its length: the middle line is good to a few percent
    assert found["tones"][0] == pytest.approx(440.0, rel=0.03) and found["tones"][0] > 441
    assert found["overtone"] == pytest.approx((4.6940911330 / 1.8751040687) ** 2, rel=0.01)
    assert found["felt"] < 1e-3


def test_planets_stay_with_leapfrog_and_leave_with_rk4() -> None:
    found = run("planets_for_ten_thousand_orbits")
    assert float(found["change"].abs().max()) < 0.01 and abs(found["drift"]) < 2e-4
    assert found["angular"] < 1e-12 and float(found["lost"].abs().max()) > 1


def test_a_chain_remembers() -> None:
    found = run("fput_recurrence")
    assert float(found["least"]) < 0.1 and found["back"] > 0.975 and 9000 < found["when"] < 11000


def test_a_column_of_water_runs_as_in_the_experiment() -> None:
    found = run("dam_break")
    assert found["off"] < 0.1 and 0 < found["lost"] < 0.1


def test_springs_learned_on_five_move_a_thousand() -> None:
    found = run("springs_learned_on_five_run_on_a_thousand")
    assert found["drift"] < 0.01 and found["momentum"] < 1e-14 and found["off"] < 0.05 < found["moved"]


def test_turing_patterns_grow_as_the_linear_analysis_says() -> None:
    found = run("patterns_on_a_torus")
    assert found["rate"] == pytest.approx(found["fastest"].rate, rel=0.01)
    assert found["wavelength"] == pytest.approx(found["fastest"].wavelength, rel=0.04)  # still a band of modes
    assert 50 < found["spots"] < 80


def test_two_liquids_separate_and_their_domains_grow() -> None:
    found = run("spinodal_decomposition")
    assert found["rise"] < 0 and found["lost"] < 1e-13
    assert 1.55 < found["growth"] < 1.8  # 2 for domains far larger than the interfaces
    assert list(found["sizes"].values()) == sorted(found["sizes"].values())


def test_a_shock_of_heat_strains_a_pipe_more_than_the_heat_that_stays() -> None:
    found = run("thermal_stress")
    assert found["error"] < 5e-3 and found["apart"] < 1e-12
    inside = found["at_inside"]
    assert found["shock"] < inside[0] < inside[2] < inside[3] < 0


def test_half_a_box_of_material_makes_the_published_beam() -> None:
    found = run("topology_of_a_beam")
    assert found["ratio"] == pytest.approx(1.0, abs=1e-4) and found["grey"].converged
    assert found["sharp"].compliance[-1] < 0.83 * found["grey"].compliance[-1] and found["sharp"].grey < 0.02
    assert found["sharp"].volume[-1] == pytest.approx(0.5, rel=1e-8)


def test_a_network_sorts_its_members() -> None:
    found = run("turing_on_a_network")
    assert found["measured"] == pytest.approx(
        found["rate"], rel=2e-3
    )  # the step's (rate dt)^2 and what modes do to others
    assert found["theory"].unstable == 109 and 110 < int(found["crowded"].sum()) < 145
    assert found["resting"] < 0.3


def test_a_limited_puff_stays_together() -> None:
    found = run("advection_in_a_channel")
    assert found["lowest"] >= -1e-12 and found["highest"] <= 1 + 1e-12
    assert found["kept"]["limited"] > 3 * found["kept"]["upwind"]
    assert found["peak"]["limited"] > 2 * found["peak"]["upwind"]
    assert found["lost"] < 1e-4  # what the tail of the profile has carried through the ends


def test_sound_leaves_the_room_where_it_can() -> None:
    found = run("sound_in_a_room")
    assert found["sent"] > 0.04
    assert found["left"] == pytest.approx(found["sent"], rel=1e-10)  # the matrix inside is symmetric: rounding alone
    assert found["error"] < 0.01


def test_a_shock_is_as_steep_as_the_reference() -> None:
    found = run("a_shock_forms")
    assert found["steepest"] == pytest.approx(152.00516, rel=2e-3)
    assert math.pi * found["moment"] == pytest.approx(1.6037, abs=2e-3)


def test_a_sweep_of_metals_follows_the_fin_formula(tmp_path: Path) -> None:
    fins = run("a_sweep")["study"](tmp_path / "fins", ("copper", "stainless-steel"), jobs=1)
    assert [fin.metal for fin in fins] == ["copper", "stainless-steel"]
    for fin in fins:  # the formula leaves out the temperature across, of the order h thickness / (2 k) <= 0.006
        assert fin.heat == pytest.approx(fin.formula, rel=2e-3)
    assert fins[0].heat > 2.5 * fins[1].heat


def test_a_mesh_that_refines_itself_does_not_feel_the_corner() -> None:
    found = run("adaptive_corner")
    assert 0.48 < found["order"] < 0.56  # the best order of linear elements is 1/2, 1/3 that of uniform meshes
    assert 0.31 < found["slow"] < 0.36
    assert found["last"].effectivity == pytest.approx(1, abs=0.02)
    assert found["last"].error < 0.25 * found["other"].error


def test_the_gradient_by_every_cell_closes() -> None:
    found = run("a_million_unknowns")["solve"](120)  # the numbers of a million are those of the document
    assert found.space.n == 121**2 and len(found.gradient) == 2 * 120**2
    assert found.square == pytest.approx(1.596e-3, rel=5e-3)  # of 1,000,000, less h^2
    assert abs(found.closure) < 1e-7 and float(found.gradient.max()) <= 0
    coarse = run("a_million_unknowns")["solve"](60)
    merged = found.gradient.reshape(60, 2, 60, 2, 2).sum((1, 3, 4))
    assert float((merged - coarse.gradient.reshape(60, 60, 2).sum(2)).abs().max()) < 0.05 * float(merged.abs().max())


def test_a_conductivity_is_found_from_noisy_sensors() -> None:
    found = run("find_the_conductivity")
    assert found["chosen"].misfit == pytest.approx(1, abs=0.051)  # no better and no worse than the noise
    assert found["error"] < 0.048 and found["before"] > 0.29  # 4.5 % in docs/gallery.md
    assert float((found["found"] / found["true"]).log().abs().max()) < 0.35  # no cell is far off


def test_what_flows_to_a_cylinder_flows_past_it() -> None:
    found = run("flow_past_a_cylinder")["street"](0.1, dt=1e-3, near=0.02)  # the street takes seconds to form
    assert float(found.outflow.sum(1).abs().max()) < 1e-12
    assert float(found.outflow[-1, 1]) == pytest.approx(0.41, rel=1e-12)
    assert 2.8 < float(found.drag[-1]) < 3.4
    assert float(found.lift[-1].abs()) < 0.6


def test_few_labels_are_enough_for_two_crescents() -> None:
    found = run("labels_from_few_points")
    assert found["accuracy"] > 0.99
    assert found["steps"][True] < found["steps"][False]
    for energies in found["descents"].values():
        assert float(energies.diff().max()) <= 1e-11 * float(energies[0])  # the momentum is dropped where it would rise


def test_reaction_and_repulsion_do_not_need_like_neighbours() -> None:
    row = run("heterophily")["accuracies"](0.2)
    assert row["graff"] > row["mlp"] and row["graff"] > row["gcn"] + 10


def test_diffusion_finds_the_topics_of_papers() -> None:
    graphs = EXAMPLES.parents[1] / "shared" / "data" / "graphs"
    if not graphs.is_dir():
        pytest.skip("the real graphs are not there")
    _, _, found = run("cora_with_grand")["train"](str(graphs))
    assert found.test > 0.75


def test_diffusion_with_a_source_may_be_deep() -> None:
    found = run("deep_without_collapse")
    accuracy, energy = found["accuracy"], found["energy"]
    assert all(values[0] > 90 for values in accuracy.values())
    assert accuracy["diffusion + source"][-1] > 90
    assert accuracy["GCN"][-1] < 40 and accuracy["GCN + residual"][-1] < 40
    assert energy["diffusion + source"][-1] > 100 * energy["GCN + residual"][-1]
    assert found["gradient"]["GCN"] < 1e-9 < 1e-5 < found["gradient"]["diffusion + source"]
    assert found["alone"].predicted == pytest.approx(found["alone"].measured, rel=0.01)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_every_example_stands_in_the_gallery(path: Path) -> None:
    docs = EXAMPLES.parent / "docs"
    gallery = (docs / "gallery.md").read_text()
    assert f"python examples/{path.name}" in gallery and f"(images/{path.stem}.png)" in gallery
    assert (docs / "images" / f"{path.stem}.png").stat().st_size < 500_000


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_examples_stay_short(path: Path) -> None:
    assert 40 <= len(path.read_text().splitlines()) <= 90


def test_optimal_pairs_flow_in_one_step() -> None:
    found = run("flow_matching_in_forty_lines")
    distances = found["distances"]
    assert distances["start"] > 2.5
    assert distances["one Euler step"] < 0.7
    assert distances["adaptive steps"] < 0.55
    assert found["bend"] < 0.2


def test_particles_have_an_exact_density() -> None:
    found = run("particles_with_exact_divergence")
    assert found["before"] - found["after"] > 8
    assert float((found["passes"] - found["edges"][:50]).abs().max()) < 1e-10
    assert found["off"] < 1e-10


def test_points_stay_on_their_faces_and_near_the_data() -> None:
    found = run("points_on_a_bunny")
    assert found["nll"] - found["entropy"] < 0.25 * (found["uniform"] - found["entropy"])
    assert found["agree"] < 1e-8
    weights = found["made"].weights
    assert float(weights.min()) >= 0
    assert float((weights.sum(1) - 1).abs().max()) < 1e-12


def test_one_network_makes_fields_on_two_meshes() -> None:
    found = run("fields_on_a_mesh")
    for error, floor in found["errors"].values():
        assert error < floor + 0.1
    (here, _), (there, _) = found["errors"].values()
    assert abs(here - there) < 0.02
