from types import SimpleNamespace

import pytest
from compare.cells import check
from omegaconf import OmegaConf

CONFIG = {"seeds": [0, 1], "confidence": 0.9, "metric": "m", "contestants": "strategy", "jobs": 1}


@pytest.mark.parametrize(
    ("encoder", "is_told"),
    [
        ("package:minilm/model", True),
        (None, False),
        ("rows.npy", False),
        ({"_target_": "N"}, False),
    ],
)
def test_a_comparison_says_that_each_run_embeds_all_samples(
    capsys: pytest.CaptureFixture[str], encoder: object, is_told: bool
) -> None:
    cells = [SimpleNamespace(seed=seed, config={"encoder": encoder}) for seed in (0, 1)]
    check(OmegaConf.create(CONFIG), cells)  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert told.startswith("each of the 2 runs embeds all samples by package:") == is_told
    assert told.count("\n") == is_told
