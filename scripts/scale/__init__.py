"""The parts of ``scale_model.py``."""
