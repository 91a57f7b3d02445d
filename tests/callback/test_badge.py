from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningCLI
from old_lightning import WEIGHTS_ONLY
from tiny import (
    LIGHTNING_WARNINGS,
    QUIET,
    WIDTH,
    Classifier,
    Counted,
    Data,
    fit,
    loader,
    make_trainer,
    mlp,
    validate,
)
from torch import nn
from torch.utils.data import DataLoader

from lightning_badge.callback import duration as duration_module
from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.callback.schedule import WHEN
from lightning_badge.exceptions import EmbeddingError, HeadError
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS


class TestInFitAndValidate:
    def test_never_in_the_sanity_check(self, tmp_path: Path) -> None:
        callback = Counted()
        fit(tmp_path, callback, max_epochs=1, limit_train_batches=0, num_sanity_val_steps=2)
        assert callback.moments == []

    def test_not_in_fit_when_told_so_but_in_validate(self, tmp_path: Path) -> None:
        callback = Counted(when="never", every_n=7)
        trainer = fit(tmp_path, callback)
        assert callback.moments == []
        trainer.validate(trainer.lightning_module, loader(16), verbose=False)
        assert len(callback.moments) == 1

    @pytest.mark.parametrize("when", WHEN)
    def test_in_validate_without_fit(self, tmp_path: Path, when: str) -> None:
        callback = Counted(when=when, every_n=3)
        validate(tmp_path, callback)
        assert len(callback.moments) == 1

    def test_not_in_test_or_predict(self, tmp_path: Path) -> None:
        class Tests(Classifier):
            test_step = Classifier.validation_step

        callback = Counted()
        trainer = make_trainer(tmp_path, callbacks=[callback])
        trainer.test(Tests(), loader(16), verbose=False)
        trainer.predict(Tests(), DataLoader(torch.zeros(2, WIDTH)))
        assert callback.moments == []

    @pytest.mark.parametrize("when", ["last_validation", "every_validation"])
    def test_a_trial_run_orders_and_leaves_nothing_on_disk(self, tmp_path: Path, when: str) -> None:
        callback = Counted(when=when, every_n=5)
        fit(tmp_path, callback, fast_dev_run=True)
        assert len(callback.moments) == 1
        assert len(callback.ordering) == 3
        assert callback.last_ordering_path is None
        assert list(tmp_path.iterdir()) == []


class TestItsState:
    def test_survives_a_checkpoint_read_with_weights_only(self, tmp_path: Path) -> None:
        callback = BadgeCallback(pool=loader(20), when="every_validation")
        trainer = fit(tmp_path, callback, max_epochs=2)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        resumed = BadgeCallback(pool=loader(20), when="every_validation")
        trainer = make_trainer(tmp_path / "other", callbacks=[resumed], max_epochs=3)
        trainer.fit(
            Classifier(), loader(64), loader(16), ckpt_path=tmp_path / "last.ckpt",
            **WEIGHTS_ONLY,
        )  # fmt: skip
        assert resumed.n_orderings == 3
        assert resumed.ordering.metadata["epoch"] == 2
        assert resumed.ordering.metadata["checkpoint"] is None
        fresh = BadgeCallback()
        fresh.load_state_dict(callback.state_dict())
        assert fresh.last_ordering_path == tmp_path / "badge" / "ordering.parquet"

    def test_is_plain_before_anything_was_ordered(self) -> None:
        state = BadgeCallback().state_dict()
        assert state == {"last_ordering_path": None, "n_orderings": 0, "n_validations": 0}
        BadgeCallback().load_state_dict(state)

    def test_two_callbacks_live_in_one_trainer(self, tmp_path: Path) -> None:
        one = BadgeCallback(pool=loader(20), filename="badge.parquet")
        other = BadgeCallback("entropy", pool=loader(20), filename="entropy.parquet")
        fit(tmp_path, one, other).save_checkpoint(tmp_path / "both.ckpt")
        assert len({one.state_key, other.state_key}) == 2
        names = {path.name for path in (tmp_path / "badge").iterdir()}
        assert names == {"badge.parquet", "entropy.parquet"}


