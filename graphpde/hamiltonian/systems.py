"""Hamiltonian systems by name, each with a state to start from.

All are sums over nodes and edges: ``Particles`` with an energy on the edges of a graph and one at its nodes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.checks import number, positive, whole
from graphpde.core.close_pairs import Box
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError
from graphpde.hamiltonian.fields import HenonHeiles, Pendulum, Quartic, Weight
from graphpde.hamiltonian.particles import NodeEnergy, Particles
from graphpde.ops.pair import Difference, EdgeEnergy, Fput, Gravity, LennardJones, Spring, Toda, require_numbers
from graphpde.ops.rigid import Rigid
from graphpde.typing import check_shape

_DTYPE = torch.float64
_FAR = 1e100  # whose powers are numbers still
_MOST = 4_000_000  # particles
_OUTER = (
    (1.00000597682, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    (0.000954786104043, (-3.5023653, -3.8169847, -1.5507963), (0.00565429, -0.00412490, -0.00190589)),
    (0.000285583733151, (9.0755314, -3.0458353, -1.6483708), (0.00168318, 0.00483525, 0.00192462)),
    (0.0000437273164546, (8.3101420, -16.2901086, -7.2521278), (0.00354178, 0.00137102, 0.00055029)),
    (0.0000517759138449, (11.4707666, -25.7294829, -10.8169456), (0.00288930, 0.00114527, 0.00039677)),
)  # mass, position, velocity


def require_few(told: str, count: int) -> None:
    """Refuse more particles than can be worked with, before they are made.

    Raises:
        InputError: there are more.
    """
    if count > _MOST:
        raise InputError(f"{told} makes {count:.3g} particles, expected at most {_MOST:,}")


class Start(NamedTuple):
    """A system and a state [n, 2 d] of it."""

    system: Particles
    state: Tensor


def pendulum(angle: float = 1.0, momentum: float = 0.0, strength: float = 1.0) -> Start:
    """H = p^2 / 2 + strength (1 - cos q): one node and no edges; the separatrix is at H = 2 strength."""
    system = Particles(torch.ones(1, dtype=_DTYPE), field=Pendulum(strength))
    return Start(system, torch.tensor([[angle, momentum]], dtype=_DTYPE))


def henon_heiles(energy: float = 1 / 12, y: float = 0.1, momentum_y: float = 0.0) -> Start:
    """A point in the potential of Henon and Heiles, starting on the section x = 0 with this energy."""
    system = Particles(torch.ones(1, dtype=_DTYPE), field=HenonHeiles())
    for name, value in (("energy", energy), ("y", y), ("momentum_y", momentum_y)):
        number(name, value, least=-_FAR, below=_FAR)
    left = 2 * (energy - float(system.potential(torch.tensor([[0.0, y]], dtype=_DTYPE)))) - momentum_y**2
    if left < 0:
        raise InputError(f"energy = {energy:g} is less than that of y = {y:g} and its momentum; take a larger one")
    return Start(system, torch.tensor([[0.0, y, math.sqrt(left), momentum_y]], dtype=_DTYPE))


def chain(n: int, pairs: Difference, displacement: Tensor | None = None, field: NodeEnergy | None = None) -> Start:
    """n masses of 1 in a row between two walls, which are nodes 0 and n + 1.

    Args:
        pairs: energy of a link by its lengthening. displacement: of the masses [n], at rest; default 0.
    """
    n = whole("n", n)
    mass = torch.ones(n + 2, dtype=_DTYPE)
    mass[0] = mass[-1] = math.inf
    links = Incidence.of_pairs(torch.arange(n + 1), torch.arange(1, n + 2), n + 2)
    u = torch.zeros(n + 2, 2, dtype=_DTYPE)
    if displacement is not None:
        u[1:-1, 0] = check_shape(displacement, "n", "displacement", n=n).to(u)
    return Start(Particles(mass, pairs, edges=links, field=field), u)


def first_mode(n: int, amplitude: float = 1.0) -> Tensor:
    """Displacements of a chain between walls in its slowest mode [n]: amplitude sin(pi i / (n + 1))."""
    i = torch.arange(1, whole("n", n) + 1, dtype=_DTYPE)
    return amplitude * torch.sin(math.pi * i / (n + 1))


def fput(n: int = 32, alpha: float = 0.25, beta: float = 0.0, amplitude: float = 1.0) -> Start:
    """The chain of Fermi, Pasta, Ulam and Tsingou between fixed ends in its first mode."""
    return chain(n, Fput(alpha, beta), first_mode(n, amplitude))


def mode_energies(u: Tensor) -> Tensor:
    """Energies of the modes of a chain between walls [*, n], harmonic: states [*, n + 2, 2] -> [*, n]."""
    n = u.shape[-2] - 2
    i = torch.arange(1, n + 1, dtype=u.dtype, device=u.device)
    shapes = math.sqrt(2 / (n + 1)) * torch.sin(math.pi * i[:, None] * i / (n + 1))
    frequency = 2 * torch.sin(math.pi * i / (2 * (n + 1)))
    a, b = (u[..., 1:-1, k] @ shapes for k in (0, 1))
    return 0.5 * (b.square() + (frequency * a).square())


def toda(n: int = 32, amplitude: float = 1.0) -> Start:
    """A Toda chain between fixed ends in its first mode: integrable."""
    return chain(n, Toda(), first_mode(n, amplitude))


def phi4(shape: tuple[int, ...] = (32,), square: float = -1.0, quartic: float = 1.0, seed: int = 0) -> Start:
    """Lattice phi^4 on a periodic grid: links (q_j - q_i)^2 / 2, nodes square q^2 / 2 + quartic q^4 / 4."""
    if not shape:
        raise InputError("shape is empty, expected the number of nodes along each axis of the lattice, such as [32]")
    for size in shape:
        whole("shape", size, 3)
    require_few(f"shape = {shape}", math.prod(shape))
    numbers = torch.arange(math.prod(shape)).reshape(shape)
    pairs = [(numbers.flatten(), numbers.roll(-1, axis).flatten()) for axis in range(len(shape))]
    tail, head = (torch.cat(ends) for ends in zip(*pairs, strict=True))
    n = numbers.numel()
    system = Particles(
        torch.ones(n, dtype=_DTYPE),
        Fput(0.0, 0.0),
        edges=Incidence.of_pairs(tail, head, n),
        field=Quartic(square, quartic),
    )
    return Start(system, 0.1 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=_DTYPE))


def springs(n: int = 5, d: int = 2, stiffness: float = 1.0, rest: float = 1.0, seed: int = 0) -> Start:
    """n bodies in a ring of springs, each of them drawn near its place on a circle."""
    n, d = whole("n", n, 3), whole("d", d, 1)
    number("rest", rest)
    if d > 3:
        raise InputError(f"d = {d}, expected 1 to 3 coordinates")
    rng, each = torch.Generator().manual_seed(seed), torch.arange(n)
    ring = Incidence.of_pairs(each, (each + 1) % n, n)
    angle = 2 * math.pi * each.to(_DTYPE) / n
    place = torch.stack([angle.cos(), angle.sin(), *[torch.zeros_like(angle)] * (d - 2)], 1)[:, :d]
    q = place * rest / (2 * math.sin(math.pi / n)) + 0.1 * rest * torch.randn(n, d, generator=rng, dtype=_DTYPE)
    p = 0.2 * torch.randn(n, d, generator=rng, dtype=_DTYPE)
    return Start(Particles(torch.ones(n, dtype=_DTYPE), Spring(stiffness, rest), edges=ring), torch.cat([q, p], 1))


def kepler(eccentricity: float = 0.6) -> Start:
    """Two bodies of masses 1 and 1e-3 about their common centre, G M = 1, half axis 1: a period of 2 pi.

    Starts at the nearest point. Reference: Hairer, Lubich and Wanner 2006, eq. (I.2.11).
    """
    number("eccentricity", eccentricity, below=1.0)
    big, small = 1.0, 1e-3
    total = big + small
    apart, speed = 1 - eccentricity, math.sqrt((1 + eccentricity) / (1 - eccentricity))
    q = torch.tensor([[-small / total * apart, 0.0], [big / total * apart, 0.0]], dtype=_DTYPE)
    reduced = big * small / total
    p = torch.tensor([[0.0, -reduced * speed], [0.0, reduced * speed]], dtype=_DTYPE)
    mass = torch.tensor([big, small], dtype=_DTYPE)
    return Start(Particles(mass, Gravity(1 / total), charge=mass), torch.cat([q, p], 1))


def outer_planets() -> Start:
    """The sun with the inner planets as one body, Jupiter, Saturn, Uranus and Neptune: lengths in AU, times in days.

    Starts on 5 September 1994 in the frame of their common centre, masses by that of the sun. Reference: Hairer, Lubich
    and Wanner 2006, table I.2.2 (there from the Astronomical Almanac).
    """
    mass, q, v = (torch.tensor(column, dtype=_DTYPE) for column in zip(*_OUTER, strict=True))
    q, v = (x - (mass[:, None] * x).sum(0) / mass.sum() for x in (q, v))
    return Start(Particles(mass, Gravity(2.95912208286e-4), charge=mass), torch.cat([q, mass[:, None] * v], 1))


def nbody(n: int = 100, softening: float = 0.05, seed: int = 0, energy: EdgeEnergy | None = None) -> Start:
    """n bodies of mass 1/n in virial equilibrium about, a Plummer sphere, G = 1.

    Reference: Aarseth, Henon and Wielen 1974, appendix.
    """
    n, rng = whole("n", n, 2), torch.Generator().manual_seed(seed)

    def uniform(k: int) -> Tensor:
        return torch.rand(k, generator=rng, dtype=_DTYPE)

    def around(length: Tensor) -> Tensor:
        way = torch.randn(n, 3, generator=rng, dtype=_DTYPE)
        return length[:, None] * way / way.norm(dim=1, keepdim=True)

    radius = (uniform(n).clamp(1e-6, 0.999) ** (-2 / 3) - 1).rsqrt()
    share, left = torch.zeros(n, dtype=_DTYPE), torch.arange(n)
    while len(left):  # rejection from q^2 (1 - q^2)^3.5
        x, y = uniform(len(left)), 0.1 * uniform(len(left))
        good = y < x**2 * (1 - x**2) ** 3.5
        share[left[good]], left = x[good], left[~good]
    speed = share * math.sqrt(2) * (1 + radius**2) ** -0.25
    q, v = around(radius), around(speed)
    mass = torch.full((n,), 1 / n, dtype=_DTYPE)
    q, v = q - q.mean(0), v - v.mean(0)
    system = Particles(mass, Gravity(1.0, softening) if energy is None else energy, charge=mass)
    return Start(system, torch.cat([q, mass[:, None] * v], 1))


def lennard_jones(
    cells: int = 6, density: float = 0.8442, temperature: float = 0.728, cutoff: float = 2.5, seed: int = 0
) -> Start:
    """4 cells^3 particles on a face-centred cubic lattice in a periodic box, in units of the potential, near melting.

    Args:
        density: particles per sigma^3. temperature: kT / epsilon of the momenta.

    Raises:
        InputError: numbers out of range, a box narrower than twice the cutoff with its skin.
    """
    cells = whole("cells", cells)
    require_few(f"cells = {cells}", 4 * cells**3)
    positive("density", density)
    number("cutoff", cutoff, least=0.5)  # far inside of sigma there is no liquid, and numbers that no float holds
    edge = (4 / density) ** (1 / 3)
    corner = torch.tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=_DTYPE)
    steps = torch.arange(cells, dtype=_DTYPE)
    q = (torch.cartesian_prod(steps, steps, steps)[:, None] + corner).reshape(-1, 3) * edge
    box = Box([cells * edge] * 3)
    system = Particles(torch.ones(len(q), dtype=_DTYPE), LennardJones(cutoff=cutoff), box=box)
    return Start(system, system.thermal(q, temperature, torch.Generator().manual_seed(seed)))


def double_pendulum(
    angles: tuple[float, float] = (2.0, 2.5), lengths: tuple[float, float] = (1.0, 1.0),
    masses: tuple[float, float] = (1.0, 1.0), gravity: float = 9.81,
) -> tuple[Rigid, Tensor]:  # fmt: skip
    """Two masses on rigid links, a path of three nodes that hangs from the first; starts at rest. For ``rattle``."""
    for name, given in (("angles", angles), ("lengths", lengths), ("masses", masses)):
        check_shape(given, "k", name, k=2)
    require_numbers(angles=torch.tensor(angles))
    mass = torch.tensor([math.inf, *masses], dtype=_DTYPE)
    angle, length = torch.tensor(angles, dtype=_DTYPE), torch.tensor(lengths, dtype=_DTYPE)
    links = length[:, None] * torch.stack([angle.sin(), -angle.cos()], 1)
    q = torch.cat([torch.zeros(1, 2, dtype=_DTYPE), links.cumsum(0)])
    motion = Particles(mass, field=Weight(mass, (0.0, -gravity)))
    bonds = torch.tensor([[0, 1], [1, 2]])
    return Rigid(motion, bonds, length, mass), torch.cat([q, torch.zeros_like(q)], 1)
