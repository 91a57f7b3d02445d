"""The state of a run: facts that are computed from its files, and how they are printed."""
