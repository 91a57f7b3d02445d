import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_badge.datamodule.folder import folder
from lightning_badge.datamodule.folder import images as module
from lightning_badge.exceptions import BadgeError, LabelError

Image = pytest.importorskip("PIL.Image")

RED, BLUE = (255, 0, 0), (0, 0, 255)
NAMES = ["a.png", "b/c.JPG", "b/d.webp"]
CLASSES = ["cat", "dog"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images, one file that is no image, one hidden file, one text file."""
    root = tmp_path / "photos"
    (root / "b").mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", (20, 10), RED).save(root / name)
    (root / "broken.png").write_bytes(b"not an image")
    (root / ".hidden.png").write_bytes(b"")
    (root / "notes.txt").write_text("no image")
    return root


def write_labels(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["sample_id,label", *rows]) + "\n")
    return str(path)


@pytest.fixture
def load(photos: Path) -> Callable:
    def load_photos(**arguments):
        with pytest.warns(UserWarning, match=r"left out 1 samples.*'broken\.png': cannot identify"):
            return folder(str(photos), **{"image_size": 8, "classes": CLASSES, **arguments})

    return load_photos


def test_images_without_labels_are_the_pool(load: Callable) -> None:
    datamodule = load()
    assert datamodule.pool_ids.tolist() == NAMES
    assert datamodule.class_names == ("cat", "dog")
    with pytest.raises(LabelError, match="0 of 3 samples have a label"):
        datamodule.held_back_labels()
    ((images, targets),) = (batch.batch for batch in datamodule.pool_dataloader())
    assert images.shape == (3, 3, 8, 8)
    assert targets.tolist() == [-1, -1, -1]
    assert torch.allclose(images[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_paths_are_shown(load: Callable, photos: Path) -> None:
    samples = load().samples
    assert samples.shown_as == "path"
    assert list(samples.shown) == [str(photos / name) for name in NAMES]


def test_answers_become_targets(load: Callable) -> None:
    datamodule = load()
    datamodule.label(["b/c.JPG", "a.png"], labels=[1, 0])
    ((_, targets),) = (batch.batch for batch in datamodule.labeled_dataloader())
    assert targets.tolist() == [0, 1]


def test_several_classes_are_float_targets(load: Callable) -> None:
    datamodule = load(multilabel=True)
    datamodule.label(["a.png"], labels=[[1.0, 1.0]])
    ((_, targets),) = (batch.batch for batch in datamodule.labeled_dataloader())
    assert targets.dtype == torch.float32
    assert targets.tolist() == [[1.0, 1.0]]


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    picture = Image.new("RGB", (16, 8), RED)
    picture.paste(BLUE, (8, 0, 16, 8))  # right half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    pixels = module.decode(tmp_path / "turned.png", 8)
    assert pixels[:, 0, 4].tolist() == list(RED)
    assert pixels[:, 7, 4].tolist() == list(BLUE)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16", "CMYK"])
def test_all_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((9, 9), 200 << 8, dtype=np.uint16))
    else:
        picture = Image.new("L", (9, 9), 200).convert(mode)
    path = tmp_path / ("x.png" if mode != "CMYK" else "x.jpg")
    picture.save(path)
    pixels = module.decode(path, 8)
    assert pixels.shape == (3, 8, 8)
    assert mode == "1" or abs(int(pixels.min()) - 200) < 5


def test_folders_too_large_for_memory_are_decoded_on_access(
    load: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = load()
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", 0)
    decoded = load()
    assert isinstance(decoded.samples.inputs, module.EncodedImages)
    assert torch.equal(decoded.samples.inputs[[0, 2]], in_memory.samples.inputs[[0, 2]])


def test_partial_labels_are_the_labeled_set(load: Callable, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "l.csv", "b/c.JPG,dog", "a.png,", "broken.png,cat")
    datamodule = load(labels=labels)
    assert datamodule.labels_dict() == {"b/c.JPG": 1}
    assert not datamodule.has_validation


def test_labels_of_all_samples_are_held_back(load: Callable, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "l.csv", *map(",".join, zip(NAMES, "xyx", strict=True)))
    datamodule = load(labels=labels, classes=None, initial_labeled=1, val_size=1)
    assert datamodule.class_names == ("x", "y")
    assert datamodule.has_validation
    known = dict(zip(NAMES, [0, 1, 0], strict=True))
    held_back = datamodule.held_back_labels()
    assert len(held_back) == 2
    assert held_back.items() < known.items()
    assert len(datamodule.labeled_ids) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.png,bird"], "'bird'.*not among the classes"),
        (["z.png,cat"], "z.png.* not in the data"),
        (["a.png,cat", "a.png,dog"], "line 3: sample 'a.png'"),
    ],
)
def test_wrong_labels_are_one_clear_line(
    load: Callable, tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        load(labels=write_labels(tmp_path / "l.csv", *rows))


def test_label_files_of_spreadsheets_are_read(load: Callable, tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes("\ufeffsample_id;label\r\na.png;cat\r\n".encode())
    assert load(labels=str(path)).labels_dict() == {"a.png": 0}


def test_classes_are_needed(load: Callable) -> None:
    with pytest.raises(LabelError, match=r"data\.classes=\[cat,dog\]"):
        load(classes=None)


def test_a_folder_without_readable_images_is_an_error(photos: Path) -> None:
    for name in NAMES:
        (photos / name).unlink()
    with pytest.raises(BadgeError, match="none of 1 can"):
        folder(str(photos), classes=CLASSES)
    shutil.rmtree(photos)
    photos.mkdir()
    with pytest.raises(BadgeError, match=r"expected .*, found none"):
        folder(str(photos), classes=CLASSES)
