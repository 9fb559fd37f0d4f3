"""Exodus II, in NetCDF, read and written."""
