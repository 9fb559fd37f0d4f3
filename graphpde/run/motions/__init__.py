"""Motions learned from trajectories: tables, data, models, a run folder, and how they go on."""
