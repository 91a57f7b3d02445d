"""The report of a comparison in Markdown: learning curves and the pairwise penalty matrix."""

from collections.abc import Sequence

import numpy as np
import torch

from lightning_badge.metrics import area_under_learning_curve, labels_to_reach
from lightning_badge.research.comparison.penalty import SATURATED, label_sizes, penalty_matrix
from lightning_badge.research.comparison.setting import Setting
from lightning_badge.research.comparison.statistics import FloatArray, mean_interval


def report(
    title: str,
    settings: Sequence[Setting],
    *,
    metric: str,
    targets: Sequence[float] = (),
    baseline: str | None = None,
    confidence: float = 0.9,
) -> str:
    """Returns a comparison as text and tables, with links to two pictures in the same folder.

    Args:
        title: Heading.
        settings: Settings with the same contestants.
        metric: Name of the metric.
        targets: Values of the metric for which the number of labels needed is reported.
        baseline: See `label_sizes`.
        confidence: Confidence level of the tests of the penalty matrix.

    Raises:
        BadgeError: There are fewer than two seeds.
    """
    parts = [f"# {title}\n", "![learning curves](learning_curves.png)\n", _legend(metric, targets)]
    for setting in settings:
        parts += [_heading(setting), curve_table(setting, targets)]
    penalty = penalty_matrix(settings, confidence, baseline=baseline)
    parts += [
        "## Pairwise penalty matrix\n",
        "![penalty matrix](penalty_matrix.png)\n",
        _how_tested(settings, baseline, confidence),
        penalty_table(list(settings[0].curves), penalty),
    ]
    return "\n".join(parts)


def curve_table(setting: Setting, targets: Sequence[float]) -> str:
    """Returns a Markdown table with a row for each contestant, the largest area first."""
    shown = np.unique([setting.first_labels, *label_sizes(setting), setting.last_labels])
    at_shown, at_grid = setting.at(shown), setting.at(setting.common_labels())
    grid = torch.from_numpy(setting.common_labels())
    rows = []
    for name, curves in at_grid.items():
        tensors = [torch.from_numpy(curve) for curve in curves]
        areas = np.array([float(area_under_learning_curve(grid, curve)) for curve in tensors])
        reached = [
            _labels_to([float(labels_to_reach(grid, curve, target)) for curve in tensors])
            for target in targets
        ]
        cells = _with_interval(np.column_stack([areas, at_shown[name]]))
        rows.append((areas.mean(), [f"**{name}**", *cells, *reached]))
    rows.sort(key=lambda row: -row[0])
    head = ["", "area", *(f"{count:,}" for count in shown), *(f"to {100 * t:g} %" for t in targets)]
    return markdown_table(head, [row for _, row in rows])


def penalty_table(names: Sequence[str], penalty: FloatArray) -> str:
    """Returns a penalty matrix as a Markdown table with the column means in the last row."""
    rows = [[f"**{name}**"] for name in names]
    for (row, column), value in np.ndenumerate(penalty):
        rows[row].append("" if row == column else f"{value:.2f}")
    rows.append(["**mean**", *(f"**{mean:.2f}**" for mean in penalty.mean(axis=0))])
    return markdown_table(["row beats column", *names], rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats a table in Markdown.

    Example:
        >>> print(markdown_table(["a", "b"], [["1", "2"]]), end="")
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _legend(metric: str, targets: Sequence[float]) -> str:
    words = (
        f"{metric} in per cent by number of labels: mean and half width of its 95 % t-interval "
        "over seeds. area: the same for the area under the learning curve, over the range of "
        "labels that all runs have in common."
    )
    if targets:
        words += (
            " to x %: median number of labels needed to reach x %; in brackets the number of seeds "
            "that reached it, if not all did."
        )
    return words + "\n"


def _heading(setting: Setting) -> str:
    seeds = ", ".join(map(str, setting.seeds))
    return (
        f"## {setting.name}\n\n{len(setting.seeds)} seeds ({seeds}), {setting.first_labels} to "
        f"{setting.last_labels} labels.\n"
    )


def _how_tested(settings: Sequence[Setting], baseline: str | None, confidence: float) -> str:
    sizes = "; ".join(
        f"{setting.name}: {', '.join(map(str, label_sizes(setting, baseline))) or 'none'}"
        for setting in settings
    )
    until = ""
    if all(baseline in setting.curves for setting in settings):
        until = f", until {baseline} reaches {100 * SATURATED:g} % of its last value"
    return (
        "Number of settings in which the row beats the column, at most "
        f"{len(settings)}: two-sided t-test at {100 * confidence:g} %, paired by seed, at numbers "
        f"of labels that double ({sizes}){until} (arXiv 1906.03671, section 5). A low column mean "
        "is good: the column is seldom beaten.\n"
    )


def _with_interval(values: FloatArray) -> list[str]:
    means, half_widths = mean_interval(values)
    return [
        f"{100 * mean:.1f} ± {100 * half_width:.1f}"
        for mean, half_width in zip(means, half_widths, strict=True)
    ]


def _labels_to(reached: Sequence[float]) -> str:
    """Formats the median number of labels needed; NaN, never reached, counts as infinite."""
    needed = np.nan_to_num(reached, nan=np.inf)
    count, median = int(np.isfinite(needed).sum()), float(np.median(needed))
    shown = f"{median:.0f}" if np.isfinite(median) else "-"
    return shown if count == len(needed) else f"{shown} ({count} of {len(needed)})"
