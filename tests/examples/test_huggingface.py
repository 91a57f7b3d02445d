import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightning_badge.examples import huggingface as module
from lightning_badge.examples import splits as splits_module
from lightning_badge.examples.huggingface import huggingface
from lightning_badge.exceptions import BadgeError, LabelError

datasets = pytest.importorskip("datasets")
image = pytest.importorskip("PIL.Image")

REPOSITORY = Path(__file__).parents[2]
MNIST = Path(os.environ.get("LIGHTNING_BADGE_MNIST", REPOSITORY.parent / "shared/data/mnist"))

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _offline_with_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def picture(height: int = 6, width: int = 5, mode: str = "L", level: int = 255) -> Any:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    return image.fromarray(np.full((height, width, *channels), level, dtype=np.uint8))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder of Parquet files, one for each split, with the layout of the Hub."""

    def write_one(
        pictures: list[Any],
        labels: list[Any],
        splits: tuple[str, ...] = ("train", "test"),
        names: list[str] | None = None,
    ) -> str:
        folder = tmp_path / "data"
        folder.mkdir()
        rows = datasets.Dataset.from_dict({"image": pictures, "label": labels})
        rows = rows.cast_column("image", datasets.Image())
        if names:
            rows = rows.cast_column("label", datasets.ClassLabel(names=names))
        for split in splits:
            rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return str(folder)

    return write_one


def test_images_become_tensors_and_class_names_are_kept(write: Write) -> None:
    levels = [picture(level=level) for level in (0, 51, 255)]
    datamodule = huggingface(
        write(levels, [1, 0, 1], names=["cat", "dog"]), initial_labeled=[0, 1, 2]
    )
    assert datamodule.class_names == ("cat", "dog")
    assert datamodule.held_back_labels() == {0: 1, 1: 0, 2: 1}
    (batch,) = datamodule.labeled_dataloader()
    images, targets = batch.batch
    assert images.shape == (3, 1, 6, 5)
    assert images.dtype == torch.float32
    assert images[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert targets.tolist() == [1, 0, 1]


def test_int_labels_get_their_numbers_as_class_names(write: Write) -> None:
    assert huggingface(write([picture()] * 2, [2, 0]), initial_labeled=1).class_names == (
        "0",
        "1",
        "2",
    )


@pytest.mark.parametrize(
    ("splits", "val_split", "expected"),
    [
        (("train", "test"), None, "test"),
        (("train", "validation", "test"), None, "validation"),
        (("train", "validation", "test"), "test", "test"),
    ],
)
def test_validation_data_are_the_given_split_or_the_default_one(
    write: Write,
    splits: tuple[str, ...],
    val_split: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    read_split = splits_module.read_split
    monkeypatch.setattr(
        splits_module,
        "read_split",
        lambda path, name, split: read.append(split) or read_split(path, name, split),
    )
    huggingface(write([picture()] * 2, [0, 1], splits), val_split=val_split, initial_labeled=1)
    assert read == ["train", expected]


def test_one_split_can_be_divided(write: Write) -> None:
    datamodule = huggingface(
        write([picture()] * 10, [0, 1] * 5, splits=("train",)),
        train_split="train[:70%]",
        val_split="train[70%:]",
        initial_labeled=2,
    )
    assert len(datamodule.held_back_labels()) == 7
    assert sum(len(targets) for _, targets in datamodule.val_dataloader()) == 3


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [({}, (3, 6, 5)), ({"channels": 1}, (1, 6, 5)), ({"image_size": 8}, (3, 8, 8))],
)
def test_gray_and_color_images_are_converted_to_one_shape(
    write: Write, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    pictures = [picture(mode="RGB"), picture(mode="L"), picture(mode="RGBA")]
    datamodule = huggingface(write(pictures, [0, 1, 0]), initial_labeled=1, **arguments)
    (batch,) = datamodule.pool_dataloader()
    assert batch.batch[0].shape == (2, *shape)


def test_images_of_several_sizes_are_scaled_on_request(write: Write) -> None:
    path = write([picture(6, 5), picture(7, 9)], [0, 1])
    with pytest.raises(BadgeError, match="5 x 6 pixels like the first image, got 9 x 7; pass ima"):
        huggingface(path, initial_labeled=1)
    datamodule = huggingface(path, initial_labeled=2, image_size=4)
    (batch,) = datamodule.labeled_dataloader()
    assert batch.batch[0].shape == (2, 1, 4, 4)


def test_images_too_large_for_memory_are_decoded_on_access(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write([picture(level=level) for level in range(0, 250, 10)], [0, 1, 2, 3, 4] * 5)
    kept = huggingface(path, initial_labeled=5)
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", 100)
    decoded = huggingface(path, initial_labeled=5, num_workers=1)
    (first,), (second,) = kept.pool_dataloader(), decoded.pool_dataloader()
    assert first.sample_ids == second.sample_ids
    assert torch.equal(first.batch[0], second.batch[0])
    assert torch.equal(first.batch[1], second.batch[1])


def test_more_images_than_are_decoded_at_once_keep_their_order(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DECODED_AT_ONCE", 4)
    path = write([picture(level=level) for level in range(10)], [0, 1] * 5)
    (batch,) = huggingface(path, initial_labeled=10).labeled_dataloader()
    assert (batch.batch[0][:, 0, 0, 0] * 255).round().tolist() == list(range(10))


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"image_column": "img"}, "no column 'img'; the columns are image, label"),
            ({"label_column": "class"}, "no column 'class'; the columns are image, label"),
            ({"image_column": "label"}, "column 'label': expected images, got Value"),
            ({"label_column": "image"}, "column 'image', row 0 of split 'train': expected a class"),
            ({"train_split": "tain"}, r"Unknown split \"tain\". Should be one of \['train', 'te"),
            ({"name": "en"}, "BuilderConfig 'en' not found"),
            ({"channels": 2}, r"channels: expected 1 \(gray\) or 3 \(color\), got 2"),
        ],
    )
    def test_a_missing_column_or_split_is_an_error_that_lists_the_existing_ones(
        self, write: Write, arguments: dict[str, Any], message: str
    ) -> None:
        path = write([picture()] * 2, [0, 1])
        with pytest.raises(BadgeError, match=message) as caught:
            huggingface(path, **arguments)
        assert str(caught.value).startswith(f"data {path!r}: ")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("label", [-1, None, 0.5])
    def test_rows_without_a_class_are_an_error(self, write: Write, label: Any) -> None:
        with pytest.raises(BadgeError, match="expected a class 0, 1, ..., got"):
            huggingface(write([picture()] * 2, [1, label]))

    @pytest.mark.parametrize("label", ["", "  ", None])
    def test_an_empty_label_among_strings_is_an_error_that_names_its_row(
        self, write: Write, label: str | None
    ) -> None:
        path = write([picture()] * 3, ["ice cream", "cat", label])
        with pytest.raises(
            BadgeError,
            match=r"row 2 of split 'train': expected one of cat, ice cream, got an empty",
        ):
            huggingface(path)

    def test_a_missing_validation_split_is_an_error_that_shows_the_way(self, write: Write) -> None:
        path = write([picture()] * 10, [0, 1] * 5, splits=("train",))
        with pytest.raises(BadgeError, match=r"'test' in train; name one, or divide") as caught:
            huggingface(path)
        shown = shlex.split(str(caught.value).split("on the command line with ")[1])
        overrides = OverridesParser.create().parse_overrides(shown)
        arguments = {
            override.key_or_group.removeprefix("data."): override.value() for override in overrides
        }
        assert arguments == {"train_split": "train[:90%]", "val_split": "train[90%:]"}
        datamodule = huggingface(path, initial_labeled=2, **arguments)
        assert len(datamodule.held_back_labels()) == 9

    def test_an_empty_image_is_an_error(self, write: Write) -> None:
        with pytest.raises(BadgeError, match="expected an image, got an empty row"):
            huggingface(write([picture(), None], [0, 1]))

    @pytest.mark.parametrize("path", ["/no/such/folder", "./folder", "a/b/c", __file__])
    def test_a_path_that_is_not_a_folder_is_an_error(self, path: str) -> None:
        with pytest.raises(BadgeError, match=r"^data .*: expected an existing folder, got /"):
            huggingface(path)

    def test_a_folder_without_data_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(BadgeError, match="^data .* contain any data files"):
            huggingface(str(tmp_path))

    def test_a_name_that_the_hub_does_not_have_is_an_error(self) -> None:
        message = "no folder has this name, and the Hub reports: Couldn't reach 'no-such/data'"
        with pytest.raises(BadgeError, match=message):
            huggingface("no-such/data")

    def test_more_initial_labels_than_images_are_an_error(self, write: Write) -> None:
        with pytest.raises(LabelError, match="expected a count from 0 to 2, got 20"):
            huggingface(write([picture()] * 2, [0, 1]))


def test_the_setting_of_progress_bars_is_restored(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write([picture()] * 2, [0, 1])
    capfd.readouterr()
    huggingface(path, initial_labeled=1)
    assert capfd.readouterr().err == ""
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST in {MNIST} (or $LIGHTNING_BADGE_MNIST)")
def test_mnist_loads_from_a_folder() -> None:
    datamodule = huggingface(str(MNIST), train_split="train[:500]", val_split="test[:100]")
    assert datamodule.class_names == tuple("0123456789")
    assert len(datamodule.pool_ids) == 480
    batch = next(iter(datamodule.pool_dataloader()))
    assert batch.batch[0].shape == (256, 1, 28, 28)
    assert len(set(datamodule.labels_dict().values())) == 10
