"""Graphs: training, reaction-diffusion and node classification, measured."""
