"""The exceptions of this package.

A message says what was expected, what came (shape, type, path) and how to fix it. Wrong use of the
callback raises Lightning's ``MisconfigurationException`` instead, as usual for callbacks.
"""


class BadgeError(Exception):
    """Base class of all exceptions of this package."""


class EmbeddingError(BadgeError, ValueError):
    """Logits, activations or sample ids from which no gradient embedding can be built."""


class OrderingError(BadgeError, ValueError):
    """Invalid arguments or state of an ordering."""


class ArtifactError(BadgeError, ValueError):
    """A file that is not a valid ordering, or an ordering of another pool."""


class HeadError(BadgeError, ValueError):
    """The classifier head cannot be identified among the model's layers."""


class CaptureError(BadgeError, RuntimeError):
    """The pool pass did not produce one activation row and one logit row per sample."""


class LabelError(BadgeError, ValueError):
    """Labels or sample ids that do not fit the data set or the label store."""


class BudgetError(BadgeError, ValueError):
    """A budget that asks for an impossible number of labels."""


class RunDirectoryError(BadgeError, RuntimeError):
    """A run directory that is in use, damaged, or belongs to another configuration."""


class EncoderError(BadgeError, ValueError):
    """An encoder that cannot be used, or features of another encoder or of other data."""


class PeerError(BadgeError, RuntimeError):
    """Another process of the same run failed, or processes disagree."""
