"""Laws in the plane: densities that integrate to one and are those of the points that are drawn."""

from __future__ import annotations

import math

import pytest
import torch

from graphpde.data import PLANAR
from graphpde.errors import InputError, UnknownName


@pytest.mark.parametrize("name", PLANAR)
def test_the_density_integrates_to_one(name: str) -> None:
    axis = torch.arange(-9, 9, 0.1, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    total = sum(float(PLANAR[name].log_density(part).exp().sum()) for part in x.split(20_000)) * 0.1**2
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", PLANAR)
def test_points_have_this_density(name: str) -> None:
    """Shares of 25 squares, drawn and by the density, in standard errors; and the entropy two ways."""
    law, count = PLANAR[name], 20_000
    x = law.draw(count, torch.Generator().manual_seed(0), torch.float64)
    axis = torch.arange(-8, 8, 0.1, dtype=torch.float64) + 0.05
    grid = torch.cartesian_prod(axis, axis)
    p = torch.cat([law.log_density(part) for part in grid.split(20_000)])[:, 0].exp() * 0.1**2

    def square(y: torch.Tensor) -> torch.Tensor:
        return ((y + 8) / 3.2).floor().clamp(0, 4).long() @ torch.tensor([5, 1])

    drawn = torch.bincount(square(x), minlength=25) / count
    wanted = torch.bincount(square(grid), weights=p, minlength=25)
    error = (wanted.clamp_min(1e-4) / count).sqrt()
    assert float(((drawn - wanted) / error).abs().max()) < 5
    logp = law.log_density(x)
    entropy = -float((p * p.clamp_min(1e-300).log()).sum() - math.log(0.1**2))
    assert -float(logp.mean()) == pytest.approx(entropy, abs=5 * float(logp.std()) / math.sqrt(count))


def test_precision_and_refusals() -> None:
    assert PLANAR["moons"].draw(3).dtype == torch.float32
    assert PLANAR["moons"].log_density(torch.zeros(2, 2)).dtype == torch.float32
    with pytest.raises(InputError, match="count is 0, expected a whole number >= 1"):
        PLANAR["moons"].draw(0)
    with pytest.raises(UnknownName, match="did you mean 'moons'"):
        PLANAR["moon"]
