"""Places of learned flows: units there and back, densities in closed form, what settings come to."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.errors import CheckpointError, ConfigError, DatasetError, SolveError, UnknownName
from graphpde.flow import FlowMatching, LinearPath, Sphere, Torus, VariancePreservingPath
from graphpde.mesh import Mesh, sphere, write_mesh
from graphpde.ops.eigenbasis import EigenBasis, eigenbasis
from graphpde.run.flows import learn, meshes, pictures
from graphpde.run.flows.config import read_flow
from graphpde.run.flows.kinds import KINDS
from graphpde.run.flows.learn import learn_flow, material
from graphpde.run.flows.reopen import densities, draw_samples, judge, log_likelihood, mean_error, reopen
from graphpde.train import Adam, fit

RNG = torch.Generator().manual_seed(0)


def config(on: str = "space", **parts: dict[str, Any]) -> Any:
    data = parts.pop("data", {})
    data = data if "mode" in data else {"file": "a.csv", **data}
    if on in ("surface", "fields"):
        data.setdefault("mesh", "ball.vtu")
    return read_flow({"data": data, "model": {"on": on, **parts.pop("model", {})}, **parts})


def place(on: str, x: Tensor, **parts: dict[str, Any]) -> Any:
    chosen = config(on, **parts)
    return KINDS[on](chosen, KINDS[on].learn(chosen, x))


def still(made: Any) -> torch.nn.Module:
    """A model whose velocity is 0 everywhere."""
    model = made.module()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    return model


ROWS = torch.randn(50, 2, dtype=torch.float64, generator=RNG)
SAMPLES = {
    "space": (ROWS * torch.tensor([1000, 0.01]).double() + 5, {}),
    "sphere": (torch.stack([80 * ROWS[:, 0].tanh(), 170 * ROWS[:, 1].tanh()], 1), {}),
    "torus": (170 * ROWS.tanh(), {}),
    "particles": (3 * torch.randn(50, 4, 2, dtype=torch.float64, generator=RNG), {}),
}
RADIANS = {name: (SAMPLES[name][0] * math.pi / 180, {"data": {"unit": "radians"}}) for name in ("sphere", "torus")}
ALL = [*SAMPLES.items(), *RADIANS.items()]


@pytest.mark.parametrize(("on", "given"), ALL)
def test_samples_become_states_and_back(on: str, given: tuple[Tensor, dict[str, Any]]) -> None:
    x, parts = given
    made = place(on, x, **parts)
    back = made.decode(made.encode(x))
    wanted = x - x.mean(1, keepdim=True) if on == "particles" else x
    assert torch.allclose(back, wanted, rtol=1e-9, atol=1e-9)
    if on == "sphere":  # the north pole, and the equator a quarter round
        unit = math.pi / 180 if not parts else 1.0
        at = made.encode(torch.tensor([[90, 0], [0, 90], [45, 0]]).double() / 180 * math.pi / unit)
        half = math.sqrt(0.5)
        assert torch.allclose(at, torch.tensor([[0, 0, 1], [0, 1, 0], [half, 0, half]]).double(), atol=1e-12)


@pytest.mark.parametrize(("on", "given"), ALL)
def test_densities_of_flows_that_stand_still(on: str, given: tuple[Tensor, dict[str, Any]]) -> None:
    """The base law, by the units of the user."""
    x, parts = given
    made = place(on, x, **parts)
    found = densities(made, still(made), made.encode(x))
    if on == "space":
        law = torch.distributions.Normal(x.mean(0), x.std(0))
        wanted = law.log_prob(x).sum(1)
    elif on == "sphere":
        wanted = torch.full((50,), -math.log(4 * math.pi)).double()
    elif on == "torus":
        wanted = torch.full((50,), -2 * math.log(2 * math.pi if parts else 360)).double()
    else:
        centred = x - x.mean(1, keepdim=True)
        scale = float(centred.square().sum() / (50 * 3 * 2)) ** 0.5
        wanted = -centred.square().sum((1, 2)) / (2 * scale**2) - 3 * math.log(2 * math.pi * scale**2)
    assert torch.allclose(found, wanted, atol=1e-9)


def test_likelihoods_do_not_see_other_samples() -> None:
    made = place("space", ROWS)
    torch.manual_seed(0)
    model = made.module()
    states = made.encode(ROWS)
    whole = densities(made, model, states)
    assert torch.allclose(whole[:3], densities(made, model, states[:3]), atol=1e-9)
    assert next(model.parameters()).dtype == torch.float32  # the model itself stays as it was


def test_what_matching_is_made_of() -> None:
    x = ROWS
    how = {"path": "variance_preserving", "sigma": 0.25, "coupling": "optimal"}
    made = place("space", x, flow=how).objective()
    assert isinstance(made, FlowMatching)
    assert type(made.path) is VariancePreservingPath
    assert made.path.sigma == 0.25
    assert made.coupling.cost(x, x)[0, 1] == pytest.approx(float((x[0] - x[1]).square().sum()))
    assert type(place("space", x).objective().path) is LinearPath
    for on, manifold in (("sphere", Sphere(3)), ("torus", Torus(2))):
        for name in ("optimal", "sinkhorn"):
            there = place(on, SAMPLES[on][0], flow={"coupling": name})
            objective, states = there.objective(), there.encode(SAMPLES[on][0])
            assert torch.equal(objective.coupling.cost(states, states), manifold.squared_distances(states, states))


def test_what_likelihood_is_made_of() -> None:
    how = {"method": "likelihood", "probes": 3, "kinetic": 0.5, "jacobian": 0.25}
    made = place("torus", ROWS, flow=how).objective()
    assert (made.probes, made.kinetic, made.jacobian) == (3, 0.5, 0.25)
    states = place("particles", SAMPLES["particles"][0]).objective()
    assert states.dims == 2


def test_the_reach_of_particles_is_in_the_units_of_the_data() -> None:
    x = SAMPLES["particles"][0]
    near, far = place("particles", x, model={"reach": 1.5}), place("particles", x)
    assert near.about["reach"] * near.about["scale"] == pytest.approx(1.5)
    largest = max(float(torch.pdist(one).max()) for one in x)
    assert far.about["reach"] * far.about["scale"] == pytest.approx(largest)


def test_the_error_of_a_mean() -> None:
    x = torch.tensor([1.0, 3.0, 5.0, 7.0]).double()
    mean, error = mean_error(x)
    assert mean == 4
    assert error == pytest.approx(math.sqrt(20 / 3) / 2)
    assert mean_error(x[:1]) == (1.0, None)


WITHOUT_EFFECT = [
    ("space", {"flow": {"kinetic": 0.1}}, "flow.kinetic is 0.1 and has no effect where flow.method is 'matching'"),
    ("space", {"flow": {"probes": 2}}, "flow.probes is 2 and has no effect"),
    ("space", {"model": {"reach": 2.0}}, "model.reach is 2.0 and has no effect where model.on is 'space'"),
    ("space", {"model": {"fields": 3}}, "model.fields is 3 and has no effect"),
    ("space", {"data": {"unit": "radians"}}, "data.unit is 'radians' and has no effect"),
    ("space", {"flow": {"method": "likelihood", "coupling": "optimal"}}, "flow.coupling is 'optimal' and has no"),
    ("sphere", {"flow": {"path": "variance_preserving"}}, "flow.path is 'variance_preserving' and has no effect"),
    ("torus", {"flow": {"sigma": 0.1}}, "flow.sigma is 0.1 and has no effect where model.on is 'torus'"),
    ("surface", {"flow": {"path": "variance_preserving"}}, "flow.path is 'variance_preserving' and has no effect"),
    ("surface", {"flow": {"tolerance": 1e-3}}, "flow.tolerance is 0.001 and has no effect"),
    ("fields", {"model": {"layers": 2}}, "model.layers is 2 and has no effect where model.on is 'fields'"),
    ("particles", {"model": {"hidden": 8}}, "model.hidden is 8 and has no effect"),
]


@pytest.mark.parametrize(("on", "parts", "said"), WITHOUT_EFFECT)
def test_settings_without_effect_are_refused(on: str, parts: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(on, **parts)
    assert said in str(caught.value)
    assert "it counts with" in str(caught.value)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="data.holdout is 0.5 and has no effect where samples are drawn anew"):
        read_flow({"data": {"name": "moons", "holdout": 0.5}})
    with pytest.raises(ConfigError, match="flow.tolerance is 1e-13, expected a finite number >= 1e-06"):
        config(flow={"tolerance": 1e-13})
    with pytest.raises(UnknownName, match="unknown coupling 'data'; known: independent, optimal, sinkhorn"):
        config(flow={"coupling": "data"})
    with pytest.raises(DatasetError, match="column 2 of the samples never changes"):
        place("space", torch.stack([ROWS[:, 0], torch.full((50,), 0.1).double() * 3], 1))
    with pytest.raises(DatasetError, match="data.unit is 'radians' and the samples have three coordinates"):
        place("sphere", torch.eye(3).double(), data={"unit": "radians"})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savetxt("a.csv", ROWS.numpy(), delimiter=",", header="mass,width", comments="")
    write_mesh("ball.vtu", sphere(2))
    return tmp_path


QUICK = {"steps": 5, "batch": 16}


def test_the_fit_is_kept_where_judging_fails(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*given: Any) -> Tensor:
        raise SolveError("the way back is lost")

    monkeypatch.setattr(learn, "densities", lost)
    done = learn_flow(config(training=QUICK), here / "run", pictures=False)
    assert (done.status, done.nll) == ("ok", None)
    assert "cannot be followed back from the samples kept aside: the way back is lost" in done.notes[0]
    told = json.loads((here / "run" / "manifest.json").read_text())
    assert told["status"] == "ok"
    assert "history.csv" in told["files"]


def test_a_crash_in_judging_leaves_a_run_that_ended(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Tensor:
        raise ZeroDivisionError

    monkeypatch.setattr(learn, "densities", broken)
    with pytest.raises(ZeroDivisionError):
        learn_flow(config(training=QUICK), here / "run", pictures=False)
    assert json.loads((here / "run" / "manifest.json").read_text())["status"] == "ok"
    assert len(draw_samples(reopen(here / "run"), 5)) == 5


def test_the_average_of_the_parameters_is_what_is_kept(here: Path) -> None:
    plain, mean = (
        learn_flow(config(training={**QUICK, "average": share}), here / f"run{share}", pictures=False)
        for share in (0.0, 0.9)
    )
    assert plain.loss == mean.loss  # the same fit
    assert plain.nll != mean.nll


def test_paths_to_files_are_those_of_the_training(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = learn_flow(config(training=QUICK), here / "run", pictures=False)
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    from graphpde.config import load
    from graphpde.run.subjects import beside

    again = read_flow(beside(load("../run/flow.toml"), Path("../run")))
    assert learn_flow(again, here / "twice", pictures=False).nll == first.nll


def test_columns_are_told_apart_by_their_names(here: Path) -> None:
    learn_flow(config(training=QUICK), here / "run", pictures=False)
    np.savetxt("b.csv", ROWS.flip(1).numpy(), delimiter=",", header="width,mass", comments="")
    np.savetxt("c.csv", ROWS.numpy(), delimiter=",", header="mass,height", comments="")
    assert judge("run", "b.csv").mean == judge("run", "a.csv").mean
    with pytest.raises(DatasetError, match="has the columns mass, height, and this flow was learned from mass, width"):
        judge("run", "c.csv")
    np.savetxt("g.csv", SAMPLES["sphere"][0].flip(1).numpy(), delimiter=",", header="longitude,latitude", comments="")
    found = material(config("sphere", data={"file": "g.csv"}))
    assert found.place.columns() == ["latitude", "longitude"]


def surface(**data: Any) -> Any:
    model = {"modes": 12, "features": 4, "fields": 2, "hidden": 8}
    return config("surface", data={"mode": 2, **data}, model=model, flow={"steps": 5}, training=QUICK)


def test_modes_that_come_out_otherwise_change_no_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs and turns within eigenspaces depend on the machine; a run has those that it was learned with."""
    learn_flow(surface(), here / "run", pictures=False)
    opened = reopen(here / "run")
    x = draw_samples(opened, 40, seed=1)
    before = log_likelihood(opened, x)

    def turned(domain: Any, k: int) -> EigenBasis:
        found = eigenbasis(domain, k)
        turn = torch.eye(found.k).double()
        turn[1:4, 1:4] = -torch.linalg.qr(torch.randn(3, 3, generator=RNG).double())[0]
        return EigenBasis(found.values, found.vectors @ turn, found.weighted @ turn)

    monkeypatch.setattr(meshes, "eigenbasis", turned)
    again = reopen(here / "run")
    assert torch.equal(draw_samples(again, 40, seed=1), x)
    assert torch.equal(log_likelihood(again, x), before)

    def never(domain: Any, k: int) -> EigenBasis:
        raise AssertionError("modes are kept")

    monkeypatch.setattr(meshes, "eigenbasis", never)
    assert torch.equal(log_likelihood(reopen(here / "run"), x), before)


