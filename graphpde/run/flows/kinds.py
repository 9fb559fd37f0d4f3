"""Every place that flows are learned on, by its name in TOML files."""

from __future__ import annotations

from graphpde.run.flows.meshes import Fields, Surface
from graphpde.run.flows.places import OfParticles, OnSphere, OnTorus, Place, Space

KINDS: dict[str, type[Place]] = {
    "space": Space,
    "sphere": OnSphere,
    "torus": OnTorus,
    "particles": OfParticles,
    "surface": Surface,
    "fields": Fields,
}
