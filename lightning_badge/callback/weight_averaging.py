"""Callbacks that replace the trained weights by averages, and the weights that are ordered then."""

import re

from lightning.fabric.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch import Callback, Trainer

from lightning_badge.callback.schedule import Schedule
from lightning_badge.namespaces import lightning_classes

_CLASSES = ("callbacks.StochasticWeightAveraging", "callbacks.WeightAveraging")
_WORDS = {"average", "averaged", "averaging", "ema", "lookahead", "polyak", "swa"}
_CAMEL_CASE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def averaging_callbacks(trainer: Trainer) -> list[Callback]:
    """Returns the callbacks that replace trained weights by averages.

    Finds Lightning's own, and others by a word in the class name, such as ``EMA``.
    """
    classes = tuple(found for name in _CLASSES for found in lightning_classes(name))
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [
        callback
        for callback in callbacks
        if isinstance(callback, classes) or _words(type(callback).__name__) & _WORDS
    ]


def prepare_for_averages(trainer: Trainer, callback: Callback, schedule: Schedule) -> None:
    """Arranges that the last ordering uses the averages, or warns why it does not.

    Averages replace the weights when training ends. The callback orders after that, so it is moved
    behind the averaging callback in the Trainer's list.

    Args:
        trainer: The Trainer that trains.
        callback: The callback that orders.
        schedule: When it orders.
    """
    averaging = averaging_callbacks(trainer)
    if not averaging:
        return
    names = ", ".join(type(other).__name__ for other in averaging)
    if schedule.when == "every_validation":
        rank_zero_warn(
            f"BadgeCallback orders by the trained weights, not by the averages of {names}; "
            "when='last_validation' orders by the averages when training ends"
        )
        return
    schedule.order_at_train_end = True
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if callbacks.index(callback) < callbacks.index(averaging[-1]):
        # a new list, because Lightning is iterating over the old one
        others = [other for other in callbacks if other is not callback]
        place = others.index(averaging[-1]) + 1
        trainer.callbacks = [*others[:place], callback, *others[place:]]  # type: ignore[attr-defined]
    rank_zero_info(f"BadgeCallback orders when training ends, by the averages of {names}")


def _words(name: str) -> set[str]:
    return {word.lower() for word in _CAMEL_CASE.findall(name)}
