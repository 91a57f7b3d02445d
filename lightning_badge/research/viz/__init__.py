"""Pictures for studies of orderings and embeddings."""
