"""Asking for labels: down an ordering, from the top, until enough of them came."""

from collections.abc import Iterable
from itertools import islice

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.oracle import Oracle
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.label_store import LabelStore


def ask_down(
    ordering: Iterable[SampleId],
    query_size: int,
    *,
    oracle: Oracle,
    store: LabelStore,
    round: int,
) -> int:
    """Asks for labels and commits each answer before the next one is awaited.

    A skip costs nothing of ``query_size``, and so does a sample that gets no answer: the walk goes
    on below. What the store knows of this round already counts and is not asked for again, so a
    walk that was cut short goes on.

    Args:
        ordering: Ids, best first.
        query_size: Labels wanted.
        oracle: Answers.
        store: Keeps the answers.
        round: The round that asks.

    Returns:
        How many labels the round has now; fewer than ``query_size`` where the ordering ended.

    Raises:
        LabelError: An answer to a sample that was not asked for.
    """
    before = {answer.sample_id: answer.label for answer in store.answers(round)}
    to_ask = (sample_id for sample_id in ordering if sample_id not in before)
    missing = query_size - sum(label is not SKIP for label in before.values())
    asked: set[SampleId] = set()
    # Never more at once than are missing: an oracle has an order of its own, and must not answer
    # what stands far down instead of what stands on top.
    while missing > 0 and (wave := list(islice(to_ask, missing))):
        asked.update(wave)
        for sample_id, label in oracle.answer(wave):
            if sample_id not in asked:
                raise LabelError(
                    f"oracle {oracle.name!r}: answered sample {sample_id!r}, which round {round} "
                    "did not ask for"
                )
            # A transaction for each: a labeler takes seconds, a commit about a millisecond.
            is_new = store.record(round, [(sample_id, label)], annotator=oracle.name)
            missing -= bool(is_new) and label is not SKIP
    return query_size - missing
