import numpy as np
import torch
from pools import make_pool

from lightning_badge.ordering import order
from lightning_badge.research.batchbald_gains import gains_before_each_pick


def test_gains_before_each_pick_equal_those_of_the_ordering() -> None:
    generator = torch.Generator().manual_seed(9)
    posterior = (3.0 * torch.randn(15, 4, 3, generator=generator).double()).softmax(dim=2)
    ordering = order(make_pool(15), "batchbald", posterior=posterior, seed=2, k=6)
    rows = [int(sample_id[1:]) for sample_id in ordering]
    gains = gains_before_each_pick(posterior, rows, seed=2)
    assert gains.shape == (6, 15)
    np.testing.assert_allclose(gains[range(6), rows], ordering.gains, atol=1e-12)
