"""What formats that lie in HDF5 files have in common."""
