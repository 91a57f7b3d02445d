"""What people need to review labels: predictions, and the nearest labeled samples of the pool."""

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_badge.callback.first_batches import limited
from lightning_badge.callback.pool_source import labeled_of
from lightning_badge.callback.trainer_checks import is_trial
from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.pool import capture_pool
from lightning_badge.capture.reader import pool_size
from lightning_badge.kernels import Loss
from lightning_badge.peers import Peers
from lightning_badge.review_file import Review
from lightning_badge.sample_ids import SampleId

_ROWS, _LABELED = 1024, 8192  # rows of the pool and of the labeled set compared at once


def check_labeled(trainer: Trainer, nearest_labeled: int) -> None:
    """Raises a MisconfigurationException if a review is asked for without a labeled set."""
    if nearest_labeled and labeled_of(trainer) is None:
        raise MisconfigurationException(
            f"BadgeCallback(nearest_labeled={nearest_labeled}) needs the labeled set, but the "
            "datamodule has no labeled_dataloader() (ActiveLearningDataModule has it); define one, "
            "or leave nearest_labeled out"
        )


def review_of(
    trainer: Trainer,
    pl_module: LightningModule,
    pool: CapturedPool,
    *,
    loss: Loss,
    nearest_labeled: int,
    sample_id_key: EntryKey | None,
    peers: Peers,
) -> Review:
    """Captures the labeled set and compares the pool with it.

    Args:
        trainer: As in `capture_pool`; its datamodule has the labeled set.
        pl_module: As in `capture_pool`.
        pool: The captured pool, or this process's rows of it.
        loss: The loss, which says what logits mean.
        nearest_labeled: Number of labeled samples for each of the pool.
        sample_id_key: As in `capture_pool`.
        peers: The processes that share the pool.

    Returns:
        The review of the whole pool and the labeled set.
    """
    loader = labeled_of(trainer)
    if loader is not None and is_trial(trainer):
        loader = limited(trainer, loader, sample_id_key, what="labeled set")
    labeled = None
    if loader is not None and pool_size(loader) != 0:
        labeled = capture_pool(
            trainer,
            pl_module,
            loader,
            head=pool.head_name,
            sample_id_key=sample_id_key,
            peers=peers,
        ).whole()
    parts = peers.gather(_of_pool(pool, labeled, loss, nearest_labeled))
    return _joined([*parts, *([] if labeled is None else [_of_labeled(labeled, loss)])])


def _of_pool(pool: CapturedPool, labeled: CapturedPool | None, loss: Loss, k: int) -> Review:
    nearest: list[list[SampleId] | None] = [[] for _ in pool.sample_ids]
    if labeled is not None:
        ids = labeled.sample_ids.tolist()
        found = nearest_rows(pool.penultimate, labeled.penultimate, k).tolist()
        nearest = [[ids[row] for row in rows] for rows in found]
    is_labeled = np.zeros(len(nearest), np.bool_)
    return Review(pool.sample_ids, is_labeled, *_predict(pool.logits, loss), nearest)


def _of_labeled(labeled: CapturedPool, loss: Loss) -> Review:
    n = len(labeled.sample_ids)
    is_labeled = np.ones(n, np.bool_)
    return Review(labeled.sample_ids, is_labeled, *_predict(labeled.logits, loss), [None] * n)


def _joined(parts: list[Review]) -> Review:
    # A part without rows does not tell whether ids are text.
    filled = [part for part in parts if len(part.sample_ids)] or parts[:1]
    return Review(
        np.concatenate([part.sample_ids for part in filled]),
        np.concatenate([part.is_labeled for part in filled]),
        np.concatenate([part.guess for part in filled]),
        np.concatenate([part.confidence for part in filled]),
        [ids for part in filled for ids in part.nearest],
    )


def nearest_rows(rows: Tensor, others: Tensor, k: int) -> Tensor:
    """Returns the positions of the nearest others of each row, ``[n, min(k, m)]``, nearest first.

    Distances are Euclidean. Blocks of both are compared, so that no ``[n, m]`` tensor exists.

    Args:
        rows: ``[n, h]``.
        others: ``[m, h]``.
        k: How many.

    Example:
        >>> nearest_rows(torch.tensor([[0.0], [9.0]]), torch.tensor([[5.0], [1.0], [8.0]]), 2)
        tensor([[1, 0],
                [2, 0]])
    """
    starts = range(0, len(rows), _ROWS)
    blocks = [_nearest_of_block(rows[at : at + _ROWS].float(), others, k) for at in starts]
    return torch.cat(blocks) if blocks else torch.empty(0, min(k, len(others)), dtype=torch.long)


def _nearest_of_block(block: Tensor, others: Tensor, k: int) -> Tensor:
    distance = block.new_empty(len(block), 0)
    position = torch.empty(len(block), 0, dtype=torch.long, device=block.device)
    for start in range(0, len(others), _LABELED):
        part = others[start : start + _LABELED].float()
        # Centered at the part's mean, so that large activations of all rows cancel before squaring.
        center = part.mean(dim=0)
        left, right = block - center, part - center
        square = left.square().sum(1, keepdim=True) + right.square().sum(1) - 2 * left @ right.T
        here = torch.arange(start, start + len(part), device=block.device).expand(len(block), -1)
        distance, position = torch.cat([distance, square], 1), torch.cat([position, here], 1)
        distance, order = distance.topk(min(k, distance.shape[1]), dim=1, largest=False)
        position = position.gather(1, order)
    return position


def _predict(logits: Tensor, loss: Loss) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns the predicted class of each row and its probability, ``[n]`` each.

    Of several classes a sample, that is the most probable one.
    """
    logits = logits.float()
    if loss == "cross_entropy":
        confidence, guess = logits.softmax(dim=1).max(dim=1)
    elif logits.shape[1] == 1:
        guess = (logits[:, 0] > 0).long()
        confidence = logits[:, 0].abs().sigmoid()
    else:
        confidence, guess = logits.sigmoid().max(dim=1)
    return guess.int().cpu().numpy(), confidence.cpu().numpy()
