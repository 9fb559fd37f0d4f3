"""VTK's files: legacy (.vtk), and unstructured grids (.vtu) and surfaces (.vtp) in XML."""
