"""What survives a kill: files that are there whole, a database that commits, a lock that frees."""
