"""The budget of a run: that of its configuration, or what replaced it since."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_badge.app.earlier_configs import upgraded
from lightning_badge.app.suggestions import did_you_mean
from lightning_badge.app.who import user_name
from lightning_badge.exceptions import BadgeError, BudgetError, RunDirectoryError
from lightning_badge.loop.budget import Budget
from lightning_badge.store.budget_changes import (
    budget_in_force,
    commit_budget,
    differences,
    in_words,
    settings,
)
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory


def make_budget(config: Mapping[str, Any]) -> Budget:
    """Builds a budget.

    Raises:
        BudgetError: A value is not valid.
    """
    try:
        budget: Budget = instantiate(OmegaConf.create(dict(config)))
    except InstantiationException as error:
        if isinstance(error.__cause__, BadgeError):
            raise error.__cause__ from error
        raise BudgetError(f"budget: {' '.join(str(error).split())}") from error
    return budget


def change_at_start(
    kept: Mapping[str, Any],
    keys: Sequence[str],
    directory: RunDirectory,
    store: LabelStore,
    *,
    accept: bool,
) -> list[str]:
    """Commits the change of a budget that a start of a run brings.

    Args:
        kept: The configuration of this start.
        keys: Its keys that define the run.
        directory: The run directory.
        store: The label store.
        accept: Whether a start may change the budget.

    Returns:
        The keys that must be as before.

    Raises:
        RunDirectoryError: The budget is another one, and that is not accepted.
    """
    stored = directory.stored_config()
    before = None if stored is None else upgraded(stored).get("budget")
    now = kept["budget"]
    if not isinstance(before, Mapping) or not differences(before, now):
        return list(keys)
    in_force = budget_in_force(store.changes, before)
    found = differences(in_force, now)
    if found and not accept:
        raise RunDirectoryError(
            f"{directory.path}: holds a run of another configuration "
            f"({'; '.join(f'budget.{in_words(it)}' for it in found)}); add accept_changes=true to "
            "change the budget from now on, choose another run_dir, or start over with fresh=true "
            "(keeps the old run aside)"
        )
    with store.leases.transaction():
        commit_budget(store.changes, in_force, now, who=user_name(), how="start")
    return [key for key in keys if key != "budget"]


def changed(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Returns a budget's configuration with other values.

    Args:
        config: The configuration.
        overrides: Texts such as ``limit=500``; a key that is unique may be its last part only.

    Raises:
        BudgetError: There is no such key, or several.
    """
    known = settings(config)
    new = OmegaConf.create(dict(config))
    for text in overrides:
        key, is_pair, value = text.partition("=")
        name = key.removeprefix("budget.")
        found = [known_key for known_key in known if f".{known_key}".endswith(f".{name}")]
        found = [name] if name in known else found
        if not is_pair or len(found) != 1:
            listed = ", ".join(f"{k}={'null' if v is None else v}" for k, v in known.items())
            what = "several keys end with" if len(found) > 1 else "there is no key"
            raise BudgetError(
                f"{what} {name!r} in the budget of this run{did_you_mean(name, list(known))}; "
                f"KEY=VALUE changes one of {listed}"
            )
        try:
            value_of = OmegaConf.from_dotlist([f"value={value}"]).value
            OmegaConf.update(new, found[0], value_of, merge=False)
        except OmegaConfBaseException as error:
            raise BudgetError(f"budget.{found[0]}: cannot be read: {error}") from error
    plain: Any = OmegaConf.to_container(new)
    return dict(plain)
