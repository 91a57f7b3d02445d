"""The learning curve as numbers of an SVG picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 12, 40
_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels, with its label."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Attributes:
        points: Pixels of the points.
        values: What each of them says in words.
        x_ticks: Ticks of the horizontal axis.
        y_ticks: Ticks of the vertical axis.
        width: Of the picture in pixels.
        height: Of the picture in pixels.
        left: Where the axes meet.
        right: Where the horizontal axis ends.
        bottom: Where the axes meet.
    """

    points: list[tuple[float, float]]
    values: list[str]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def draw_chart(points: Sequence[tuple[int, float]]) -> Chart:
    """Lays out a learning curve.

    Args:
        points: Numbers of labels and values of the metric, at least one.
    """
    x_axis = ticks(*_range([x for x, _ in points]), whole=True)
    y_axis = ticks(*_range([y for _, y in points]))

    def x_of(value: float) -> float:
        return _place(value, x_axis, _LEFT, WIDTH - _RIGHT)

    def y_of(value: float) -> float:
        return _place(value, y_axis, HEIGHT - _BOTTOM, _TOP)

    return Chart(
        [(x_of(x), y_of(y)) for x, y in points],
        [f"{x:,} labels: {y:.4f}" for x, y in points],
        [Tick(x_of(value), f"{value:,.0f}") for value in x_axis],
        [Tick(y_of(value), f"{value:g}") for value in y_axis],
    )


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Returns round numbers at equal distances that include the range.

    Example:
        >>> ticks(0.42, 0.93)
        [0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low > 1e-6 * max(abs(low), abs(high), 1e-3):
        return low, high
    margin = max(abs(low) / 10, 1e-3)
    return low - margin, min(high + margin, 1.0) if 0 <= high <= 1 else high + margin


def _place(value: float, axis: Sequence[float], begin: float, end: float) -> float:
    return round(begin + (value - axis[0]) / (axis[-1] - axis[0]) * (end - begin), 1)
