"""CGNS, in HDF5."""
