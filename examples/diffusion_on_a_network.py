"""A rumour spreads through a karate club as fast as the club is connected.

Equation: du_i/dt = sum_j w_ij (u_j - u_i) on Zachary's club (Zachary 1977; weights = shared activities). Whatever the
start, the difference to the mean decays as exp(-lambda_2 t) in the end, lambda_2 = the algebraic connectivity (Fiedler
1973).

    python examples/diffusion_on_a_network.py
"""

import networkx
import torch

from graphpde.core.bridges import as_graph
from graphpde.dynamics import CrankNicolson, evolve
from graphpde.ops import Diffusion

club = networkx.karate_club_graph()
graph = as_graph(club)
u0 = torch.zeros(graph.n, 1, dtype=torch.float64)
u0[0] = 1.0  # the instructor knows first

times = torch.linspace(0, 20, 81, dtype=torch.float64)
rumour = evolve(Diffusion(graph), u0, times, stepper=CrankNicolson(), dt=0.01)

mean = graph.integral(u0) / graph.n
distance = graph.norm(rumour.states - mean)
late = slice(40, None)
rate = float(-(distance[late].log().diff() / times[late].diff()).mean())
connectivity = networkx.algebraic_connectivity(club, weight="weight", tol=1e-12)
drift = float((graph.integral(rumour.final) - graph.integral(u0)).abs())

print(f"{graph.n} people, {graph.edges.n_edges // 2} friendships, {rumour.steps} steps")
print(f"decay rate {rate:.6f}, algebraic connectivity {connectivity:.6f}")
print(f"the total changed by {drift:.1e}")

if __name__ == "__main__":
    from graphpde.viz import plot_graph, save_figure

    layout = networkx.spring_layout(club, seed=4, weight=None)
    pos = torch.stack([torch.from_numpy(layout[name]) for name in club])
    pairs = torch.stack(graph.edges.pairs(), 1)
    figure = plot_graph(pos, pairs, rumour.states[4, :, 0], title="t = 1", label="knowledge")
    save_figure(figure, "diffusion_on_a_network.png")
    print("picture: diffusion_on_a_network.png")
