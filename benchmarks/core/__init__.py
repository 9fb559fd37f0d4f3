"""The kernels of graphpde and of other libraries side by side: see ``python -m benchmarks.core --help``."""
