"""Flows learned from samples, from a TOML file to a run folder and back."""
