"""The folder of one run: its lock, its configuration and the paths of its files."""

import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_badge.durable.file import replacing
from lightning_badge.durable.lock import FileLock
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labels import as_plain
from lightning_badge.sample_ids import name_ids
from lightning_badge.store.foreign_files import read_yaml, refuse_links
from lightning_badge.store.run_config import differences, leaves_of, select, to_yaml
from lightning_badge.store.run_leftovers import sweep_run
from lightning_badge.store.run_path import folder_of_run
from lightning_badge.store.secret_values import FROM_ENVIRONMENT, secrets_of

_LOCK_NAME = "run.lock"
_log = logging.getLogger(__name__)


class RunDirectory:
    """The folder of one run, for one writing process at a time.

    Paths are available at any time, for example to plot a run in progress. To write, enter the
    directory first (``with``), which creates and locks it. The operating system releases the lock
    when the process ends, even after a crash::

        config.yaml  labels.db  learning_curve.csv  learning_curve.png  queries.csv  run.lock
        rounds/000/  ordering.parquet  metrics.json  best.ckpt
        rounds/000/  ordering-1.parquet  embedding/  (with arrivals=during)
        query.csv  answers/  (with labelers=files)
        page/  rounds/000/review.parquet  (with labelers=page)
        fresh.json  (begun by fresh=true)  rounds.lost-1/  (after accept_loss=true)

    Args:
        path: The folder; entering creates it and its parents. A ``run.lock`` in it marks a run
            directory; entering any other folder that is not empty is an error and changes nothing.

    Example:
        >>> str(RunDirectory("runs/digits").ordering_path(7).relative_to(Path.cwd()))
        'runs/digits/rounds/007/ordering.parquet'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = folder_of_run(path)
        self._lock: FileLock | None = None

    @property
    def config_path(self) -> Path:
        """The configuration of the run."""
        return self.path / "config.yaml"

    @property
    def labels_path(self) -> Path:
        """The label store."""
        return self.path / "labels.db"

    @property
    def learning_curve_csv_path(self) -> Path:
        """The learning curve as a table."""
        return self.path / "learning_curve.csv"

    @property
    def learning_curve_png_path(self) -> Path:
        """The learning curve as a picture."""
        return self.path / "learning_curve.png"

    @property
    def queries_csv_path(self) -> Path:
        """The classes of the labels that each round received."""
        return self.path / "queries.csv"

    def round_path(self, round: int) -> Path:
        """Returns the folder of a round."""
        return self.path / "rounds" / f"{round:03d}"

    def ordering_path(self, round: int, edition: int | None = None) -> Path:
        """Returns the path of a round's ordering.

        Args:
            round: The round.
            edition: 0 for the ordering that its Trainer writes, 1, 2, ... for those that are made
                again when samples arrive; None for the newest one that exists, else 0.
        """
        folder = self.round_path(round)
        if edition is None:
            edition = max(
                (edition_of(path) for path in folder.glob("ordering-*.parquet")), default=0
            )
        return folder / (f"ordering-{edition}.parquet" if edition else "ordering.parquet")

    def metrics_path(self, round: int) -> Path:
        """Returns the path of a round's metrics."""
        return self.round_path(round) / "metrics.json"

    def checkpoint_path(self, round: int) -> Path:
        """Returns the path of a round's best checkpoint."""
        return self.round_path(round) / "best.ckpt"

    def __enter__(self) -> "RunDirectory":
        self._lock = self._acquire()
        sweep_run(self.path)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._lock:
            self._lock.release()
        self._lock = None

    def ensure_identity(
        self,
        config: Mapping[str, Any],
        identity_keys: Sequence[str],
        *,
        begun: bool = True,
        upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ) -> None:
        """Stores a new run's configuration, or checks that it matches the stored one.

        Only the identity keys must match; if other keys differ, the stored configuration is
        updated.

        Args:
            config: Nested mappings and lists of plain values. References to the environment stay
                as they are, and are not compared.
            identity_keys: Keys whose values define the run: top-level keys (``"strategy"``
                includes everything below it) or dotted ones (``"data.name"``).
            begun: Whether there are results of an earlier run to resume. If False, a different
                stored configuration, such as that of a failed first start, is replaced.
            upgrade: Returns a stored configuration in the words of this version.

        Raises:
            RunDirectoryError: The stored configuration differs (the error lists each key with both
                values), cannot be read, or is missing although there are labels.
        """
        self._require_lock()
        text = to_yaml(config)
        now = yaml.safe_load(text)
        if unknown := [key for key in identity_keys if not select(now, [key])]:
            raise RunDirectoryError(
                f"identity keys {unknown}: not in the configuration, whose keys are {list(now)}"
            )
        stored = self._stored_config()
        if stored is None:
            if begun and self.labels_path.exists():
                raise RunDirectoryError(
                    f"{self.config_path}: missing, but the folder contains labels; restore it, "
                    "choose another run_dir, or start over with fresh=true (keeps the labels aside)"
                )
        elif begun and (different := differences(upgrade(stored), now, identity_keys)):
            raise RunDirectoryError(
                f"{self.path}: holds a run of another configuration ({'; '.join(different)}); "
                "give the stored values to go on with it, choose another run_dir, or start over "
                "with fresh=true (keeps the old run aside)"
            )
        if stored != now:
            self._write_config(now, text)

    def _write_config(self, config: Mapping[str, Any], text: str) -> None:
        secrets = secrets_of(leaves_of(config))
        if secrets:
            _log.warning(
                "%s holds %s as given, and only you can read it; '%sNAME}' keeps a secret in the "
                "environment variable NAME",
                *(self.config_path, " and ".join(secrets), FROM_ENVIRONMENT),
            )
        self.write_text(self.config_path, text, mode=0o600 if secrets else 0o666)

    def stored_config(self) -> dict[str, Any] | None:
        """Returns the configuration as it was stored; None before the first.

        Raises:
            RunDirectoryError: It cannot be read.
        """
        return self._stored_config()

    def start_over(self) -> Path | None:
        """Moves an earlier run to ``<run_dir>.old-1``, ``-2``, ... and starts with an empty folder.

        Labels cost money, so nothing is removed. The move is a single rename: after a crash the
        earlier run is complete in one of the two places. Open the label store after this call.

        Returns:
            The new path of the earlier run; None if the folder contained only the lock.

        Raises:
            RunDirectoryError: The folder cannot be renamed, or another process locked it meanwhile.
        """
        moved_lock = self._require_lock()
        if {entry.name for entry in self.path.iterdir()} <= {_LOCK_NAME}:
            return None
        aside = next(path for path in self._asides() if not os.path.lexists(path))
        try:
            self.path.rename(aside)
        except OSError as error:
            raise RunDirectoryError(f"{self.path}: cannot be moved to {aside}: {error}") from error
        self._lock = None
        moved_lock.release()
        self._lock = self._acquire()
        _log.warning("%s: starting over; the earlier run is kept in %s", self.path, aside)
        return aside

    def clear_round(self, round: int) -> Path:
        """Creates an empty folder for a round, removing files of an interrupted attempt.

        If an old checkpoint were kept, Lightning would name the next one ``best-v1.ckpt``.
        """
        self._require_lock()
        path = self.round_path(round)
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
        return path

    def write_metrics(self, round: int, metrics: Mapping[str, Any]) -> None:
        """Writes a round's ``metrics.json``; a number that is not finite becomes null."""
        plain = as_plain(metrics, error=RunDirectoryError)
        self.write_text(self.metrics_path(round), json.dumps(plain, indent=2) + "\n")

    def write_text(self, path: Path, text: str, *, mode: int = 0o666) -> None:
        """Writes a file atomically, with permissions: it is complete or does not exist."""
        self._require_lock()
        with replacing(path, mode=mode) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _acquire(self) -> FileLock:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise RunDirectoryError(f"{self.path}: cannot be used as a folder: {error}") from error
        if names and _LOCK_NAME not in names:
            raise RunDirectoryError(
                f"{self.path}: expected a run directory, an empty folder or none, got a folder "
                f"with other files in it ({name_ids(names)}); choose another run_dir"
            )
        refuse_links(self.path)
        return FileLock(self.path / _LOCK_NAME, error=RunDirectoryError)

    def _require_lock(self) -> FileLock:
        if self._lock is None:
            raise RunDirectoryError(f"{self.path}: enter the run directory (`with`) to write to it")
        return self._lock

    def _asides(self) -> Iterator[Path]:
        return (self.path.with_name(f"{self.path.name}.old-{n}") for n in itertools.count(1))

    def _stored_config(self) -> dict[str, Any] | None:
        try:
            stored = read_yaml(self.config_path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
        else:
            if isinstance(stored, dict):
                return stored
            reason = f"expected a mapping, got {type(stored).__name__}"
        raise RunDirectoryError(
            f"{self.config_path}: not the configuration of a run ({reason}); restore it, choose "
            "another run_dir, or start over with fresh=true (keeps the old run aside)"
        )


def edition_of(path: Path) -> int:
    """Returns the number of the edition of an ordering file.

    Example:
        >>> edition_of(Path("ordering.parquet")), edition_of(Path("ordering-12.parquet"))
        (0, 12)
    """
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
