"""Working hours of labelers in a week."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from lightning_badge.exceptions import LabelError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_PART = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+"
    r"(?P<start>\d{1,2}:\d{2})-(?P<end>\d{1,2}:\d{2})"
)


@dataclass(frozen=True)
class WorkingHours:
    """Shifts that come again every week.

    Attributes:
        shifts: For each day of the week, from Monday, beginning and end of its shifts, from
            midnight, in order.
    """

    shifts: tuple[tuple[tuple[timedelta, timedelta], ...], ...]

    @classmethod
    def of_text(cls, text: str) -> "WorkingHours":
        """Returns the hours of a text.

        Raises:
            LabelError: The text says no hours.

        Example:
            >>> hours = WorkingHours.of_text("mon-fri 09:00-12:30, sat 10:00-12:00")
            >>> [len(day) for day in hours.shifts]
            [1, 1, 1, 1, 1, 1, 0]
        """
        days: list[list[tuple[timedelta, timedelta]]] = [[] for _ in DAYS]
        for part in text.lower().split(","):
            found = _PART.fullmatch(part.strip())
            first = found and found["first"]
            last = found and (found["last"] or found["first"])
            if found is None or first not in DAYS or last not in DAYS:
                raise _wrong(text)
            start, end = _time(found["start"], text), _time(found["end"], text)
            chosen = range(DAYS.index(first), DAYS.index(last) + 1)
            if start >= end or not chosen:
                raise _wrong(text)
            for day in chosen:
                days[day].append((start, end))
        for shifts in days:
            shifts.sort()
            if any(a[1] > b[0] for a, b in pairwise(shifts)):
                raise _wrong(text)
        return cls(tuple(map(tuple, days)))

    def open_from(self, time: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yields the shifts that are not over at a time, week after week."""
        day = time.replace(hour=0, minute=0, second=0, microsecond=0)
        while True:
            for start, end in self.shifts[day.weekday()]:
                if day + end > time:
                    yield max(day + start, time), day + end
            day += _DAY

    def next_open(self, time: datetime) -> datetime:
        """Returns the first moment of work at a time or later."""
        return next(self.open_from(time))[0]

    def between(self, start: datetime, end: datetime) -> float:
        """Returns the seconds of work between two times."""
        total = 0.0
        for opens, closes in self.open_from(start):
            if opens >= end:
                return total
            total += (min(closes, end) - opens).total_seconds()
        raise AssertionError("weeks do not end")


def _time(text: str, whole: str) -> timedelta:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise _wrong(whole)
    return timedelta(hours=hours, minutes=minutes)


def _wrong(text: str) -> LabelError:
    return LabelError(
        "labelers.team: expected hours such as 'mon-fri 09:00-17:00, sat 10:00-12:00', got "
        f"{text!r}"
    )
