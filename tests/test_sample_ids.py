import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import LabelError, OrderingError
from lightning_badge.ordering import order
from lightning_badge.ordering_file import read_ordering, write_ordering
from lightning_badge.sample_ids import (
    as_sample_ids,
    fingerprint,
    is_in,
    name_ids,
    positions_of,
    repeated_ids,
)

TEXTS = st.lists(st.text() | st.text("a\0"), unique=True)
NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), unique=True)
IDS = TEXTS | NUMBERS


@given(IDS)
def test_ids_are_returned_unchanged(ids: list) -> None:
    array = as_sample_ids(ids)
    assert array.tolist() == ids
    assert as_sample_ids(array).tolist() == ids
    assert set(map(type, array.tolist())) == set(map(type, ids))
    assert array.dtype == (np.object_ if ids and isinstance(ids[0], str) else np.int64)


@pytest.mark.parametrize(
    "ids",
    [
        np.array(["b", "aa"]),
        np.array(["b", "aa"], dtype=np.object_),
        [np.str_("b"), np.str_("aa")],
        pa.array(["b", "aa"]),
        pa.array(["b", "aa"], type=pa.large_string()),
        pa.chunked_array([["b"], ["aa"]]),
    ],
    ids=["unicode", "object", "scalars", "pyarrow", "large", "chunked"],
)
def test_text_of_any_library_becomes_python_text(ids: object) -> None:
    array = as_sample_ids(ids)
    assert array.dtype == np.object_
    assert [type(item) for item in array] == [str, str]
    assert array.tolist() == ["b", "aa"]


def test_an_array_of_ids_is_not_copied() -> None:
    for ids in (as_sample_ids(["b", "a"]), as_sample_ids([2, 1])):
        assert as_sample_ids(ids) is ids


@pytest.mark.parametrize("ids", [torch.tensor([3, 1]), np.array([3, 1]), (3, 1), range(3, 0, -2)])
def test_ids_may_be_any_iterable(ids: object) -> None:
    assert as_sample_ids(ids).tolist() == [3, 1]


