"""Benchmarks of learned flows: solvers, densities, particles, surfaces, fields; rows of docs/flow.md."""
