"""Gains of a greedy strategy compared with the noise of their estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, clean, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDOFF = 1e-12

Floats = npt.NDArray[np.float64]


def gain_and_noise(gains: Floats, runner_up: int = 10) -> tuple[Floats, Floats, Floats]:
    """Returns the lead of the best candidate at each rank, and the standard deviation of the lead.

    Args:
        gains: Estimates of every candidate's gain at each rank, ``[seeds, k, n]``.
        runner_up: Rank by gain of the candidate to compare with; 10 is the tenth best.

    Returns:
        For each rank ``[k]``: the best candidate's mean gain, its mean lead over the runner-up, and
        the standard deviation of that lead over the seeds.

    Raises:
        BadgeError: There are fewer than two seeds or fewer than ``runner_up`` candidates.
    """
    seeds, k, n = gains.shape
    if seeds < 2 or n < runner_up:
        raise BadgeError(
            f"gains: expected at least 2 seeds and {runner_up} candidates, got [{seeds}, {k}, {n}]"
        )
    mean = gains.mean(axis=0)
    by_gain = np.argsort(-mean, axis=1, kind="stable")
    ranks, best, other = np.arange(k), by_gain[:, 0], by_gain[:, runner_up - 1]
    leads = gains[:, ranks, best] - gains[:, ranks, other]
    return mean[ranks, best], leads.mean(axis=0), leads.std(axis=0, ddof=1)


def draw_gain_noise(gains: Floats, *, runner_up: int = 10, title: str | None = None) -> Figure:
    """Draws the best candidate's gain, its lead and the lead's noise against rank, logarithmic.

    Args:
        gains: As in `gain_and_noise`.
        runner_up: As in `gain_and_noise`.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches, white background.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    best, lead, noise = gain_and_noise(gains, runner_up)
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    ranks = np.arange(1, len(best) + 1)
    for values, color, style, name in (
        (best, COLORS[0], "-", "gain of the best candidate"),
        (lead, COLORS[2], "-", f"its lead over candidate {runner_up}"),
        (noise, COLORS[1], "--", "standard deviation of that lead"),
    ):
        # Where all configurations are enumerated, the only noise is float64 rounding: not drawn.
        shown = np.where(values > ROUNDOFF, values, np.nan)
        axes.plot(ranks, shown, style, color=color, lw=2.2, label=name)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rank", fontsize=13, color=INK)
    axes.set_ylabel("nats", fontsize=13, color=INK)
    clean(axes)
    axes.legend(frameon=False, fontsize=11, labelcolor=INK)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure
