"""Is it worth going on? What the last labels of a run brought, and what the next ones may bring."""

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_badge.accuracy_change import LEVEL, Interval, change, paired_change
from lightning_badge.forecast import MIN_ROUNDS, forecast

AHEAD = 100
_UNPAIRED = "if errors of both rounds are independent"

_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MeasuredRound:
    """A round with its value of the run's metric.

    Attributes:
        labels: Labels that its model was trained on.
        value: The metric; NaN if there is none.
        samples: Number of validation samples; None if it is not known.
        correct: Which of them the model classified correctly, by `packed`; None if not known.
    """

    labels: int
    value: float
    samples: int | None = None
    correct: str | None = None


@dataclass(frozen=True)
class Outlook:
    """What the last labels of a run brought, and what the next ones may bring.

    Attributes:
        added: Labels that the last round has more than the one before.
        brought: Change of the metric between these rounds; None if there is no interval.
        is_paired: Whether the interval uses which samples both rounds classified correctly;
            otherwise it takes the errors of both for independent.
        ahead: Number of the next labels.
        expected: The metric that will be measured with these labels; None without an estimate.
        reason: Why one of them is None; None if neither is.
    """

    added: int
    brought: Interval | None
    is_paired: bool
    ahead: int
    expected: Interval | None
    reason: str | None


def outlook(rounds: Iterable[MeasuredRound], *, pool: int, multilabel: bool) -> Outlook | None:
    """Returns the outlook of a run after its last round.

    Args:
        rounds: The rounds so far, in order. Those without labels or without the metric do not
            count.
        pool: Samples that are left in the pool; there is no estimate beyond them.
        multilabel: Whether a sample may have several classes.

    Returns:
        None before two rounds have the metric, or if the last round has none.
    """
    given = list(rounds)
    measured = [r for r in given if r.labels and not math.isnan(r.value)]
    if len(measured) < 2 or measured[-1] is not given[-1]:
        return None
    before, last = measured[-2:]
    added, ahead = last.labels - before.labels, min(AHEAD, pool)
    if reason := _unsuitable([before, last], multilabel):
        return Outlook(added, None, False, ahead, None, reason)
    pair = _correct_of_both(before, last)
    brought = paired_change(*pair) if pair else _change(before, last)
    expected, reason = _expected(measured, ahead)
    return Outlook(added, brought, pair is not None, ahead, expected, reason)


def in_words(found: Outlook) -> str:
    """Returns the outlook as a line.

    Example:
        >>> brought, expected = Interval(0.04, 0.011, 0.071), Interval(0.85, 0.82, 0.89)
        >>> for part in in_words(Outlook(40, brought, True, 100, expected, None)).split("; "):
        ...     print(part)
        the last 40 labels: +0.040 (80 %, paired: +0.011 to +0.071)
        the next 100: 0.850 (80 %: 0.820 to 0.890)
    """
    last, ahead = f"the last {found.added:,} labels", f"the next {found.ahead:,}"
    if found.brought is None:
        return f"{last} and {ahead}: no interval, because {found.reason}"
    level, kind = f"{100 * LEVEL:.0f} %", "paired" if found.is_paired else _UNPAIRED
    gain, then = found.brought, found.expected
    seen = f"{last}: {gain.value:+.3f} ({level}, {kind}: {gain.low:+.3f} to {gain.high:+.3f})"
    if then is None:
        return f"{seen}; {found.reason}"
    return f"{seen}; {ahead}: {then.value:.3f} ({level}: {then.low:.3f} to {then.high:.3f})"


def packed(correct: npt.ArrayLike) -> str:
    """Returns which samples were classified correctly ``[m]`` as text, for `MeasuredRound`."""
    return base64.b64encode(np.packbits(np.asarray(correct, dtype=np.bool_)).tobytes()).decode()


def is_share(value: float, samples: int) -> bool:
    """Returns whether a metric can be the share of the samples that are right.

    A mean over classes, an F1 score or a loss is hardly ever a multiple of 1 / ``samples``.
    """
    count = value * samples
    return 0 <= value <= 1 and abs(count - round(count)) <= 1e-3 + 3e-7 * count


def _unsuitable(rounds: Sequence[MeasuredRound], multilabel: bool) -> str | None:
    if multilabel:
        return "samples have several classes, so that the metric is no share of samples"
    if any(not r.samples for r in rounds):
        return "the number of validation samples is not known"
    if not all(is_share(r.value, r.samples or 0) for r in rounds):
        return "the metric is no share of the validation samples, as accuracy is"
    return None


def _change(before: MeasuredRound, last: MeasuredRound) -> Interval:
    return change(before.value, last.value, last.samples or 0, before.samples)


def _expected(measured: Sequence[MeasuredRound], ahead: int) -> tuple[Interval | None, str | None]:
    if not ahead:
        return None, "nothing is left to label"
    if (distinct := len({r.labels for r in measured})) < MIN_ROUNDS:
        return None, f"no estimate of the next labels before {MIN_ROUNDS} rounds, so far {distinct}"
    if reason := _unsuitable(measured, multilabel=False):
        return None, f"no estimate of the next labels, because in an earlier round {reason}"
    labels, values = [r.labels for r in measured], [r.value for r in measured]
    return forecast(labels, values, [r.samples or 0 for r in measured], ahead=ahead), None


def _correct_of_both(before: MeasuredRound, last: MeasuredRound) -> tuple[_Flags, _Flags] | None:
    if before.samples != last.samples:
        return None
    old, new = _unpacked(before), _unpacked(last)
    return None if old is None or new is None else (old, new)


def _unpacked(measured: MeasuredRound) -> _Flags | None:
    """Returns which samples were right; None if that is not known, or does not fit the metric."""
    if measured.correct is None or measured.samples is None:
        return None
    try:
        read = np.frombuffer(base64.b64decode(measured.correct, validate=True), dtype=np.uint8)
    except (TypeError, ValueError):  # damaged
        return None
    bits = np.unpackbits(read)[: measured.samples].astype(np.bool_)
    fits = len(bits) == measured.samples
    return bits if fits and bits.sum() == round(measured.value * measured.samples) else None
