"""Inputs of strategies besides the pool's embedding: labeled embedding, or a posterior."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_badge.callback.first_batches import limited
from lightning_badge.callback.pool_source import labeled_loader
from lightning_badge.callback.trainer_checks import is_trial
from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.pool import capture_pool
from lightning_badge.capture.posterior import capture_posterior
from lightning_badge.capture.reader import pool_size
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import CaptureError
from lightning_badge.ordering import STRATEGIES
from lightning_badge.peers import Peers


def strategy_context(
    strategy: str,
    trainer: Trainer,
    pl_module: LightningModule,
    pool: Any,
    embedding: GradientEmbedding,
    *,
    embed: Callable[[CapturedPool], GradientEmbedding],
    head: str,
    sample_id_key: str | int | None,
    samples: int,
    seed: int,
    peers: Peers,
) -> dict[str, Any]:
    """Captures the inputs that a strategy uses besides the pool's embedding.

    Args:
        strategy: Name of the strategy.
        trainer: The Trainer whose precision is used and whose datamodule has the labeled set.
        pl_module: The model.
        pool: Loader of the pool.
        embedding: Embedding of the pool.
        embed: The function that computed it from a captured pool.
        head: Name of the classifier head.
        sample_id_key: Entry of each batch that holds the ids.
        samples: Number of posterior samples.
        seed: Seed of their random draws.
        peers: The processes that share the pool.

    Returns:
        Arguments of `order` that the strategy uses: ``labeled``, an embedding of the whole labeled
        set on each process, or ``posterior``, ``[n, s, c]``, of this process's rows.

    Raises:
        CaptureError: A multi-label model, whose posterior no strategy supports.
    """
    rule, context = STRATEGIES[strategy], dict[str, Any]()
    loader = labeled_loader(trainer, rule)
    if loader is not None and is_trial(trainer):
        loader = limited(trainer, loader, sample_id_key, what="labeled set")
    if loader is not None and pool_size(loader) == 0:
        context["labeled"] = embedding.take(slice(0))
    elif loader is not None:
        labeled = capture_pool(
            trainer, pl_module, loader, head=head, sample_id_key=sample_id_key, peers=peers
        )
        context["labeled"] = embed(labeled.whole())
    if "posterior" not in rule.uses:
        return context
    if embedding.loss == "binary_cross_entropy" and embedding.logit_grad.shape[1] > 1:
        raise CaptureError(
            f"strategy {strategy!r} expects one class for each sample, but the model is "
            "multi-label; choose badge or entropy"
        )
    context["posterior"] = capture_posterior(
        trainer,
        pl_module,
        pool,
        samples=samples,
        seed=seed,
        head=head,
        sample_id_key=sample_id_key,
        peers=peers,
    )
    return context
