"""What an ordering on several processes sends, compared with the model in docs/scale.md."""

import pytest
from pools import make_pool
from thread_peers import on_threads, part_of

from lightning_badge.ordering import LazyOrdering
from lightning_badge.peers import Peers


@pytest.mark.parametrize("world", [2, 3])
def test_collectives_and_bytes_of_a_block(world: int) -> None:
    n, c, h, batch = 3_000, 10, 64, 64
    pool = make_pool(n, classes=c, width=h)
    batches = [batch] * (n // batch) + [n % batch]

    def work(peers: Peers) -> tuple[int, int, int, int]:
        lazy = LazyOrdering(part_of(pool, batches, peers), seed=1)
        lazy.take()
        counted = lazy.counters
        sent = peers.traffic
        return sent.collectives, sent.payload, counted.blocks, counted.candidates

    for collectives, payload, blocks, candidates in on_threads(world, work):
        # A block: the largest mass, the masses of the runs, the candidates.
        assert collectives == 3 * blocks + 8
        row = 4 * (c + h) + 8 * 5  # factors; position, distance, weight and two norms
        expected = blocks * (8 + 8 * len(batches)) + candidates * row
        expected += n * 2 * 8  # at the end: guess and confidence, padded to 8 bytes
        assert payload == pytest.approx(expected, rel=0.05)
