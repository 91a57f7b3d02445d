"""Crash-safe storage: atomic file replacement, a transactional SQLite database, a file lock."""
