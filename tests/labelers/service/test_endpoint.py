"""An address that may stand in a file, and a key that only the environment holds."""

from typing import Any

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.endpoint import Endpoint

SECRET = "sk-very-secret-47"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "labels.example.org",
        "ftp://x.org",
        "https://",
        None,
        7,
        "file:///etc/passwd",
        "http://x:99999",
    ],
)
def test_what_is_no_address_is_refused(url: Any) -> None:
    with pytest.raises(LabelError, match=r"labelers.url: expected an address such as"):
        Endpoint(url)


@pytest.mark.parametrize(
    "url",
    [
        f"https://ann:{SECRET}@labels.example.org",
        f"https://{SECRET}@labels.example.org",
        f"https://labels.example.org/?key={SECRET}",
    ],
)
def test_an_address_holds_no_secret_and_the_error_neither(url: str) -> None:
    with pytest.raises(LabelError, match="without password and query") as error:
        Endpoint(url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "url", [SECRET, f"ann:{SECRET}@x.org", f"//ann:{SECRET}@x.org", f"https://x.org/#{SECRET}"]
)
def test_what_is_no_address_may_be_a_secret_and_is_not_shown(url: str) -> None:
    with pytest.raises(LabelError, match=r"labelers.url: expected an address") as error:
        Endpoint(url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("key", [SECRET, "", "My Key", 7])
def test_the_key_itself_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(LabelError, match="expected the name of an environment variable") as error:
        Endpoint("https://labels.example.org", key)
    assert not key or str(key) not in str(error.value)


def test_a_key_does_not_cross_the_network_in_clear_text() -> None:
    with pytest.raises(LabelError, match="expected https://"):
        Endpoint("http://labels.example.org", "SERVICE_KEY")
    assert Endpoint("http://127.0.0.1:8010/label/", "SERVICE_KEY").url.endswith("/label")
    assert Endpoint("http://labels.example.org").secret() is None


@pytest.mark.parametrize("value", ["", "  ", "schlüssel", "a\nb"])
def test_a_key_that_cannot_be_sent_is_one_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", value)
    with pytest.raises(LabelError, match="SERVICE_KEY") as error:
        Endpoint("https://labels.example.org", "SERVICE_KEY").secret()
    assert "\n" not in str(error.value)
    assert not value.strip() or value not in str(error.value)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", f" {SECRET}\n")
    endpoint = Endpoint("https://labels.example.org", "SERVICE_KEY")
    assert endpoint.secret() == SECRET
    assert SECRET not in repr(endpoint) + repr(vars(endpoint))
