"""What ``bench_ordering.py`` measures, and how."""
