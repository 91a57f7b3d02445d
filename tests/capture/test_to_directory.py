"""``capture_to``: a pool in shards on disk is the pool that ``capture`` embeds."""

import json
import signal
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from capturing import Dicts, Stream
from lightning.fabric import Fabric
from tiny import LIGHTNING_WARNINGS, Classifier, attached, blobs, loader, make_trainer, mlp
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    SequentialSampler,
    Subset,
)

from lightning_badge.capture import capture, capture_to
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_files import read_embedding
from lightning_badge.exceptions import CaptureError, EmbeddingError
from lightning_badge.pool_batch import PoolBatch

pytest.importorskip("safetensors")
pytestmark = LIGHTNING_WARNINGS

PROGRAM = Path(__file__).with_name("pool_to_shards.py")


def assert_same(one: GradientEmbedding, other: GradientEmbedding) -> None:
    assert one.sample_ids.tolist() == other.sample_ids.tolist()
    assert (one.loss, one.bias, one.dtype) == (other.loss, other.bias, other.dtype)
    for name, values in one._tensors().items():
        assert torch.equal(values, getattr(other, name)), name


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class WithIds(Dataset[Any]):
    """Samples with ids of their own, some of them not ASCII."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, position: int) -> tuple[str, Tensor]:
        return f"bild_ü{position % 7}_{position}", blobs(20).tensors[0][position]


def as_pool_batch(items: list[tuple[str, Tensor]]) -> PoolBatch:
    ids, x = zip(*items, strict=True)
    return PoolBatch(ids, torch.stack(x))


POOLS = {
    "tuples": (loader(50), {}),
    "subset": (DataLoader(Subset(blobs(50), range(40, 3, -1)), batch_size=8), {}),
    "workers": (DataLoader(blobs(50), batch_size=8, num_workers=2), {}),
    "own batches": (DataLoader(blobs(9), batch_sampler=[[0, 1, 2], [3], [4, 5, 6, 7, 8]]), {}),
    "dicts": (DataLoader(Dicts(list("badce")), batch_size=2), {"sample_id_key": "id"}),
    "pool batches": (DataLoader(WithIds(), batch_size=6, collate_fn=as_pool_batch), {}),
    "one batch": (loader(3), {}),
}


@pytest.mark.filterwarnings("ignore:sample ids are positions in the order")
@pytest.mark.parametrize("name", POOLS)
def test_is_what_capture_embeds(tmp_path: Path, name: str) -> None:
    pool, arguments = POOLS[name]
    model = Classifier()
    done = capture_to(tmp_path / "shards", model, pool, batches_per_shard=2, **arguments)
    found = read_embedding(file=tmp_path / "shards")
    assert_same(found, capture(model, pool, **arguments))
    assert (done.rows, done.written) == (len(found), done.shards)
    manifest = json.loads(done.manifest.read_text())
    assert sum(shard["rows"] for shard in manifest["shards"]) == len(found)


def test_with_a_trainer_as_its_trainer_runs_it(tmp_path: Path) -> None:
    model = Classifier()
    trainer = attached(make_trainer(tmp_path, precision="bf16-mixed"), model)
    capture_to(tmp_path / "shards", model, loader(50), trainer=trainer, batches_per_shard=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(read_embedding(file=tmp_path / "shards"), capture(model, loader(50)))


def test_with_fabric(tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    model, pool = fabric.setup(mlp()), fabric.setup_dataloaders(loader(50))
    capture_to(tmp_path / "shards", model, pool)
    assert_same(read_embedding(file=tmp_path / "shards"), capture(model, pool))
    with pytest.raises(EmbeddingError, match="another precision"):
        capture_to(tmp_path / "shards", model.module, loader(50))


def test_float16_halves_the_space_and_is_read_as_float32(tmp_path: Path) -> None:
    model = mlp()
    capture_to(tmp_path / "half", model, loader(50), dtype="float16")
    found, exact = read_embedding(file=tmp_path / "half"), capture(model, loader(50))
    assert found.dtype == torch.float32
    assert torch.equal(found.penultimate, exact.penultimate.half().float())
    model[0].weight.data *= 1e6
    with pytest.raises(EmbeddingError, match=r"too large for float16 \(sample ids .*float32"):
        capture_to(tmp_path / "large", model, loader(50), dtype="float16")


def test_the_loss_that_was_found_is_the_loss_of_the_ordering(tmp_path: Path) -> None:
    class MultiLabel(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.criterion = nn.BCEWithLogitsLoss()

    capture_to(tmp_path / "shards", MultiLabel(), loader(20))
    assert read_embedding(file=tmp_path / "shards").loss == "binary_cross_entropy"
    given = read_embedding(file=tmp_path / "shards", loss="cross_entropy")
    assert given.loss == "cross_entropy"


def test_random_states_and_modes_stay(tmp_path: Path) -> None:
    model, generator = mlp().train(), torch.Generator().manual_seed(3)
    before = torch.get_rng_state(), generator.get_state()
    capture_to(tmp_path / "shards", model, loader(50, generator=generator), batches_per_shard=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(generator.get_state(), before[1])
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks for part in model.modules())


def run(folder: Path, log: Path, *more: str) -> int:
    program = PROGRAM.read_text(encoding="utf-8")
    return forked.run_program(log.parent, program, str(folder), str(log), *more).status


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a process that was not killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder / "shards", folder / "log") == 0
    return content(folder / "shards")


@pytest.mark.slow
class TestResume:
    @pytest.mark.parametrize(
        "kill_at", [4, *(pytest.param(at, marks=pytest.mark.long) for at in (1, 13))]
    )
    def test_a_killed_process_goes_on_where_it_was(
        self, tmp_path: Path, whole: dict[str, bytes], kill_at: int
    ) -> None:
        """13 batches, two in a shard."""
        folder, log = tmp_path / "killed", tmp_path / "killed.log"
        assert run(folder, log, str(kill_at)) == -signal.SIGKILL
        complete = {path.name: path.stat().st_ino for path in folder.glob("shard*")}
        assert len(complete) == (kill_at - 1) // 2
        with pytest.raises(EmbeddingError, match=f"all 7 shards, got {len(complete)}; embed again"):
            read_embedding(file=folder)
        assert run(folder, log) == 0
        assert content(folder) == whole
        assert complete == {name: (folder / name).stat().st_ino for name in complete}
        batches = [int(line) for line in log.read_text().splitlines()]
        assert sorted(set(batches)) == list(range(13))
        again = [batch for batch in set(batches) if batches.count(batch) > 1]
        assert all(batch // 2 == len(complete) for batch in again)  # none of a complete shard

    def test_a_damaged_shard_is_embedded_again(
        self, tmp_path: Path, whole: dict[str, bytes]
    ) -> None:
        folder, log = tmp_path / "shards", tmp_path / "log"
        folder.mkdir()
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        damaged = sorted(folder.glob("shard*"))[2]
        damaged.write_bytes(whole[damaged.name][:-1] + b"\x01")
        with pytest.raises(EmbeddingError, match=f"{damaged.name}: damaged"):
            read_embedding(file=folder)
        run(folder, log)
        assert content(folder) == whole
        assert log.read_text().split() == ["4", "5"]


class TestRefusals:
    @pytest.fixture
    def shards(self, tmp_path: Path) -> Path:
        capture_to(tmp_path / "shards", self.model(), loader(50))
        return tmp_path / "shards"

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return mlp()

    @pytest.mark.parametrize(
        ("pool", "arguments", "expected"),
        [
            (loader(51), {}, r"got another pool"),
            (DataLoader(blobs(50, seed=1), batch_size=16), {}, "got another pool"),
            (loader(50, batch_size=17), {}, "got another pool"),
            (loader(50), {"dtype": "float16"}, "got another dtype"),
            (loader(50), {"head": "3"}, "got another head"),
            (loader(50), {"batches_per_shard": 3}, "another number of batches in a shard"),
        ],
    )
    def test_another_request(
        self, shards: Path, pool: Any, arguments: dict[str, Any], expected: str
    ) -> None:
        before = content(shards)
        with pytest.raises(EmbeddingError, match=expected) as error:
            capture_to(shards, self.model(), pool, **arguments)
        assert "\n" not in str(error.value)
        assert content(shards) == before

    def test_other_weights(self, shards: Path) -> None:
        with pytest.raises(EmbeddingError, match="got other weights .*another folder"):
            capture_to(shards, mlp(), loader(50))

    def test_a_shard_of_another_request(self, tmp_path: Path, shards: Path) -> None:
        capture_to(tmp_path / "other", mlp(), loader(50))
        (shard,) = shards.glob("shard*")
        shard.write_bytes((tmp_path / "other" / shard.name).read_bytes())
        with pytest.raises(EmbeddingError, match="expected the shard that manifest.json names"):
            read_embedding(file=shards)
        with pytest.raises(EmbeddingError, match="a shard of another request; remove it"):
            capture_to(shards, self.model(), loader(50))

    def test_a_folder_with_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(EmbeddingError, match="expected a new or empty folder"):
            capture_to(tmp_path, self.model(), loader(50))

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "x", "version": 9}'])
    def test_a_manifest_of_somebody_else(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(EmbeddingError, match="manifest"):
            read_embedding(file=tmp_path)
        with pytest.raises(EmbeddingError, match="manifest"):
            capture_to(tmp_path, self.model(), loader(50))

    @pytest.mark.parametrize(
        ("pool", "expected"),
        [
            ([blobs(8).tensors[0]], "capture_to needs a torch DataLoader"),
            (DataLoader(Stream(), batch_size=8), "DataLoader over an IterableDataset"),
            (loader(50, shuffle=True), "shuffles"),
            (loader(50, drop_last=True), "expected one row for each of the pool's 50 samples"),
            (
                DataLoader(blobs(50), sampler=DistributedSampler(blobs(50), 2, 0, shuffle=False)),
                "DistributedSampler",
            ),
            (DataLoader(blobs(50), sampler=SequentialSampler([])), "the pool is empty"),
        ],
    )
    def test_loaders(self, tmp_path: Path, pool: Any, expected: str) -> None:
        with pytest.raises(CaptureError, match=expected):
            capture_to(tmp_path / "shards", self.model(), pool)

    def test_arguments(self, tmp_path: Path) -> None:
        for name, value in (("dtype", "int8"), ("loss", "mse"), ("batches_per_shard", 0)):
            given: dict[str, Any] = {name: value}
            with pytest.raises(EmbeddingError, match=f"{name}: expected"):
                capture_to(tmp_path / "shards", self.model(), loader(50), **given)
        assert not (tmp_path / "shards").exists()

    def test_regression_is_refused_before_all_is_embedded(self, tmp_path: Path) -> None:
        class Regression(Classifier):
            def __init__(self) -> None:
                super().__init__(mlp(1))
                self.criterion = nn.MSELoss()

        with pytest.raises(EmbeddingError, match="looks like regression"):
            capture_to(tmp_path / "shards", Regression(), loader(50), batches_per_shard=1)
        assert not list((tmp_path / "shards").glob("shard*"))

    def test_repeated_ids_of_several_shards(self, tmp_path: Path) -> None:
        pool = DataLoader(Dicts(list("badcb")), batch_size=2)
        capture_to(tmp_path / "s", Classifier(), pool, sample_id_key="id", batches_per_shard=1)
        with pytest.raises(EmbeddingError, match="expected distinct ids, but 'b' came more than"):
            read_embedding(file=tmp_path / "s")
