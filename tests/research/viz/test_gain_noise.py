import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError

pytest.importorskip("matplotlib")

from lightning_badge.research.viz.gain_noise import draw_gain_noise, gain_and_noise

# Two seeds, one rank, three candidates: the second is the best, the third the runner-up.
GAINS = np.array([[[0.1, 0.9, 0.5]], [[0.1, 0.7, 0.5]]])


def test_the_lead_and_its_noise_are_those_of_the_best_over_the_runner_up() -> None:
    best, lead, noise = gain_and_noise(GAINS, runner_up=2)
    np.testing.assert_allclose(best, [0.8])
    np.testing.assert_allclose(lead, [0.3])
    np.testing.assert_allclose(noise, [np.std([0.4, 0.2], ddof=1)])


def test_gain_lead_and_noise_have_a_line_each() -> None:
    axes = draw_gain_noise(np.repeat(GAINS, 4, axis=1), runner_up=3).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_allclose(lines["its lead over candidate 3"], [0.7] * 4)
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(("gains", "runner_up"), [(GAINS[:1], 2), (GAINS, 4)])
def test_too_few_seeds_or_candidates_are_an_error(gains: np.ndarray, runner_up: int) -> None:
    with pytest.raises(BadgeError, match="at least 2 seeds and"):
        gain_and_noise(gains, runner_up)
