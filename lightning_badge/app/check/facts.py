"""What can be said about a run before it begins."""

import copy
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_badge.app.check.cost import Cost, measure
from lightning_badge.app.check.duplicates import Duplicates, find_duplicates
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import BadgeError, LabelError
from lightning_badge.labels import Label, label_text
from lightning_badge.sample_ids import SampleId

_TRIED = 32  # samples that are labeled at random to time the training of a run without labels
_FEW = 5


@dataclass(frozen=True)
class CheckFacts:
    """The result of a check.

    Attributes:
        samples: Number of samples that can be read, those for validation included.
        pool: Number of samples in the pool at the start.
        unreadable: Reason why a sample cannot be read, by its name.
        notes: How the data were read, such as which column has the texts.
        duplicates: Samples that repeat others; None if they cannot be compared.
        known: Number of known labels, those for validation included.
        by_class: Number of known labels of each class.
        validation: Number of validation samples.
        validation_plan: Where they come from, in words.
        model: Name of the model's class.
        parameters: Number of its parameters.
        cost: Time and space of a round; None if the training failed.
        rounds: Number of rounds; None without ``max_rounds``.
        free_bytes: Free space where the run will be.
        problems: Why the run cannot be made, or cannot be made so.
        warnings: What may be meant, but should be known.
    """

    samples: int
    pool: int
    unreadable: Mapping[str, str]
    notes: list[str]
    duplicates: Duplicates | None
    known: int
    by_class: dict[str, int]
    validation: int
    validation_plan: str
    model: str
    parameters: int
    cost: Cost | None
    rounds: int | None
    free_bytes: int
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_facts(
    config: Mapping[str, Any],
    datamodule: ActiveLearningDataModule,
    model: LightningModule,
    make_trainer: Callable[..., Trainer],
    make_labelers: Callable[[], Any],
) -> CheckFacts:
    """Examines data, labels, model and machine; changes nothing.

    Args:
        config: The configuration of the run.
        datamodule: The data.
        model: A fresh model; it is trained for some steps.
        make_trainer: Builds the run's Trainer from arguments that replace those of the run.
        make_labelers: Builds the run's labelers.
    """
    samples = getattr(datamodule, "samples", None)
    of_folder = samples if isinstance(samples, Samples) else None
    labels = _known_labels(datamodule)
    validation, plan = _validation(datamodule)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    progress = bool(config.get("progress", True))
    problems: list[str] = []
    _try_labelers(make_labelers, problems)
    cost = _try_training(config, datamodule, model, make_trainer, problems)
    separate = 0 if len(datamodule.validation_ids) else validation
    facts = CheckFacts(
        samples=len(datamodule.sample_ids) + separate,
        pool=len(datamodule.pool_ids),
        unreadable=of_folder.left_out if of_folder else {},
        notes=list(of_folder.notes) if of_folder else [],
        duplicates=find_duplicates(datamodule, labels, progress=progress),
        known=len(labels) + separate,
        by_class=_by_class(labels, datamodule),
        validation=validation,
        validation_plan=plan,
        model=type(model).__name__,
        parameters=parameters,
        cost=cost,
        rounds=config.get("max_rounds"),
        free_bytes=_free(Path(config["run_dir"])),
        problems=problems,
    )
    problems += _problems(facts, datamodule)
    facts.warnings.extend(_warnings(facts))
    return facts


def _known_labels(datamodule: ActiveLearningDataModule) -> dict[SampleId, Label]:
    """Returns the labels of all samples, where a simulation has them, else the initial ones."""
    try:
        return datamodule.held_back_labels()
    except LabelError:
        return datamodule.labels_dict()


def _validation(datamodule: ActiveLearningDataModule) -> tuple[int, str]:
    if reserved := len(datamodule.validation_ids):
        return reserved, "drawn at random, every third one to label; never ranked or trained on"
    if not datamodule.has_validation:
        return 0, "none: no learning curve, and each round ends with its last weights"
    loader: Any = datamodule.val_dataloader()
    return len(loader.dataset), "with known labels; never ranked or trained on"


