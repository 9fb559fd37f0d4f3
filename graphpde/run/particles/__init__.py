"""Runs of particles: a named system goes in; trajectories, pictures, certificates and a report come out."""
