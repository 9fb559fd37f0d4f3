"""What people look at: pictures, curves, time series for ParaView, and the report of a run.

Everything takes plain values (a mesh, arrays), never a solver. matplotlib is loaded by the first picture.
"""

from graphpde.viz.agreement import plot_agreement
from graphpde.viz.canvas import save_figure
from graphpde.viz.certificate import Certificate
from graphpde.viz.classification import plot_classes, plot_confusion, plot_energy, plot_training
from graphpde.viz.curves import plot_curves
from graphpde.viz.deformed import plot_deformed
from graphpde.viz.dispersion import plot_dispersion
from graphpde.viz.movie import write_gif
from graphpde.viz.multiples import Panel, plot_multiples
from graphpde.viz.networks import plot_graph
from graphpde.viz.pictures import plot_field, plot_frames
from graphpde.viz.plan import plot_mesh
from graphpde.viz.profiles import plot_profiles
from graphpde.viz.report import Picture, Report, Section, Table, mesh_table, write_report
from graphpde.viz.series import SeriesWriter, read_pvd, write_npz, write_series
from graphpde.viz.stream import plot_stream
from graphpde.viz.xdmf_series import XdmfSeriesWriter

__all__ = [
    "Certificate",
    "Panel",
    "Picture",
    "Report",
    "Section",
    "SeriesWriter",
    "Table",
    "XdmfSeriesWriter",
    "mesh_table",
    "plot_agreement",
    "plot_classes",
    "plot_confusion",
    "plot_curves",
    "plot_deformed",
    "plot_dispersion",
    "plot_energy",
    "plot_field",
    "plot_frames",
    "plot_graph",
    "plot_mesh",
    "plot_multiples",
    "plot_profiles",
    "plot_stream",
    "plot_training",
    "read_pvd",
    "save_figure",
    "write_gif",
    "write_npz",
    "write_report",
    "write_series",
]
