"""Samples of a folder as an `ActiveLearningDataModule`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.fabric.utilities import rank_zero_info, rank_zero_warn

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.dataset_view import MapStyle
from lightning_badge.datamodule.folder.cold_start import cold_start
from lightning_badge.datamodule.folder.find import SampleSource
from lightning_badge.datamodule.folder.known_labels import (
    as_target,
    class_list,
    draw_validation,
    encode,
    placeholder,
    read_label_file,
)
from lightning_badge.datamodule.folder.samples import FolderDataset, Samples
from lightning_badge.datamodule.folder.watch import FolderWatch
from lightning_badge.datamodule.joined import joined_ids
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId, as_sample_ids, fingerprint, name_ids

_NAMED = 5


class FolderDataModule(ActiveLearningDataModule):
    """Samples of a folder, with the labels that are known.

    If every sample has a label, a labeled subset is drawn and the other labels are held back for a
    simulated labeler. Otherwise the labels that are known are the labeled set, all other samples
    are the pool or for validation, and no label is held back: pass answers to `label`.

    Args:
        samples: The samples.
        labels: Known labels as text.
        classes: Names of the classes; those of the labels where None.
        multilabel: Whether a sample may have several classes, or none; targets are then float
            ``[c]``, otherwise the number of the class.
        val_size: Number of validation samples, drawn among the known labels by a seeded hash of
            the sample id. None draws a tenth (30 to 300) if every sample has a label, else as
            ``validation`` says.
        validation: If a sample has no label and ``val_size`` is None: ``auto`` reserves a tenth of
            all samples (30 to 300), drawn by that hash, which people label too; ``none`` reserves
            none. A mapping of ids to labels: these samples are for validation in any case.
        split_seed: Of that hash.
        initial_labeled: If every sample has a label: number of initial labels, or their ids.
        **arguments: Further arguments of `ActiveLearningDataModule`.

    Attributes:
        samples: The samples, validation samples included.
        multilabel: As given.
        watch: Finds samples that arrive in the folder; None if it is not watched.

    Raises:
        LabelError: No classes, unknown classes, or no sample left to train on.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        labels: dict[SampleId, str],
        classes: Sequence[Any] | None = None,
        multilabel: bool = False,
        val_size: int | None = None,
        validation: str | Mapping[SampleId, str] = "none",
        split_seed: int = 0,
        initial_labeled: int | Iterable[SampleId] = 20,
        **arguments: Any,
    ) -> None:
        if isinstance(validation, Mapping):
            labels = {**labels, **validation}
        elif validation not in ("auto", "none"):
            raise LabelError(f"validation: expected auto, none or labels, got {validation!r}")
        names = class_list(classes, list(labels.values()), multilabel=multilabel)
        encoded = {
            sample_id: encode(label, names, multilabel=multilabel)
            for sample_id, label in labels.items()
        }
        is_simulated = len(encoded) == len(samples)
        held_out: list[SampleId] = []
        reserved: list[SampleId] = []
        if isinstance(validation, Mapping):
            held_out = list(validation)
        elif is_simulated if val_size is None else val_size > 0:
            held_out = draw_validation(labels, val_size, split_seed)
        elif validation == "auto" and val_size is None:
            everyone = dict.fromkeys(samples.sample_ids, "")
            reserved = draw_validation(everyone, None, split_seed)
        is_held_out = frozenset(held_out)
        unknown = placeholder(names, multilabel=multilabel)

        def part(is_val: bool) -> FolderDataset:
            positions = [
                position
                for position, sample_id in enumerate(samples.sample_ids)
                if (sample_id in is_held_out) == is_val
            ]
            ids = [samples.sample_ids[position] for position in positions]
            targets = [as_target(encoded.get(sample_id, unknown)) for sample_id in ids]
            return FolderDataset(samples.inputs, positions, targets)

        train = part(is_val=False)
        ids = [samples.sample_ids[position] for position in train.positions]
        if not ids:
            raise LabelError("expected samples to train on, but all are validation samples")
        val = part(is_val=True) if held_out else None
        super().__init__(
            train,
            val,
            initial_labeled=initial_labeled
            if is_simulated
            else {sample_id: encoded[sample_id] for sample_id in ids if sample_id in encoded},
            labels=[encoded[sample_id] for sample_id in ids] if is_simulated else None,
            validation_ids=reserved,
            sample_ids=ids,
            class_names=names,
            **arguments,
        )
        self.samples, self.multilabel = samples, multilabel
        self._known_count = len(encoded)
        self._folder_train, self._folder_val = train, val
        self._names = names

    watch: FolderWatch | None = None

    @property
    def source(self) -> str:
        """Identifies the data by their kind and path, because their contents may grow."""
        return fingerprint(as_sample_ids([f"{self.samples.kind}: {self.samples.source}"]))

    def all_ids(self) -> list[SampleId]:
        """Returns the ids of all samples of the folder, those for validation included."""
        return list(self.samples.sample_ids)

    def arrive(self, found: Samples) -> dict[SampleId, Label]:
        """Adds samples that arrived to the pool, behind the others.

        The data yield raw samples again, those that were there before too.

        Args:
            found: New samples of the folder.

        Returns:
            Labels that came with them and are not held back.

        Raises:
            LabelError: In a simulation, a label that is missing or of no class.
        """
        encoded: dict[SampleId, Any] = {
            key: encode(label, self._names, multilabel=self.multilabel)
            for key, label in found.labels.items()
        }
        is_simulated = self._known is not None
        ids = list(found.sample_ids)
        if is_simulated and (missing := [key for key in ids if key not in encoded]):
            raise LabelError(
                f"samples {name_ids(missing)} arrived without a label, but those of all others are "
                "known, as in a simulation; add the labels, or remove those of the others"
            )
        first, samples = len(self.samples), self.samples.with_more(found)
        unknown = placeholder(self._names, multilabel=self.multilabel)
        train = FolderDataset(
            samples.inputs,
            [*self._folder_train.positions, *range(first, len(samples))],
            [*self._folder_train.encoded, *(as_target(encoded.get(key, unknown)) for key in ids)],
        )
        if self._folder_val is not None:
            self._folder_val = replace(self._folder_val, inputs=samples.inputs)
        known = [*self._known, *(encoded[key] for key in ids)] if self._known is not None else None
        self._grow(train, train, joined_ids(self.sample_ids, ids, len(ids)), known)
        self.samples, self._folder_train = samples, train
        self._known_count += len(encoded)
        self.replace_data(self._folder_parts())
        if is_simulated:
            return {}
        self.label(encoded)
        return encoded

    def _folder_parts(self) -> dict[str, MapStyle]:
        parts = {"train": self._folder_train, "val": self._folder_val}
        return {name: data for name, data in parts.items() if data is not None}

    def cold_start(self) -> GradientEmbedding:
        """Returns an embedding of the pool that needs no model."""
        return cold_start(self.samples, self.pool_ids)

    def held_back_labels(self) -> dict[SampleId, Label]:
        """Returns what a simulated labeler knows: the label of every sample but validation samples.

        Raises:
            LabelError: A sample has no label.
        """
        if self._known_count < len(self.samples):
            raise LabelError(
                f"a simulation needs the label of every sample, but {self._known_count} of "
                f"{len(self.samples)} samples have a label; let people label with "
                "labelers=files, or pass data.labels=FILE.csv with the columns sample_id and label"
            )
        return super().held_back_labels()


