"""Checks of what `ActiveLearningLoop` is given."""

from typing import Any, NamedTuple

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

_ERROR = MisconfigurationException


class Settings(NamedTuple):
    """Arguments as plain values."""

    seed: int
    metric: str
    overlap: int
    progress: bool


def checked_settings(seed: Any, metric: Any, overlap: Any, progress: Any) -> Settings:
    """Returns arguments as plain values.

    Raises:
        MisconfigurationException: A value is not valid; the message says what was expected.
    """
    return Settings(
        check.integer("seed", seed, least=0, error=_ERROR),
        check.text("metric", metric, error=_ERROR),
        check.integer("overlap", overlap, least=1, error=_ERROR),
        check.flag("progress", progress, error=_ERROR),
    )


def check_parts(
    make_model: Any,
    make_trainer: Any,
    datamodule: Any,
    budget: Any,
    labelers: Any,
    store: Any,
    run_directory: Any,
) -> None:
    """Raises a MisconfigurationException for an argument that is not what the loop needs."""
    check.function("make_model", make_model, "a function that builds a model", error=_ERROR)
    building = "a function of the round and its folder that builds a Trainer"
    check.function("make_trainer", make_trainer, building, error=_ERROR)
    _check_methods("budget", budget, "query_size")
    _check_methods("labelers", labelers, "publish", "collect", "to_do", "close")
    parts = (
        ("datamodule", datamodule, ActiveLearningDataModule),
        ("store", store, LabelStore),
        ("run_directory", run_directory, RunDirectory),
    )
    for name, value, kind in parts:
        check.instance(name, value, kind, f"a {kind.__name__}", error=_ERROR)


def _check_methods(name: str, value: Any, *methods: str) -> None:
    has_all = all(callable(getattr(value, method, None)) for method in methods)
    if isinstance(value, type) or not has_all:
        raise _ERROR(
            f"{name}: expected an object with the methods {', '.join(methods)}, got {value!r:.80}"
        )
