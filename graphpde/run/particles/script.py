"""A run of particles as a Python script."""

from __future__ import annotations

import inspect
import json

from graphpde.run.particles.config import ParticleSetup


def script(setup: ParticleSetup, command: str) -> str:
    """The script that computes what the command would compute."""
    config, plan = setup.config, setup.config.time
    make = setup.known.make
    given = dict(config.system)
    if "seed" in inspect.signature(make).parameters:
        given["seed"] = config.seed
    numbers = ", ".join(f"{name}={value!r}" for name, value in given.items())
    how = f"dt={setup.dt!r}" if setup.control is None else f"control=Adaptive({plan.rtol!r}, {plan.atol!r})"
    adaptive = "" if setup.control is None else "Adaptive, "
    return f'''"""{setup.known.title}.

The same as: {command}
"""

import torch

from graphpde.dynamics import {adaptive}evolve
from {make.__module__} import {make.__name__}
from graphpde.hamiltonian.balance import EnergyGuard, kept

system, u0 = {make.__name__}({numbers})
times = torch.linspace({plan.start!r}, {plan.end!r}, {plan.frames + 1}, dtype=torch.float64)
path = evolve(system, u0, times, stepper={json.dumps(setup.stepper.name)}, {how}, watch=EnergyGuard(system, u0))
start, end = kept(system, path.states[0]), kept(system, path.states[-1])
print(f"energy {{start.energy:.6g}} -> {{end.energy:.6g}}, momentum {{start.momentum}} -> {{end.momentum}}")
'''
