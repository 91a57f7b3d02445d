"""The tasks of a project and what people answered to them, as the server knows them."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lightning_badge.labelers.label_studio.client import NotFoundError
from lightning_badge.labelers.label_studio.project import Project
from lightning_badge.labelers.label_studio.users import Users
from lightning_badge.sample_ids import SampleId

_MARGIN = timedelta(seconds=10)  # a change may be visible later than its time says
_clock = time.monotonic
_AT_MOST_BYTES, _AT_MOST_TASKS = 8 * 2**20, 250  # of one import
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vote:
    """The answer of an annotator to a task.

    Attributes:
        annotator: Who answers.
        at: When it was given or changed, as the server writes it.
        number: Its id.
        choices: What was chosen; None for a task that was skipped.
        seconds: Time that it took; None if it is not known.
    """

    annotator: str
    at: str
    number: int
    choices: tuple[str, ...] | None
    seconds: float | None


@dataclass(frozen=True)
class Task:
    """A task for a sample.

    Attributes:
        task_id: Its id.
        sample_id: The sample.
        is_open: Whether the labelers' stream asks for it.
        votes: The answers to it.
    """

    task_id: int
    sample_id: SampleId
    is_open: bool
    votes: tuple[Vote, ...] = ()


class Tasks:
    """The tasks of a project that belong to samples of the run.

    Args:
        project: The project.
        sample_ids: The samples of the run, by the text of their ids.

    Attributes:
        full_read_at: When all tasks were read last, in seconds of ``time.monotonic``.
        full_read_s: Seconds that this took.
    """

    def __init__(self, project: Project, sample_ids: Mapping[str, SampleId]) -> None:
        self._project = project
        self._ids = sample_ids
        self._users = Users(project.client)
        self._by_id: dict[int, Task] = {}
        self._of: dict[SampleId, dict[int, Task]] = {}
        self._latest: datetime | None = None  # change that was read
        self._latest_at = 0.0  # when it was read
        self._others: set[int] = set()
        self._changed: set[SampleId] = set()
        self.full_read_at, self.full_read_s = float("-inf"), 0.0

    def of(self, sample_id: SampleId) -> list[Task]:
        """Returns the tasks for a sample."""
        return list(self._of.get(sample_id, {}).values())

    def samples(self) -> set[SampleId]:
        """Returns the samples that have tasks."""
        return {sample_id for sample_id, tasks in self._of.items() if tasks}

    def knows(self, task_id: int) -> bool:
        """Returns whether a task was there when it was read last."""
        return task_id in self._by_id

    def open(self) -> dict[SampleId, list[int]]:
        """Returns the ids of the open tasks, by sample."""
        found: dict[SampleId, list[int]] = {}
        for task in self._by_id.values():
            if task.is_open:
                found.setdefault(task.sample_id, []).append(task.task_id)
        return found

    def changed(self) -> list[SampleId]:
        """Returns the samples of which something may have changed since the last call."""
        changed, self._changed = self._changed, set()
        return list(changed)

    def consider_all(self) -> None:
        """Makes ``changed`` return all samples that have tasks."""
        self._changed.update(self._of)

    def read_all(self) -> None:
        """Reads all tasks."""
        began = time.monotonic()
        read = self._read({"ordering": ["tasks:id"]})
        for task in [task for task_id, task in self._by_id.items() if task_id not in read]:
            self._forget_if_deleted(task)
        self.full_read_at = time.monotonic()
        self.full_read_s = self.full_read_at - began

    def read_changed(self) -> None:
        """Reads the tasks that changed since the last call."""
        if self._latest is None:
            self.read_all()
            return
        is_settled = _clock() - self._latest_at > _MARGIN.total_seconds()
        margin = timedelta(0) if is_settled else _MARGIN
        changed = {
            "filter": "filter:tasks:updated_at",
            "operator": "greater",
            "type": "Datetime",
            "value": (self._latest - margin).isoformat().replace("+00:00", "Z"),
        }
        filters = {"conjunction": "and", "items": [changed]}
        self._read({"filters": filters, "ordering": ["tasks:id"]})

    def add(
        self,
        sample_ids: Iterable[SampleId],
        data_of: Callable[[SampleId], dict[str, Any]],
        prediction_of: Callable[[SampleId], dict[str, Any]],
    ) -> None:
        """Adds a task for each sample, with a prediction, in the order given.

        After an error some of them may have been added; ``read_changed`` finds those.

        Args:
            sample_ids: The samples.
            data_of: Returns the data of a task.
            prediction_of: Returns the prediction of a task.
        """
        batch: list[tuple[SampleId, dict[str, Any]]] = []
        size = 0
        for sample_id in sample_ids:
            task = {"data": data_of(sample_id), "predictions": [prediction_of(sample_id)]}
            length = len(json.dumps(task))
            if batch and (size + length > _AT_MOST_BYTES or len(batch) >= _AT_MOST_TASKS):
                self._import(batch)
                batch, size = [], 0
            batch.append((sample_id, task))
            size += length
        if batch:
            self._import(batch)

    def _import(self, batch: list[tuple[SampleId, dict[str, Any]]]) -> None:
        path = f"{self._project.path}/import"
        reply = self._project.client.post(path, [task for _, task in batch], return_task_ids="true")
        # Where imports are jobs, the reply holds no ids; the tasks are read as they come.
        ids = reply.get("task_ids") or []
        for (sample_id, _), task_id in zip(batch, ids, strict=False):
            self._keep(Task(int(task_id), sample_id, is_open=True))

    def _read(self, query: Mapping[str, Any]) -> set[int]:
        """Reads tasks, also those of no sample; returns their ids."""
        read: set[int] = set()
        began, latest, others = _clock(), self._latest, 0
        for facts in self._project.client.pages(
            "/api/tasks/",
            "tasks",
            project=self._project.project_id,
            fields="all",
            resolve_uri="false",
            query=json.dumps(query),
        ):
            task_id = int(facts["id"])
            read.add(task_id)
            changed_at = datetime.fromisoformat(facts["updated_at"].replace("Z", "+00:00"))
            latest = max(latest or changed_at, changed_at)
            task = self._task_of(facts)
            if task is not None:
                self._keep(task)
            elif task_id not in self._others:
                self._others.add(task_id)
                others += 1
        if latest != self._latest:  # not before all pages are read
            self._latest, self._latest_at = latest, began
        if others:
            _log.warning(
                "Label Studio, project %d: %d tasks belong to no sample of this run and do not "
                "count",
                *(self._project.project_id, others),
            )
        return read

    def _task_of(self, facts: Mapping[str, Any]) -> Task | None:
        data = facts.get("data") or {}
        sample_id = self._ids.get(str(data.get("sample_id", "")))
        if sample_id is None:
            return None
        votes = [self._vote_of(annotation) for annotation in facts.get("annotations") or ()]
        return Task(int(facts["id"]), sample_id, not facts["is_labeled"], tuple(votes))

    def _vote_of(self, annotation: Mapping[str, Any]) -> Vote:
        choices: list[str] = []
        for part in annotation.get("result") or ():
            if part.get("from_name") == self._project.config.from_name:
                choices += part.get("value", {}).get("choices") or ()
        return Vote(
            self._users.name_of(annotation.get("completed_by")),
            str(annotation.get("updated_at") or annotation.get("created_at") or ""),
            int(annotation["id"]),
            None if annotation.get("was_cancelled") else tuple(choices),
            _seconds(annotation.get("lead_time")),
        )

    def _keep(self, task: Task) -> None:
        self._changed.add(task.sample_id)
        self._by_id[task.task_id] = task
        self._of.setdefault(task.sample_id, {})[task.task_id] = task

    def _forget_if_deleted(self, task: Task) -> None:
        """Forgets a task that a read did not bring, unless it slipped to another page."""
        try:
            self._project.client.get(f"/api/tasks/{task.task_id}/")
        except NotFoundError:
            del self._by_id[task.task_id], self._of[task.sample_id][task.task_id]


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < float("inf") else None
