"""Reader of triangulated surfaces in well-known text: ``TIN (((x y z, x y z, x y z, x y z)), ...)``.

Source: OGC 06-103r4, "Simple feature access, part 1", section 7 (each ring repeats its first point at its end).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, numbers


def read(path: Path) -> RawMesh:
    """Read a .wkt file with one TIN; equal coordinates are one point.

    Raises:
        Unreadable: another geometry, a face that is no closed triangle.
    """
    text = path.read_text("latin-1").strip()
    head, _, body = text.partition("(")
    if head.split() != ["TIN"] or not body.endswith(")"):
        raise Unreadable("it holds no complete TIN (...)")
    rings = [ring.replace("(", " ").strip() for ring in body[:-1].split(")") if ring.strip(" ,\r\n")]
    corners = []
    for ring in rings:
        points = ring.lstrip(", ").split(",")
        if len(points) != 4 or points[0].split() != points[3].split():
            raise Unreadable(f"the face '{' '.join(ring.split())[:60]}' is no closed triangle")
        corners += points[:3]
    widths = {len(point.split()) for point in corners}
    if len(widths) != 1 or not widths <= {2, 3}:
        raise Unreadable("its points have differing numbers of coordinates")
    x = numbers(" ".join(corners), np.float64, "a coordinate").reshape(len(corners), -1)
    distinct, inverse = np.unique(x, axis=0, return_inverse=True)
    return RawMesh(distinct, [Block("triangle", inverse.reshape(-1, 3))])
