"""Embeds the batches of some shards and writes these, each complete or not at all."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.loss import choose_loss, peek_targets
from lightning_badge.capture.pool import pass_over_pool, source_of_ids
from lightning_badge.capture.pool_layout import PoolLayout
from lightning_badge.capture.reader import read_pool
from lightning_badge.capture.rows import missing_samples
from lightning_badge.capture.turns import chosen_batches
from lightning_badge.exceptions import CaptureError, EmbeddingError
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleIds, name_ids
from lightning_badge.shard_file import ShardFacts, read_shard, write_shard
from lightning_badge.shard_folder import DTYPES, Request, begin, finish, missing_shards


@dataclass(frozen=True, eq=False)
class ShardWriter:
    """Writes the shards of a pool.

    Attributes:
        folder: Where.
        request: What was asked for.
        layout: The batches of the pool.
        model: The model.
        loader: Loader of the whole pool.
        run: Runs the model on a batch, given with its number.
        loss: ``auto``, or the loss that was given.
        sample_id_key: Entry of each batch that holds the sample ids.
    """

    folder: Path
    request: Request
    layout: PoolLayout
    model: nn.Module
    loader: DataLoader[Any]
    run: Callable[[Any, int], Any]
    loss: str
    sample_id_key: EntryKey | None

    def begin(self) -> list[int]:
        """Creates the folder, or checks it; returns the shards that are missing."""
        if not self.request.rows:
            raise CaptureError("the pool is empty: expected one sample or more to embed")
        begin(self.folder, self.request)
        return missing_shards(self.folder, self.request)

    def write(self, shards: list[int], advance: Callable[[int], None]) -> None:
        """Embeds and writes shards ``[s]``, in rising order.

        Args:
            shards: Their numbers.
            advance: Called after each batch.

        Raises:
            CaptureError: As `capture_to`.
            HeadError: As `capture_to`.
            EmbeddingError: As `capture_to`.
        """
        head = self.request.head
        numbers = [number for shard in shards for number in self.request.batches_of(shard)]
        generator: Any = read_pool(_Part(self.loader, numbers), self.sample_id_key)
        with closing(generator) as batches:
            for shard in shards:
                head = self._write(shard, head, batches, advance)

    def _write(
        self, shard: int, head: str | None, batches: Any, advance: Callable[[int], None]
    ) -> str:
        """Embeds and writes one shard; returns the name of the head."""
        request, sources = self.request, set[str]()
        of_shard = request.batches_of(shard)
        captured = pass_over_pool(
            self.model,
            self._with_ids(batches, of_shard, sources),
            partial(self._run_at, of_shard.start),
            head=head,
            sample_id_key=self.sample_id_key,
            advance=advance,
        )
        if head is None:
            self._choose_loss(captured.logits.shape[1])  # an error now, not at the end
        ids = captured.sample_ids
        facts = ShardFacts(
            request=request.digest,
            first=of_shard.start,
            stop=of_shard.stop,
            rows=len(ids),
            head=captured.head_name,
            sample_id_source=", ".join(sorted(sources)),
        )
        penultimate = _narrowed(captured.penultimate, request.dtype, "penultimate", ids)
        logits = _narrowed(captured.logits, request.dtype, "logits", ids)
        write_shard(request.path(self.folder, shard), facts, ids, penultimate, logits)
        return captured.head_name

    def finish(self) -> list[int]:
        """Writes the manifest that says that all shards are there."""
        _, block = read_shard(self.request.path(self.folder, 0))
        finish(self.folder, self.request, *self._choose_loss(block.logits.shape[1]))
        return []

    def _choose_loss(self, n_outputs: int) -> tuple[str, str]:
        if self.loss != "auto":
            return self.loss, "given as loss="
        chosen = choose_loss(self.model, n_outputs, peek_targets(self.loader, self.sample_id_key))
        return chosen.name, chosen.evidence

    def _run_at(self, first: int, batch: Any, number: int) -> Any:
        return self.run(batch, first + number)

    def _with_ids(
        self, batches: Iterator[tuple[SampleIds | None, Any]], of_shard: range, sources: set[str]
    ) -> Iterator[PoolBatch]:
        """Yields the next batches with their ids, and adds what these are to ``sources``."""
        for number in of_shard:
            ids, batch = next(batches)
            sources.add(self.layout.meaning if ids is None else source_of_ids(self.sample_id_key))
            if ids is None:
                n_dataset = len(self.loader.dataset)  # type: ignore[arg-type]
                if self.request.rows < n_dataset:
                    raise missing_samples(n_dataset, self.request.rows)
                ids = self.layout.ids_of(number)
            yield PoolBatch(tuple(ids.tolist()), batch)


class _Part(Iterable[Any]):
    """Some batches of a loader; `read_pool` checks the whole loader."""

    def __init__(self, loader: DataLoader[Any], numbers: list[int]) -> None:
        self.whole_loader, self._numbers = loader, numbers

    def __iter__(self) -> Iterator[Any]:
        yield from chosen_batches(self.whole_loader, self._numbers)


def _narrowed(values: Tensor, dtype: str, name: str, ids: SampleIds) -> Tensor:
    narrow = values.detach().to(DTYPES[dtype])
    if bool((lost := (narrow.isinf() & values.isfinite()).any(dim=1)).any()):
        some = name_ids(ids[lost.cpu().numpy()].tolist())
        raise EmbeddingError(
            f"{name}: too large for {dtype} (sample ids {some}); use dtype float32"
        )
    return narrow
