import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import needs_gpu

from lightning_badge.capture import rows as pool_rows
from lightning_badge.capture.rows import PoolRows
from lightning_badge.exceptions import CaptureError


def batch(n: int, start: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.arange(start, start + n, dtype=torch.float32)[:, None]
    return rows.repeat(1, 3), rows.repeat(1, 2) * 10


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), known=st.booleans())
def test_batches_of_any_size_come_out_in_their_order(sizes: list[int], known: bool) -> None:
    n = sum(sizes)
    rows = PoolRows(n if known else None)
    for number, size in enumerate(sizes):
        rows.append(None, *batch(size, start=sum(sizes[:number])))
    ids, penultimate, logits = rows.finish()
    assert ids.tolist() == list(range(n))
    assert torch.equal(penultimate, batch(n)[0])
    assert torch.equal(logits, batch(n)[1])


def test_given_ids_may_be_fewer_than_the_pool_holds() -> None:
    rows = PoolRows(9)
    rows.append(np.array(["b", "a"]), *batch(2))
    ids, penultimate, logits = rows.finish()
    assert ids.tolist() == ["b", "a"]
    assert len(penultimate) == len(logits) == 2


def test_samples_without_an_id_get_the_next_of_the_pools_ids() -> None:
    rows = PoolRows(3, np.array([70, 30, 90]))
    rows.append(None, *batch(2))
    rows.append(None, *batch(1))
    assert rows.finish()[0].tolist() == [70, 30, 90]


def test_a_repeated_id_is_an_error() -> None:
    rows = PoolRows(None)
    rows.append(np.array([3, 4]), *batch(2))
    rows.append(np.array([5, 3]), *batch(2))
    with pytest.raises(CaptureError, match="3 came more than once"):
        rows.finish()


def test_ids_of_two_kinds_are_an_error() -> None:
    rows = PoolRows(None)
    rows.append(np.array([3]), *batch(1))
    rows.append(np.array(["a"]), *batch(1))
    with pytest.raises(CaptureError, match="all int or all str"):
        rows.finish()


def test_another_number_of_rows_than_of_ids_is_an_error() -> None:
    with pytest.raises(CaptureError, match="batch of 3 samples gave the head 2 rows"):
        PoolRows(None).append(np.arange(3), *batch(2))


def test_more_rows_than_samples_are_an_error() -> None:
    rows = PoolRows(3)
    rows.append(None, *batch(2))
    with pytest.raises(CaptureError, match="each of the pool's 3 samples, got 4 and more"):
        rows.append(None, *batch(2))


def test_missing_positions_are_an_error() -> None:
    rows = PoolRows(3)
    rows.append(None, *batch(2))
    with pytest.raises(CaptureError, match=r"3 samples, got 2; .*drop_last=False"):
        rows.finish()


def test_no_rows_are_an_error() -> None:
    with pytest.raises(CaptureError, match="pool is empty"):
        PoolRows(0).finish()


@needs_gpu
@pytest.mark.parametrize(("free", "device"), [(129.0, "cuda"), (127.0, "cpu")])
def test_rows_stand_beside_the_model_unless_they_would_fill_half_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, free: float, device: str
) -> None:
    assert pool_rows._free_bytes(torch.device("cuda")) > 2**20
    monkeypatch.setattr(pool_rows, "_free_bytes", lambda _: free)
    rows = PoolRows(2)
    rows.append(np.array([0]), torch.ones(1, 5, device="cuda"), torch.ones(1, 3, device="cuda"))
    rows.append(np.array([1]), torch.ones(1, 5, device="cuda"), torch.ones(1, 3, device="cuda"))
    _, penultimate, logits = rows.finish()
    assert penultimate.device.type == logits.device.type == device
    assert penultimate.sum() == 10
