"""What a run keeps on disk: the labels and the run directory."""
