"""The command `lightning-badge`."""

import os

# Read when torch is imported. Threads that spin while they wait for one another make a small model
# fifty times slower as soon as another process wants a core; asleep they cost little.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
