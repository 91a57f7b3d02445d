"""The parts of ``bench_ordering.py``."""
