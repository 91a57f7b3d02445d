"""Comparisons, measurements and pictures for studies; the rest of the library does not use them."""