class TestWarnings:
    def test_an_empty_pool_is_skipped(self, tmp_path: Path) -> None:
        callback = BadgeCallback(pool=loader(20))
        fit(tmp_path, callback)
        callback.pool = DataLoader([])
        with pytest.warns(UserWarning, match="pool is empty"):
            fit(tmp_path, callback)
        assert callback.ordering is None
        assert callback.n_orderings == 1

    def test_a_long_ordering_on_the_cpu_tells_its_duration_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(duration_module, "_LARGE_POOL", 100)
        callback = BadgeCallback(pool=loader(101), k=60)
        with pytest.warns(UserWarning, match=r"60 of 101 samples on the CPU.*about 0:.*k=\.\.\."):
            validate(tmp_path, callback)
        validate(tmp_path, callback)
        validate(tmp_path, BadgeCallback(pool=loader(100)))


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"strategy": "nope"}, r"strategy: expected one of badge, .*got 'nope'"),
            ({"k": 0}, r"\(k=...\): expected an integer of 1 or more, got 0"),
            ({"k": 2.5}, "got 2.5"),
            ({"seed": -1}, r"\(seed=...\): expected an integer of 0 or more, got -1"),
            ({"every_n": 0}, r"\(every_n=...\)"),
            ({"when": "always"}, "last_validation, every_validation, never, got 'always'"),
            ({"loss": "mse"}, "auto, cross_entropy, binary_cross_entropy, got 'mse'"),
            ({"first_center": "last"}, "uniform, max_norm, origin, got 'last'"),
            ({"backend": "tpu"}, "backend: expected one of auto, numba.*got 'tpu'"),
        ],
    )
    def test_wrong_arguments_list_the_right_ones(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(MisconfigurationException, match=message):
            BadgeCallback(**arguments)

    def test_no_pool_is_said_before_training(self, tmp_path: Path) -> None:
        with pytest.raises(MisconfigurationException, match="found no pool"):
            fit(tmp_path, BadgeCallback(), max_epochs=0)
        fit(tmp_path, BadgeCallback(when="never"))

    def test_a_model_that_diverged(self, tmp_path: Path) -> None:
        model = Classifier()
        nn.init.constant_(model.network[3].weight, torch.nan)
        with pytest.raises(EmbeddingError, match=r"NaN.*20 of 20 rows"):
            validate(tmp_path, BadgeCallback(pool=loader(20)), model)

    def test_a_head_that_cannot_be_told(self, tmp_path: Path) -> None:
        with pytest.raises(HeadError, match="no module of the model has this name"):
            validate(tmp_path, BadgeCallback(pool=loader(20), head="fc"))


class CliModel(Classifier):
    def __init__(self, classes: int = 3) -> None:
        super().__init__(mlp(classes))


# LightningCLI builds its parser in a way that newer versions of jsonargparse deprecate.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.pytorch.cli")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jsonargparse")
def test_lightning_cli_builds_it_from_typed_primitives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["cli"])
    cli = LightningCLI(
        CliModel,
        Data,
        args=[
            "fit",
            f"--trainer.default_root_dir={tmp_path}",
            "--trainer.callbacks=lightning_badge.callback.badge.BadgeCallback",
            "--trainer.callbacks.k=4",
            "--trainer.callbacks.bias=true",
            "--trainer.callbacks.strategy_args={first_center: max_norm}",
            f"--trainer.callbacks.dirpath={tmp_path / 'out'}",
        ],
        trainer_defaults=QUIET,
        save_config_callback=None,
        seed_everything_default=False,
    )
    (callback,) = [c for c in cli.trainer.callbacks if isinstance(c, BadgeCallback)]
    read = read_ordering(tmp_path / "out" / "ordering.parquet")
    assert list(read) == list(callback.ordering)
    assert (len(read), read.metadata["bias"]) == (4, True)
    assert read.metadata["strategy_args"] == {"first_center": "max_norm"}
