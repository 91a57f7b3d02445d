"""The order of a query: unfinished samples, then ranked ones interleaved with validation."""

from collections.abc import Iterable, Iterator

from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer
from lightning_badge.store.consensus import votes_of

EVERY = 3  # every third sample is one for validation


def interleaved(ranked: Iterable[SampleId], validation: Iterable[SampleId]) -> Iterator[SampleId]:
    """Yields the ranked samples in order, every third sample being one for validation.

    Validation samples that are left when the ranked ones are exhausted come last.

    Example:
        >>> list(interleaved(["a", "b", "c"], ["v", "w"]))
        ['a', 'b', 'v', 'c', 'w']
    """
    waiting = iter(validation)
    for place, sample_id in enumerate(ranked):
        if place and place % (EVERY - 1) == 0:
            yield from _next(waiting)
        yield sample_id
    yield from waiting


def unfinished(answers: Iterable[Answer], overlap: int) -> list[SampleId]:
    """Returns the samples that some, but fewer than ``overlap`` annotators have answered."""
    return [sample_id for sample_id, votes in votes_of(answers).items() if 0 < len(votes) < overlap]


def _next(waiting: Iterator[SampleId]) -> Iterator[SampleId]:
    for sample_id in waiting:
        yield sample_id
        return
