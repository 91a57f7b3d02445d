"""The command `lightning-badge`."""

import os

# Must be set before torch is imported. OpenMP threads that spin while waiting make a small model
# fifty times slower as soon as another process needs a core; with PASSIVE they sleep instead.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
