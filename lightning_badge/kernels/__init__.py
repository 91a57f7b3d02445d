"""The numeric operations under embeddings and orderings, and the back ends that compute them.

A back end is a file here (or a folder) with an object ``BACKEND``: see `Backend` for its methods.
`resolve_backend` finds it by name. ``reference`` is the specification: by definition, dense,
float64, slow. The contract tests compare every other back end with it.
"""

from lightning_badge.kernels.backend import Accepted, Backend, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import LOSSES, Loss

__all__ = ["LOSSES", "Accepted", "Backend", "Factors", "Loss", "Work"]
