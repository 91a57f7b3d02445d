"""What comes back for a request, whoever was asked."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from lightning_badge.labelers.service.exchange import Exchange
from lightning_badge.sample_ids import SampleId


@dataclass(frozen=True)
class Request:
    """A sample to label.

    Attributes:
        request_id: Unique id of the request; a request that is sent again has the same.
        sample_id: The sample.
        content: What `Contents.of` says of it.
        kind: ``images``, ``texts`` or ``tables``.
        classes: Names of the classes.
        multilabel: Whether a sample may have several classes, or none.
    """

    request_id: str
    sample_id: SampleId
    content: dict[str, Any]
    kind: str
    classes: tuple[str, ...]
    multilabel: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        classes: Names of the classes that the sample has; None if it was not labeled.
        reason: Why it was not labeled, for people; empty for a label.
        price: What the answer cost; None if the reply does not say.
        seconds: Time that it took; None if it is not known.
        is_charged: Whether an answer without a price costs what the configuration says.
    """

    classes: tuple[str, ...] | None
    reason: str = ""
    price: float | None = None
    seconds: float | None = None
    is_charged: bool = True


class Asker(Protocol):
    """Asks a service for labels; several threads may ask at once."""

    @property
    def exchange(self) -> Exchange:
        """Sends its requests."""
        ...

    @property
    def is_idempotent(self) -> bool:
        """Whether a request that is sent again is neither answered nor paid twice."""
        ...

    @property
    def accepts_new_classes(self) -> bool:
        """Whether an answer may name a class that the run does not have yet."""
        ...

    def check(self) -> None:
        """Raises a LabelError if nobody can be asked, for example without a key."""
        ...

    def ask(self, request: Request) -> Reply:
        """Waits for the answer to a request.

        Raises:
            LabelError: There will be none, in one line.
            Stopped: The exchange was stopped meanwhile.
        """
        ...


def amount(value: Any) -> float | None:
    """Returns a price or a time of a reply; None without one.

    Raises:
        ValueError: Not a finite number of at least 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {type(value).__name__}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"expected a finite number of at least 0, got {value}")
    return float(value)
