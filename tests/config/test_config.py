"""Problem files are read strictly, merged in layers, and written so that reading gives them back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from graphpde.config import assign, dump, load, merge, prepare, read_config
from graphpde.config.schedule import MOST_FRAMES
from graphpde.errors import ConfigError, FormulaError, InputError, MeshError, StepTooLong, UnknownName
from graphpde.formula import Formula

BASE: dict[str, Any] = {"pde": "heat", "mesh": "part.msh"}

names = some.text(max_size=8)
leaves = some.one_of(
    some.booleans(),
    some.integers(-(2**63), 2**63 - 1),
    some.floats(allow_nan=False, allow_infinity=False),
    some.text(some.characters(codec="utf-8"), max_size=12),
)
values = some.one_of(leaves, some.lists(leaves, max_size=3))
tables = some.recursive(
    some.dictionaries(names, values, max_size=3),
    lambda inner: some.dictionaries(names, some.one_of(values, inner.filter(bool)), max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(tables)
def test_dump_and_tomllib_are_inverse(table: dict[str, Any]) -> None:
    assert tomllib.loads(dump(table)) == _without_empty(table)


def _without_empty(table: dict[str, Any]) -> dict[str, Any]:
    """Empty tables leave no trace."""
    out = {k: _without_empty(v) if isinstance(v, dict) else v for k, v in table.items()}
    return {k: v for k, v in out.items() if v != {}}


def test_dump_refuses_what_toml_has_no_form_for() -> None:
    with pytest.raises(ConfigError, match="a.b is nan"):
        dump({"a": {"b": float("nan")}})
    assert dump({"a": None, "b": {}}) == "\n"


def test_defaults() -> None:
    config = read_config(BASE)
    assert (config.seed, config.device, config.dtype, config.steady) == (0, "cpu", "float64", False)
    assert config.time.frames == 20 and config.time.dt is None and config.output.pictures == "summary"
    assert config.mesh.path == Path("part.msh") and config.mesh.label == "part" and not config.driven


def test_everything_at_once_survives_the_way_through_a_file() -> None:
    given = {
        "pde": "gray-scott",
        "seed": 3,
        "dtype": "float32",
        "mesh": {"shape": "plate_with_holes", "size": 0.3, "holes": [[0.5, 0.5, 0.2]]},
        "coefficients": {"kappa_u": "1e-4*(1 + x)", "kappa_v": {"steel": 1e-5, "*": 2e-5}},
        "initial": {"u": "1 - y", "v": 0.25, "noise": 0.5},
        "boundary": {
            "left side": {"value": {"u": 1.0, "v": "sin(t)"}, "override": True},
            "right": {"inflow": {"v": 2.0}},
        },
        "source": {"u": "x*t"},
        "reaction": {"name": "gray-scott", "feed": 0.03},
        "time": {"start": 1, "end": 2.5, "dt": 0.1, "frames": 3, "stepper": "rk4"},
        "output": {"pictures": "all", "npz": False, "report": False, "units": {"u": "mol", "length": "mm"}},
        "solver": {"method": "cg", "rtol": 1e-6, "allow_unstable": True},
    }
    config = read_config(given)
    assert config.boundary["left side"].value == {"u": 1.0, "v": Formula("sin(t)", ("x", "y", "z", "t"))}
    assert read_config(tomllib.loads(dump(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pde": 3}, "pde is 3, expected text"),
        ({"mesh": 3}, r"mesh is 3, expected a table: \[mesh\]"),
        ({"mesh": ""}, "mesh is '', expected text"),
        ({"mesh": {}}, "neither a path nor a shape"),
        ({"mesh": {"shape": "disk", "size": "big"}}, "mesh.size is 'big', expected a finite number"),
        ({"mesh": {"shape": "disk", "size": [float("inf")]}}, "mesh.size is inf"),
        ({"seed": 1.5}, "seed is 1.5, expected a whole number"),
        ({"seed": True}, "seed is true"),
        ({"steady": 1}, "steady is 1, expected true or false"),
        ({"time": 3}, r"time is 3, expected a table"),
        ({"time": {"dt": True}}, "time.dt is true, expected a finite number > 0"),
        ({"time": {"dt": "0.1"}}, "time.dt is '0.1'"),
        ({"time": {"dt": 10**400}}, "time.dt is 1000"),
        ({"time": {"frames": 2.0}}, "time.frames is 2.0"),
        ({"time": {"frames": MOST_FRAMES + 1}}, "expected a whole number from 1 to"),
        ({"time": {"start": 2, "end": 1}}, "time.end is 1, expected a time after the start at 2"),
        ({"coefficients": {"kappa": []}}, r"coefficients.kappa is \[\]"),
        ({"coefficients": {"kappa": {}}}, "is an empty table"),
        ({"coefficients": {"kappa": {"steel": "t"}}}, "coefficients.kappa.steel: formula 't'"),
        ({"coefficients": {"kappa": [[1, 0]]}}, r"coefficients.kappa is \[\[1, 0\]\], expected a number, a formula or"),
        ({"coefficients": {"kappa": [[1, True], [0, 1]]}}, r"coefficients.kappa\[0\]\[1\] is true"),
        ({"periodic": ["left"]}, "periodic is .'left'., expected pairs of sets"),
        ({"coefficients": {"kappa": {"steel": -1}}}, "coefficients.kappa.steel is -1, expected a finite number >= 0"),
        ({"pde": "advection", "coefficients": {"velocity": 1}}, "one number or formula per dimension"),
        ({"pde": "advection", "coefficients": {"velocity": [1, "t"]}}, r"coefficients.velocity\[1\]: formula 't'"),
        ({"initial": {"noise": -1}}, "initial.noise is -1"),
        ({"boundary": {"a": {"value": 1, "inflow": 1}}}, "boundary.a has both a value and an inflow"),
        ({"boundary": {"a": {"inflow": 1, "override": True}}}, "overrides with an inflow"),
        ({"boundary": {"a": True}}, "boundary.a.value is true"),
        ({"pde": "gray-scott", "boundary": {"a": {"value": {"u": 1}}}}, "says nothing about v"),
        ({"pde": "gray-scott", "initial": 1}, "initial is one value and gray-scott has fields u, v"),
        ({"pde": "poisson", "time": {"dt": 1}}, "poisson has no time"),
        ({"reaction": {"rate": 1}}, "reaction has no name"),
        ({"output": {"npz": "yes"}}, "output.npz is 'yes', expected true or false"),
        ({"output": {"units": {"u": ""}}}, "output.units.u is ''"),
        ({"solver": {"rtol": 0}}, "solver.rtol is 0, expected a finite number > 0"),
    ],
)
def test_wrong_values(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_config({**BASE, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pde": "heatt"}, "unknown pde 'heatt'.*did you mean 'heat'"),
        ({"coeficients": {}}, "did you mean 'coefficients'"),
        ({"coefficients": {"kapa": 1}}, r"unknown key in \[coefficients\] 'kapa'.*did you mean 'kappa'"),
        ({"boundary": {"a": {"valu": 1}}}, r"unknown key in \[boundary.a\] 'valu'.*did you mean 'value'"),
        ({"mesh": {"path": "a.msh", "size": 1}}, r"unknown key in \[mesh\] 'size'"),
        ({"time": {"t_end": 1}}, r"unknown key in \[time\] 't_end'"),
        ({"output": {"units": {"w": "K"}}}, r"unknown key in \[output.units\] 'w'"),
        ({"solver": {"method": "chol"}}, "unknown solver 'chol'"),
        ({"reaction": {"name": "logistik"}}, "did you mean 'logistic'"),
    ],
)
def test_unknown_names_get_the_nearest(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        read_config({**BASE, **change})


def test_what_must_be_there() -> None:
    with pytest.raises(
        ConfigError, match="names no pde; expected one of advection, .*allen-cahn, .*gray-scott, heat, .*poisson"
    ):
        read_config({"mesh": "a.msh"})
    with pytest.raises(ConfigError, match="has no mesh"):
        read_config({"pde": "heat"})


def test_formulas_say_where_they_stand() -> None:
    with pytest.raises(FormulaError, match="source.u: formula 'x[(]0[)]'"):
        read_config({**BASE, "source": {"u": "x(0)"}})


def test_merge() -> None:
    base = {"a": 1, "time": {"dt": 1, "end": 2}, "boundary": {"l": 1.0, "r": {"inflow": 2}}, "mesh": "a.msh"}
    assert merge(base, {"time": {"dt": 3}})["time"] == {"dt": 3, "end": 2}
    assert merge(base, {"boundary": {"r": {"value": 1}}})["boundary"] == {"l": 1.0, "r": {"value": 1}}
    assert merge(base, {"boundary": {"l": {"override": True}}})["boundary"]["l"] == {"value": 1.0, "override": True}
    assert merge(base, {"mesh": {"shape": "disk"}})["mesh"] == {"shape": "disk"}
    assert merge({"mesh": {"shape": "disk", "size": 1}}, {"mesh": {"size": 2}})["mesh"] == {"shape": "disk", "size": 2}
    assert merge({"mesh": {"shape": "disk", "size": 1}}, {"mesh": "b.msh"})["mesh"] == "b.msh"
    kappa = {"coefficients": {"kappa": {"steel": 1, "*": 2}}}
    assert merge(kappa, {"coefficients": {"kappa": {"steel": 3}}})["coefficients"]["kappa"] == {"steel": 3, "*": 2}
    assert merge(kappa, {"coefficients": {"kappa": 4}})["coefficients"]["kappa"] == 4
    reaction = {"reaction": {"name": "gray-scott", "feed": 1}}
    assert merge(reaction, {"reaction": {"name": "decay"}})["reaction"] == {"name": "decay"}
    assert merge(reaction, {"reaction": {"kill": 2}})["reaction"] == {"name": "gray-scott", "feed": 1, "kill": 2}
    assert base["time"] == {"dt": 1, "end": 2} and base["boundary"]["r"] == {
        "inflow": 2
    }  # nothing was changed in place


def test_assign() -> None:
    assert assign("time.dt=0.1") == {"time": {"dt": 0.1}}
    assert assign("initial.u=exp(-x**2)") == {"initial": {"u": "exp(-x**2)"}}
    assert assign('boundary."a name".value=1') == {"boundary": {"a name": {"value": 1}}}
    assert assign("mesh.holes=[[1, 2, 3]]") == {"mesh": {"holes": [[1, 2, 3]]}}
    for wrong in ("dt", "=1", "a=", "a b=1", "a=1\nb=2", "[x]\na=1"):
        with pytest.raises(ConfigError):
            assign(wrong)


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "p.toml"
    file.parent.mkdir()
    file.write_text('pde = "heat"\nmesh = "a.msh"\n')
    assert load(file)["mesh"] == str(tmp_path / "deep" / "a.msh")
    file.write_text('pde = "heat"\n[mesh]\npath = "/abs/a.msh"\n')
    assert load(file)["mesh"]["path"] == "/abs/a.msh"
    file.write_text("a = 1\na = 2\n")
    with pytest.raises(ConfigError, match="is not TOML: .*line 2"):
        load(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load(file)
    file.write_text("a = " + "[" * 5000)
    with pytest.raises(ConfigError, match="is not TOML"):
        load(file)


def test_prepare_refuses_before_anything_is_computed() -> None:
    disk = {"pde": "heat", "mesh": {"shape": "disk", "size": 0.5}}
    with pytest.raises(StepTooLong, match="backward_euler"):
        prepare(read_config({**disk, "time": {"stepper": "euler", "dt": 1.0, "end": 2.0}}))
    allowed = {"time": {"stepper": "euler", "dt": 1.0, "end": 2.0}, "solver": {"allow_unstable": True}}
    assert prepare(read_config({**disk, **allowed})).steps == 20
    with pytest.raises(ConfigError, match="do not fit"):
        prepare(read_config({**disk, "time": {"start": 1e17, "end": 1.0000000000000002e17, "frames": 50}}))
    with pytest.raises(MeshError, match="radius"):
        prepare(read_config({"pde": "heat", "mesh": {"shape": "disk", "radius": -1}}))
    with pytest.raises(InputError, match="plate_with_holes"):
        prepare(read_config({"pde": "heat", "mesh": {"shape": "plate_with_holes", "holes": 3}}))


def test_the_step_fits_the_frames() -> None:
    setup = prepare(
        read_config({"pde": "heat", "mesh": {"shape": "disk", "size": 0.5}, "time": {"end": 1, "dt": 0.3, "frames": 2}})
    )
    assert setup.dt == 0.25 and setup.steps == 4 and setup.times.tolist() == [0, 0.5, 1]
