"""Comparison of runs with several strategies or budgets: intervals over seeds, tests, a report."""

from lightning_badge.research.comparison.penalty import label_sizes, penalty_matrix
from lightning_badge.research.comparison.report import report
from lightning_badge.research.comparison.setting import Setting, settings_of
from lightning_badge.research.comparison.statistics import beats, mean_interval

__all__ = [
    "Setting",
    "beats",
    "label_sizes",
    "mean_interval",
    "penalty_matrix",
    "report",
    "settings_of",
]
