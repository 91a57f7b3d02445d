"""Asks labelers for labels in the order of a query until the budget says that it is complete."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from lightning_badge.labelers.base import Labelers, SimulatedLabelers
from lightning_badge.loop.budget import Budget
from lightning_badge.stopping import check_stop
from lightning_badge.store.next_sample import Progress, Query


def ask(
    query: Query,
    labelers: Labelers,
    budget: Budget,
    query_size: int,
    *,
    began: Mapping[str, Any] | None = None,
    changed: Callable[[], tuple[Budget, int]] | None = None,
    is_changed: Callable[[], bool] = lambda: False,
) -> tuple[Progress, bool]:
    """Publishes a query and commits the answers to it.

    Each batch is committed before the next one is requested, and answers of this round that are in
    the store count, so that an interrupted query goes on. A query is also complete if money or time
    permit no further label.

    Args:
        query: The samples to ask for.
        labelers: Who answers.
        budget: Decides when the query is complete.
        query_size: Number of labels that completes the query in any case.
        began: The arguments with which the budget was asked for that number.
        changed: Returns the budget and the number in force now; None if they cannot change.
        is_changed: Whether another ordering takes the place of this one.

    Returns:
        What the query has received, and whether it is complete. It is not if labelers stopped
        answering, or the ordering is changed.

    Raises:
        LabelError: The store refuses an answer.
    """

    def look() -> tuple[Progress, bool]:
        """Returns what came so far, and whether that is all."""
        check_stop()
        rule, size = (budget, query_size) if changed is None else changed()
        progress = replace(query.progress(), began=began or {})
        return progress, is_complete(rule, progress, size) or query.closed() is not None

    progress, is_done = look()
    if is_done and not labelers.only_reads:
        return progress, True
    labelers.publish(query)
    answers: Any = labelers.collect()
    with closing(answers):
        for batch in answers:
            if batch:  # else they were committed elsewhere, or time passed
                query.store.add(batch)
            progress, is_done = look()
            if is_done:
                return progress, True
            if is_changed():
                return progress, False
    return look()


def works_during_training(labelers: Labelers) -> bool:
    """Returns whether labelers are simulated ones who go on while a model is trained."""
    return isinstance(labelers, SimulatedLabelers) and labelers.works_during_training


def commit_late_answers(query: Query, labelers: Labelers, *, after: int) -> None:
    """Commits what simulated labelers answered while the next model was trained.

    It is called after the training, so that a training that is interrupted and repeated has the
    same labels.

    Args:
        query: The query before the training.
        labelers: Who answers.
        after: The last answer that the model was trained on.
    """
    if not isinstance(labelers, SimulatedLabelers):
        return
    answers: Any = labelers.late_answers(query, after=after)
    with closing(answers):
        for batch in answers:
            query.store.add(batch)


def is_complete(budget: Budget, progress: Progress, query_size: int) -> bool:
    """Returns whether a query needs no further labels."""
    if progress.is_exhausted or progress.labels >= query_size:
        return True
    rule = getattr(budget, "is_complete", None)
    return rule is not None and bool(rule(progress))
