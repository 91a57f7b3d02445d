"""Asks an oracle for labels in the order of an ordering until there are enough."""

from collections.abc import Iterable
from itertools import islice

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.oracle import Oracle
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer
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
    instead. Stored answers are not asked for again unless undone, and labels of this round count,
    so an interrupted query is resumed.

    Args:
        ordering: Sample ids, best first.
        query_size: Number of labels wanted.
        oracle: Answers with labels or skips.
        store: Stores the answers.
        round: The round that asks.

    Returns:
        The number of labels of the round; fewer than ``query_size`` if the ordering is exhausted.

    Raises:
        LabelError: The oracle answered a sample that it was not asked for, or the store refuses its
            answer.
    """
    rank_of = {sample_id: rank for rank, sample_id in enumerate(ordering)}
    before = {key: a for key, a in store.in_force().items() if key in rank_of}
    to_ask = (sample_id for sample_id in rank_of if sample_id not in before)
    labeled = [a for a in before.values() if a.round == round and a.label is not SKIP]
    missing = query_size - len(labeled)
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
            rank = rank_of[sample_id]
            answer = NewAnswer(sample_id, label, oracle.name, round, rank=rank)
            is_new = store.add([answer])
            missing -= bool(is_new) and label is not SKIP
    return query_size - missing
