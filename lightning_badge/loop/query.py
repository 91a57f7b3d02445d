"""Asks an oracle for labels in the order of an ordering until there are enough."""

from collections.abc import Iterable
from itertools import islice

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.oracle import Oracle
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.label_store import LabelStore


def query_labels(
    ordering: Iterable[SampleId],
    query_size: int,
    *,
    oracle: Oracle,
    store: LabelStore,
    round: int,
) -> int:
    """Asks for labels and commits each answer before the next one is requested.

    Skips and samples without an answer do not count towards ``query_size``: lower ranks are asked
    instead. Answers of this round that are already stored count and are not asked for again, so an
    interrupted query is resumed.

    Args:
        ordering: Sample ids, best first.
        query_size: Number of labels wanted.
        oracle: Answers with labels or skips.
        store: Stores the answers.
        round: The round that asks.

    Returns:
        The number of labels of the round; fewer than ``query_size`` if the ordering is exhausted.

    Raises:
        LabelError: The oracle answered a sample that it was not asked for.
    """
    before = {answer.sample_id: answer.label for answer in store.answers(round)}
    to_ask = (sample_id for sample_id in ordering if sample_id not in before)
    missing = query_size - sum(label is not SKIP for label in before.values())
    asked: set[SampleId] = set()
    # Ask for no more samples at once than labels are missing: an oracle may answer in any order,
    # and must not answer low ranks in place of high ones.
    while missing > 0 and (batch := list(islice(to_ask, missing))):
        asked.update(batch)
        for sample_id, label in oracle.answer(batch):
            if sample_id not in asked:
                raise LabelError(
                    f"oracle {oracle.name!r}: answered sample {sample_id!r}, which round {round} "
                    "did not ask for"
                )
            # One transaction per answer: a labeler takes seconds, a commit about a millisecond.
            is_new = store.record(round, [(sample_id, label)], annotator=oracle.name)
            missing -= bool(is_new) and label is not SKIP
    return query_size - missing
