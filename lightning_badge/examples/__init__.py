"""Data and models that the configurations name: small, real, and nothing that the library needs."""
