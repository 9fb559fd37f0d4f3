"""Patterns told by numbers: fields whose class is known by construction, topology, spectra, unrest, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core import Graph, Lattice, Relation, barabasi_albert
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import P2, Cochains, Mesh, Space, rectangle, refine, sphere, torus
from graphpde.ops.patterns import alignment, classify, euler_characteristic, otsu, temporal_variance
from graphpde.ops.spectral import modes
from graphpde.ops.structure import structure_factor

GRID = Lattice(96, 96)
WAVES = 8


def waves(x: Tensor, period: float, count: int) -> Tensor:
    """The sum of plane waves of one length [n], their directions spread evenly: 1 = stripes, 3 = hexagonal spots."""
    angle = math.pi * torch.arange(count, dtype=torch.float64) / count
    k = 2 * math.pi / period * torch.stack([angle.cos(), angle.sin()])
    return (x @ k).cos().sum(1)


def hexagons() -> Tensor:
    """Spots on a hexagonal lattice that fits the periodic grid nearly (8 and 7 half rows instead of 4 sqrt(3))."""
    assert GRID.pos is not None
    x, y = (2 * math.pi * GRID.pos / 96).T
    return (2 * 4 * y).cos() + 2 * (7 * x).cos() * (4 * y).cos()


def maze(seed: int) -> Tensor:
    """Noise with wave numbers in a narrow ring: both phases are drawn out and have no direction."""
    rng = np.random.default_rng(seed)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96), indexing="ij")) * 96
    ring = np.exp(-0.5 * ((k - WAVES) / 0.8) ** 2)
    return torch.from_numpy(np.fft.ifft2(np.fft.fft2(rng.standard_normal((96, 96))) * ring).real.reshape(-1).copy())


@pytest.fixture(scope="module")
def square() -> Space:
    return Space(rectangle(48, 48))


def test_classes_known_by_construction() -> None:
    assert GRID.pos is not None
    stripes = waves(GRID.pos, 12.0, 1)
    found = classify(GRID, stripes)
    assert found.kind == found.shape == "stripes" and found.direction == pytest.approx(1.0)
    assert found.wavelength == pytest.approx(12.0, rel=0.02) and (found.parts, found.gaps, found.euler) == (8, 8, 0)
    assert found.share == pytest.approx(0.5, abs=0.1)  # a column of nodes is a twelfth of a wave
    spots = classify(GRID, hexagons())
    assert (spots.kind, spots.parts, spots.gaps, spots.euler) == ("spots", 2 * 4 * 7, 1, 56) and spots.direction < 0.1
    holes = classify(GRID, -hexagons())
    assert (holes.kind, holes.parts, holes.gaps, holes.euler) == ("holes", 1, 56, -56)
    assert classify(GRID, torch.full((GRID.n,), 3.0)).kind == "uniform"
    assert classify(GRID, 1 + 4e-3 * stripes).kind == "uniform" and classify(GRID, 1 + 6e-3 * stripes).kind == "stripes"


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_stripes_may_run_any_way(turn: int, square: Space) -> None:
    """Along an axis, steeply, along both diagonals; the numbers are of waves along x and y."""
    ways = [(8, 0), (8, 4), (8, 8), (4, -8)][turn]
    for domain, side in ((GRID, 96.0), (square, 1.0)):
        assert domain.pos is not None
        u = (2 * math.pi / side * (domain.pos @ torch.tensor(ways, dtype=torch.float64))).cos()
        # differences over two spacings see the steeper component weaker, sin(kh) / kh: 0.83 against 0.95 here
        assert alignment(domain, u) > 0.95
        assert classify(domain, u).kind == "stripes"


@pytest.mark.parametrize("seed", range(4))
def test_a_maze_is_a_labyrinth(seed: int) -> None:
    found = classify(GRID, maze(seed).sign() * maze(seed).abs().sqrt())
    assert found.kind == "labyrinth" and found.direction < 0.5 and max(found.small) < 0.5
    assert found.wavelength == pytest.approx(96 / WAVES, rel=0.15)


def test_the_class_does_not_depend_on_scale_or_units() -> None:
    for factor, shift in ((1e-3, 0.0), (50.0, -7.0)):
        assert classify(GRID, factor * hexagons() + shift).kind == "spots"
    coarse = Lattice(96, 96, spacing=0.01)
    assert classify(coarse, hexagons()).wavelength == pytest.approx(0.01 * classify(GRID, hexagons()).wavelength)


def test_a_few_spots_far_apart_are_spots() -> None:
    assert GRID.pos is not None
    u = torch.zeros(GRID.n, dtype=torch.float64)
    for at in ([20.0, 20.0], [60.0, 30.0], [40.0, 70.0]):
        u += torch.exp(-(GRID.pos - torch.tensor(at)).square().sum(1) / 20)
    found = classify(GRID, u)
    assert (found.kind, found.parts, found.gaps) == ("spots", 3, 1)


def test_what_moves() -> None:
    still, drift = maze(1), torch.stack([hexagons().reshape(96, 96).roll(k, 0).reshape(-1) for k in (0, 3, 6)])
    assert classify(GRID, torch.stack([still, still + 0.01, still])).kind == "labyrinth"
    moving = classify(GRID, drift)
    assert (moving.kind, moving.shape) == ("moving", "spots") and moving.unrest > 0.5
    unrelated = torch.stack([maze(seed) for seed in range(12)])
    assert temporal_variance(GRID, unrelated) == pytest.approx(1.0, abs=0.1)
    assert temporal_variance(GRID, still.repeat(3, 1)) == 0.0
    assert math.isnan(classify(GRID, still).unrest)


def test_planes_and_surfaces_agree(square: Space) -> None:
    """Stripes on triangles and quadrilaterals, rings and spots round a sphere."""
    for space in (square, Space(rectangle(48, 48, cells="quad"))):
        assert space.pos is not None
        stripes = classify(space, waves(space.pos, 0.25, 1))
        assert stripes.kind == "stripes" and stripes.direction == pytest.approx(1.0, abs=0.02)
        assert stripes.wavelength == pytest.approx(0.25, rel=0.05)
    ball = Space(sphere(level=5))
    assert ball.pos is not None
    rings = classify(ball, torch.cos(12 * torch.acos(ball.pos[:, 2].clamp(-1, 1))))
    assert rings.kind == "labyrinth" and math.isnan(rings.direction)  # nothing is parallel on a sphere
    centres = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for _ in range(200):  # centres repel each other until they are spread evenly
        apart = centres[:, None] - centres
        push = (apart / (apart.square().sum(2, keepdim=True) + torch.eye(400)[..., None])).sum(1)
        centres = torch.nn.functional.normalize(centres + 2e-4 * push, dim=1)
    near = torch.cdist(ball.pos, centres.double()).min(1).values
    spots = classify(ball, torch.exp(-((near / 0.05) ** 2)))
    assert spots.kind == "spots" and spots.parts == pytest.approx(400, abs=8) and spots.euler == spots.parts


@pytest.mark.parametrize("make", [lambda: sphere(level=2), lambda: torus(size=0.4), lambda: rectangle(5, 4)])
def test_euler_against_betti_numbers(make) -> None:
    mesh: Mesh = make()
    space = Space(mesh)
    betti = Cochains(mesh).betti()
    expected = sum((-1) ** k * b for k, b in enumerate(betti))
    assert euler_characteristic(space, torch.ones(space.n, dtype=torch.bool)) == expected


def test_euler_of_drawings() -> None:
    rows = ["......", ".####.", ".#..#.", ".####.", "......", "..##.#"]
    among = torch.tensor([[c == "#" for c in row] for row in rows]).reshape(-1)
    assert euler_characteristic(Lattice(6, 6, periodic=False), among) == 2  # a ring is 0, a bar and a dot 1 each
    assert euler_characteristic(Lattice(6, 6), torch.ones(36, dtype=torch.bool)) == 0
    assert euler_characteristic(Lattice(6, 6, periodic=False), torch.ones(36, dtype=torch.bool)) == 1
    band = torch.zeros(6, 6, dtype=torch.bool)
    band[2:4] = True
    assert euler_characteristic(Lattice(6, 6), band.reshape(-1)) == 0  # it closes round the torus
    assert euler_characteristic(Lattice(6, 6, periodic=False), band.reshape(-1)) == 1


def test_structure_factor_is_the_power_spectrum() -> None:
    """Lanczos against the discrete Fourier transform: moments, and the energy in shells."""
    u = maze(2)
    found = structure_factor(GRID, u)
    power = np.abs(np.fft.fft2(u.numpy().reshape(96, 96))) ** 2
    power[0, 0] = 0.0
    angle = 2 * np.pi * np.fft.fftfreq(96)
    value = (2 - 2 * np.cos(angle))[:, None] + (2 - 2 * np.cos(angle))
    power = power / power.sum()
    assert float(found.energy.sum()) == pytest.approx(1.0, abs=1e-12)
    for moment in (1, 2, 5):
        assert float((found.energy * found.k ** (2 * moment)).sum()) == pytest.approx(
            float((power * value**moment).sum()), rel=1e-9
        )
    k = np.sqrt(value)
    for low, high in ((0.2, 0.45), (0.45, 0.6), (0.6, 1.0)):
        inside = found.energy[(found.k >= low) & (found.k < high)].sum()
        assert float(inside) == pytest.approx(power[(k >= low) & (k < high)].sum(), abs=0.05)


def test_a_mode_has_its_own_wave_number() -> None:
    space = Space(refine(sphere(level=2)))
    found = modes(space, 9)
    one = structure_factor(space, found.vectors[:, 6])
    assert one.peak == pytest.approx(math.sqrt(float(found.values[6])), rel=1e-3)
    network = barabasi_albert(100, 3, 1)
    pair = modes(network, 3)
    assert structure_factor(network, pair.vectors[:, 2]).peak == pytest.approx(
        math.sqrt(float(pair.values[2])), rel=1e-3
    )


def test_otsu_separates_two_groups() -> None:
    g = torch.Generator().manual_seed(0)
    low, high = (m + 0.1 * torch.randn(300, generator=g, dtype=torch.float64) for m in (0.0, 2.0))
    u, measure = torch.cat([low, high]), torch.ones(600, dtype=torch.float64)
    assert float(low.max()) < otsu(u, measure) < float(high.min())
    assert otsu(torch.tensor([0.0, 0.0, 1.0]).double(), torch.ones(3).double()) == 0.5
    by_hand = max(
        (x for x in sorted(u.tolist())[:-1]),
        key=lambda x: float((u <= x).sum() * (u > x).sum() * (u[u > x].mean() - u[u <= x].mean()) ** 2),
    )
    assert int((u > otsu(u, measure)).sum()) == int((u > by_hand).sum())


@pytest.mark.parametrize(
    ("domain", "states", "error", "says"),
    [
        (barabasi_albert(20, 2), torch.rand(20), InputError, "on a Lattice in the plane or a first-order Space"),
        (Lattice(4, 4, 4), torch.rand(64), InputError, "of any other graph take components"),
        (Space(rectangle(3, 3), P2()), torch.rand(49), InputError, "first-order Space"),
        (GRID, torch.rand(5), ShapeError, r"states have shape \[5\], expected \[9216\]"),
        (GRID, torch.full((GRID.n,), math.nan), InputError, "not finite everywhere"),
    ],
)
def test_what_has_no_class(domain, states: Tensor, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        classify(domain, states)


def test_what_has_no_spectrum() -> None:
    with pytest.raises(InputError, match="constant or not finite"):
        structure_factor(GRID, torch.ones(GRID.n))
    apart = Graph(Relation.from_edges([0, 1, 2, 3], [1, 0, 3, 2], 4, 4))
    with pytest.raises(InputError, match="constant on every part of its domain"):
        _ = structure_factor(apart, torch.tensor([1.0, 1.0, 2.0, 2.0])).peak
    with pytest.raises(InputError, match="needs a lumped mass"):
        structure_factor(Space(rectangle(3, 3), P2()), torch.rand(49))
    with pytest.raises(InputError, match="at least two states"):
        temporal_variance(GRID, torch.rand(1, GRID.n))
    assert alignment(GRID, torch.zeros(GRID.n)) == 0.0
