"""The files of a run: the label store and the run directory."""
