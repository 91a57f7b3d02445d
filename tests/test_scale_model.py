"""The model of the cost of orderings, and what cutting a pool at random loses."""

import numpy as np
import pytest
import torch
from scale.model import LARGE_POOL, Machine, Pool, cost, duration, size, table, traffic
from scale.partition import in_parts, nearest, oversampled, sq_dist, uniform, whole
from thread_peers import on_threads, part_of

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering
from lightning_badge.peers import Peers

BATCH = 64


def blobs(n: int, h: int = 32, c: int = 5) -> GradientEmbedding:
    """A few dense clusters and many rows between them."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, c, (n,), generator=generator)
    means = 4 * torch.randn(c, h, generator=generator)
    activations = (means[label] + torch.randn(n, h, generator=generator)).relu()
    logits = torch.randn(n, c, generator=generator)
    logits[torch.arange(n), label] += 4
    return GradientEmbedding.from_logits(activations, logits)


@pytest.mark.slow
@pytest.mark.parametrize(("h", "c"), [(64, 4), (100, 30)])
@pytest.mark.parametrize("world", [2, 3])
def test_traffic_is_that_of_several_processes(world: int, h: int, c: int) -> None:
    pool = blobs(4000, h, c)
    batches = [BATCH] * (4000 // BATCH) + [4000 % BATCH]

    def order(peers: Peers) -> tuple[int, int, int, int]:
        lazy = LazyOrdering(part_of(pool, batches, peers))
        lazy.take()
        sent, counters = peers.traffic, lazy.counters
        return sent.payload, sent.collectives, counters.candidates, counters.blocks

    payload, collectives, candidates, blocks = on_threads(world, order)[0]
    modelled = traffic(candidates, blocks, h + c, len(batches))
    assert modelled[0] == pytest.approx(payload, rel=0.05)
    assert modelled[1] == pytest.approx(collectives, rel=0.05)


class TestCost:
    def test_time_grows_with_the_pairs_and_falls_with_the_processes(self) -> None:
        one = cost(Pool(1e7, k=1e4), Machine())
        assert cost(Pool(1e7, k=2e4), Machine()).core_s > 1.8 * one.core_s
        assert cost(Pool(2e7, k=1e4), Machine()).core_s > 1.8 * one.core_s
        assert cost(Pool(1e7, k=1e4, world=10), Machine()).core_s < 0.2 * one.core_s
        assert cost(Pool(1e7, k=1e4), Machine(cores=4)).seconds == pytest.approx(one.seconds / 2)

    def test_memory_falls_as_the_number_of_processes(self) -> None:
        one = cost(Pool(1e8), Machine())
        assert one.memory == pytest.approx(1e8 * (4 * 266 + 150), rel=1e-3)
        many = cost(Pool(1e8, world=8), Machine())
        assert one.memory / 8 < many.memory < one.memory / 8 * 1.1

    def test_one_process_sends_nothing(self) -> None:
        found = cost(Pool(1e6), Machine())
        assert (found.payload, found.wire, found.collectives) == (0, 0, 0)

    def test_what_is_sent_hardly_depends_on_the_number_of_processes(self) -> None:
        two, many = (cost(Pool(LARGE_POOL, world=w), Machine()) for w in (2, 256))
        assert two.payload == many.payload
        assert two.wire < many.wire < 2 * two.wire

    def test_command_line(self) -> None:
        assert Pool.parse(["n=1e6", "k=10"]) == Pool(1e6, k=10)
        for wrong in ([], ["k=1"], ["n=1", "x=2"], ["n=1", "fast"]):
            with pytest.raises(SystemExit, match=r"expected n=\.\.\., and any of n, h, c"):
                Pool.parse(wrong)

    def test_lines(self) -> None:
        assert len(table(Machine()).splitlines()) == 2 + 4 * 2 * 2 * 3
        assert "of memory" in cost(Pool(1e6), Machine()).line()
        assert (duration(0.123), duration(1234.5), duration(1e9)) == (
            "0.12 s",
            "21 min",
            "32 years",
        )
        assert (size(10), size(3.5 * 2**30)) == ("10 bytes", "3.5 GiB")


class TestPartition:
    """Ways of choosing centers, and the potential that they leave."""

    K = 60

    @pytest.fixture(scope="class")
    @classmethod
    def pool(cls) -> GradientEmbedding:
        return blobs(3000)

    def potential(self, pool: GradientEmbedding, centers: np.ndarray) -> float:
        assert len(set(centers.tolist())) == self.K
        return float(nearest(pool, centers)[0].sum())

    def test_distances(self, pool: GradientEmbedding) -> None:
        few = pool.take(slice(20))
        expected = torch.cdist(few.dense().double(), few.dense().double()).square()
        torch.testing.assert_close(
            sq_dist(few.factors, few.factors), expected, atol=1e-4, rtol=1e-4
        )

    def test_one_part_is_the_whole(self, pool: GradientEmbedding) -> None:
        assert set(in_parts(pool, 10, 0, 1)) <= set(range(3000))
        means = [
            np.mean(
                [self.potential(pool, in_parts(pool, self.K, seed, parts)) for seed in range(8)]
            )
            for parts in (1, 30)
        ]
        best = np.mean([self.potential(pool, whole(pool, self.K, seed)) for seed in range(8)])
        assert means[0] == pytest.approx(best, rel=0.05)
        assert means[1] > best

    def test_uniform_draws_lose_and_oversampling_gains(self, pool: GradientEmbedding) -> None:
        ways = {
            "whole": lambda seed: whole(pool, self.K, seed),
            "uniform": lambda seed: uniform(pool, self.K, seed),
            "oversampled": lambda seed: oversampled(pool, self.K, seed, 4 * self.K),
        }
        found = {
            name: np.mean([self.potential(pool, choose(seed)) for seed in range(5)])
            for name, choose in ways.items()
        }
        assert found["oversampled"] < found["whole"] < found["uniform"]
