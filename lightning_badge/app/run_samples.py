"""The data of a run in which samples may arrive: those it began with, and the later ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.encoders.precomputed import PrecomputedFeatures
from lightning_badge.loop.arrivals import Arrivals
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.run_log import read_samples

MOMENTS = ("between", "during")


def load_data(config: DictConfig, run_dir: str | Path | None) -> ActiveLearningDataModule:
    """Builds the data of a run as they were when it began.

    Args:
        config: The configuration of the data.
        run_dir: The run directory; None for a run that begins anew.
    """
    more: dict[str, Any] = {}
    if config.get("watch") and run_dir is not None:
        began_with, _ = read_samples(RunDirectory(run_dir).labels_path)
        more["began_with"] = began_with or None
    # A partial, because Hydra converts arguments that it is given.
    data: ActiveLearningDataModule = instantiate(config, _partial_=True)(**more)
    return data


def load_all_data(config: DictConfig, run_dir: str | Path) -> ActiveLearningDataModule:
    """Builds the data of a run with all samples that arrived, as far as they are there."""
    data: Any = load_data(config, run_dir)
    if config.get("watch"):
        _, arrived = read_samples(RunDirectory(run_dir).labels_path)
        if arrived and (found := data.watch.read(arrived)) is not None:
            data.arrive(found)
    made: ActiveLearningDataModule = data
    return made


def make_arrivals(
    config: DictConfig,
    datamodule: ActiveLearningDataModule,
    *,
    encoder: Any = None,
    after: Callable[[], None] = lambda: None,
) -> Arrivals:
    """Returns what adds samples that arrive, by ``data.watch`` and ``arrivals``.

    Args:
        config: The configuration of a run; the callback is told to write its embedding.
        datamodule: The data.
        encoder: The run's encoder; None without one.
        after: Is called after samples were added.

    Raises:
        MisconfigurationException: An unknown moment, data that cannot be watched, several
            processes, or features of a file.
    """
    source = getattr(datamodule, "watch", None)
    if config.arrivals not in MOMENTS:
        raise MisconfigurationException(
            f"arrivals: expected one of {', '.join(MOMENTS)}, got {config.arrivals!r}"
        )
    during = config.arrivals == "during"
    if source is None:
        if during:
            raise MisconfigurationException(
                "arrivals=during: expected data in which samples arrive; add data.watch=true with "
                "data=folder"
            )
        return Arrivals()
    if isinstance(encoder, PrecomputedFeatures):
        raise MisconfigurationException(
            "data.watch=true: expected an encoder that embeds samples that arrive, got the "
            "features in a file; name a model as encoder="
        )
    if during and OmegaConf.select(config, "callbacks.badge") is not None:
        OmegaConf.update(config, "callbacks.badge.write_embedding", True, force_add=True)
    return Arrivals(source, during=during, after=after)
