"""Mesh files: what is read of real ones, whether it is right, how fast, and how damaged ones are met."""
