"""The numeric operations behind embeddings and orderings, and the back ends that compute them.

A back end is a module or package in this folder with an object ``BACKEND``, see `Backend`.
`resolve_backend` finds it by name. The back end ``reference`` is the specification: it applies the
definitions to dense float64 tensors and is slow. The contract tests compare every other back end
with it.
"""

from lightning_badge.kernels.backend import Accepted, Backend, Chosen, Drawn, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import LOSSES, Loss
from lightning_badge.kernels.mass import Mass

__all__ = ["LOSSES", "Accepted", "Backend", "Chosen", "Drawn", "Factors", "Loss", "Mass", "Work"]
