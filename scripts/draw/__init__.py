"""Scripts that draw pictures for the documentation."""
