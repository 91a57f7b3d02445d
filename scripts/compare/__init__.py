"""Comparisons of strategies: runs, their results, and log-determinants of the picks."""
