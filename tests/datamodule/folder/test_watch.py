"""Samples that arrive in a folder."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_badge.datamodule.folder import FolderDataModule
from lightning_badge.datamodule.folder.datamodule import folder
from lightning_badge.datamodule.folder.images import EncodedImages
from lightning_badge.datamodule.folder.samples import JoinedInputs
from lightning_badge.exceptions import LabelError

CLASSES = ["cat", "dog"]
TEXTS = [f"this is the long text number {number} of the pool" for number in range(40)]


def draw(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), (shade, shade, shade)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        draw(tmp_path / "photos" / f"{number}.png", 10 * number)
    return tmp_path / "photos"


def write_texts(path: Path, rows: list[str]) -> None:
    path.write_text("text\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")


def watched(path: Path, **arguments: Any) -> FolderDataModule:
    return folder(str(path), classes=CLASSES, watch=True, image_size=8, **arguments)


def arrived(datamodule: FolderDataModule) -> list[Any]:
    """Polls twice, as samples must stay the same for that long."""
    assert datamodule.watch is not None
    found = [datamodule.watch.poll(), datamodule.watch.poll()]
    assert found[0] is None
    if found[1] is None:
        return []
    datamodule.arrive(found[1])
    return list(found[1].sample_ids)


def inputs_of(datamodule: FolderDataModule) -> dict[Any, torch.Tensor]:
    return {
        key: x
        for batch in datamodule.pool_dataloader()
        for key, x in zip(batch.sample_ids, batch.batch[0], strict=True)
    }


def test_new_images_join_the_pool_once(photos: Path) -> None:
    datamodule = watched(photos)
    assert arrived(datamodule) == []
    draw(photos / "later" / "a.png", 200)
    draw(photos / ".hidden" / "b.png", 200)
    (photos / "notes.txt").write_text("no image")
    assert arrived(datamodule) == ["later/a.png"]
    assert datamodule.pool_ids.tolist() == ["0.png", "1.png", "2.png", "3.png", "later/a.png"]
    assert inputs_of(datamodule)["later/a.png"].unique().tolist() == [pytest.approx(200 / 255)]
    assert inputs_of(datamodule)["2.png"].unique().tolist() == [pytest.approx(20 / 255)]
    assert datamodule.samples.shown[-1] == str(photos / "later" / "a.png")
    assert arrived(datamodule) == []


def test_a_file_that_is_being_written_waits(photos: Path) -> None:
    datamodule = watched(photos)
    watch = datamodule.watch
    assert watch is not None
    whole = photos.parent / "whole.png"
    draw(whole, 90)
    content = whole.read_bytes()
    path = photos / "slow.png"
    for length in (10, 30, 60):
        path.write_bytes(content[:length])
        assert watch.poll() is None
    path.write_bytes(content)
    assert watch.poll() is None
    found = watch.poll()
    assert found is not None
    assert list(found.sample_ids) == ["slow.png"]


def test_a_file_that_is_no_image_is_named_once_and_read_when_it_changes(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    datamodule = watched(photos)
    (photos / "broken.png").write_bytes(b"not an image")
    draw(photos / "good.png", 70)
    with caplog.at_level(logging.WARNING):
        assert arrived(datamodule) == ["good.png"]
        assert arrived(datamodule) == []
    assert len([r for r in caplog.records if "broken.png" in r.message]) == 1
    draw(photos / "broken.png", 30)
    assert arrived(datamodule) == ["broken.png"]


def test_files_that_vanish_are_no_error(photos: Path) -> None:
    datamodule = watched(photos)
    watch = datamodule.watch
    assert watch is not None
    draw(photos / "gone.png", 70)
    assert watch.poll() is None
    (photos / "gone.png").unlink()
    assert watch.poll() is None
    (photos / "1.png").unlink()
    assert arrived(datamodule) == []
    assert len(datamodule.pool_ids) == 4


def test_a_gray_square_stands_for_an_image_that_vanished(photos: Path) -> None:
    images = EncodedImages(sorted(photos.iterdir()), 8)
    (photos / "1.png").unlink()
    with pytest.warns(UserWarning, match=r"1\.png.*a gray square"):
        assert images[[1, 2]][0].unique().tolist() == [128]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_new_rows_join_the_pool_and_old_ones_stay(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"messages.{suffix}"

    def write(rows: list[str]) -> None:
        if suffix == "csv":
            write_texts(path, rows)
        else:
            path.write_text("".join(f'{{"text": "{row}"}}\n' for row in rows))

    write(TEXTS)
    datamodule = watched(path)
    before = inputs_of(datamodule)
    longer = "a text that is very much longer than all of the others that were read before it"
    write(["changed, changed and changed again", *TEXTS[1:], longer])
    assert arrived(datamodule) == [40]
    after = inputs_of(datamodule)
    assert datamodule.samples.shown[0] == TEXTS[0]
    assert datamodule.samples.shown[40] == longer
    for key, x in before.items():
        assert torch.equal(after[key][: len(x)], x)
        assert not after[key][len(x) :].any()
    path.unlink()
    assert arrived(datamodule) == []


def test_new_rows_of_a_table_are_scaled_as_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    first = [f"r{n},{n % 7},{n % 5}.5,{'ab'[n % 2]}" for n in range(30)]
    header = "id,x,y,kind"
    path.write_text("\n".join([header, *first]) + "\n")
    datamodule = watched(path, kind="tables")
    before = inputs_of(datamodule)
    path.write_text("\n".join([header, *first, "z1,1000,,c", "z2,3,2.5,a"]) + "\n")
    assert arrived(datamodule) == ["z1", "z2"]
    after = inputs_of(datamodule)
    assert all(torch.equal(after[key], before[key]) for key in before)
    x = np.array([n % 7 for n in range(30)])
    expected = [(1000 - x.mean()) / x.std(), 0.0, 0.0, 0.0]
    np.testing.assert_allclose(after["z1"].numpy(), expected, rtol=1e-5)
    assert after["z2"].tolist()[2:] == [1.0, 0.0]
    assert datamodule.samples.columns["kind"][-2:] == ["c", "a"]


@pytest.mark.parametrize(
    ("content", "warnings"),
    [("", 1), ("text\n", 1), ("other\nvalue\n", 0), ("text,id\n\xff,1\n", 1)],
)
def test_a_file_that_becomes_unreadable_is_named_once(
    tmp_path: Path, content: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "messages.csv"
    write_texts(path, TEXTS)
    datamodule = watched(path)
    path.write_bytes(content.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert arrived(datamodule) == []
        assert arrived(datamodule) == []
    assert [r.levelname for r in caplog.records].count("WARNING") == warnings
    write_texts(path, [*TEXTS, "one more text at the end of it"])
    assert arrived(datamodule) == [40]


def test_labels_that_come_with_new_rows_are_known(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"
    head = "text,label\n"
    path.write_text(head + "".join(f"{text},\n" for text in TEXTS))
    datamodule = watched(path)
    path.write_text(head + "".join(f"{text},\n" for text in TEXTS) + "a new one,dog\nanother,\n")
    assert arrived(datamodule) == [40, 41]
    assert datamodule.labels_dict() == {40: 1}


def test_in_a_simulation_they_are_held_back(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"
    rows = [f"{text},{CLASSES[n % 2]}" for n, text in enumerate(TEXTS)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    datamodule = watched(path, val_size=5, initial_labeled=3)
    held_back = datamodule.held_back_labels()
    validated = [x for x, _ in datamodule._val_dataloader().dataset]
    path.write_text("\n".join(["text,label", *rows, "a new one,dog"]) + "\n")
    assert arrived(datamodule) == [40]
    assert datamodule.held_back_labels() == {**held_back, 40: 1}
    assert len(datamodule.labeled_ids) == 3
    again = [x for x, _ in datamodule._val_dataloader().dataset]
    assert all(torch.equal(a, b) for a, b in zip(validated, again, strict=True))
    path.write_text("\n".join(["text,label", *rows, "a new one,dog", "without one,"]) + "\n")
    with pytest.raises(LabelError, match="41 arrived without a label"):
        arrived(datamodule)
    assert len(datamodule.sample_ids) + 5 == 41


def test_a_run_that_goes_on_begins_with_what_it_began_with(photos: Path) -> None:
    began_with = watched(photos).sample_ids.tolist()
    draw(photos / "a.png", 50)
    draw(photos / "b.png", 60)
    datamodule = watched(photos, began_with=began_with)
    assert datamodule.sample_ids.tolist() == began_with
    assert datamodule.watch is not None
    found = datamodule.watch.read(["b.png", "vanished.png"])
    assert found is not None
    assert list(found.sample_ids) == ["b.png"]
    datamodule.arrive(found)
    assert arrived(datamodule) == ["a.png"]
    assert datamodule.watch.read(["vanished.png"]) is None


def test_inputs_of_several_reads_are_found_in_any_order() -> None:
    parts = JoinedInputs.of(torch.arange(6).reshape(3, 2), 10 + torch.arange(3)[:, None])
    parts = JoinedInputs.of(parts, torch.full((1, 3), 7))
    assert len(parts) == 7
    assert parts[[4, 0, 6, 0]].tolist() == [[11, 0, 0], [0, 1, 0], [7, 7, 7], [0, 1, 0]]
    assert parts[[2]].tolist() == [[4, 5]]


def test_a_folder_whose_files_are_replaced_by_a_link_is_no_error(photos: Path) -> None:
    datamodule = watched(photos)
    os.symlink(photos / "nowhere.png", photos / "link.png")
    assert arrived(datamodule) == []
