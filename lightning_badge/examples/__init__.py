"""Small real data sets and models for the example configurations; the library needs none of it."""
