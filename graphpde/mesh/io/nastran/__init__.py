"""Nastran bulk data, read and written."""
