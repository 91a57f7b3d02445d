"""The contract of labelers, and what they show of a sample."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query


class Labelers(Protocol):
    """One or several labelers who answer with labels or skips, in any order and at any time.

    The loop publishes the query of each round and commits what it collects until the budget says
    that the query is complete. Labelers may answer as few samples as they like.
    """

    @property
    def only_reads(self) -> bool:
        """Whether ``collect`` asks nobody, but only reads what was answered before."""
        ...

    def publish(self, query: Query) -> None:
        """Replaces the query that labelers work on.

        Args:
            query: Says which samples come next, and hands them out.
        """
        ...

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields answers that are not in the store yet, in batches.

        The loop commits each batch before it asks for the next one, and may stop at any batch. A
        labeler must not spend effort on an answer before it is requested. An answer that is
        yielded again after a crash needs the same ``request_id``. An empty batch says that another
        process committed answers, or that time passed.
        """
        ...

    def to_do(self) -> str | None:
        """Returns one line that says what people do next, for a query that is not complete.

        None if nobody will answer later: the round then ends with the answers that it has.
        """
        ...

    def close(self) -> None:
        """Releases what the labelers hold, at the end of a run or after an error."""
        ...


@runtime_checkable
class PreparedLabelers(Labelers, Protocol):
    """Labelers who need to know the run and its data.

    If they hand out samples outside the run, in a file or to another program, an attribute
    ``exported`` has the ids of these: their ranks do not change when samples arrive.
    """

    def prepare(self, *, overlap: int, accept_changes: bool) -> None:
        """Is called at each start of a run, before its first round, and when samples arrived.

        Args:
            overlap: Number of annotators that answer each sample.
            accept_changes: Whether an answer may name a new class.
        """
        ...


@runtime_checkable
class SimulatedLabelers(Labelers, Protocol):
    """Labelers on a virtual clock, who also answer while the next model is trained."""

    @property
    def works_during_training(self) -> bool:
        """Whether there are such answers."""
        ...

    def late_answers(self, query: Query, *, after: int) -> Iterator[list[NewAnswer]]:
        """Yields the answers to a query that come while the next model is trained.

        Args:
            query: The query before that training.
            after: The last answer that the model is trained on.
        """
        ...


@runtime_checkable
class TimedLabelers(Labelers, Protocol):
    """Simulated labelers whose virtual clock shows date and time of day."""

    @property
    def training_s(self) -> float | None:
        """Seconds that a training takes on that clock; None if it takes the real time."""
        ...

    def time_in(self, store: LabelStore) -> float:
        """Returns the virtual time, in seconds since 1970; a function of the label store."""
        ...


class ShownSample(NamedTuple):
    """What people see of a sample.

    Attributes:
        sample_id: Its id.
        shown: The absolute path of an image, a text, or a row as the text of a JSON object; empty
            for a picture.
        picture: The PNG of an image that is no file; else None.
    """

    sample_id: SampleId
    shown: str = ""
    picture: bytes | None = None
