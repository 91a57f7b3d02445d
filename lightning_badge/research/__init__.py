"""Comparisons, measurements and pictures for studies; the product does not need them."""
