"""Functions from arrays to matplotlib figures; matplotlib is imported on the first drawing."""
