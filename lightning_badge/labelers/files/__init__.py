"""Labels by files: a query is written as CSV, and answers are read from CSV files."""

from lightning_badge.labelers.files.labelers import FileLabelers, for_run

__all__ = ["FileLabelers", "for_run"]