def _by_class(
    labels: Mapping[SampleId, Label], datamodule: ActiveLearningDataModule
) -> dict[str, int]:
    names = datamodule.class_names or ()
    texts = [label_text(label, names) for label in labels.values()]
    is_several = getattr(datamodule, "multilabel", False)
    counts = Counter(name for text in texts for name in (text.split("|") if is_several else [text]))
    return {name: counts.get(name, 0) for name in dict.fromkeys([*names, *sorted(counts)])}


def _try_labelers(make_labelers: Callable[[], Any], problems: list[str]) -> None:
    try:
        make_labelers()
    except BadgeError as error:  # a simulation without all labels
        problems.append(str(error))


def _try_training(
    config: Mapping[str, Any],
    datamodule: ActiveLearningDataModule,
    model: LightningModule,
    make_trainer: Callable[..., Trainer],
    problems: list[str],
) -> Cost | None:
    try:
        return _cost(config, datamodule, model, make_trainer)
    except Exception as error:  # whatever the user's model raises
        first = (str(error).splitlines() or [""])[0]
        problems.append(f"a trial of training fails: {type(error).__name__}: {first}")
        return None


def _cost(
    config: Mapping[str, Any],
    datamodule: ActiveLearningDataModule,
    model: LightningModule,
    make_trainer: Callable[..., Trainer],
) -> Cost:
    trial = copy.copy(datamodule)
    trial.restore(datamodule.labeled_state())
    if not len(trial.labeled_ids):
        is_several = getattr(datamodule, "multilabel", False)
        label = [0.0] * len(datamodule.class_names or ()) if is_several else 0
        pool = trial.pool_ids
        tried = pool[: min(_TRIED, max(len(pool) // 2, 1))].tolist()
        trial.label(dict.fromkeys(tried, label))
    badge = config["callbacks"]["badge"]
    return measure(
        model,
        make_trainer,
        trial,
        strategy=dict(config["strategy"]),
        ranks=badge.get("k"),
        head=badge.get("head"),
        loss=badge.get("loss") or "auto",
    )


def _problems(facts: CheckFacts, datamodule: ActiveLearningDataModule) -> list[str]:
    problems = []
    if facts.cost and facts.cost.steps is None:
        problems.append("training never ends: set trainer.max_steps or trainer.max_epochs")
    if facts.cost and facts.cost.total_bytes * (facts.rounds or 1) > facts.free_bytes:
        problems.append("the disk is too small")
    if facts.pool == 0:
        problems.append(f"the pool is empty: all {len(datamodule.labeled_ids)} samples are labeled")
    return problems


def _warnings(facts: CheckFacts) -> list[str]:
    warnings = []
    if facts.unreadable:
        warnings.append(f"{len(facts.unreadable):,} samples cannot be read; they are left out")
    unseen = [name for name, count in facts.by_class.items() if not count]
    if unseen and facts.known:
        more = f" and {len(unseen) - _FEW} more" if len(unseen) > _FEW else ""
        warnings.append(f"no label of {', '.join(unseen[:_FEW])}{more}")
    if facts.duplicates and facts.duplicates.conflicting:
        first, second = facts.duplicates.conflicting[0]
        warnings.append(
            f"{len(facts.duplicates.conflicting):,} exact copies have another label than the "
            f"original, such as {first} and {second}"
        )
    if facts.duplicates and facts.duplicates.exact > facts.duplicates.compared // 10:
        warnings.append("more than a tenth are exact copies: each would be labeled again")
    if not facts.validation:
        warnings.append("without validation data nobody sees whether labels help")
    return warnings


def _free(run_dir: Path) -> int:
    """Returns the free space at the nearest folder that exists."""
    path = run_dir.expanduser().resolve()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
