"""XDMF: a mesh described in XML, its numbers there or in files beside it."""
