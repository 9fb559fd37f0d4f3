"""MED of Salome and Code_Aster, in HDF5, read and written."""
