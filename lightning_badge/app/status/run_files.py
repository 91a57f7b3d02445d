"""Reads what the files of a run hold, without changing any of them."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_badge.csv_file import read_header
from lightning_badge.durable.lock import holder_of
from lightning_badge.exceptions import ArtifactError, RunDirectoryError
from lightning_badge.labelers.label_studio.project import remembered_page
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.foreign_files import read_yaml
from lightning_badge.store.kept_answers import check_answers
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.run_log import RunLog, read_run_log


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run directory at one moment.

    Attributes:
        path: The run directory.
        config: The configuration of the run.
        log: The contents of the label store.
        round_facts: Results of each round that was trained, by its number.
        ordering: The newest ordering; None before the first one, or if the pool is empty.
        holder: The process that runs the loop now; None if none.
        class_names: Names of the classes; None if they are not known.
        query: The file of samples for people to label; None if there is none.
        page: The address where people label in Label Studio; None if they do not.
        lost: What the label store has lost of what the rounds were trained on; None if nothing.
    """

    path: Path
    config: Mapping[str, Any]
    log: RunLog
    round_facts: Mapping[int, Mapping[str, Any]]
    ordering: Ordering | None
    holder: str | None
    class_names: Sequence[str] | None
    query: Path | None
    page: str | None = None
    lost: str | None = None

    @property
    def metric(self) -> str:
        """Name of the run's metric."""
        return str(self.config.get("metric", "metric"))


def read_run(path: str | Path) -> RunFiles:
    """Reads a run directory, also while a loop writes to it.

    Args:
        path: The run directory.

    Raises:
        RunDirectoryError: The folder is not a run directory, or a file in it is damaged.
        LabelError: The label store cannot be read.
    """
    directory = RunDirectory(path)
    config = read_config(directory)
    lost: list[str] = []

    def check(store: LabelStore) -> None:
        try:
            check_answers(directory, store)
        except RunDirectoryError as error:
            lost.append(str(error))

    log = read_run_log(directory.labels_path, prepare=check)
    round_facts: dict[int, Mapping[str, Any]] = {r.round: r.facts for r in log.rounds}
    for finished in _rounds(directory):
        if finished not in round_facts and (facts := _metrics(directory, finished)):
            round_facts[finished] = facts
    query = directory.path / "query.csv"
    return RunFiles(
        directory.path,
        config,
        log,
        round_facts,
        _newest_ordering(directory, round_facts),
        holder_of(directory.path / "run.lock"),
        _class_names(directory, config, log.added_classes),
        query if query.is_file() else None,
        remembered_page(directory.path),
        lost[0] if lost else None,
    )


def read_config(directory: RunDirectory) -> dict[str, Any]:
    """Returns the configuration of a run.

    Raises:
        RunDirectoryError: The folder is not a run directory, or the configuration is damaged.
    """
    if not directory.path.is_dir():
        raise RunDirectoryError(
            f"{directory.path}: expected a run directory, but there is none; it is the run_dir "
            "that `lightning-badge loop` prints first"
        )
    missing = [
        path.name for path in (directory.config_path, directory.labels_path) if not path.is_file()
    ]
    if missing:
        raise RunDirectoryError(
            f"{directory.path}: expected a run directory, got a folder without "
            f"{' and '.join(missing)}; it is the run_dir that `lightning-badge loop` prints first"
        )
    try:
        config = read_yaml(directory.config_path)
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{directory.config_path}: cannot be read: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(config, dict):
        raise RunDirectoryError(
            f"{directory.config_path}: expected a mapping, got {type(config).__name__}"
        )
    return config


def _rounds(directory: RunDirectory) -> list[int]:
    folder = directory.path / "rounds"
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def _metrics(directory: RunDirectory, round: int) -> Mapping[str, Any] | None:
    """Returns the results of a round; None if it is being trained."""
    path = directory.metrics_path(round)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
    if not isinstance(facts, dict) or not {"labeled", "pool"} <= facts.keys():
        raise RunDirectoryError(f"{path}: expected the results of a round, got {facts!r:.60}")
    return facts


def _newest_ordering(directory: RunDirectory, rounds: Iterable[int]) -> Ordering | None:
    """Returns the ordering of the last round that has one."""
    for round in sorted(rounds, reverse=True):
        path = directory.ordering_path(round)
        try:
            return read_ordering(path)
        except ArtifactError:
            if path.exists():  # otherwise a new attempt at the round has removed it
                raise
    return None


def _class_names(
    directory: RunDirectory, config: Mapping[str, Any], added: Sequence[str]
) -> Sequence[str] | None:
    """Returns the classes from the configuration, or from the header of ``queries.csv``."""
    data = config.get("data")
    given = config.get("class_names") or (data.get("classes") if isinstance(data, dict) else None)
    if isinstance(given, list):
        return list(dict.fromkeys([*map(str, given), *added]))
    path = directory.queries_csv_path
    return list(read_header(path)[2:]) if path.exists() else None
