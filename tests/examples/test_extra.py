"""An example without its package names the extra that installs it."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from lightning_badge.examples.digits import digits
from lightning_badge.examples.huggingface import huggingface
from lightning_badge.examples.scipy_sentences import scipy_sentences
from lightning_badge.examples.tabular import tabular
from lightning_badge.examples.text import scipy_topics, text
from lightning_badge.examples.transformer import SmallTransformer
from lightning_badge.exceptions import BadgeError


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("datasets", lambda: huggingface("some/images")),
        ("datasets", lambda: text("some/texts")),
        ("scipy", scipy_sentences.__wrapped__),
        ("sklearn.datasets", digits),
        ("sklearn", tabular),
        ("tokenizers", scipy_topics),
        ("transformers", lambda: SmallTransformer(num_classes=2)),
    ],
)
def test_a_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, make: Callable[[], Any]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadgeError) as caught:
        make()
    assert f"expected the package '{package}', which is not installed" in str(caught.value)
    assert 'pip install "lightning-badge[examples]"' in str(caught.value)
