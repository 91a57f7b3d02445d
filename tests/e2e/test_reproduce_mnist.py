"""Runs the script as users do, on a small data set with the layout of MNIST."""

import json
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from reproduce.claims import Measurement, interval, measure
from reproduce.pool import Pool, divide
from reproduce.summarise_claims import summarise

from lightning_badge import ActiveLearningDataModule, BadgeError, GradientEmbedding, order
from lightning_badge.ordering_file import read_ordering

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
datasets = pytest.importorskip("datasets")

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce_mnist.py"
RUN = "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
TINY = [
    *("pool_size=100", "landmarks=20", "animated=3", "model.hidden=16"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu", "data.path=data", "paths.runs=runs"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten classes of noise images, each with a bar at a different height."""
    folder = tmp_path_factory.mktemp("reproduce")
    labels = np.arange(240) % 10
    images = np.random.default_rng(0).integers(0, 60, (240, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 6] += 150
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=list("0123456789"))
    )
    rows = {"image": list(images), "label": labels.tolist()}
    table = datasets.Dataset.from_dict(rows, features=features)
    for split in ("train", "test"):
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def sweep(folder: Path) -> forked.Ended:
    """A sweep whose second job has other settings but the run directory of the first."""
    code = f"sys.argv[0] = {str(SCRIPT)!r}\n{RUN}"
    arguments = ("--multirun", "ordering_seeds=2,3", *TINY)
    return forked.run_program(folder, code, *arguments, HF_HOME=str(folder / "hf"))


@pytest.fixture
def run(folder: Path, sweep: forked.Ended) -> Path:
    assert sweep.out.splitlines() == [str(folder / "runs/reproduce_mnist-seed0/report.md")]
    return folder / "runs" / "reproduce_mnist-seed0"


def claims_of(run: Path) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads((run / "claims.json").read_text(encoding="utf-8"))
    return claims


def test_a_run_writes_a_report_and_all_its_figures(run: Path) -> None:
    report = (run / "report.md").read_text(encoding="utf-8")
    shown = {part.split(")")[0] for part in report.split("](")[1:]}
    assert len(shown) == 9
    assert all((run / name).stat().st_size > 1000 for name in shown)
    assert not list(run.glob(".*"))  # no temporary file is left
    assert len(read_ordering(run / "ordering.parquet")) == 100


def test_another_experiment_does_not_overwrite_a_run(run: Path, sweep: forked.Ended) -> None:
    assert sweep.status == 1
    (line,) = sweep.err.splitlines()
    assert line.startswith("error: ")
    assert "ordering_seeds" in line
    assert claims_of(run)["ordering_seeds"] == 2


def test_runs_of_several_seeds_are_summarised(run: Path) -> None:
    claims = claims_of(run)
    names = [measured["name"] for measured in claims["measurements"]]
    table = summarise([claims, {**claims, "seed": 1}]).splitlines()
    assert len(table) == 2 + len(names)
    assert sorted(line.split(" | ")[0].removeprefix("| ") for line in table[2:]) == sorted(names)


def test_every_seed_has_its_own_run_directory() -> None:
    with initialize_config_dir(str(SCRIPT.parents[1] / "configs"), version_base="1.3"):
        config = compose("reproduce_mnist", ["seed=4", "paths.runs=runs"])
    assert config.run_dir == "runs/reproduce_mnist-seed4"


class TestDivide:
    def divided(self, **changed: Any) -> tuple[ActiveLearningDataModule, tuple[int, ...]]:
        data = [([float(i)], i % 4) for i in range(80)]
        datamodule = ActiveLearningDataModule(
            data, initial_labeled=[], labels=[target for _, target in data], class_names="abcd"
        )
        arguments = {"train_share": 0.5, "pool_size": 30, "seed": 0, **changed}
        return datamodule, divide(datamodule, ["b", "d"], **arguments)

    def test_the_labeled_set_lacks_the_unseen_classes_and_the_pool_has_them(self) -> None:
        datamodule, unseen = self.divided()
        assert unseen == (1, 3)
        label_of = datamodule.held_back_labels()
        assert {label_of[each] for each in datamodule.labeled_ids.tolist()} == {0, 2}
        assert {label_of[each] for each in datamodule.pool_ids.tolist()} == {0, 1, 2, 3}
        assert len(datamodule.pool_ids) == 30

    def test_no_unseen_sample_of_the_training_half_is_in_the_pool(self) -> None:
        # The pool is the whole second half, so only unseen classes of the first half are discarded.
        datamodule, _ = self.divided(pool_size=40)
        assert len(datamodule.labeled_ids) + len(datamodule.discarded_ids) == 40
        label_of = datamodule.held_back_labels()
        assert {label_of[each] for each in datamodule.discarded_ids.tolist()} == {1, 3}

    def test_a_pool_size_that_is_too_large_is_an_error(self) -> None:
        with pytest.raises(
            BadgeError, match="expected at most 40, the samples outside train_share, got 41"
        ):
            self.divided(pool_size=41)


class TestMeasurement:
    def test_the_interval_is_student_s_t(self) -> None:
        # 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(0.975; 2) = 4.303.
        assert interval([1, 2, 3]) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), 1e-3)
        assert interval([0.4]) == (0.4, 0.4)
        assert interval([0.4, 0.4]) == (0.4, 0.4)

    @pytest.mark.parametrize(
        ("values", "holds"),
        [
            ([1, 2, 3], False),
            ([1.5, 1.6, 1.7], False),
            ([3, 3.1, 3.2], True),
            ([2.0], True),
            ([1], False),
        ],
    )
    def test_a_claim_holds_if_its_whole_interval_is_above_the_bound(
        self, values: list[float], holds: bool
    ) -> None:
        assert Measurement("name", "share", values, 2.0, "claim").holds is holds

    def test_measurements_equal_direct_counts(self) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(120, 3, generator=generator)
        embedding = GradientEmbedding.from_logits(
            torch.randn(120, 4, generator=generator),
            logits,
            sample_ids=[f"s{row}" for row in range(120)],
        )
        labels = np.arange(120) % 3
        pool = Pool(embedding, torch.zeros(120, 1, 2, 2), labels, ("a", "b", "c"), (1,), 7)
        orderings = {
            strategy: [order(embedding, strategy, seed=seed) for seed in range(2)]
            for strategy in ("badge", "entropy", "coreset", "random")
        }
        measured = {each.name: each for each in measure(pool, orderings)}
        for strategy, several in orderings.items():
            by_hand = [
                sum(labels[int(sample_id[1:])] == 1 for sample_id in list(one)[:10]) / 10
                for one in several
            ]
            assert measured[f"share of b in the first 10 of {strategy}"].values == by_hand
        norms = embedding.dense().norm(dim=1)
        near = float((norms < norms.max() / 10).float().mean())
        name = "share of the pool with a norm under 10% of the largest"
        assert measured[name].values == pytest.approx([near])
