"""Requests outlast what passes, give up on what does not, and never show the key."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.endpoint import Endpoint
from lightning_badge.labelers.service.exchange import (
    Exchange,
    Refused,
    Stopped,
    seconds_of_header,
)

httpx = pytest.importorskip("httpx")
URL = "https://labels.example.org/label"
SECRET = "sk-very-secret-47"


class Clock:
    """A clock that only moves while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange_of(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Builds exchanges with a service that gives these replies in turn, the last one for ever."""
    monkeypatch.setenv("SERVICE_KEY", SECRET)
    built: list[Exchange] = []

    def build(*replies: Any, key: str | None = None, **arguments: Any) -> Exchange:
        waiting = list(replies)

        def answer(request: Any) -> Any:
            reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if isinstance(reply, Exception):
                raise reply
            return reply(request) if callable(reply) else reply

        exchange = Exchange(
            Endpoint(URL, key),
            transport=httpx.MockTransport(answer),
            clock=clock,
            sleep=clock.sleep,
            **arguments,
        )
        built.append(exchange)
        return exchange

    yield build
    for exchange in built:
        exchange.close()


def replied(status: int = 200, value: Any = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.Response(status, json={"label": "cat"} if value is None else value, headers=named)


@pytest.mark.parametrize(
    "trouble",
    [
        *(replied(status) for status in (500, 502, 503, 504, 408, 425, 429)),
        httpx.ReadTimeout("too slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("no reply"),
    ],
    ids=str,
)
def test_what_passes_is_tried_again_with_longer_pauses(
    exchange_of: Callable[..., Exchange], clock: Clock, trouble: Any
) -> None:
    exchange = exchange_of(*[trouble] * 9, replied())
    assert exchange.send("POST", URL, {}) == {"label": "cat"}
    assert clock.slept == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_pauses_begin_anew_where_another_request_succeeded(
    exchange_of: Callable[..., Exchange], clock: Clock
) -> None:
    exchange = exchange_of(*[replied(500)] * 5, replied())
    sleep = clock.sleep

    def sleep_and_succeed(seconds: float) -> None:
        sleep(seconds)
        if seconds == 4:
            exchange._last_success = clock.now  # as another thread sets it

    exchange._sleep = sleep_and_succeed
    exchange.send("POST", URL, {})
    assert clock.slept == [0.5, 1, 2, 4, 0.5]


def test_the_service_says_how_long_to_wait(
    exchange_of: Callable[..., Exchange], clock: Clock
) -> None:
    busy = [replied(429, Retry_After=text) for text in ("7", "100000", "0")]
    assert exchange_of(*busy, replied(), patience=999).send("GET", URL) == {"label": "cat"}
    assert clock.slept == [7, 300]


def test_all_requests_wait_as_long_as_the_service_says(
    exchange_of: Callable[..., Exchange], clock: Clock
) -> None:
    exchange = exchange_of(replied(429, Retry_After="50"), replied(400))
    clock.sleep = lambda seconds: exchange.stop() if seconds == 50 else None  # type: ignore
    exchange._sleep = clock.sleep
    with pytest.raises(Stopped):
        exchange.send("POST", URL, {})
    exchange.go_on()
    clock.now += 20
    slept: list[float] = []
    exchange._sleep = slept.append
    with pytest.raises(Refused):
        exchange.send("POST", URL, {})
    assert slept == [30]


def test_a_date_says_it_too() -> None:
    at = datetime.now(timezone.utc) + timedelta(seconds=60)
    seconds = seconds_of_header(format_datetime(at, usegmt=True))
    assert seconds is not None
    assert 50 < seconds <= 60
    assert seconds_of_header(format_datetime(at - timedelta(days=1), usegmt=True)) == 0


def test_a_service_that_stays_away_is_one_line(
    exchange_of: Callable[..., Exchange], clock: Clock
) -> None:
    exchange = exchange_of(httpx.ConnectError("[Errno 111] Connection refused"), patience=100)
    with pytest.raises(LabelError) as error:
        exchange.send("POST", URL, {})
    assert str(error.value) == (
        f"{URL}: no answer for 122 s ([Errno 111] Connection refused); see that the service runs, "
        "and run the same command again: open requests go on"
    )


def test_a_busy_service_that_answers_others_is_waited_for(
    exchange_of: Callable[..., Exchange], clock: Clock
) -> None:
    """An hour of 429 for one request, while another one succeeds now and then."""
    exchange = exchange_of(replied(429), patience=100)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        if clock.now < 3700:
            exchange._last_success = clock.now  # as another thread sets it

    exchange._sleep = sleep
    with pytest.raises(LabelError, match="no answer for 1.. s"):
        exchange.send("POST", URL, {})
    assert clock.now > 3700


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_a_refusal_is_not_tried_again_and_one_line(
    exchange_of: Callable[..., Exchange], clock: Clock, status: int
) -> None:
    said = {"error": {"message": "no\nsuch  thing " + "x" * 999}}
    exchange = exchange_of(replied(status, said), key="SERVICE_KEY")
    with pytest.raises(Refused) as refused:
        exchange.send("POST", URL, {})
    assert clock.slept == []
    text = str(exchange.error(refused.value))
    assert f"{URL}: the service refuses the request (HTTP {status}: no such thing xxx" in text
    assert "\n" not in text
    assert len(text) < 500
    assert ("SERVICE_KEY" in text) == (status in (401, 403))


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, text="<html>hello</html>"),
        httpx.Response(200, json=["label"]),
        httpx.Response(302, headers={"Location": "https://elsewhere.example.org"}),
    ],
    ids=["html", "list", "elsewhere"],
)
def test_a_reply_that_is_no_json_object_is_an_error(
    exchange_of: Callable[..., Exchange], reply: Any
) -> None:
    with pytest.raises(LabelError, match=r"expected a JSON object, got HTTP"):
        exchange_of(reply).send("POST", URL, {})


def test_nothing_is_sent_after_a_stop(exchange_of: Callable[..., Exchange]) -> None:
    exchange = exchange_of(AssertionError("it was sent"))
    exchange.stop()
    with pytest.raises(Stopped):
        exchange.send("POST", URL, {})


def test_the_key_is_sent_and_nowhere_shown(
    exchange_of: Callable[..., Exchange], caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the service repeats it."""
    caplog.set_level(logging.DEBUG)
    sent: list[str] = []

    def echo(status: int) -> Callable[[Any], Any]:
        def reply(request: Any) -> Any:
            sent.append(request.headers["Authorization"])
            return replied(status, {"error": f"you sent {request.headers['Authorization']}"})

        return reply

    shown = []
    for replies in ([echo(500), echo(401)], [echo(503)], [httpx.ReadError(f"at {SECRET}")]):
        exchange = exchange_of(*replies, key="SERVICE_KEY", patience=5)
        with pytest.raises((Refused, LabelError)) as error:
            exchange.send("POST", URL, {})
        shown += [str(error.value), repr(error.value), repr(exchange), repr(exchange.endpoint)]
        if isinstance(error.value, Refused):
            shown.append(str(exchange.error(error.value)))
    assert set(sent) == {f"Bearer {SECRET}"}
    assert "***" in "".join(shown)
    assert SECRET not in "".join(shown) + caplog.text


def test_trouble_that_lasts_is_said_once_and_its_end_too(
    exchange_of: Callable[..., Exchange], caplog: pytest.LogCaptureFixture
) -> None:
    exchange_of(*[replied(500)] * 3, replied()).send("POST", URL, {})
    assert caplog.messages == [text for text in caplog.messages if "HTTP Request" in text]
    exchange_of(*[replied(500)] * 9, replied()).send("POST", URL, {})
    assert [record.getMessage() for record in caplog.records if "httpx" not in record.name] == [
        f'{URL}: HTTP 500 {{"label":"cat"}}; trying again for up to 300 s',
        f"{URL} answers again",
    ]


@pytest.mark.parametrize("name", ["timeout", "patience"])
@pytest.mark.parametrize("value", [0, -1, True, "5"])
def test_times_are_checked(name: str, value: Any) -> None:
    with pytest.raises(LabelError, match=f"labelers.{name}: expected seconds above 0"):
        Exchange(Endpoint(URL), **{name: value})
