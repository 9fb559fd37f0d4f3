"""Wavefront OBJ surfaces, read and written."""
