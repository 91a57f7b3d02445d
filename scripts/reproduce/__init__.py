"""The parts of ``reproduce_mnist.py``."""
