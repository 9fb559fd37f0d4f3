"""One problem file, many metals: how much heat a cooling fin carries away depends on its conductivity.

Equation: div(k grad u) = 0 in the fin, u = 370 K at its root, k du/dn = h (300 K - u) on its other sides. In a thin fin
(h thickness / k small) the temperature varies lengthwise alone, and the heat is that of the textbook (Incropera and
DeWitt, Fundamentals of Heat and Mass Transfer, chapter 3: fin with convection at the tip). The same from the shell:

    python examples/a_sweep.py
    graphpde simulate examples/problems/cooling_fin.toml --sweep 'materials."*"=copper,brass,steel'
"""

import csv
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from graphpde.config import load
from graphpde.problems.materials import MATERIALS
from graphpde.run.sweep import sweep

PROBLEM = Path(__file__).parent / "problems" / "cooling_fin.toml"
METALS = ("copper", "aluminium", "brass", "steel", "titanium", "stainless-steel")


class Fin(NamedTuple):
    """A metal, its conductivity in W/(m K), and the heat through the root in W/m: computed and by the formula."""

    metal: str
    conductivity: float
    heat: float
    formula: float


def fin_formula(
    k: float, h: float = 40.0, length: float = 0.08, thickness: float = 0.004, excess: float = 70.0
) -> float:
    """Heat in W per metre of width through the root of a fin that is cooled on both sides and at its tip."""
    m = math.sqrt(2 * h / (k * thickness))
    sinh, cosh, tip = math.sinh(m * length), math.cosh(m * length), h / (m * k)
    return k * thickness * m * excess * (sinh + tip * cosh) / (cosh + tip * sinh)


def study(folder: Path, metals: tuple[str, ...] = METALS, jobs: int | None = None) -> list[Fin]:
    """One run a metal, in ``jobs`` processes beside each other; ``folder`` then holds them, a table and a page."""
    problem = {**load(PROBLEM), "output": {"fluxes": ["left"], "pictures": "none", "report": False}}
    found = sweep(problem, [f'materials."*"={",".join(metals)}'], folder, jobs=jobs)
    fins = []
    for metal, member in zip(metals, found.members, strict=True):
        with (found.folder / member.name / "fluxes.csv").open() as file:
            heat = float(next(csv.DictReader(file))["left.u"])
        k = MATERIALS[metal].conductivity
        fins.append(Fin(metal, k, heat, fin_formula(k)))
    return fins


if __name__ == "__main__":
    from matplotlib.figure import Figure

    from graphpde.viz import save_figure

    with TemporaryDirectory() as place:
        fins = study(Path(place) / "fins")
    for fin in fins:
        print(f"{fin.metal:16} k = {fin.conductivity:5.1f}  {fin.heat:6.1f} W/m, fin formula {fin.formula:6.1f} W/m")
    print(f"largest difference {max(abs(fin.heat / fin.formula - 1) for fin in fins):.1e}")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(5, 431), [fin_formula(k) for k in range(5, 431)], color="#8a8a8a", label="fin formula")
    axes.plot([fin.conductivity for fin in fins], [fin.heat for fin in fins], "o", color="#d55e00", label="computed")
    for fin in fins:
        axes.annotate(fin.metal, (fin.conductivity, fin.heat), (8, -12), textcoords="offset points", fontsize=9)
    axes.set(xlabel="conductivity [W/(m K)]", ylabel="heat through the root [W/m]", xlim=(0, 470), ylim=(0, None))
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, "a_sweep.png")
    print("picture: a_sweep.png")
