"""What is said of the pool and of the file, before training and after an ordering."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LIGHTNING_WARNINGS, Classifier, Data, blobs, fit, loader, make_trainer, validate
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_badge.callback.badge import BadgeCallback

pytestmark = LIGHTNING_WARNINGS


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)

    def lines() -> list[str]:
        return [
            text for text in caplog.messages
            if text.startswith("BadgeCallback")
            and not any(other in text for other in ("embeds the gradient", "sample ids are"))
        ]  # fmt: skip

    return lines


def test_a_fit_says_one_line_at_its_start_and_one_at_its_end(tmp_path: Path, said: Any) -> None:
    trainer = make_trainer(tmp_path, callbacks=[BadgeCallback(k=7)], max_epochs=2)
    trainer.fit(Classifier(), datamodule=Data())
    path = tmp_path / "badge" / "ordering.parquet"
    first, last = said()
    assert first == (
        "BadgeCallback: the pool is Data.predict_dataloader(), 20 samples; orders once at the end "
        f"into {path}"
    )
    assert last.startswith("BadgeCallback: ordered 7 of 20 samples in ")
    assert last.endswith(f"s by the weights of step 8; written to {path}")


def test_the_moments_are_named(tmp_path: Path, said: Any) -> None:
    fit(tmp_path, BadgeCallback(pool=loader(20), when="every_validation", every_n=2), max_epochs=4)
    first, *others = said()
    assert (
        "the pool is BadgeCallback(pool=...), 20 samples; orders after one in 2 validations"
        in first
    )
    assert len(others) == 2


def test_a_trial_run_says_that_it_writes_no_file(tmp_path: Path, said: Any) -> None:
    fit(tmp_path, BadgeCallback(pool=loader(16)), fast_dev_run=True)
    first, last = said()
    assert first.endswith("into no file, for this is a fast_dev_run")
    assert last.endswith("no file was written")


def test_never_in_fit_says_nothing_there(tmp_path: Path, said: Any) -> None:
    callback = BadgeCallback(pool=loader(20), when="never")
    fit(tmp_path, callback)
    assert said() == []
    validate(tmp_path, callback)
    assert len(said()) == 1


@pytest.mark.parametrize(("key", "told"), [(None, 1), (1, 0)])
def test_ids_that_nobody_gave_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: int | None, told: int
) -> None:
    caplog.set_level(logging.INFO)
    data = TensorDataset(blobs(20).tensors[0], torch.arange(20) + 7) if key else blobs(20)
    pool = DataLoader(data, batch_size=8)
    callback = BadgeCallback(pool=pool, sample_id_key=key, loss="cross_entropy", when="never")
    validate(tmp_path, callback)
    callback.schedule.when = "last_validation"
    fit(tmp_path, callback)
    lines = [text for text in caplog.messages if "sample ids are" in text]
    assert len(lines) == told
    assert all(
        "positions in the pool's TensorDataset; the same position is another sample once files are "
        "added" in line
        for line in lines
    )


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(blobs(20))


def test_a_stream_is_of_unknown_size(tmp_path: Path, said: Any) -> None:
    fit(tmp_path, BadgeCallback(pool=DataLoader(Stream(), batch_size=8)))
    assert "(pool=...), of unknown size; orders" in said()[0]


def images(value: float = 1.0) -> TensorDataset:
    return TensorDataset(torch.full((20, 4), value) + torch.arange(20)[:, None], torch.zeros(20))


class TestThatThePoolIsTheTestSet:
    def fit(self, tmp_path: Path, pool: Any, test: Any, **methods: Any) -> None:
        class Split(Data):
            def predict_dataloader(self) -> Any:
                return DataLoader(pool, batch_size=8)

            def test_dataloader(self) -> Any:
                if test is None:
                    raise AttributeError("not set up")
                return DataLoader(test, batch_size=8)

        for name, method in methods.items():
            setattr(Split, name, method)
        callback = BadgeCallback(loss="cross_entropy")
        make_trainer(tmp_path, callbacks=[callback]).fit(Classifier(), datamodule=Split())

    @pytest.mark.parametrize("again", [False, True])
    def test_is_a_warning(self, tmp_path: Path, again: bool) -> None:
        data = images()
        with pytest.warns(UserWarning, match=r"Split.predict_dataloader\(\) gives the test set"):
            self.fit(tmp_path, data, images() if again else data)

    @pytest.mark.parametrize("test", [images(2.0), None])
    def test_is_not_said_of_others(self, tmp_path: Path, test: Any) -> None:
        self.fit(tmp_path, images(), test)

    def test_is_not_said_of_a_pool_that_is_called_so(self, tmp_path: Path) -> None:
        data = images()
        self.fit(tmp_path, data, data, pool_dataloader=lambda self: DataLoader(data))
