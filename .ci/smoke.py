"""Checks an installed wheel; run it outside the source tree with the installation folder."""

import sys
import tempfile
from pathlib import Path

import torch

import lightning_badge
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import order
from lightning_badge.ordering_file import read_ordering, write_ordering

package = Path(lightning_badge.__file__).parent
assert package.parent == Path(sys.argv[1]), f"imported from {package}, not from the wheel"
assert (package / "py.typed").is_file()

embedding = GradientEmbedding.from_logits(torch.randn(100, 8), torch.randn(100, 5))
with tempfile.TemporaryDirectory() as folder:
    path = write_ordering(order(embedding), Path(folder) / "ordering.parquet")
    assert sorted(read_ordering(path)) == list(range(100))
print(f"wheel ok: {package}")
