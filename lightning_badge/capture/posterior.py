"""Class probabilities under samples of the weights' posterior, by the model's own dropout layers.

Dropout that is active at prediction draws from an approximate posterior (Gal & Ghahramani, arXiv
1506.02142). Joint information needs one draw for all rows, as in BatchBALD's own code: one mask for
each layer and posterior sample, independent of the batch that a row is in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.pool import capture_pool
from lightning_badge.exceptions import CaptureError
from lightning_badge.peers import Peers

ELEMENTS, CHANNELS = (nn.Dropout,), (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def dropout_layers(model: nn.Module) -> dict[str, _DropoutNd]:
    """Returns the dropout layers of a model that drop something, by name.

    Raises:
        CaptureError: There are none.
    """
    layers: dict[str, _DropoutNd] = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (*ELEMENTS, *CHANNELS)) and 0.0 < module.p < 1.0
    }
    if not layers:
        raise CaptureError(
            f"{type(model).__name__} has no dropout layers to draw a posterior with; expected "
            "nn.Dropout, Dropout1d, Dropout2d or Dropout3d with 0 < p < 1 (a call of "
            "functional.dropout cannot be found), or choose a strategy without a posterior"
        )
    return layers


def capture_posterior(
    trainer: Trainer,
    pl_module: LightningModule,
    dataloader: Iterable[Any],
    *,
    samples: int,
    seed: int,
    head: str,
    sample_id_key: EntryKey | None = None,
    peers: Peers | None = None,
) -> Tensor:
    """Runs the model over the pool once for each posterior sample.

    Afterwards modes, hooks and random states are as they were before, also after an exception.

    Args:
        trainer: The Trainer whose strategy, precision and progress bar are used.
        pl_module: The model, on its device.
        dataloader: The pool, in a fixed order.
        samples: Posterior samples ``s``.
        seed: Of the masks.
        head: Name of the classifier head.
        sample_id_key: As in `capture_pool`.
        peers: As in `capture_pool`.

    Returns:
        Class probabilities ``[n, s, c]``; of a single logit ``[n, s, 2]``; with several processes
        of this process's rows.

    Raises:
        CaptureError: A model without dropout layers, and whatever `capture_pool` raises.
    """
    layers = dropout_layers(pl_module)
    parts = []
    for sample in range(samples):
        with same_masks(layers, f"{seed}:{sample}"):
            captured = capture_pool(
                trainer,
                pl_module,
                dataloader,
                head=head,
                sample_id_key=sample_id_key,
                peers=peers,
            )
        parts.append(_probabilities(captured.logits))
    return torch.stack(parts, dim=1)


@contextmanager
def same_masks(layers: Mapping[str, _DropoutNd], seed: str) -> Iterator[None]:
    """Makes dropout layers in evaluation mode drop the same features of every row.

    Of rows ``[n, t, d]`` the same features are dropped at every ``t``, so that sequences of all
    lengths get the same mask.

    Args:
        layers: In evaluation mode, by name.
        seed: Of the masks.

    Example:
        >>> layer = nn.Dropout(0.5).eval()
        >>> with same_masks({"dropout": layer}, "0"):
        ...     rows = layer(torch.ones(9, 100))
        >>> bool((rows == rows[0]).all()), sorted(set(rows[0].tolist()))
        (True, [0.0, 2.0])
    """
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hook = partial(_drop, f"{seed}:{name}")
            hooks.enter_context(layer.register_forward_hook(hook))
        yield


def _drop(seed: str, layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    assert isinstance(layer, _DropoutNd)
    shape = list(output.shape[1:])
    if isinstance(layer, CHANNELS):
        shape = [shape[0], *[1] * (len(shape) - 1)]
    elif len(shape) == 2:
        shape = [1, shape[1]]
    digest = hashlib.blake2b(f"{seed}:{shape}".encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
    kept = torch.rand(shape, generator=generator) >= layer.p
    return output * (kept / (1.0 - layer.p)).to(output)


def _probabilities(logits: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).float()
    return logits.float().softmax(dim=1)
