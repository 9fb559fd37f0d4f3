"""The real meshes, for the tests of readers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def meshes(shared_data: Path) -> Path:
    """The folder of other people's meshes."""
    folder = shared_data / "meshes"
    if not folder.is_dir():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    return folder
