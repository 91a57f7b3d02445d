from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_badge import order
from lightning_badge.datamodule.folder.cold_start import cold_start
from lightning_badge.datamodule.folder.ngrams import hashed_ngrams
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import LabelError
from lightning_badge.sample_ids import as_sample_ids


def images() -> Tensor:
    """Two groups of six: dark images and bright ones, with noise."""
    noise = torch.randint(20, (12, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    noise[6:] += 200
    return noise.to(torch.uint8)


def texts() -> Tensor:
    """Two groups of six: about cards and about loans."""
    stems = ["my card was lost, number", "what is the interest on loan"]
    return hashed_ngrams([f"{stem} {number}" for stem in stems for number in range(6)])


def table(width: int) -> Tensor:
    """Two groups of six rows."""
    rows = torch.randn(12, width, generator=torch.Generator().manual_seed(1)) * 0.1
    rows[6:] += 2
    return rows


SAMPLES = {
    "images": images(),
    "texts": texts(),
    "tables": table(3),
    "wide": table(2000),
}


def samples_of(name: str) -> Samples:
    kind = "tables" if name == "wide" else name
    return Samples(kind, [f"s{n}" for n in range(12)], SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_a_group_are_nearer_to_each_other(name: str) -> None:
    samples = samples_of(name)
    embedding = cold_start(samples, as_sample_ids(samples.sample_ids))
    assert embedding.penultimate.shape[1] <= 512
    assert embedding.sample_ids.tolist() == samples.sample_ids
    distances = torch.cdist(embedding.penultimate, embedding.penultimate)
    within = torch.maximum(distances[:6, :6].amax(), distances[6:, 6:].amax())
    assert within < distances[:6, 6:].amin()


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_belong_to_the_ids_asked_for(name: str) -> None:
    samples = samples_of(name)
    some: Any = as_sample_ids(["s7", "s2", "s9"])
    embedding = cold_start(samples, some)
    assert embedding.sample_ids.tolist() == ["s7", "s2", "s9"]
    first, second, third = embedding.penultimate
    assert torch.dist(first, third) < torch.dist(first, second)


def test_the_first_two_ranks_are_one_of_each_group_mostly() -> None:
    samples = samples_of("tables")
    embedding = cold_start(samples, as_sample_ids(samples.sample_ids))
    firsts = [order(embedding, k=2, seed=seed).sample_ids.tolist() for seed in range(20)]
    both = [{int(name[1:]) // 6 for name in pair} == {0, 1} for pair in firsts]
    assert sum(both) >= 18


def test_no_ids_are_an_error() -> None:
    with pytest.raises(LabelError, match="expected sample ids, got none"):
        cold_start(samples_of("tables"), as_sample_ids([]))
