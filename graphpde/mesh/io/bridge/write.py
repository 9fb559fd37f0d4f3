"""The guarded way to meshio's writers, for formats without a writer of our own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.bridge.read import muted, reason_of
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.vtk.vtu_write import field_values
from graphpde.mesh.mesh import Mesh

_FLAT_POINTS = ("netgen",)  # formats with 2-D points of their own


def write(
    path: Path,
    mesh: Mesh,
    point_data: dict[str, Any],
    cell_data: dict[str, Any],
    *,
    name: str,
    keeps_fields: bool = False,
    **options: Any,
) -> list[str]:
    """Write a mesh by meshio's writer of that name.

    Args:
        keeps_fields: whether the format takes fields at all. options: of meshio's writer.

    Raises:
        OutputError: the writer gave up, or needs a package that is missing.
    """
    import meshio

    x = mesh.points.detach().cpu().numpy()
    if not (name in _FLAT_POINTS and mesh.space_dim == 2):
        x = np.pad(x, ((0, 0), (0, 3 - mesh.space_dim)))
    blocks = [(kind, nodes.numpy()) for kind, nodes in mesh.cells.items()]
    ends = np.cumsum([len(nodes) for _, nodes in blocks])[:-1]
    points = {key: field_values(key, v, mesh.n, "PointData") for key, v in point_data.items()}
    cells = {key: np.split(field_values(key, v, mesh.n_cells, "CellData"), ends) for key, v in cell_data.items()}
    with muted() as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fields = {"point_data": points, "cell_data": cells} if keeps_fields else {}
            meshio.write(str(path), meshio.Mesh(x, blocks, **fields), file_format=name, **options)
        except OSError:
            raise
        except ModuleNotFoundError as error:
            raise OutputError(
                f"cannot write '{path.name}': it needs {error.name}; run: pip install \"graphpde[io]\""
            ) from None
        except (Exception, SystemExit) as error:
            if isinstance(error, KeyError) and error.args and error.args[0] in mesh.cells:
                reason = f"its writer does not take {error.args[0]} cells"
            else:
                reason = reason_of("" if isinstance(error, SystemExit) else str(error), said)[:200]
            reason = reason or "its writer does not take these cells"
            raise OutputError(f"cannot write '{path.name}': {reason}; write a .vtu file instead") from error
    return flattened(mesh)