@pytest.mark.parametrize("ids", [[], np.array([], np.str_), np.array([], np.object_), pa.array([])])
def test_no_ids_are_an_empty_array(ids: object) -> None:
    assert as_sample_ids(ids).dtype == np.int64
    assert len(as_sample_ids(ids)) == 0


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, "a"], "all int or all str, got int, str"),
        ([1.5], "got float"),
        ([True], "got bool"),
        ([[1]], "flat sequence"),
        (5, "flat sequence"),
        ("abc", "flat sequence"),
        ([2, 1, 2], "2 came more than once"),
        ([2**63], "below 2"),
        (["b", "a", "b"], "'b' came more than once"),
        (np.array(["a", 1], dtype=np.object_), "got int, str"),
        (pa.array(["a", None]), "got NoneType, str"),
        (["a", "b\ud800"], r"UTF-8 can encode, got 'b\\ud800'; replace"),
    ],
)
def test_bad_ids_get_one_clear_line(ids: object, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        as_sample_ids(ids)


def test_the_caller_chooses_the_error() -> None:
    with pytest.raises(OrderingError):
        as_sample_ids([1, 1], error=OrderingError)
    assert as_sample_ids([1, 1], unique=False).tolist() == [1, 1]


@given(IDS, st.randoms(use_true_random=False))
def test_positions_of_equals_list_index(ids: list, random) -> None:
    requested = random.sample(ids, random.randint(0, len(ids)))
    positions = positions_of(as_sample_ids(requested), as_sample_ids(ids))
    assert positions.dtype == np.int64
    assert positions.tolist() == [ids.index(sample_id) for sample_id in requested]


@given(IDS, IDS)
def test_is_in_finds_known_and_missing_ids(ids: list, among: list) -> None:
    arrays = as_sample_ids(ids), as_sample_ids(among)
    missing = [sample_id for sample_id in ids if sample_id not in among]
    assert is_in(*arrays).tolist() == [sample_id in among for sample_id in ids]
    if missing:
        with pytest.raises(LabelError) as caught:
            positions_of(*arrays)
        assert f"got {name_ids(missing)}; " in str(caught.value)
    else:
        assert len(positions_of(*arrays)) == len(ids)


@pytest.mark.parametrize("kind", [np.str_, np.object_])
def test_a_number_and_its_text_are_different_ids(kind: type) -> None:
    numbers = np.arange(100)
    texts = np.array(list(map(str, range(100))), dtype=kind)
    assert not is_in(numbers, texts).any()
    assert not is_in(texts, numbers).any()


def test_missing_ids_are_named_in_one_line() -> None:
    pool = as_sample_ids(["a", "b", "c", "d"])
    with pytest.raises(OrderingError) as caught:
        positions_of(as_sample_ids(["x", "a", "y"]), pool, what="discard", error=OrderingError)
    expected = "discard: expected ids of the pool, got 'x', 'y'; there are 4 such as 'a', 'b', 'c'"
    assert str(caught.value) == expected
    with pytest.raises(LabelError, match="of the store, got 'a', 'b', 'c', 'd'; there are none"):
        positions_of(pool, pool[:0], of="the store")
    with pytest.raises(LabelError, match="got 7; there are 4 such"):
        positions_of(as_sample_ids([7]), pool)


@given(st.lists(st.sampled_from("abc")) | st.lists(st.integers(0, 3)))
def test_repeated_ids_are_listed_once(ids: list) -> None:
    repeated = repeated_ids(as_sample_ids(ids, unique=False))
    assert repeated == sorted({sample_id for sample_id in ids if ids.count(sample_id) > 1})


@given(IDS, st.randoms(use_true_random=False))
def test_a_fingerprint_depends_on_the_set_or_on_the_sequence(ids: list, random) -> None:
    array, shuffled = as_sample_ids(ids), as_sample_ids(random.sample(ids, len(ids)))
    assert fingerprint(array) == fingerprint(shuffled)
    is_same = array.tolist() == shuffled.tolist()
    assert (fingerprint(array, ordered=True) == fingerprint(shuffled, ordered=True)) is is_same
    if len(ids) > 1:
        assert fingerprint(array) != fingerprint(array[1:])


@pytest.mark.parametrize(
    ("ids", "of_set", "of_sequence"),
    [
        ([3, 1, 2], "f9ef40b1ee7fd71d2beae6a9a2d42ce1", "dcdd6e09682b324db5de2f148fa87f0d"),
        (
            ["img_3", "img_1", "b"],
            "bcf991ff55eb2f846f13d9739d9d3461",
            "2e78d6f734fb4f82378249eb335f1850",
        ),
        (
            ["7", "ü", "a\nb", "'q\"", "\U0001f600", "\uffff"],
            "6e3be82b5b26b3059fcb81ec0ae24633",
            "708f99599530a36303c2319cfbc158d7",
        ),
    ],
    ids=["int", "str", "unusual"],
)
def test_the_fingerprint_of_ids_never_changes(ids: list, of_set: str, of_sequence: str) -> None:
    # Ordering files and saved states of lazy orderings contain them.
    for array in (as_sample_ids(ids), np.array(ids)):
        assert fingerprint(array) == of_set
        assert fingerprint(array, ordered=True) == of_sequence


def test_fingerprints_distinguish_sets_regardless_of_order() -> None:
    assert fingerprint(np.array([1, 2])) == fingerprint(np.array([2, 1]))
    assert fingerprint(np.array([1, 2])) != fingerprint(np.array([1, 3]))
    assert fingerprint(np.array([1])) != fingerprint(np.array(["1"]))


def test_long_lists_are_shortened() -> None:
    assert name_ids(["a", "b"]) == "'a', 'b'"
    assert name_ids(range(7), at_most=2) == "0, 1 and 5 more"


def test_long_ids_are_shortened() -> None:
    assert name_ids(["a" * 1000, 7]) == f"'{'a' * 76}..., 7"


def test_a_long_id_does_not_enlarge_the_other_ids(tmp_path: Path) -> None:
    n = 100_000
    ids = [f"sample_{row}" for row in range(n - 1)] + ["x" * n]
    ones = torch.ones(n, 2)
    tracemalloc.start()
    try:
        array = as_sample_ids(ids)
        embedding = GradientEmbedding.from_logits(ones, ones, sample_ids=array)
        ordering = order(embedding, "random", k=10)
        path = write_ordering(order(embedding, "random"), tmp_path / "ordering.parquet")
        read = read_ordering(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200e6
    assert read.sample_ids[:10].tolist() == ordering.sample_ids.tolist()
    assert set(read) == set(ids)
    assert positions_of(array[-1:], array).tolist() == [n - 1]
