"""A run with its data: what is labeled, what is left, and which model is best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from omegaconf import OmegaConf

from lightning_badge.app.earlier_configs import upgraded
from lightning_badge.app.environment import resolved
from lightning_badge.app.fine_tune import FOLDER as FINE_TUNED
from lightning_badge.app.fine_tune import read_fine_tuned
from lightning_badge.app.frozen_encoder import read_features
from lightning_badge.app.run_samples import load_all_data
from lightning_badge.app.status.run_files import RunFiles, read_run
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.encoders import RawSamples
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.loop.answer_check import AnswerCheck
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.round_files import CHECKPOINT, damage_of_checkpoint
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.run_log import read_run_log

Model: TypeAlias = Literal["best", "frozen", "fine_tuned"]


@dataclass(frozen=True, eq=False)
class RunData:
    """A run with its data.

    Attributes:
        files: What the run directory holds.
        config: The configuration, with what was changed for the export.
        datamodule: The data, with all labels in force.
        answers: The answers in force that the data can use, oldest first.
        round: The round whose labels the chosen model was trained on.
        checkpoint: The model's checkpoint.
        value: The model's value of the run's metric; None if there is none.
        is_fine_tuned: Whether it is the fine-tuned model, which takes raw samples.
        samples: What the run's encoder embedded; None without one.
    """

    files: RunFiles
    config: Mapping[str, Any]
    datamodule: ActiveLearningDataModule
    answers: Mapping[SampleId, Answer]
    round: int
    checkpoint: Path
    value: float | None
    is_fine_tuned: bool
    samples: RawSamples | None

    @property
    def total(self) -> int:
        """Number of samples that labelers may be asked for, labeled or not."""
        return len(self.datamodule.sample_ids)

    @property
    def class_names(self) -> Sequence[str] | None:
        """Names of the classes; None if the data have none."""
        return self.datamodule.class_names


@dataclass(frozen=True)
class ChosenModel:
    """A model of a run; the attributes are those of `RunData`."""

    round: int
    checkpoint: Path
    value: float | None
    is_fine_tuned: bool = False


def load_run(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    round: int | None = None,
    model: Model = "best",
) -> RunData:
    """Loads a run and its data as they are now.

    Args:
        path: The run directory.
        overrides: Values of the data's configuration to change, such as ``data.path=DIR``.
        round: The round whose model to take; None takes the one with the best metric.
        model: ``frozen``: of the models of the rounds; ``fine_tuned``: the one that
            ``fine_tune=true`` trained; ``best``: whichever has the better metric.

    Raises:
        RunDirectoryError: No run directory, no such model, another round than those, or a
            damaged checkpoint.
        BadgeError: The data cannot be loaded.
    """
    files = read_run(path)
    chosen = _choose_kind(files, round, model)
    if damage := damage_of_checkpoint(chosen.checkpoint.parent):
        raise RunDirectoryError(
            f"{damage}; restore it from a backup, or take the model of another round by --round N"
        )
    config = resolved(_changed(upgraded(files.config), overrides))
    datamodule = load_all_data(OmegaConf.create(config["data"]), path)
    samples = read_features(config, datamodule, files.path)
    labeled_set = LabeledSet(datamodule)

    def prepare(store: LabelStore) -> None:
        is_several = getattr(datamodule, "multilabel", False)
        classes = ClassList(store, datamodule.class_names, multilabel=is_several)
        datamodule.class_names = classes.names()
        store.accept_only(AnswerCheck(datamodule, labeled_set, classes))

    log = read_run_log(RunDirectory(path).labels_path, prepare=prepare)
    labeled_set.apply(log.in_force.values())
    return RunData(
        replace(files, log=log),
        config,
        datamodule,
        log.in_force,
        chosen.round,
        chosen.checkpoint,
        chosen.value,
        chosen.is_fine_tuned,
        samples,
    )


def _choose_kind(files: RunFiles, round: int | None, model: str) -> ChosenModel:
    """Returns the fine-tuned model or that of a round; of equal ones, the fine-tuned one."""
    facts = read_fine_tuned(files.path)
    if model == "fine_tuned" and round is not None:
        raise RunDirectoryError(
            f"--round: expected none with --model fine_tuned, which has all labels, got {round}"
        )
    if model == "fine_tuned" and facts is None:
        raise RunDirectoryError(
            f"{files.path}: expected a fine-tuned model, but there is none; run the loop with "
            "fine_tune=true to its end"
        )
    if model == "frozen" or facts is None or round is not None:
        return _choose(files, round)
    value = facts.get("metrics", {}).get(files.metric)
    checkpoint = files.path / FINE_TUNED / CHECKPOINT
    tuned = ChosenModel(facts["round"], checkpoint, value, is_fine_tuned=True)
    if model == "fine_tuned":
        return tuned
    frozen = _choose(files, None)
    is_better = value is not None and (frozen.value is None or value >= frozen.value)
    return tuned if is_better else frozen


def _choose(files: RunFiles, round: int | None) -> ChosenModel:
    """Returns the model of a round; of the best one, the later one of equals, without a number."""
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
    value = values[best] if values[best] > float("-inf") else None
    return ChosenModel(best, directory.checkpoint_path(best), value)


def _changed(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    if wrong := [text for text in overrides if not text.startswith("data.") or "=" not in text]:
        raise RunDirectoryError(
            f"expected values of the data such as data.path=DIR, got {' '.join(wrong)}"
        )
    changed = OmegaConf.merge(OmegaConf.create(dict(config)), OmegaConf.from_dotlist([*overrides]))
    plain: Any = OmegaConf.to_container(changed)
    return dict(plain)
