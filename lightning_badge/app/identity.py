"""Which values of the configuration define a run, so that it goes on only with the same ones."""

from collections.abc import Mapping
from typing import Any

_WHOLE = ("seed", "initial_labels", "cold_start", "model", "strategy", "budget")
# The location of the data and the way to load them may change; a fingerprint identifies the data.
_NOT_OF_DATA = {"path", "num_workers", "watch"}
# How a query is written, a page is served, or a service or model is asked, may change.
_NOT_OF_LABELERS = {
    *("rows", "export", "fields"),
    *("guess", "guidelines", "host", "port", "certfile", "keyfile", "behind_proxy", "stay"),
    *("threads", "nearest_labeled", "beside"),
    *("url", "urls", "key", "annotator", "parallel", "price", "most_skips", "timeout", "patience"),
    *("poll", "model", "prompt", "prices", "options", "project", "wait"),
}


def identity_keys(config: Mapping[str, Any]) -> list[str]:
    """Returns the dotted keys that define a run, beside the fingerprint of its data."""
    return [
        *_WHOLE,
        *(f"labelers.{key}" for key in config["labelers"] if key not in _NOT_OF_LABELERS),
        *(f"data.{key}" for key in config["data"] if key not in _NOT_OF_DATA),
    ]
