"""Which encoder a run uses, and the features that it gives to the run's data."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.encoded import FolderRaw, raw_samples, use_features
from lightning_badge.encoders import (
    FEATURES,
    Encoder,
    FeatureStore,
    RawSamples,
    embed_new,
    load_encoder,
)
from lightning_badge.encoders.load import default_encoder
from lightning_badge.encoders.precomputed import Numbered, PrecomputedFeatures
from lightning_badge.exceptions import EncoderError
from lightning_badge.store.foreign_files import read_yaml
from lightning_badge.store.run_directory import RunDirectory

_DEFAULT = "lightning_badge.examples.default_model.default_model"
_FROZEN = "lightning_badge.examples.frozen.frozen"
_SKETCHED = 256
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """The encoder of a run.

    Attributes:
        encoder: The encoder.
        samples: What it embeds: all samples of the data.
    """

    encoder: Encoder
    samples: RawSamples


def choose_encoder(config: DictConfig, datamodule: ActiveLearningDataModule) -> Chosen | None:
    """Decides on encoder, model and cold start, writes them into the configuration, and loads it.

    ``model=frozen`` without ``encoder=``, and ``data=folder`` without ``model=``, take a default
    encoder that is on this machine. Only an encoder that was named is downloaded. A run that exists
    keeps what it chose.

    Returns:
        The encoder; None if the run has none.

    Raises:
        MisconfigurationException: ``model=frozen`` without an encoder for these data.
        EncoderError: The encoder cannot be loaded, or does not fit the data.
    """
    stored = {} if config.fresh else _stored_config(Path(config.run_dir))
    is_named = config.encoder is not None
    _choose_model(config, datamodule, stored)
    if config.cold_start is None:
        default = "kmeans_pp" if config.encoder is None else "maxherding"
        config.cold_start = stored.get("cold_start") or default
    if config.encoder is None:
        return None
    is_module = OmegaConf.is_config(config.encoder)
    samples = raw_samples(datamodule, as_tensors=is_module)
    ids: Any = getattr(getattr(datamodule, "samples", None), "sample_ids", datamodule.sample_ids)
    accelerator = config.trainer.get("accelerator", "auto")
    encoder = load_encoder(
        instantiate(config.encoder) if is_module else config.encoder,
        samples,
        sample_ids=list(ids),
        device="cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu",
        local=not is_named,
        **config.encoding,
    )
    return Chosen(encoder, samples)


def embed_data(
    chosen: Chosen, datamodule: ActiveLearningDataModule, run_path: Path, *, progress: bool
) -> None:
    """Embeds the samples that have no features yet, and makes the data yield features.

    Raises:
        EncoderError: Another encoder, changed samples, or a folder that cannot be written.
    """
    with FeatureStore(run_path / FEATURES) as store:
        embed_new(store, chosen.encoder, chosen.samples, progress=progress)
        use_features(datamodule, *store.read(chosen.samples.keys))


def with_samples_of(chosen: Chosen, datamodule: ActiveLearningDataModule) -> Chosen:
    """Returns an encoder with all samples of the data, those that arrived too."""
    if not isinstance(chosen.samples, FolderRaw):
        return chosen
    samples = raw_samples(datamodule, as_tensors=chosen.samples.as_tensors)
    return replace(chosen, samples=samples)


def sketch_features(chosen: Chosen, datamodule: ActiveLearningDataModule) -> None:
    """Makes the data yield features of a few samples, repeated, and says how long all would take.

    Costs can be measured on these, and nothing is written.
    """
    samples, encoder = chosen.samples, chosen.encoder
    if isinstance(encoder, PrecomputedFeatures):
        samples = Numbered(samples.keys)
    n = len(samples.keys)
    spread = np.linspace(0, n - 1, min(n, _SKETCHED)).astype(int).tolist()
    if lengths := encoder.lengths(samples.read(spread)):  # as the batches of a run
        spread = [spread[place] for place in np.argsort(lengths, kind="stable").tolist()]
    began, parts = time.perf_counter(), []
    with torch.inference_mode():
        for start in range(0, len(spread), encoder.batch_size):
            part = samples.read(spread[start : start + encoder.batch_size])
            parts.append(encoder.embed(encoder.collate(part)).float().cpu())
    seconds = (time.perf_counter() - began) * n / len(spread)
    _log.info("embedding %s samples by %s takes about %.0f s", f"{n:,}", encoder.name, seconds)
    use_features(datamodule, torch.cat(parts).numpy(), (np.arange(n) % len(spread)).tolist())


def read_features(
    config: Mapping[str, Any], datamodule: ActiveLearningDataModule, run_path: Path
) -> RawSamples | None:
    """Makes the data of a run that has an encoder yield the features that it stored.

    Returns:
        The samples that the encoder embedded; None if the run has no encoder.

    Raises:
        EncoderError: A sample has no features.
    """
    if config.get("encoder") is None:
        return None
    if not (run_path / FEATURES).is_dir():
        raise EncoderError(
            f"{run_path}: expected the folder {FEATURES}, but there is none; run the loop, which "
            "embeds the samples"
        )
    samples = raw_samples(datamodule, as_tensors=not isinstance(config["encoder"], str))
    with FeatureStore(run_path / FEATURES) as store:
        use_features(datamodule, *store.read(samples.keys))
    return samples


def stored_encoder(
    config: Mapping[str, Any], samples: RawSamples, device: torch.device | str
) -> Encoder:
    """Loads the encoder of a run again, from this machine.

    Args:
        config: The run's configuration.
        samples: What it embedded, as `read_features` returned them.
        device: Where the network runs.
    """
    name = config["encoder"]
    network = name if isinstance(name, str) else instantiate(OmegaConf.create(name))
    options = {**config.get("encoding", {}), "device": device}
    return load_encoder(network, samples, local=True, **options)


def _choose_model(
    config: DictConfig, datamodule: ActiveLearningDataModule, stored: Mapping[str, Any]
) -> None:
    target = config.model.get("_target_")
    if target not in (_DEFAULT, _FROZEN):
        return
    earlier = stored.get("model", {})
    if config.encoder is not None:
        if target == _DEFAULT:
            _take_frozen(config)
    elif target == _DEFAULT and earlier.get("_target_") == _DEFAULT:
        return
    elif earlier.get("_target_") == _FROZEN:
        config.encoder = stored["encoder"]
        if target == _DEFAULT:
            _take_frozen(config, earlier)
    else:
        name, reason = default_encoder(raw_samples(datamodule).kind)
        if name is not None:
            config.encoder = name
            if target == _DEFAULT:
                _take_frozen(config)
            _log.info("frozen encoder: %s (%s); model=... takes another model", name, reason)
        elif target == _FROZEN:
            raise MisconfigurationException(
                f"model=frozen: expected encoder=NAME_OR_FOLDER, because {reason}"
            )
        elif raw_samples(datamodule).kind != "tensors":
            _log.info("no frozen encoder, because %s; a small model is trained instead", reason)


def _take_frozen(config: DictConfig, earlier: Mapping[str, Any] | None = None) -> None:
    """Replaces the model by a head over features, with the values of an earlier start."""
    source = files("lightning_badge.configs").joinpath("model/frozen.yaml")
    model: Any = OmegaConf.create(source.read_text(encoding="utf-8"))
    for key, value in (earlier or {}).items():
        if key in model and not OmegaConf.is_interpolation(model, key):
            model[key] = value
    config.model = model


def _stored_config(run_dir: Path) -> Mapping[str, Any]:
    """Returns the configuration of a run that exists; damage is reported when it is checked."""
    try:
        stored = read_yaml(RunDirectory(run_dir).config_path)
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
