"""The post's experiment: a model trained without some classes, and a pool that contains them."""

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
    """A pool with its gradient embeddings and its true classes.

    Attributes:
        embedding: The ``n`` gradient embeddings.
        images: Images ``[n, channels, height, width]`` in 0..1.
        labels: True classes ``[n]``.
        class_names: Names of all classes.
        unseen: Classes without training samples.
        n_labeled: Number of training samples.
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
        """Whether each row belongs to an unseen class, ``[n]``."""
        return np.isin(self.labels, self.unseen)

    def rows(self, ordering: Ordering) -> npt.NDArray[np.int64]:
        """Returns the row of each rank ``[k]``."""
        return positions_of(ordering.sample_ids, self.embedding.sample_ids)


def train_and_order(config: DictConfig, folder: Path) -> tuple[Pool, Ordering]:
    """Trains the model without the unseen classes; the callback orders the pool at the end."""
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
    """Labels a share of the data without the unseen classes, and keeps a pool of all classes.

    Args:
        datamodule: Divided in place; must have no labels yet.
        unseen: Names of the classes to exclude from the labeled set.
        train_share: Share of the data that the labeled set is taken from.
        pool_size: Number of samples of the rest to keep in the pool.
        seed: Seeds the division.

    Returns:
        Indices of the unseen classes.

    Raises:
        BadgeError: A class is unknown, or there are fewer than ``pool_size`` samples left.
    """
    names = datamodule.class_names or ()
    if unknown := [name for name in unseen if name not in names]:
        raise BadgeError(f"unseen: expected some of {', '.join(names)}, got {', '.join(unknown)}")
    classes = tuple(names.index(name) for name in unseen)
    label_of = datamodule.held_back_labels()
    ids = np.random.default_rng(seed).permutation(datamodule.pool_ids)
    train, rest = np.split(ids, [round(train_share * len(ids))])
    if len(rest) < pool_size:
        raise BadgeError(
            f"pool_size: expected at most {len(rest)}, the samples outside train_share, got "
            f"{pool_size}"
        )
    datamodule.label(each for each in train.tolist() if label_of[each] not in classes)
    remaining = datamodule.pool_ids
    datamodule.discard(remaining[~is_in(remaining, rest[:pool_size])])
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
