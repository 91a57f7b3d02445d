"""Configurations of runs that an earlier version began, in the words of this version."""

from collections.abc import Mapping
from typing import Any

_DATASET = "lightning_badge.labelers.dataset.for_run"
_RENAMED = {"oracle": "labelers", "lightning_badge.DatasetOracle": _DATASET}
# Keys that were added later, with the values that mean what there was before, by group and target.
_ADDED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("data", "lightning_badge.datamodule.folder.folder"): {"validation": "auto"},
    ("labelers", _DATASET): {
        "noise": 0.0,
        "annotators": 1,
        "rate": None,
        "hours": None,
        "training_hours": None,
        "team": None,
        "begins": "2026-01-05T08:00",
    },
}
# The same for arguments of strategies, by name.
_ADDED_TO_STRATEGY: Mapping[str, Mapping[str, Any]] = {
    "badge": {"trials": 1},
    "badge_labeled": {"first_center": "uniform", "trials": 1},
}
_ADDED_ON_TOP: Mapping[str, Any] = {"cold_start": "kmeans_pp"}


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a stored configuration with the names and keys of this version.

    Example:
        >>> upgraded({"seed": 0, "oracle": {"seed": 1}})
        {'cold_start': 'kmeans_pp', 'seed': 0, 'labelers': {'seed': 1}}
    """
    config = {**_ADDED_ON_TOP, **{_RENAMED.get(key, key): value for key, value in stored.items()}}
    for key, group in config.items():
        if isinstance(group, Mapping) and "_target_" in group:
            target = str(_RENAMED.get(group["_target_"], group["_target_"]))
            config[key] = {**_ADDED.get((key, target), {}), **group, "_target_": target}
    if isinstance(strategy := config.get("strategy"), Mapping):
        added = _ADDED_TO_STRATEGY.get(strategy.get("name", ""), {})
        config["strategy"] = {**added, **strategy}
    return config