def folder(
    path: str,
    *,
    kind: str = "auto",
    labels: str | None = None,
    validation: str = "none",
    image_size: int = 64,
    text_column: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    watch: bool = False,
    began_with: Collection[SampleId] | None = None,
    **arguments: Any,
) -> FolderDataModule:
    """Builds labeled set and pool from images, texts or a table.

    Samples that cannot be read are named in one warning and left out.

    Args:
        path: A folder of images, a folder with one CSV, JSONL or Parquet file, or such a file.
        kind: ``images``, ``texts`` or ``tables``; ``auto`` finds out.
        labels: CSV file with the columns ``sample_id`` and ``label``; ``a|b`` stands for two
            classes of one sample. Relative to the current folder, else to ``path``.
        validation: ``auto`` or ``none`` as in `FolderDataModule`, or a file like ``labels`` that
            has the samples for validation.
        image_size: Side length in pixels that images are resized to.
        text_column: Column of the texts; None chooses the column with the longest texts.
        id_column: Column of the sample ids; None takes ``sample_id`` or ``id``, else row numbers.
        label_column: Column of the labels; None takes ``label`` if there is one.
        watch: Whether samples may arrive while a run goes on.
        began_with: With ``watch``, the ids of the samples with which the run began; others have
            arrived since then. None for all.
        **arguments: Further arguments of `FolderDataModule` and `ActiveLearningDataModule`.

    Raises:
        BadgeError: The data cannot be read.
        LabelError: Labels or classes that do not fit.
    """
    root = Path(path)
    label_file = None if labels is None else _resolve(labels, root)
    validation_file = None if validation in ("auto", "none") else _resolve(validation, root)
    source = SampleSource(
        root,
        kind=kind,
        image_size=image_size,
        columns={"text": text_column, "id": id_column, "label": label_column},
        not_data=[file for file in (label_file, validation_file) if file is not None],
    )
    samples = source.read(began_with if watch else None)
    for note in samples.notes:
        rank_zero_info(f"{path}: {note}")
    if samples.left_out:
        more = len(samples.left_out) - _NAMED
        rank_zero_warn(
            f"{path}: left out {len(samples.left_out)} samples that cannot be read: "
            + "; ".join(f"{name!a}: {why}" for name, why in list(samples.left_out.items())[:_NAMED])
            + (f"; and {more} more" if more > 0 else "")
        )
    known = dict(samples.labels)
    if label_file is not None:
        known = read_label_file(label_file, samples.sample_ids, samples.left_out)
    held_out: str | dict[SampleId, str] = validation
    if validation_file is not None:
        held_out = read_label_file(validation_file, samples.sample_ids, samples.left_out)
    samples = replace(samples, source=root.resolve().name)
    made = FolderDataModule(samples, labels=known, validation=held_out, **arguments)
    made.watch = FolderWatch(source, samples) if watch else None
    return made


def _resolve(labels: str, root: Path) -> Path:
    """Returns the label file: relative to the current folder, else to the data's folder."""
    inside = (root if root.is_dir() else root.parent) / labels
    return inside if inside.exists() and not Path(labels).exists() else Path(labels)
