"""The post's set-up: a model that never saw some classes, and a pool that has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hydra.utils import instantiate
from lightning.pytorch import seed_everything
from omegaconf import DictConfig
from torch import Tensor

from lightning_badge import (
    ActiveLearningDataModule,
    BadgeCallback,
    BadgeError,
    GradientEmbedding,
    Ordering,
    read_ordering,
)
from lightning_badge.sample_ids import is_in, positions_of


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool as the model sees it, and what the model does not know.

    Attributes:
        embedding: ``n`` gradient embeddings.
        images: ``[n, channels, height, width]`` in 0..1.
        labels: True classes ``[n]``.
        class_names: Of all classes.
        unseen: Classes that training never saw.
        n_labeled: Samples that it saw.
    """

    embedding: GradientEmbedding
    images: Tensor
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    unseen: tuple[int, ...]
    n_labeled: int

    @property
    def hallucinated(self) -> npt.NDArray[np.int64]:
        """Predicted classes ``[n]``."""
        assert self.embedding.hallucinated_label is not None
        return self.embedding.hallucinated_label.numpy()

    @property
    def norms(self) -> npt.NDArray[np.float64]:
        """Norms of the gradient embeddings ``[n]``."""
        return self.embedding.sq_norm.sqrt().numpy()

    @property
    def is_unseen(self) -> npt.NDArray[np.bool_]:
        """Which rows are of a class that training never saw, ``[n]``."""
        return np.isin(self.labels, self.unseen)

    def rows(self, ordering: Ordering) -> npt.NDArray[np.int64]:
        """Returns the row of each rank ``[k]``."""
        return positions_of(ordering.sample_ids, self.embedding.sample_ids)


def train_and_order(config: DictConfig, folder: Path) -> tuple[Pool, Ordering]:
    """Trains the model on the classes it may see; the callback orders the pool at the end."""
    datamodule = instantiate(config.data)
    unseen = divide(
        *(datamodule, list(config.unseen)),
        train_share=config.train_share,
        pool_size=config.pool_size,
        seed=config.seed,
    )
    config.classes = len(datamodule.class_names)
    seed_everything(config.seed, verbose=False)
    badge = BadgeCallback(dirpath=folder, keep_embedding=True)
    trainer = instantiate(
        config.trainer, callbacks=[badge], logger=False, enable_checkpointing=False
    )
    trainer.fit(instantiate(config.model), datamodule=datamodule)
    assert badge.embedding is not None
    assert badge.last_ordering_path is not None
    pool = make_pool(datamodule, badge.embedding.to("cpu"), unseen)
    return pool, read_ordering(badge.last_ordering_path)


def divide(
    datamodule: ActiveLearningDataModule,
    unseen: list[str],
    *,
    train_share: float,
    pool_size: int,
    seed: int,
) -> tuple[int, ...]:
    """Labels a share of the data but for the unseen classes, and leaves a pool of all classes.

    Args:
        datamodule: Nothing labeled yet; it is divided in place.
        unseen: Names of the classes that are kept out of the labeled set.
        train_share: Share of the data that the labeled set is taken from.
        pool_size: Samples of the other share that stay in the pool.
        seed: Of both draws.

    Returns:
        The unseen classes.

    Raises:
        BadgeError: Unknown classes, or fewer samples than the pool shall have.
    """
    names = datamodule.class_names or ()
    if unknown := [name for name in unseen if name not in names]:
        raise BadgeError(f"unseen: expected some of {', '.join(names)}, got {', '.join(unknown)}")
    classes = tuple(names.index(name) for name in unseen)
    label_of = datamodule.held_back_labels()
    ids = np.random.default_rng(seed).permutation(datamodule.pool_ids)
    train, rest = np.split(ids, [round(train_share * len(ids))])
    if len(rest) < pool_size:
        raise BadgeError(f"pool_size: expected at most {len(rest)}, the rest, got {pool_size}")
    datamodule.label(each for each in train.tolist() if label_of[each] not in classes)
    left = datamodule.pool_ids
    datamodule.discard(left[~is_in(left, rest[:pool_size])])
    return classes


def make_pool(
    datamodule: ActiveLearningDataModule, embedding: GradientEmbedding, unseen: tuple[int, ...]
) -> Pool:
    """Joins the embedding of the pool with its images and true classes."""
    batches = list(datamodule.pool_dataloader())
    label_of: dict[Any, Any] = datamodule.held_back_labels()
    return Pool(
        embedding,
        torch.cat([batch.batch[0] for batch in batches]),
        np.array([label_of[sample_id] for sample_id in embedding.sample_ids.tolist()]),
        datamodule.class_names or (),
        unseen,
        len(datamodule.labeled_ids),
    )
