"""Places in the labelers' stream, lowest first: the rank, where there is one."""

import math
from collections.abc import Iterable, Sequence

from lightning_badge.sample_ids import SampleId
from lightning_badge.store.next_sample import Offer

_STEP = 2.0**-10  # between samples without a rank, exact in a double for every rank


def places_of(
    offers: Sequence[Offer], others: Iterable[tuple[SampleId, int | None]]
) -> dict[SampleId, float]:
    """Returns places that put offers in their order, and other samples at their ranks or last.

    A ranked sample's place is its rank, so that later calls for the same ordering agree. What the
    query asks for out of turn, such as a sample for validation, gets a number before the next rank.

    Args:
        offers: The samples to ask for, in order.
        others: Samples that people may label too, with their ranks; None comes last.

    Example:
        >>> offers = [Offer("tied", 1, 9), Offer("a", 1, 0), Offer("check", 1, None)]
        >>> offers += [Offer("b", 1, 1)]
        >>> places_of(offers, [("late", 7), ("old", None)])
        {'b': 1.0, 'check': 0.9990234375, 'a': 0.0, 'tied': -0.0009765625, 'late': 7.0, 'old': 8.0}
    """
    places: dict[SampleId, float] = {}
    following = math.inf
    for offer in reversed(offers):
        rank = offer.rank
        if rank is not None and rank < following:
            following = float(rank)
        elif following < math.inf:
            following -= _STEP
        else:
            following = float(len(offers))
        places[offer.sample_id] = following
    ranks = dict(others)
    last = max([-1.0, *places.values(), *(rank for rank in ranks.values() if rank is not None)])
    for sample_id, rank in ranks.items():
        places.setdefault(sample_id, float(last + 1 if rank is None else rank))
    return places
