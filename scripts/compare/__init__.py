"""Comparisons of strategies: the runs, their results, and the volume of what is picked."""
