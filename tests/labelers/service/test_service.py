"""The protocol of a labeling service, reply by reply."""

import json
from typing import Any

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.endpoint import Endpoint
from lightning_badge.labelers.service.exchange import Exchange
from lightning_badge.labelers.service.reply import Reply, Request
from lightning_badge.labelers.service.service import ServiceAsker

httpx = pytest.importorskip("httpx")
URL = "https://labels.example.org/label"
REQUEST = Request("r1", "a.png", {"image": "data:,x"}, "images", ("cat", "dog"))


class Service:
    """Gives replies in turn, and notes what it was asked."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, Any]] = []
        self.slept: list[float] = []

    def __call__(self, request: Any) -> Any:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, str(request.url), body))
        reply = self.replies.pop(0)
        return reply if isinstance(reply, httpx.Response) else httpx.Response(200, json=reply)

    def ask(self, **arguments: Any) -> Reply:
        transport = httpx.MockTransport(self)
        exchange = Exchange(Endpoint(URL), transport=transport, sleep=self.slept.append)
        try:
            return ServiceAsker(exchange, **arguments).ask(REQUEST)
        finally:
            exchange.close()


def test_a_sample_is_posted_with_classes_kind_and_guidelines() -> None:
    service = Service({"label": "dog", "price": 0.04, "seconds": 2})
    assert service.ask(guidelines="Cats meow.") == Reply(("dog",), "", 0.04, 2.0)
    assert service.asked == [
        (
            "POST",
            URL,
            {
                "request_id": "r1",
                "sample_id": "a.png",
                "kind": "images",
                "image": "data:,x",
                "classes": ["cat", "dog"],
                "multilabel": False,
                "guidelines": "Cats meow.",
            },
        )
    ]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"label": "dog"}, Reply(("dog",))),
        ({"label": ["dog", "cat"]}, Reply(("dog", "cat"))),
        ({"label": []}, Reply(())),
        ({"label": None, "price": 1}, Reply(None, "passed over by the service", 1.0)),
        ({"label": "a new one", "status": "done", "more": 1}, Reply(("a new one",))),
        (
            httpx.Response(422, json={"error": "too dark"}),
            Reply(None, "refused: too dark", is_charged=False),
        ),
    ],
)
def test_replies(reply: Any, expected: Reply) -> None:
    assert Service(reply).ask() == expected


def test_a_job_is_polled_as_often_as_the_service_says() -> None:
    pending = {"status": "pending"}
    service = Service(pending, {**pending, "retry_after": 60}, pending, {"label": "cat"})
    assert service.ask(poll=7) == Reply(("cat",))
    assert [asked[:2] for asked in service.asked] == [("POST", URL)] + [("GET", f"{URL}/r1")] * 3
    assert service.slept == [7, 60, 7]


@pytest.mark.parametrize("status", [404, 410])
def test_a_job_that_a_service_forgot_is_posted_again_with_the_same_id(status: int) -> None:
    service = Service({"status": "pending"}, httpx.Response(status), {"label": "cat"})
    assert service.ask() == Reply(("cat",))
    assert [asked[0] for asked in service.asked] == ["POST", "GET", "POST"]
    assert service.asked[0] == service.asked[2]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"answer": "cat"}, r"expected label, or status pending, got \['answer'\]"),
        ({"status": "failed"}, "expected label, or status pending"),
        ({"status": "pending", "retry_after": "soon"}, "retry_after: expected a number, got str"),
        ({"label": 3}, "label: expected the name of a class, a list of names, or null, got int"),
        ({"label": [1]}, "label: expected the name"),
        (
            {"label": "cat", "price": -1},
            "price and seconds: expected a finite number of at least 0",
        ),
        ({"label": "cat", "seconds": True}, "price and seconds: expected a number, got bool"),
        (httpx.Response(400, json={"error": "bad"}), r"refuses the request \(HTTP 400: bad\)"),
        (httpx.Response(404), r"refuses the request \(HTTP 404\); correct labelers.url"),
    ],
)
def test_what_is_not_of_the_protocol_is_one_line(reply: Any, said: str) -> None:
    with pytest.raises(LabelError, match=said) as error:
        Service(reply).ask()
    assert URL in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("poll", [0, -1, True, None])
def test_the_time_between_two_looks_is_checked(poll: Any) -> None:
    with pytest.raises(LabelError, match="labelers.poll: expected seconds above 0"):
        Service().ask(poll=poll)
