"""The model that each kind of samples gets when none is chosen."""

from collections.abc import Callable

from lightning.fabric.utilities import rank_zero_info
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.examples.models import MLP, Classifier, NGrams, SmallCNN


def default_model(
    kind: str, num_classes: int, in_features: int, multilabel: bool = False
) -> Classifier:
    """Builds the default model for samples of `lightning_badge.datamodule.folder`.

    Args:
        kind: ``images`` get a `SmallCNN`, ``texts`` `NGrams`, ``tables`` an `MLP`.
        num_classes: Number of classes.
        in_features: Number of columns of a table; not used for other kinds.
        multilabel: Whether a sample may have several classes.

    Raises:
        MisconfigurationException: An unknown kind.
    """
    models: dict[str, Callable[[], Classifier]] = {
        "images": lambda: SmallCNN(num_classes, in_channels=3, width=16, multilabel=multilabel),
        "texts": lambda: NGrams(num_classes, multilabel=multilabel),
        "tables": lambda: MLP(num_classes, in_features, multilabel=multilabel),
    }
    if kind not in models:
        raise MisconfigurationException(
            f"kind: expected one of {', '.join(models)}, got {kind!r}; set model=..."
        )
    model = models[kind]()
    rank_zero_info(
        f"model for {kind}: {type(model).__name__}, {num_classes} classes; model=... replaces it"
    )
    return model
