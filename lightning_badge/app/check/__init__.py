"""What is known about data, model and machine before a run begins."""
