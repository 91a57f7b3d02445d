"""Test workers run side by side, so each of them computes on one thread."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import torch

torch.set_num_threads(1)
