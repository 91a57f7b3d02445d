"""What a request says of each kind of sample."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.datamodule import folder
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.contents import Contents, read_guidelines

Image = pytest.importorskip("PIL.Image")


def read(uri: str) -> tuple[str, Any]:
    head, _, content = uri.partition(";base64,")
    return head.removeprefix("data:"), Image.open(io.BytesIO(base64.b64decode(content)))


def photos(path: Path) -> Any:
    path.mkdir()
    for n in range(40):
        suffix = ("png", "jpg", "webp", "JPEG")[n % 4]
        Image.new("RGB", (20, 10), (6 * n, 0, 0)).save(path / f"{n:02d} ä.{suffix}")
    return folder(str(path), classes=["cat", "dog"], validation="auto", image_size=8)


def test_images_of_a_folder_are_sent_as_they_are(tmp_path: Path) -> None:
    data = photos(tmp_path / "photos")
    contents = Contents(data)
    assert contents.kind == "images"
    types = set()
    for sample_id in data.sample_ids.tolist():
        ((name, uri),) = contents.of(sample_id).items()
        media_type, image = read(uri)
        types.add((sample_id.rpartition(".")[2], media_type, image.format))
        assert (name, image.size) == ("image", (20, 10))
        assert abs(image.convert("RGB").getpixel((0, 0))[0] - 6 * int(sample_id[:2])) <= 9
    assert types == {
        *(("png", "image/png", "PNG"), ("webp", "image/webp", "WEBP")),
        *(("jpg", "image/jpeg", "JPEG"), ("JPEG", "image/jpeg", "JPEG")),
    }


def test_an_image_that_vanished_is_one_line(tmp_path: Path) -> None:
    data = photos(tmp_path / "photos")
    (tmp_path / "photos" / "00 ä.png").unlink()
    with pytest.raises(LabelError, match="cannot be read any more"):
        Contents(data).of("00 ä.png")


def test_an_address_stands_for_a_sample(tmp_path: Path) -> None:
    contents = Contents(photos(tmp_path / "photos"), urls="https://example.org/{sample_id}?a=1")
    assert contents.of("00 ä.png") == {"url": "https://example.org/00%20%C3%A4.png?a=1"}


@pytest.mark.parametrize("urls", ["https://example.org", 7])
def test_a_template_names_the_sample(tmp_path: Path, urls: Any) -> None:
    with pytest.raises(LabelError, match=r"labelers.urls: expected an address with \{sample_id\}"):
        Contents(photos(tmp_path / "photos"), urls=urls)


def test_texts_and_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "text\n" + "\n".join(f"a text of some words {n}" for n in range(40))
    )
    texts = Contents(
        folder(str(tmp_path / "t.csv"), kind="texts", classes=["a", "b"], validation="none")
    )
    assert (texts.kind, texts.of(3)) == ("texts", {"text": "a text of some words 3"})
    rows = "\n".join(f"{n},{n / 3},name {n}" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"size,share,name\n{rows}")
    table = Contents(folder(str(tmp_path / "rows.csv"), classes=["a", "b"], validation="none"))
    assert table.kind == "tables"
    assert table.of(3) == {"row": {"size": "3", "share": "1.0", "name": "name 3"}}


def test_tensors_are_sent_as_pictures_also_once_an_encoder_replaced_them() -> None:
    data = [(torch.full((1, 4, 4), n / 8), n % 2) for n in range(8)]
    module = ActiveLearningDataModule(data, initial_labeled=2, class_names=["even", "odd"])
    contents = Contents(module)
    module.replace_data({name: [(torch.zeros(3), 0)] * 8 for name in module.data_sets()})
    media_type, image = read(contents.of(4)["image"])
    assert (media_type, image.size, image.getpixel((0, 0))) == ("image/png", (4, 4), (128,) * 3)


def test_samples_that_were_added_are_sent_too() -> None:
    data = [(torch.full((1, 4, 4), n / 8), n % 2) for n in range(8)]
    module = ActiveLearningDataModule(data, initial_labeled=2, class_names=["even", "odd"])
    contents = Contents(module)
    module.add([(torch.full((1, 2, 2), 1.0), 0)])
    with pytest.raises(LabelError, match="sample 8: there is no picture of it"):
        contents.of(8)
    contents.refresh()
    assert read(contents.of(8)["image"])[1].size == (2, 2)
    assert read(contents.of(0)["image"])[1].size == (4, 4)


def test_files_that_arrived_are_sent_too(tmp_path: Path) -> None:
    data = photos(tmp_path / "photos")
    contents = Contents(data)
    (tmp_path / "more").mkdir()
    for name in ("new", "newer"):
        Image.new("RGB", (7, 7)).save(tmp_path / "more" / f"{name}.png")
    found = folder(str(tmp_path / "more"), classes=["cat", "dog"], image_size=8).samples
    data.arrive(found)
    contents.refresh()
    assert read(contents.of("new.png")["image"])[1].size == (7, 7)


def test_what_is_no_picture_is_refused() -> None:
    data = [(torch.full((4,), n / 8), n % 2) for n in range(8)]
    module = ActiveLearningDataModule(data, initial_labeled=2, class_names=["even", "odd"])
    with pytest.raises(LabelError, match="choose labelers=files"):
        Contents(module)


def test_guidelines_are_a_text_file(tmp_path: Path) -> None:
    assert read_guidelines(None) is None
    (tmp_path / "g.md").write_text("\ufeffCats meow.", encoding="utf-8")
    assert read_guidelines(str(tmp_path / "g.md")) == "Cats meow."
    with pytest.raises(LabelError, match=r"none.md: expected a text file .*labelers.guidelines"):
        read_guidelines(str(tmp_path / "none.md"))
