"""Image models in the shape of those of timm, ordered over a split that ``random_split`` made."""

from pathlib import Path
from typing import Any

import pytest
import torch
from dense import assert_gains, dense_gradients
from tiny import LIGHTNING_WARNINGS, Classifier, make_trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, random_split

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS

CLASSES, N = 5, 90


class SqueezeExcite(nn.Module):
    """The gate of EfficientNets: two 1x1 convolutions on pooled maps, neither of them a head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, channels // 4, 1)
        self.act1 = nn.SiLU(inplace=True)
        self.conv_expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.act1(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * self.conv_expand(gate).sigmoid()


class ConvBnAct(nn.Sequential):
    def __init__(self, width_in: int, width: int, **arguments: Any) -> None:
        conv = nn.Conv2d(width_in, width, bias=False, **arguments)
        super().__init__(conv, nn.BatchNorm2d(width), nn.SiLU(inplace=True))


class EfficientNetLike(nn.Module):
    """Features, a global pool, and a classifier: linear, or a 1x1 convolution and a flatten."""

    def __init__(self, num_classes: int, conv_head: bool, width: int = 16) -> None:
        super().__init__()
        self.num_features, self.conv_head = width, conv_head
        self.conv_stem = ConvBnAct(1, width, kernel_size=3, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    ConvBnAct(width, width, kernel_size=3, padding=1, groups=width),
                    SqueezeExcite(width),
                    ConvBnAct(width, width, kernel_size=1),
                )
                for _ in range(2)
            )
        )
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1))
        self.head_drop = nn.Dropout(0.2)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        width = self.num_features
        self.classifier = (
            nn.Conv2d(width, num_classes, 1) if self.conv_head else nn.Linear(width, num_classes)
        )
        self.flatten = nn.Flatten(1) if self.conv_head else nn.Identity()

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def forward_features(self, x: Tensor) -> Tensor:
        return self.blocks(self.conv_stem(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.global_pool(x)
        x = self.head_drop(x if self.conv_head else x.flatten(1))
        return x if pre_logits else self.flatten(self.classifier(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


class Images(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(position)
        return torch.randn(1, 8, 8, generator=generator), position % CLASSES


@pytest.mark.parametrize("conv_head", [False, True])
def test_a_random_split_is_ordered_under_the_ids_of_the_whole(
    tmp_path: Path, conv_head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("lightning_badge.callback.pool_ordering.rank_zero_info", said.append)
    torch.manual_seed(0)
    images = Images()
    train, val, pool = random_split(images, [40, 10, 40])
    model = Classifier(EfficientNetLike(CLASSES, conv_head))
    callback = BadgeCallback(pool=DataLoader(pool, batch_size=16), dirpath=tmp_path)
    trainer = make_trainer(tmp_path, callbacks=[callback])
    trainer.fit(model, DataLoader(train, batch_size=8, shuffle=True), DataLoader(val, batch_size=8))
    trainer.validate(model, DataLoader(val, batch_size=8), verbose=False)

    ordering = read_ordering(tmp_path / "ordering.parquet")
    assert ordering.metadata["head"] == "network.classifier"
    source = "positions in the Images of which the pool is a Subset (Subset.indices)"
    assert ordering.metadata["sample_id_source"] == source
    assert callback.n_orderings == 2
    (told,) = [text for text in said if "sample ids" in text]
    assert told.startswith(f"BadgeCallback: sample ids are {source}; the same position is another")
    network = model.network.double().eval()
    assert network.get_classifier() is model.network.classifier
    with torch.no_grad():
        x = torch.stack([images[sample_id][0] for sample_id in pool.indices]).double()
        rows = network.forward_head(network.forward_features(x), pre_logits=True).flatten(1)
    head = network.get_classifier()
    gradients = dense_gradients(rows, head.weight.flatten(1), head.bias)
    assert_gains(ordering, pool.indices, gradients)
