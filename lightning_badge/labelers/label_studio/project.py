"""The project in Label Studio where people label: adopted, or created once for a run."""

import hashlib
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.label_studio.client import Client, NotFoundError
from lightning_badge.labelers.label_studio.labeling_config import (
    LabelingConfig,
    is_empty,
    make_config,
    read_config,
    with_classes,
)

NAME = "label_studio.json"  # in the run directory: the project of the run
_TITLE = (3, 50)  # lengths that Label Studio takes
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a project is for.

    Attributes:
        title: Of a project that is created.
        kind: What the samples are: ``images``, ``texts`` or ``tables``.
        classes: Names of the classes.
        multilabel: Whether a sample may have several classes, or none.
        overlap: Number of annotators that answer each sample.
    """

    title: str
    kind: str
    classes: tuple[str, ...]
    multilabel: bool = False
    overlap: int = 1

    def settings(self) -> dict[str, Any]:
        """Returns the settings by which the labelers' stream follows the ranks."""
        return {
            "sampling": "Uncertainty sampling",
            "maximum_annotations": self.overlap,
            "skip_queue": "IGNORE_SKIPPED",  # a skip is an answer
        }


@dataclass(frozen=True)
class Place:
    """What a run remembers of its project.

    Attributes:
        url: Address of the server.
        asked: What ``labelers.project`` was.
        mark: Text in the description of a project that the run created.
        project: Its id; None before it is known.
    """

    url: str
    asked: int | str | None
    mark: str
    project: int | None = None


class Project:
    """A project, with settings by which the labelers' stream follows the ranks.

    Args:
        client: The connection.
        facts: What the server says of the project.
        wanted: What it is for.

    Attributes:
        project_id: Its id.
        config: Its labeling configuration.
        model_version: The predictions whose scores the labelers' stream follows.

    Raises:
        LabelError: Its labeling configuration does not fit the data.
    """

    def __init__(self, client: Client, facts: Mapping[str, Any], wanted: Wanted) -> None:
        self.client = client
        self.project_id = int(facts["id"])
        self.model_version = str(facts.get("model_version") or "")
        self._text = facts.get("label_config") or ""
        changes = {
            name: value for name, value in wanted.settings().items() if facts.get(name) != value
        }
        if is_empty(self._text):
            self._text = make_config(wanted.kind, wanted.classes, multilabel=wanted.multilabel)
            changes["label_config"] = self._text
        self.config: LabelingConfig = read_config(self._text, wanted.classes)
        if changes:
            client.patch(f"{self.path}/", changes)
            names = ", ".join(sorted(changes))
            _log.info("Label Studio, project %d: set %s", self.project_id, names)

    @property
    def path(self) -> str:
        """Its address in the API."""
        return f"/api/projects/{self.project_id}"

    @property
    def key(self) -> str:
        """What tells it from the projects of other servers."""
        text = f"{self.client.url} {self.project_id}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def page(self) -> str:
        """The address where people label."""
        return f"{self.client.url}/projects/{self.project_id}/data?labeling=1"

    def counts(self) -> tuple[Any, ...]:
        """Returns numbers that change when somebody answers."""
        facts = self.client.get(f"{self.path}/")
        names = ("total_annotations_number", "skipped_annotations_number")
        return tuple(facts.get(name) for name in names)

    def follow(self, model_version: str) -> None:
        """Makes the labelers' stream follow the scores of other predictions."""
        self.client.patch(f"{self.path}/", {"model_version": model_version})
        self.model_version = model_version

    def offer(self, classes: Sequence[str]) -> None:
        """Lets people choose from further classes, if there are any."""
        text = with_classes(self._text, classes)
        if text is not None:
            self.client.patch(f"{self.path}/", {"label_config": text})
            self._text = text
            self.config = read_config(text, classes)


def open_project(
    client: Client, run_path: Path, asked: int | str | None, wanted: Wanted
) -> Project:
    """Returns the project of a run, which is created if there is none.

    A run creates at most one project, also if it is killed meanwhile: its mark is on disk before
    the project is created, and is part of the project's description.

    Args:
        client: The connection.
        run_path: The run directory.
        asked: The id or the title of a project; None for one of the run's own.
        wanted: What the project is for.

    Raises:
        LabelError: There is no such project, several have the title, or its labeling configuration
            does not fit the data.
    """
    path = run_path / NAME
    place = _remembered(path, client.url, asked)
    if place.project is not None:
        return Project(client, _facts(client, place.project, path), wanted)
    _remember(path, place)
    facts = _found(client, place, wanted) or _created(client, place, wanted)
    project = Project(client, facts, wanted)
    _remember(path, Place(client.url, asked, place.mark, project.project_id))
    return project


def remembered_page(run_path: Path) -> str | None:
    """Returns the address where people label for a run; None if it has no project."""
    place = _read(run_path / NAME)
    if place is None or place.project is None:
        return None
    return f"{place.url}/projects/{place.project}/data?labeling=1"


def _found(client: Client, place: Place, wanted: Wanted) -> Mapping[str, Any] | None:
    """Returns the project with an id, with a title, or with the mark of the run."""
    if isinstance(place.asked, int):
        return _facts(client, place.asked, None)
    title = place.asked or _title(wanted)
    same = [
        facts
        for facts in client.pages("/api/projects/", "results", title=title)
        if facts.get("title") == title
        and (place.asked or place.mark in (facts.get("description") or ""))
    ]
    if len(same) > 1:
        ids = ", ".join(str(facts["id"]) for facts in same)
        raise LabelError(
            f"labelers.project: expected one project with the title {title!r}, got {len(same)} "
            f"(ids {ids}); set labelers.project to an id"
        )
    return _facts(client, same[0]["id"], None) if same else None


def _created(client: Client, place: Place, wanted: Wanted) -> Mapping[str, Any]:
    body = {
        "title": place.asked or _title(wanted),
        "description": f"created by lightning-badge, run {place.mark}",
        "label_config": make_config(wanted.kind, wanted.classes, multilabel=wanted.multilabel),
        "show_skip_button": True,
        "enable_empty_annotation": wanted.multilabel,
        **wanted.settings(),
    }
    facts: Mapping[str, Any] = client.post("/api/projects/", body)
    return facts


def _facts(client: Client, project_id: int, remembered_in: Path | None) -> Mapping[str, Any]:
    try:
        facts: Mapping[str, Any] = client.get(f"/api/projects/{project_id}/")
    except NotFoundError:
        mend = "set labelers.project to the id of a project, or to null for a new one"
        if remembered_in is not None:
            mend = f"remove {remembered_in} to let the run choose or create another one"
        raise LabelError(
            f"Label Studio at {client.url} has no project {project_id}, or none that this token "
            f"may see; {mend}"
        ) from None
    return facts


def _title(wanted: Wanted) -> str:
    return f"lightning-badge {wanted.title}"[: _TITLE[1]].strip()


def _remembered(path: Path, url: str, asked: int | str | None) -> Place:
    place = _read(path)
    if place is None or (place.url, place.asked) != (url, asked):
        mark = secrets.token_hex(6) if place is None else place.mark
        return Place(url, asked, mark)
    return place


def _read(path: Path) -> Place | None:
    try:
        return Place(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise LabelError(
            f"{path}: cannot be read ({reason}); restore it, or remove it and set "
            "labelers.project to the id of the run's project"
        ) from error


def _remember(path: Path, place: Place) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(place)) + "\n", encoding="utf-8")
