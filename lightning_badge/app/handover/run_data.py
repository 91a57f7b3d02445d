"""A run with its data: what is labeled, what is left, and which model is best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from lightning_badge.app.earlier_configs import upgraded
from lightning_badge.app.frozen_encoder import read_features
from lightning_badge.app.status.run_files import RunFiles, read_run
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.loop.answer_check import AnswerCheck
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.run_log import read_run_log


@dataclass(frozen=True, eq=False)
class RunData:
    """A run with its data.

    Attributes:
        files: What the run directory holds.
        config: The configuration, with what was changed for the export.
        datamodule: The data, with all labels in force.
        answers: The answers in force that the data can use, oldest first.
        round: The round with the best model.
        checkpoint: Its checkpoint.
    """

    files: RunFiles
    config: Mapping[str, Any]
    datamodule: ActiveLearningDataModule
    answers: Mapping[SampleId, Answer]
    round: int
    checkpoint: Path

    @property
    def total(self) -> int:
        """Number of samples that labelers may be asked for, labeled or not."""
        return len(self.datamodule.sample_ids)

    @property
    def class_names(self) -> Sequence[str] | None:
        """Names of the classes; None if the data have none."""
        return self.datamodule.class_names


def load_run(path: Path, overrides: Sequence[str] = (), *, round: int | None = None) -> RunData:
    """Loads a run and its data as they are now.

    Args:
        path: The run directory.
        overrides: Values of the data's configuration to change, such as ``data.path=DIR``.
        round: The round whose model to take; None takes the one with the best metric.

    Raises:
        RunDirectoryError: No run directory, no trained model, or another round than those.
        BadgeError: The data cannot be loaded.
    """
    files = read_run(path)
    chosen, checkpoint = _choose(files, round)
    config = _changed(upgraded(files.config), overrides)
    datamodule: ActiveLearningDataModule = instantiate(OmegaConf.create(config["data"]))
    read_features(config, datamodule, files.path)
    labeled_set = LabeledSet(datamodule)

    def prepare(store: LabelStore) -> None:
        is_several = getattr(datamodule, "multilabel", False)
        classes = ClassList(store, datamodule.class_names, multilabel=is_several)
        datamodule.class_names = classes.names()
        store.accept_only(AnswerCheck(datamodule, labeled_set, classes))

    log = read_run_log(RunDirectory(path).labels_path, prepare=prepare)
    labeled_set.apply(log.in_force.values())
    return RunData(replace(files, log=log), config, datamodule, log.in_force, chosen, checkpoint)


def _choose(files: RunFiles, round: int | None) -> tuple[int, Path]:
    """Returns the best round, the later one of equals, and its checkpoint."""
    directory = RunDirectory(files.path)
    values: dict[int, float] = {}
    for number, facts in sorted(files.round_facts.items()):
        if directory.checkpoint_path(number).is_file():
            value = facts.get("metrics", {}).get(files.metric)
            values[number] = float("-inf") if value is None else value
    if not values:
        raise RunDirectoryError(
            f"{files.path}: expected a trained model, but no round has one yet; label some samples "
            "and run the loop"
        )
    if round is not None and round not in values:
        raise RunDirectoryError(
            f"--round: expected one of {', '.join(map(str, values))}, got {round}"
        )
    best = max(values, key=lambda number: (values[number], number)) if round is None else round
    return best, directory.checkpoint_path(best)


def _changed(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    if wrong := [text for text in overrides if not text.startswith("data.") or "=" not in text]:
        raise RunDirectoryError(
            f"expected values of the data such as data.path=DIR, got {' '.join(wrong)}"
        )
    changed = OmegaConf.merge(OmegaConf.create(dict(config)), OmegaConf.from_dotlist([*overrides]))
    plain: Any = OmegaConf.to_container(changed)
    return dict(plain)
