"""Predictions of a run's best model for the samples that nobody labeled."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hydra.utils import instantiate
from lightning.pytorch import LightningModule
from omegaconf import OmegaConf
from torch import Tensor

from lightning_badge.app.frozen_encoder import stored_encoder
from lightning_badge.app.handover.run_data import RunData
from lightning_badge.capture.without_trainer import capture_logits
from lightning_badge.datamodule.encoded import use_raw
from lightning_badge.examples.fine_tuned import FineTuned
from lightning_badge.exceptions import BadgeError
from lightning_badge.labels import label_text
from lightning_badge.sample_ids import SampleIds, is_str


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model of a checkpoint.

    Attributes:
        model: The model.
        name: Dotted name of its class.
        is_plain: Whether ``load_from_checkpoint`` needs no further arguments.
    """

    model: LightningModule
    name: str
    is_plain: bool


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions ``[n]``.

    Attributes:
        sample_ids: The samples, in the order of the pool.
        labels: The predicted label of each, as people write it.
        confidence: Probability of the predicted class; for several classes a sample, the smallest
            over the classes of the more probable of yes and no. float32.
    """

    sample_ids: SampleIds
    labels: list[str]
    confidence: npt.NDArray[np.float32]


def load_model(run: RunData, checkpoint: Path) -> LoadedModel:
    """Builds the run's model and loads a checkpoint.

    Args:
        run: The run.
        checkpoint: A checkpoint of its model, which was copied from ``run.checkpoint``.

    Raises:
        BadgeError: The model cannot be built, or the checkpoint does not fit it.
    """
    if run.is_fine_tuned:
        return _load_fine_tuned(run, checkpoint)
    built = instantiate(OmegaConf.create(run.config["model"]))
    kind = type(built)
    try:
        model = kind.load_from_checkpoint(checkpoint, map_location="cpu")
        is_plain = True
    except (TypeError, RuntimeError):
        # The model does not save its hyperparameters.
        saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
        try:
            built.load_state_dict(saved["state_dict"])
        except (RuntimeError, KeyError) as error:
            raise BadgeError(
                f"{run.checkpoint}: expected weights of {kind.__name__}: {error}"
            ) from error
        model, is_plain = built, False
    return LoadedModel(model.eval(), f"{kind.__module__}.{kind.__qualname__}", is_plain)


def _load_fine_tuned(run: RunData, checkpoint: Path) -> LoadedModel:
    """Loads the fine-tuned model, for which the encoder has to be loaded first."""
    assert run.samples is not None, "only an encoder is fine-tuned"
    encoder = stored_encoder(run.config, run.samples, _device(run))
    try:
        model = FineTuned.load_from_checkpoint(checkpoint, encoder=encoder, map_location="cpu")
    except RuntimeError as error:
        raise BadgeError(
            f"{run.checkpoint}: expected weights of the encoder {encoder.name}: {error}"
        ) from error
    name = f"{FineTuned.__module__}.{FineTuned.__qualname__}"
    return LoadedModel(model.eval(), name, is_plain=False)


def predict(run: RunData, model: LightningModule) -> Predictions:
    """Predicts the samples that are left in the pool."""
    ids = run.datamodule.pool_ids
    if not len(ids):
        return Predictions(ids, [], np.empty(0, np.float32))
    badge = run.config.get("callbacks", {}).get("badge", {})
    features = run.datamodule.data_sets()
    if isinstance(model, FineTuned):
        assert run.samples is not None, "only an encoder is fine-tuned"
        use_raw(run.datamodule, run.samples, model.encoder.collate)
    try:
        captured, loss = capture_logits(
            model.to(_device(run)),
            run.datamodule.pool_dataloader(),
            "head" if isinstance(model, FineTuned) else badge.get("head"),
            loss=badge.get("loss") or "auto",
        )
    finally:
        if isinstance(model, FineTuned):
            run.datamodule.replace_data(features)
    labels, confidence = _decide(captured.logits.cpu(), loss)
    texts = [label_text(label, run.class_names) for label in labels]
    return Predictions(captured.sample_ids, texts, confidence.float().numpy())


def write_predictions(predictions: Predictions, path: Path, **facts: Any) -> None:
    """Writes the columns ``sample_id``, ``label`` and ``confidence`` to a Parquet file.

    Args:
        predictions: The predictions.
        path: The file.
        **facts: JSON values for the metadata key ``lightning_badge``.
    """
    kind = pa.string() if is_str(predictions.sample_ids) else pa.int64()
    facts["versions"] = {name: version(name) for name in ("lightning-badge", "lightning", "torch")}
    table = pa.table(
        {
            "sample_id": pa.array(predictions.sample_ids.tolist(), type=kind),
            "label": pa.array(predictions.labels, type=pa.string()),
            "confidence": pa.array(predictions.confidence, type=pa.float32()),
        }
    ).replace_schema_metadata({b"lightning_badge": json.dumps(facts).encode()})
    pq.write_table(table, path)


def digest_of(path: Path) -> str:
    """Returns the SHA-256 digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _decide(logits: Tensor, loss: str) -> tuple[list[Any], Tensor]:
    """Returns labels as the data encode them, and their probabilities."""
    if loss == "cross_entropy":
        confidence, label = logits.softmax(dim=1).max(dim=1)
        return label.tolist(), confidence
    probability = logits.sigmoid()
    confidence = torch.maximum(probability, 1 - probability).amin(dim=1)
    is_class = logits > 0
    if logits.shape[1] == 1:
        return is_class[:, 0].int().tolist(), confidence
    return is_class.float().tolist(), confidence


def _device(run: RunData) -> torch.device:
    """Returns a GPU if there is one and the run did not exclude it."""
    accelerator = run.config.get("trainer", {}).get("accelerator", "auto")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")
