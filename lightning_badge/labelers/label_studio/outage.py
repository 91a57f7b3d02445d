"""Times in which Label Studio does not answer: said once, and waited for."""

import logging

from lightning_badge.labelers.label_studio.client import AwayError

_LONGEST_S = 30.0
_log = logging.getLogger(__name__)


class Outage:
    """The failures since the server answered last."""

    def __init__(self) -> None:
        self._failures = 0

    def began(self, error: AwayError) -> float:
        """Says the first failure; returns the seconds to wait until the next try.

        Args:
            error: What went wrong.
        """
        if not self._failures:
            _log.warning(
                "%s; trying again until it does (answers wait there; Ctrl-C ends the run)", error
            )
        pause = min(2.0 ** min(self._failures, 9), _LONGEST_S)
        self._failures += 1
        return max(pause, min(error.after_s or 0.0, 10 * _LONGEST_S))

    def ended(self) -> None:
        """Says that the server answers again, if it did not before."""
        if self._failures:
            _log.warning("Label Studio answers again")
        self._failures = 0
