"""What ``graphpde train`` can learn, by the key ``learn`` of its file: flows, and laws of motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from graphpde.config.section import choice
from graphpde.run.flows.config import FlowConfig, read_flow
from graphpde.run.motions.config import MotionConfig, read_motion
from graphpde.run.motions.kinds import KINDS

FLOW = "flow"


class Subject(NamedTuple):
    """A configuration that was read, and what goes with it.

    Attributes:
        config: checked values. title: of run folders. learn: (config, folder, command=, pictures=, progress=, stop=) ->
            what learning came to. headline: of that, one line.
    """

    config: Any
    title: str
    learn: Callable[..., Any]
    headline: Callable[[Any], str]


def beside(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same tables, the files of [data] relative to where the tables lie."""
    data = values.get("data")
    if not isinstance(data, Mapping):
        return dict(values)
    files = {
        name: str(folder / data[name]) for name in ("file", "mesh") if isinstance(data.get(name), str) and data[name]
    }
    return {**values, "data": {**data, **files}}


def subject_of(values: Mapping[str, Any]) -> Subject:
    """What tables ask for.

    Raises:
        UnknownName: nothing of that name, or a key that is not known. ConfigError: a value that cannot be used.
    """
    learn = choice("thing to learn", (FLOW, *KINDS))(values.get("learn", FLOW), "learn")
    if learn == FLOW:
        return _flow(read_flow({key: value for key, value in values.items() if key != "learn"}))
    return _motion(read_motion(values))


def _flow(config: FlowConfig) -> Subject:
    from graphpde.run.flows.learn import learn_flow
    from graphpde.run.flows.page import headline

    data = config.data
    return Subject(config, f"flow-{data.name or _stem(data.file or data.mesh)}", learn_flow, headline)


def _motion(config: MotionConfig) -> Subject:
    from graphpde.run.motions.learn import learn_motion
    from graphpde.run.motions.page import headline

    return Subject(config, f"{config.learn}-{_stem(config.source)}", learn_motion, headline)


def _stem(path: str) -> str:
    return Path(path).name.split(".")[0]
