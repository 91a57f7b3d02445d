"""Pictures of an ordering: its first picks, if samples are images, and its coverage curve."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_badge.capture.loader_order import reads_in_order
from lightning_badge.capture.reader import pool_size
from lightning_badge.ordering import Ordering
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleIds, positions_of
from lightning_badge.viz.coverage import draw_coverage
from lightning_badge.viz.sample_grid import draw_sample_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICKS = 25


def draw_ordering(
    ordering: Ordering,
    loader: Any,
    pool_ids: SampleIds,
    class_names: Sequence[str] | None = None,
) -> "Iterator[tuple[str, Figure]]":
    """Draws the pictures of an ordering.

    Args:
        ordering: Ordering of the pool.
        loader: Loader of the pool.
        pool_ids: Sample ids of the pool in the loader's order.
        class_names: Names of the hallucinated labels.

    Yields:
        ``first_picks`` with its figure if the pool's samples are images, and ``coverage`` with its
        figure if the strategy measures it.
    """
    picks = ordering.take(PICKS)
    images = pool_images(loader, positions_of(picks.sample_ids, pool_ids).tolist())
    if images is not None:
        captions = _captions(picks, class_names)
        title = "hallucinated labels (confidence), best first" if captions else "best first"
        yield "first_picks", draw_sample_grid(images, captions, title=title)
    if ordering.coverage is not None:
        name = str(ordering.metadata.get("strategy", "coverage"))
        yield "coverage", draw_coverage({name: ordering})


def pool_images(loader: Any, positions: Sequence[int]) -> Tensor | None:
    """Reads samples of a pool as images.

    Args:
        loader: Loader of the pool. Its ``collate_fn`` makes the batch, so that the model's input is
            at its usual place in the batch.
        positions: Positions of the samples in the loader's data set.

    Returns:
        Floats in 0..1 or uint8, ``[k, 1 or 3, height, width]``; None if the samples are not
        images or cannot be read by position. Floats outside this range, as after a normalization,
        are rescaled together.

    Example:
        >>> pool_images(DataLoader(torch.ones(9, 1, 4, 4)), [7, 2]).shape
        torch.Size([2, 1, 4, 4])
    """
    if not isinstance(loader, DataLoader) or not pool_size(loader) or not reads_in_order(loader):
        return None
    data: Any = loader.dataset
    try:
        # as torch's own loaders do
        fetch = getattr(data, "__getitems__", None)
        items = fetch(list(positions)) if fetch else [data[position] for position in positions]
    except (LookupError, TypeError):
        return None  # a data set whose keys are not positions
    batch = loader.collate_fn(items)
    batch = batch.batch if isinstance(batch, PoolBatch) else batch
    entries: Iterable[Any] = [batch]
    if isinstance(batch, Mapping):
        entries = batch.values()
    elif isinstance(batch, tuple | list):
        entries = batch[:1]
    return next((_drawable(entry) for entry in entries if _is_images(entry)), None)


def _is_images(inputs: Any) -> bool:
    return (
        isinstance(inputs, Tensor)
        and inputs.ndim == 4
        and inputs.shape[1] in (1, 3, 4)
        and inputs.numel() > 0
        and (inputs.dtype == torch.uint8 or inputs.is_floating_point())
    )


def _drawable(images: Tensor) -> Tensor | None:
    images = images.detach().cpu()
    images = images[:, :3] if images.shape[1] == 4 else images  # without transparency
    if images.dtype == torch.uint8:
        return images
    images = images.float()
    low, high = images.aminmax()
    if not (low.isfinite() and high.isfinite()):
        return None
    if low < 0 or high > 1:
        images = (images - low) / (high - low).clamp(min=torch.finfo(images.dtype).tiny)
    return images


def _captions(picks: Ordering, class_names: Sequence[str] | None) -> list[str] | None:
    if picks.hallucinated_label is None or picks.confidence is None:
        return None
    labels: list[int] = picks.hallucinated_label.tolist()
    names = [class_names[label] if class_names else str(label) for label in labels]
    return [
        f"{name} ({share:.0%})"
        for name, share in zip(names, picks.confidence.tolist(), strict=True)
    ]
