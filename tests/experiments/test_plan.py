from typing import Any

import pytest
from compare.plan import planned_cells
from omegaconf import OmegaConf

from lightning_badge.exceptions import BadgeError

PLAN = {
    "data": ["digits", "vowel"],
    "folder": None,
    "model": "linear",
    "start": ["random", "cold"],
    "batches": ["variable", 10],
    "end": 300,
    "ends": {"vowel": 200},
}


def cells(strategies: tuple[str, ...] = ("random", "badge"), **changed: Any) -> list:
    config = {"plan": PLAN | changed, "strategies": list(strategies), "seeds": [0, 1]}
    return planned_cells(OmegaConf.create(config))


def test_cells_are_all_combinations_seed_by_seed_with_keys_of_their_own() -> None:
    found = cells(variants=[{"strategy": "badge", "trials": 2}])
    assert len(found) == len({cell.key for cell in found}) == 2 * 2 * 2 * 3 * 2
    assert [cell.seed for cell in found] == [0] * 24 + [1] * 24
    assert {cell.end for cell in found if cell.data == "vowel"} == {200}
    assert {cell.arguments for cell in found} == {"", '{"trials": 2}'}
    assert {cell.batches for cell in found} == {"variable", "10"}
    assert found[2].name == 'digits linear random variable badge {"trials": 2} seed 0'


def test_a_key_depends_on_the_cell_alone() -> None:
    few = {cell.key for cell in cells(data=["vowel"], start=["cold"])}
    assert few < {cell.key for cell in cells()}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"modle": "mlp"}, "plan: expected the keys batches, data, .* got modle"),
        ({"model": "tree"}, "plan.model: expected one of linear, mlp, cnn, got 'tree'"),
        ({"start": ["warm"]}, "plan.start: expected one of random, cold, got 'warm'"),
        ({"batches": [0]}, "plan.batches: expected `variable` or numbers above 0, got 0"),
        ({"variants": [{"strategy": "badge", "delta": 1}]}, "strategy 'badge' takes"),
        ({"strategies": ("nope",)}, "strategy: expected one of badge"),
    ],
)
def test_what_a_plan_may_say(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(BadgeError, match=says):
        cells(**changed)
