"""Where numbers are drawn from: the states of all generators, kept and put back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_states(rng: torch.Generator | None = None) -> dict[str, Any]:
    """The states of torch (CPU and every CUDA device), numpy and Python, and of one more generator."""
    drawn = np.random.get_state(legacy=False)
    assert isinstance(drawn, dict)
    version, words, spare = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": list(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else [],
        "numpy": {
            "kind": drawn["bit_generator"],
            "key": torch.from_numpy(np.asarray(drawn["state"]["key"], dtype=np.int64)),
            **{name: drawn["state"]["pos"] if name == "pos" else drawn[name] for name in ("pos", "has_gauss", "gauss")},
        },
        "python": {"version": version, "words": torch.tensor(words), "spare": spare},
        "rng": None if rng is None else rng.get_state(),
    }


def set_random_states(states: Mapping[str, Any], rng: torch.Generator | None = None) -> None:
    """Put back what :func:`random_states` kept; CUDA devices that are not there are left out."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available():
        for device, state in zip(range(torch.cuda.device_count()), states["cuda"]):
            torch.cuda.set_rng_state(state, device)
    drawn = states["numpy"]
    state = {"key": drawn["key"].numpy().astype(np.uint32), "pos": drawn["pos"]}
    kept = {"bit_generator": drawn["kind"], "state": state, "has_gauss": drawn["has_gauss"], "gauss": drawn["gauss"]}
    np.random.set_state(kept)
    python = states["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["spare"]))
    if rng is not None and states["rng"] is not None:
        rng.set_state(states["rng"])


class Replay:
    """Lets torch draw the same numbers again: from its own generator, that of a device, and an explicit one.

    Args:
        device: what the parameters lie on. rng: the explicit generator.
    """

    def __init__(self, device: torch.device, rng: torch.Generator | None):
        self._rng, self._cuda = rng, device if device.type == "cuda" else None
        self._kept: list[Tensor] = []

    def keep(self) -> None:
        """From here on numbers are to be repeated."""
        self._kept = self._states()

    def rewind(self) -> None:
        """Draw again what came after :meth:`keep`."""
        torch.set_rng_state(self._kept[0])
        if self._rng is not None:
            self._rng.set_state(self._kept[1])
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._kept[-1], self._cuda)

    def drew(self) -> bool:
        """Whether anything was drawn since."""
        return not all(torch.equal(old, new) for old, new in zip(self._kept, self._states()))

    def _states(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self._rng is not None:
            states.append(self._rng.get_state())
        if self._cuda is not None:
            states.append(torch.cuda.get_rng_state(self._cuda))
        return states
