"""The real data sets where they lie beside the checkout, and a small one that is always there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.planetoid_folder import planetoid_parts, write_planetoid


@pytest.fixture(scope="session")
def graphs(shared_data: Path) -> Path:
    """The real graphs, to be read only."""
    folder = shared_data / "graphs"
    if not folder.is_dir():
        pytest.skip("the real graphs beside the checkout (../shared/data/graphs) are absent")
    return folder


@pytest.fixture
def small_cora(tmp_path: Path) -> Path:
    """A folder that says it is Cora."""
    return write_planetoid(tmp_path / "Cora" / "raw", planetoid_parts())
