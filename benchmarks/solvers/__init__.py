"""Solvers at scale: time and memory beside pyamg and scipy, and cost against the number of unknowns."""
