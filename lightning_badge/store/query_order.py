"""The order of a query: ranked samples, interleaved with those for validation."""

from collections.abc import Iterable, Iterator

from lightning_badge.sample_ids import SampleId

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


def _next(waiting: Iterator[SampleId]) -> Iterator[SampleId]:
    for sample_id in waiting:
        yield sample_id
        return
