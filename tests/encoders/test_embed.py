import signal
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from encoders.raw import Counting, Raw, numbered
from torch import nn

from lightning_badge.encoders import FeatureStore, embed_new, load_encoder
from lightning_badge.exceptions import EncoderError

ROWS, BATCH = 400, 4


def test_every_sample_is_embedded_once(tmp_path: Path) -> None:
    samples, module = numbered(10), Counting()
    encoder = load_encoder(module, samples, batch_size=3)
    module.seen.clear()
    with FeatureStore(tmp_path) as store:
        assert embed_new(store, encoder, samples) == 10
        array, rows = store.read(samples.keys)
    assert sorted(module.seen) == list(range(10))
    assert array[rows].tolist() == [(2 * row).tolist() for row in samples.held]


def test_a_second_call_embeds_only_new_samples(tmp_path: Path) -> None:
    module = Counting()
    encoder = load_encoder(module, numbered(5), batch_size=3)
    with FeatureStore(tmp_path) as store:
        embed_new(store, encoder, numbered(5))
        module.seen.clear()
        assert embed_new(store, encoder, numbered(5)) == 0
        assert embed_new(store, encoder, numbered(8)) == 3
        array, rows = store.read(numbered(8).keys)
    assert module.seen == [5, 6, 7]
    assert array[rows][:, 0].tolist() == [2.0 * n for n in range(8)]


def test_other_weights_are_another_encoder(tmp_path: Path) -> None:
    samples = numbered(5)
    with FeatureStore(tmp_path) as store:
        embed_new(store, load_encoder(Counting(), samples), samples)
        other = Counting()
        nn.init.ones_(other.weight)
        with pytest.raises(EncoderError, match="expected the encoder whose features it holds"):
            embed_new(store, load_encoder(other, samples), samples)


def test_a_changed_sample_is_named(tmp_path: Path) -> None:
    samples = numbered(5)
    encoder = load_encoder(Counting(), samples)
    with FeatureStore(tmp_path) as store:
        embed_new(store, encoder, samples)
        samples.held[3] = samples.held[3] + 1
        with pytest.raises(EncoderError, match="contents of '3' have changed"):
            embed_new(store, encoder, samples)


def test_features_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    samples = numbered(5)
    samples.held[2] = torch.full((3,), torch.nan)
    with FeatureStore(tmp_path) as store:
        with pytest.raises(EncoderError, match="NaN or inf for '2'"):
            embed_new(store, load_encoder(Counting(), samples), samples)
        assert store.counts() == (0, 5)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Flatten(0)), r"expected features \[1, width\]"),
        (nn.LSTM(3, 2), "got tuple"),
    ],
)
def test_networks_that_return_no_row_per_sample_are_refused(
    module: nn.Module, message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(module, numbered(2))


def test_a_network_for_tensors_does_not_take_texts() -> None:
    with pytest.raises(EncoderError, match="needs samples that are tensors, got str"):
        load_encoder(Counting(), Raw(["a"], kind="texts"))


_CHILD = """
import os, signal, sys
from pathlib import Path
from encoders.raw import Counting, numbered
from lightning_badge.encoders import FeatureStore, embed_new, load_encoder

class Telling(Counting):
    def forward(self, inputs):
        global computed
        features = super().forward(inputs)
        if computed == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        computed += 1
        return features

folder, log = map(Path, sys.argv[1:3])
rows, batch, kill_after = map(int, sys.argv[3:])
computed = 0
samples = numbered(rows)
encoder = load_encoder(Telling(), samples, batch_size=batch)
encoder.module._log = log  # not what the constructor tried
with FeatureStore(folder) as store:
    embed_new(store, encoder, samples)
"""


def embed_in_a_process(folder: Path, log: Path, *, kill_after: int | None) -> bool:
    """Returns whether it came to its end; it is killed after some batches."""
    numbers = [ROWS, BATCH, -1 if kill_after is None else kill_after]
    done = forked.run_program(log.parent, _CHILD, str(folder), str(log), *map(str, numbers))
    assert done.status in (0, -signal.SIGKILL), done.err
    return done.status == 0


@pytest.mark.slow
def test_killed_processes_embed_no_complete_row_again(tmp_path: Path) -> None:
    """Only the batch that a killed process was computing is computed again."""
    folder, log = tmp_path / "features", tmp_path / "log"
    complete: set[int] = set()
    computed: list[int] = []
    for kill_after in (1, 7, 20, 33, None):
        log.write_text("")
        is_done = embed_in_a_process(folder, log, kill_after=kill_after)
        assert is_done == (kill_after is None)
        now = [int(line) for line in log.read_text().split()]
        assert not complete & set(now), "a complete row was embedded again"
        computed += now
        with FeatureStore(folder) as store:
            missing = store.reserve(*_named(numbered(ROWS)))
            complete = set(range(ROWS)) - set(missing.positions)
        assert complete <= set(computed)
    assert complete == set(range(ROWS))
    assert ROWS <= len(computed) <= ROWS + 4 * BATCH
    with FeatureStore(folder) as store:
        array, rows = store.read(numbered(ROWS).keys)
    assert np.array_equal(array[rows][:, 0], 2 * np.arange(ROWS))


def _named(samples: Raw) -> tuple[list[str], list[bytes]]:
    from lightning_badge.encoders.base import digest_of

    return list(samples.keys), list(map(digest_of, samples.held))
