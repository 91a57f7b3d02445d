"""Hands samples out as tasks, within the allowance, and puts the open tasks in order."""

import math
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.exports.label_studio import as_score
from lightning_badge.labelers.label_studio.client import AwayError
from lightning_badge.labelers.label_studio.contents import Contents, data_of
from lightning_badge.labelers.label_studio.project import Project
from lightning_badge.labelers.label_studio.ranks import places_of
from lightning_badge.labelers.label_studio.tasks import Tasks
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.next_sample import Offer, Query

_AT_ONCE = 1000  # predictions of a request


class HandOut:
    """Keeps the tasks of a project what a query asks for. No task is ever deleted.

    The labelers' stream follows the scores of the predictions of one model version. To change
    the order, all open tasks get predictions of another version, and then one request makes the
    stream follow these: people never meet half an order.

    Args:
        project: The project.
        tasks: Its tasks.
        contents: What they show.
        rows: Largest number of samples to offer, unless the budget sets a size.
        guess: Whether tasks show what the model predicts.
    """

    def __init__(
        self, project: Project, tasks: Tasks, contents: Contents, *, rows: int, guess: bool
    ) -> None:
        self._project = project
        self._tasks = tasks
        self._contents = contents
        self._rows = rows
        self._guess = guess
        self._query: Query | None = None
        self._places: dict[SampleId, float] = {}  # that the stream follows

    def update(self, query: Query) -> None:
        """Adds tasks that the query permits, and changes the order if it is another one.

        Args:
            query: The query, with all answers committed.
        """
        offers = query.peek(self._rows)
        waiting = self._tasks.open()
        offered = {offer.sample_id for offer in offers}
        places = places_of(
            offers,
            (
                (sample_id, query.rank_of(sample_id) if query.may_count(sample_id) else None)
                for sample_id in waiting
                if sample_id not in offered
            ),
        )
        new = permitted(query, offers, waiting)
        if not new and not waiting:
            return
        is_same = query is self._query and is_in_order(self._places, places, waiting)
        version = self._project.model_version if is_same else _new_version(query.round)
        self._project.offer(query.classes.names() or ())
        self._add(query, new, places, version)
        if not is_same:
            if not self._rank(query, waiting, places, version):
                return
            self._query, self._places = query, {}
        self._places |= {
            sample_id: places[sample_id] for sample_id in [*new, *(() if is_same else waiting)]
        }

    def _add(
        self, query: Query, new: Sequence[SampleId], places: Mapping[SampleId, float], version: str
    ) -> None:
        key = self._project.config.key
        self._tasks.add(
            new,
            lambda sample_id: data_of(self._contents, key, query, sample_id),
            lambda sample_id: self._prediction(query, sample_id, places[sample_id], version),
        )

    def _rank(
        self,
        query: Query,
        waiting: Mapping[SampleId, Sequence[int]],
        places: Mapping[SampleId, float],
        version: str,
    ) -> bool:
        """Changes the order; returns False if tasks were deleted meanwhile."""
        predictions = [
            {"task": task_id, **self._prediction(query, sample_id, places[sample_id], version)}
            for sample_id, task_ids in waiting.items()
            for task_id in task_ids
        ]
        for first in range(0, len(predictions), _AT_ONCE):
            batch = predictions[first : first + _AT_ONCE]
            try:
                self._predict(batch)
            except AwayError:
                raise
            except LabelError:
                self._tasks.read_all()
                if all(self._tasks.knows(prediction["task"]) for prediction in batch):
                    raise
                return False
        self._project.follow(version)
        return True

    def _predict(self, predictions: Sequence[dict[str, Any]]) -> None:
        client = self._project.client
        reply = client.post(f"{self._project.path}/import/predictions", predictions)
        if (created := reply.get("created")) != len(predictions):
            raise LabelError(
                f"Label Studio at {client.url}: expected {len(predictions)} predictions that order "
                f"the tasks, got {created}; the log of the server says why"
            )

    def _prediction(
        self, query: Query, sample_id: SampleId, place: float, version: str
    ) -> dict[str, Any]:
        offer = Offer(sample_id, query.round, query.rank_of(sample_id))
        guess = query.guess(offer) if self._guess else None
        result = [] if guess is None else self._project.config.result_of([guess])
        return {"model_version": version, "score": as_score(place), "result": result}


def permitted(
    query: Query, offers: Sequence[Offer], waiting: Collection[SampleId]
) -> list[SampleId]:
    """Returns the samples that may become tasks, so that open tasks stay within the allowance.

    Args:
        query: The query.
        offers: The samples that it asks for next, in order.
        waiting: The samples with open tasks.
    """
    left = query.left()
    if left < math.inf:
        left -= sum(map(query.may_count, waiting))
    new = []
    for offer in offers:
        if offer.sample_id in waiting:
            continue
        if query.may_count(offer.sample_id):
            if left <= 0:
                continue
            left -= 1
        new.append(offer.sample_id)
    return new


def is_in_order(
    before: Mapping[SampleId, float], now: Mapping[SampleId, float], waiting: Collection[SampleId]
) -> bool:
    """Returns whether samples are in the same order by the places before and by those now."""
    if any(sample_id not in before for sample_id in waiting):
        return False
    by_place = sorted(waiting, key=now.__getitem__)
    places = [before[sample_id] for sample_id in by_place]
    return places == sorted(places)


def _new_version(round: int) -> str:
    """Returns a name that no predictions have yet, also not those of a killed process."""
    return f"badge-{round:03d}-{secrets.token_hex(4)}"
