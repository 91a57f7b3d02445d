"""BatchBALD's gains at each rank, to measure how well sampled configurations estimate them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lightning_badge.ordering.strategies.batchbald import Joint, conditional_information


def gains_before_each_pick(
    posterior: Tensor, rows: Sequence[int], *, seed: int = 0, configurations: int = 1000
) -> npt.NDArray[np.float64]:
    """Returns the gain of every row just before each pick, ``[k, n]`` in nats.

    The spread over several seeds is the error of the gains when configurations are sampled.

    Args:
        posterior: Class probabilities ``[n, s, c]``.
        rows: The picked rows ``[k]``, in the order of their ranks.
        seed: Seeds the sampled configurations.
        configurations: As in `batchbald`.
    """
    draws = np.random.default_rng(seed)
    joint = Joint.start(posterior.shape[1], configurations)
    gains = []
    for row in rows:
        gains.append(conditional_information(posterior, joint))
        joint = joint.with_pick(posterior[row].double().cpu(), draws)
    return np.array(gains)
