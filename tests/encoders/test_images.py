from pathlib import Path
from typing import Any

import pytest
import torch
from encoders.raw import Raw

from lightning_badge.encoders import FeatureStore, embed_new, load_encoder
from lightning_badge.exceptions import EncoderError

pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def saved(model: Any, folder: Path) -> str:
    from transformers import ViTImageProcessorPil

    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    ViTImageProcessorPil(size=size).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def dino(tmp_path: Path) -> str:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    return saved(Dinov2Model(Dinov2Config(**SMALL, mlp_ratio=2)), tmp_path / "dino")


@pytest.fixture
def images(tmp_path: Path) -> Raw:
    """Three image files; the second lies on its side and says so."""
    paths = []
    for n in range(3):
        pixels = torch.randint(0, 255, (20, 30, 3), generator=torch.Generator().manual_seed(n))
        image = Image.fromarray(pixels.to(torch.uint8).numpy())
        exif = Image.Exif()
        exif[0x0112] = 6 if n == 1 else 1
        paths.append(tmp_path / f"{n}.png")
        image.save(paths[-1], exif=exif)
    return Raw(paths, kind="images")


def test_dinov2_has_a_pooled_output_without_weights(dino: str, images: Raw, tmp_path: Path) -> None:
    encoder = load_encoder(dino, images)
    assert encoder.pooling.startswith("the model's pooled output")
    with FeatureStore(tmp_path / "features") as store:
        assert embed_new(store, encoder, images) == 3
        array, rows = store.read(images.keys)
    for path, row in zip(images.held, array[rows], strict=True):
        torch.testing.assert_close(torch.tensor(row), encoder.embed(encoder.collate([path]))[0])


def test_images_are_turned_upright(dino: str, images: Raw) -> None:
    encoder = load_encoder(dino, images)
    upright = torch.from_numpy(
        __import__("numpy").array(Image.open(images.held[1]).rotate(-90, expand=True))
    )
    (of_file,), (of_tensor,) = (
        encoder.collate([sample])["pixel_values"]
        for sample in (images.held[1], upright.permute(2, 0, 1))
    )
    torch.testing.assert_close(of_file, of_tensor)


def test_float_and_gray_tensors_are_images(dino: str, images: Raw) -> None:
    encoder = load_encoder(dino, images)
    gray = torch.randint(0, 255, (1, 12, 12), dtype=torch.uint8)
    batch = [gray, gray.expand(3, -1, -1), gray.float() / 255]
    pixels = encoder.collate(batch)["pixel_values"]
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def test_a_vit_without_weights_of_its_pooler_has_its_cls_token(tmp_path: Path, images: Raw) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTModel

    config = ViTConfig(**SMALL, intermediate_size=32)
    with_pooler = load_encoder(saved(ViTModel(config), tmp_path / "a"), images)
    assert with_pooler.pooling.startswith("the model's pooled output")
    without = load_encoder(saved(ViTForImageClassification(config), tmp_path / "b"), images)
    assert without.pooling == "CLS token (no pooled output in the checkpoint)"
    assert without.width == 16
    with pytest.raises(EncoderError, match="has no pooled output"):
        load_encoder(str(tmp_path / "b"), images, pooling="pooled")


def test_an_encoder_for_texts_does_not_take_images(tmp_path: Path, images: Raw) -> None:
    from encoders.raw import tiny_bert

    with pytest.raises(EncoderError, match="expected a model") as error:
        load_encoder(str(tiny_bert(tmp_path / "bert")), images)
    assert "\n" not in str(error.value)


def test_an_image_that_has_gone_is_named(dino: str, images: Raw, tmp_path: Path) -> None:
    encoder = load_encoder(dino, images)
    images.held[1].unlink()
    with (
        FeatureStore(tmp_path / "features") as store,
        pytest.raises(EncoderError, match=r"1\.png: expected an image file"),
    ):
        embed_new(store, encoder, images)
