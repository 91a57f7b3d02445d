"""Embeds the samples that have no features yet."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from lightning_badge.encoders.base import Encoder, RawSamples, digest_of
from lightning_badge.encoders.feature_store import FeatureStore, Missing
from lightning_badge.encoders.precomputed import Numbered, PrecomputedFeatures
from lightning_badge.exceptions import EncoderError
from lightning_badge.progress import progress_bar
from lightning_badge.sample_ids import name_ids

_CHECKED_AT_ONCE = 64
_log = logging.getLogger(__name__)


def embed_new(
    store: FeatureStore, encoder: Encoder, samples: RawSamples, *, progress: bool = True
) -> int:
    """Embeds the samples that have no features yet, and stores each batch when it is complete.

    A call after a killed one embeds what that left, and a call with further samples embeds only
    these. Texts are sorted by length, so that a batch has little padding.

    Args:
        store: Features that exist already.
        encoder: The encoder; another one than that of the stored features is an error.
        samples: All samples.
        progress: Whether to show a progress bar on a terminal.

    Returns:
        The number of samples that were embedded.

    Raises:
        EncoderError: Another encoder, changed samples, a full disk, or features that are not
            finite.
    """
    if isinstance(encoder, PrecomputedFeatures):
        samples = Numbered(samples.keys)
    store.bind(encoder.name, encoder.fingerprint(), encoder.width)
    missing = store.reserve(samples.keys, _digests(samples, progress))
    n = len(missing.positions)
    if not n:
        return 0
    before, _ = store.counts()
    done = f"; {before:,} are stored already" if before else ""
    _log.info("embedding %s samples by %s: %s%s", f"{n:,}", encoder.name, encoder.pooling, done)
    with progress_bar("Embedding", n, enabled=progress) as advance, torch.inference_mode():
        for batch in _batches(encoder, samples, missing):
            positions = [missing.positions[place] for place in batch]
            features = encoder.embed(encoder.collate(samples.read(positions))).float().cpu()
            is_finite = features.isfinite().all(dim=1)
            if not is_finite.all():
                bad = [positions[place] for place in (~is_finite).nonzero().flatten().tolist()]
                raise EncoderError(
                    f"{encoder.name}: expected finite features, got NaN or inf for "
                    f"{name_ids(samples.keys[position] for position in bad)}"
                )
            store.complete([missing.rows[place] for place in batch], features.numpy())
            advance(len(batch))
    return n


def _digests(samples: RawSamples, progress: bool) -> list[bytes]:
    n, found = len(samples.keys), list[bytes]()
    with progress_bar("Checking samples", n, enabled=progress) as advance:
        for start in range(0, n, _CHECKED_AT_ONCE):
            part = samples.read(range(start, min(start + _CHECKED_AT_ONCE, n)))
            found += map(digest_of, part)
            advance(len(part))
    return found


def _batches(encoder: Encoder, samples: RawSamples, missing: Missing) -> Sequence[Sequence[int]]:
    """Returns the places in ``missing`` of each batch, the longest samples first.

    The longest come first so that too small a memory is noticed at once.
    """
    order = np.arange(len(missing.positions))
    if samples.kind == "texts" and (lengths := encoder.lengths(samples.read(missing.positions))):
        order = np.argsort(-np.asarray(lengths), kind="stable")
    return [
        order[start : start + encoder.batch_size].tolist()
        for start in range(0, len(order), encoder.batch_size)
    ]
