"""The errors that this package raises on its own account.

Each carries one message: what was expected, what came (shape, type, path), how to mend it.
Wrong use of the callback raises Lightning's ``MisconfigurationException`` instead, as its users
expect.
"""


class BadgeError(Exception):
    """Base of every error below: ``except BadgeError`` catches them all."""


class EmbeddingError(BadgeError, ValueError):
    """Logits, activations or sample ids that no gradient embedding can be built from."""


class OrderingError(BadgeError, ValueError):
    """An ordering that was asked for in a way that has no answer."""


class ArtifactError(BadgeError, ValueError):
    """A file that is not an ordering, or an ordering of something else."""


class HeadError(BadgeError, ValueError):
    """The classifier head cannot be told from the model's other layers."""


class CaptureError(BadgeError, RuntimeError):
    """The pool pass did not give one activation row and one logit row per sample."""


class LabelError(BadgeError, ValueError):
    """Labels or sample ids that do not fit the data set or the label store."""


class BudgetError(BadgeError, ValueError):
    """A budget that asks for an impossible number of labels."""


class RunDirectoryError(BadgeError, RuntimeError):
    """A run directory that is in use, broken, or of another configuration."""
