"""Medit meshes, text and binary, read and written."""