def test_maps_have_longitude_to_the_right(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cluster at latitude 60 and longitude -100: where the picture of the density is brightest."""
    x = torch.tensor([60.0, -100.0]) + 3 * torch.randn(300, 2, generator=RNG)
    np.savetxt("g.csv", x.numpy(), delimiter=",")
    given = material(config("sphere", data={"file": "g.csv"}, flow={"tolerance": 1e-2}))

    assert pictures.axes_of(given.place).order == (1, 0)
    assert pictures.axes_of(given.place).limits == ((-180, 180), (-90, 90))
    torch.manual_seed(0)
    model = given.place.module()
    fit(model, given.place.objective(), given.batches(), update=Adam(1e-2), steps=150, rng=RNG)
    ((figure, _),) = pictures._density(given, model, None)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("longitude", "latitude")
    drawn = axes.collections[0]
    row, column = np.unravel_index(int(np.argmax(drawn.get_array())), (120, 120))
    assert abs(-90 + 180 * row / 119 - 60) < 20
    assert abs(-180 + 360 * column / 119 + 100) < 40
    with monkeypatch.context() as tight:  # what is drawn is nearly what is computed
        tight.setattr(given.place, "config", config("sphere", data={"file": "g.csv"}))
        few = given.held[:50].to(next(model.parameters()))
        exact = densities(given.place, model, few).exp()
        assert float((pictures._seen(given.place, model, few) / exact - 1).abs().max()) < 0.02


def test_a_run_keeps_to_its_mesh(here: Path) -> None:
    learn_flow(surface(), here / "run", pictures=False)
    write_mesh(here / "run" / "mesh.vtu", sphere(2, radius=1.01))
    with pytest.raises(CheckpointError, match=r"mesh.vtu' is not the mesh that this flow was learned on"):
        reopen(here / "run")
    (here / "run" / "mesh.vtu").unlink()
    with pytest.raises(CheckpointError, match=r"there is no '.*mesh.vtu', the mesh that this flow was learned on"):
        reopen(here / "run")


@pytest.mark.parametrize("ending", ("obj", "stl", "ply", "off"))
def test_meshes_of_other_formats_are_the_same_when_they_are_opened_again(here: Path, ending: str) -> None:
    write_mesh(here / f"ball.{ending}", sphere(1))
    learn_flow(surface(mesh=f"ball.{ending}"), here / "run", pictures=False)
    assert draw_samples(reopen(here / "run"), 3).shape == (3, 3)


def test_points_without_a_face_are_left_out(here: Path) -> None:
    ball = sphere(2)
    more = Mesh(torch.cat([torch.full((2, 3), 9.0), ball.points]), {"triangle": ball.cells["triangle"] + 2})
    write_mesh("more.vtu", more)
    done = learn_flow(surface(mesh="more.vtu"), here / "run", pictures=False)
    assert any("2 points of" in note and "belong to no cell were left out" in note for note in done.notes)
    plain = learn_flow(surface(), here / "plain", pictures=False)
    assert done.nll == pytest.approx(plain.nll, rel=1e-6)


def test_points_of_the_mesh_have_a_likelihood(here: Path) -> None:
    """Also with triangles both ways round."""
    ball = sphere(2)
    corners = ball.cells["triangle"].clone()
    corners[::2] = corners[::2][:, [0, 2, 1]]
    write_mesh("mixed.vtu", ball.with_cells({"triangle": corners}))
    learn_flow(surface(mesh="mixed.vtu"), here / "run", pictures=False)
    opened = reopen(here / "run")
    states = opened.place.encode(ball.points)
    assert torch.allclose(opened.place.decode(states), ball.points, atol=1e-9)
    assert bool(torch.isfinite(log_likelihood(opened, ball.points)).all())


def test_modes_that_a_mesh_does_not_have(here: Path) -> None:
    write_mesh("ball.vtu", sphere(0))
    with pytest.raises(ConfigError, match="data.mode is 12, and 'ball.vtu' of 12 points has modes 1 to 11"):
        learn_flow(surface(mode=12), here / "run", pictures=False)


def test_fields_begin_with_their_base_and_are_paired(here: Path) -> None:
    n = sphere(2).n
    x = torch.randn(30, n, 1, generator=RNG).double()
    made = place("fields", x, data={"file": "f.npz"}, model={"modes": 9}, flow={"coupling": "optimal"})
    objective = made.objective()
    assert objective.base is made.base
    assert objective.coupling.cost(x.flatten(1), x.flatten(1)).shape == (30, 30)
    for length in (0.2, 2.0):
        smooth = place("fields", x, data={"file": "f.npz"}, model={"modes": 9, "length": length})
        model = smooth.module()
        assert model.length == length
        u = smooth.base.draw(torch.zeros(400, n, 1), RNG).double()
        assert float(u.square().mean()) == pytest.approx(1, abs=0.15)  # 9 modes of 400 fields
    model = made.module()
    velocity, u = model.on(made.space), torch.ones(1, n, 1)
    one = velocity(torch.tensor(0.5), u)
    model.length = 3.0
    far = velocity(torch.tensor(0.5), u + made.space.pos[:, :1].float())
    model.length = 0.3
    assert not torch.allclose(far, velocity(torch.tensor(0.5), u + made.space.pos[:, :1].float()))
    assert one.shape == (1, n, 1)


def test_pictures_of_every_place(here: Path) -> None:
    np.savetxt("g.csv", SAMPLES["sphere"][0].numpy(), delimiter=",")
    np.savetxt("one.csv", ROWS[:, :1].numpy(), delimiter=",")
    np.savez("p.npz", x=SAMPLES["particles"][0].numpy())
    np.savez("f.npz", x=np.random.default_rng(0).normal(size=(20, sphere(2).n, 1)))
    small = {"training": QUICK, "flow": {"tolerance": 1e-2}}
    wanted = {
        "space": (config(**small), {"samples", "density", "paths", "training"}),
        "one": (config(data={"file": "one.csv"}, **small), {"samples", "training"}),
        "sphere": (config("sphere", data={"file": "g.csv"}, **small), {"samples", "density", "paths", "training"}),
        "torus": (config("torus", data={"file": "g.csv"}, **small), {"samples", "density", "paths", "training"}),
        "particles": (config("particles", data={"file": "p.npz"}, **small), {"samples", "distances", "training"}),
        "surface": (surface(), {"density", "paths", "training"}),
        "fields": (
            config("fields", data={"file": "f.npz"}, model={"modes": 9, "hidden": 4}, **small),
            {"samples", "training"},
        ),
    }
    for name, (chosen, names) in wanted.items():
        done = learn_flow(chosen, here / name)
        assert {file.stem for file in (here / name / "figures").iterdir()} == names, name
        assert "could not be drawn" not in (here / name / "report.html").read_text(), name
        with open(done.folder / "history.csv", newline="") as file:
            assert len(list(csv.reader(file))) == 6
