"""Tokens, errors in one line, pages."""

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from studio_run import Run
from studio_server import PERSONAL, TOKEN, Studio, serving

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.label_studio.client import (
    AwayError,
    Client,
    NotFoundError,
    _without_query,
    checked_url,
)
from lightning_badge.labelers.label_studio.token import Token

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, token: str = "t0ken") -> Client:
    return Client("http://studio", Token(token), transport=httpx.MockTransport(answer))


class TestTokens:
    def test_a_legacy_one_is_sent_as_it_is(self) -> None:
        headers = []
        client(lambda request: headers.append(request.headers) or httpx.Response(200, json={})).get(
            "/api/projects/"
        )
        assert headers[0]["Authorization"] == "Token t0ken"

    def test_a_personal_one_is_exchanged_and_again_when_it_ends(self) -> None:
        studio = Studio()
        with serving(studio) as url:
            connection = Client(url, Token(PERSONAL))
            assert connection.get("/api/users/")
            studio.access = set()  # its five minutes are over
            assert connection.get("/api/users/")
            connection.close()
        assert [path for _, path in studio.requests] == [
            *("/api/token/refresh/", "/api/users/", "/api/users/", "/api/token/refresh/"),
            "/api/users/",
        ]
        assert not [given for given in studio.seen_tokens if PERSONAL in given]

    def test_a_personal_one_that_is_refused_is_not_tried_for_ever(self) -> None:
        requests = []
        refusing = client(
            lambda request: requests.append(request) or httpx.Response(401, json={"detail": "no"}),
            "header.payload.signature",
        )
        with pytest.raises(LabelError, match="refuses POST /api/token/refresh/ with the token in"):
            refusing.get("/api/users/")
        assert len(requests) == 1

    @pytest.mark.parametrize("text", ["two words", "line\nbreak", "schlüssel"])
    def test_one_that_cannot_be_sent_is_an_error_that_does_not_show_it(self, text: str) -> None:
        with pytest.raises(LabelError, match="LABEL_STUDIO_API_KEY") as caught:
            Token(text)
        assert text not in str(caught.value)

    @pytest.mark.parametrize("text", [None, "", "  "])
    def test_none_is_one_line(self, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
        monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
        if text is not None:
            monkeypatch.setenv("LABEL_STUDIO_API_KEY", text)
        with pytest.raises(LabelError, match="expected a token in the environment variable"):
            Token.of_environment()


class TestErrors:
    @pytest.mark.parametrize(
        ("reply", "kind", "message"),
        [
            (httpx.Response(401, json={"detail": "Invalid token."}), LabelError, "refuses GET"),
            (httpx.Response(403, json={"detail": "denied"}), LabelError, "403: denied"),
            (httpx.Response(404, json={"detail": "gone"}), NotFoundError, "404 to GET"),
            (httpx.Response(400, json={"validation_errors": {"a": 1}}), LabelError, "{'a': 1}"),
            (httpx.Response(302, headers={"location": "https://b"}), LabelError, "to https://b;"),
            (httpx.Response(200, html="<p>"), LabelError, "expected JSON from Label Studio, got"),
            (httpx.Response(503), AwayError, "503 to GET"),
            (httpx.Response(500, text="x\ny" * 999), AwayError, "Internal Server Error"),
            (httpx.Response(400, json={"detail": "word " * 999}), LabelError, "word ..."),
        ],
    )
    def test_each_is_one_line(
        self, reply: httpx.Response, kind: type[LabelError], message: str
    ) -> None:
        with pytest.raises(LabelError, match="http://studio") as caught:
            client(lambda request: reply).get("/api/projects/")
        assert type(caught.value) is kind
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600

    def test_a_server_says_how_long_to_wait(self) -> None:
        reply = httpx.Response(429, headers={"Retry-After": "7"})
        with pytest.raises(AwayError) as caught:
            client(lambda request: reply).get("/api/projects/")
        assert caught.value.after_s == 7

    def test_a_name_that_is_not_known_is_an_error_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
        labelers = Run(tmp_path, None, "http://no-such-host.invalid").start()
        with pytest.raises(LabelError, match="no-such-host.invalid does not answer"):
            labelers.prepare(overlap=1, accept_changes=False)

    def test_a_token_that_the_server_repeats_is_hidden(self) -> None:
        reply = httpx.Response(400, json={"detail": "bad t0ken-123 here"})
        with pytest.raises(LabelError) as caught:
            client(lambda request: reply, "t0ken-123").get("/api/projects/")
        assert "t0ken-123" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250])
def test_pages_bring_each_entry_once(count: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        found = list(range(count))[(page - 1) * 100 : page * 100]
        if page > 1 and not found:
            return httpx.Response(404, json={"detail": "Invalid page."})
        return httpx.Response(200, json={"results": [{"id": number} for number in found]})

    found = client(answer).pages("/api/projects/", "results")
    assert [entry["id"] for entry in found] == list(range(count))


@pytest.mark.parametrize("token", [TOKEN, PERSONAL])
def test_no_token_is_written_anywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    token: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    studio, said = Studio(), []
    with serving(studio) as url:
        run = Run(tmp_path, studio, url)
        labelers = run.start()
        labelers.prepare(overlap=1, accept_changes=False)
        labelers.publish(run.query(order=range(3)))
        run.look(labelers)
        run.answer(1, ["dog"])
        run.look(labelers)
        for status in (400, 401, 403, 500):
            studio.statuses = [status, status]
            try:
                labelers._desk.client.get("/api/users/")
            except LabelError as error:
                said.append("".join(traceback.format_exception(error)))
        said += [repr(labelers._desk), repr(vars(labelers)), json.dumps(run.studio.requests)]
        labelers.close()
        run.store.close()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts = [*said, caplog.text, *capfd.readouterr()]
    secrets: list[Any] = [token, *(given.partition(" ")[2] for given in studio.seen_tokens)]
    assert len(said) == 7
    assert len(written) >= 2
    for secret in filter(None, secrets):
        assert not [text for text in texts if secret in text]
        assert not [content for content in written if secret.encode() in content]


@pytest.mark.parametrize(
    "url",
    [
        *("https://ann:s3cret@x.org", "ann:s3cret@x.org", "http://x.org/?token=s3cret"),
        *("http://x.org/#s3cret", "http://[s3cret", "s3cret"),
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(LabelError, match=r"labelers.url: expected an address") as error:
        checked_url(url)
    assert "s3cret" not in str(error.value)


def test_a_redirection_is_shown_without_what_may_be_a_secret() -> None:
    assert _without_query("https://ann:pw@x.org/a?token=b#c") == "x.org/a"
    assert _without_query("https://x.org/user/login/?next=/api") == "https://x.org/user/login/"
