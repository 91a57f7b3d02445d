"""Requests of strangers, of other web sites and of broken programs are refused or harmless."""

import io
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from page_client import Browser, given, serving, waits_until
from page_run import begin_run, png, publish, store_of
from PIL import Image

from lightning_badge.labelers.page import connections
from lightning_badge.labelers.page.page_files import Page, ShownSample, write_page
from lightning_badge.labelers.page.security import MOST_BYTES
from lightning_badge.labelers.pictures import PictureError, picture_of
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

OPEN = {"labeler": "ann", "session": "0" * 8, "want": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("page") / "run"
    publish(path, 0, begin_run(path))
    return path


@pytest.fixture(scope="module")
def url(run: Path) -> Iterator[str]:
    with serving(run) as url:
        yield url


@pytest.fixture
def browser(url: str) -> Iterator[Browser]:
    with closing(Browser(url)) as browser:
        yield browser
        assert browser.call("heartbeat")["progress"], "the server goes on"


def open_with(browser: Browser, **headers: str | None) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return browser.request("POST", "/api/open", json.dumps(OPEN).encode(), sent)[0]


def raw(url: str, request: bytes) -> bytes:
    """Returns what the server answers to bytes, until it closes the connection."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        try:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except (ConnectionResetError, BrokenPipeError):
            return b""


def test_an_ordinary_call_is_answered(browser: Browser) -> None:
    assert open_with(browser) == 200


@pytest.mark.parametrize(
    "host", ["evil.example.org", "127.0.0.1.evil.example.org", "", "192.0.2.7"]
)
def test_foreign_hosts(browser: Browser, host: str) -> None:
    assert browser.get("/", Host=host or " ")[0] in (400, 421)
    assert open_with(browser, Host=host or " ", Origin=f"http://{host}") in (400, 421)


def test_two_hosts_or_none(browser: Browser, url: str) -> None:
    good = urlsplit(url).netloc
    for lines in (f"Host: {good}\r\nHost: evil.example.org\r\n", ""):
        reply = raw(url, f"GET / HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 4\d\d", reply)
    assert b" 421 " in raw(url, b"GET / HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example.org", "null", None, "http://127.0.0.1:1", "https://{host}", "{host}"],
)
def test_calls_of_other_sites(browser: Browser, origin: str | None) -> None:
    host = urlsplit(browser.origin).netloc
    assert open_with(browser, Origin=origin and origin.format(host=host)) == 403


def test_calls_that_a_form_of_another_site_can_send(browser: Browser) -> None:
    assert open_with(browser, Content_Type="text/plain") == 415
    assert open_with(browser, Content_Type=None) == 415
    assert open_with(browser, Sec_Fetch_Site="cross-site") == 403
    assert open_with(browser, Sec_Fetch_Site="same-origin") == 200


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/sample/0123456789abcdef", "/x"])
@pytest.mark.parametrize(
    "cookie", [None, "lightning_badge_{port}=wrong", "other={token}", "\xff;=;"]
)
def test_no_cookie_or_a_wrong_one(browser: Browser, path: str, cookie: str | None) -> None:
    token = browser.cookie.partition("=")[2]
    wrong = cookie and cookie.format(port=browser.port, token=token)
    status, headers, content = browser.get(path, Cookie=wrong)
    assert status == 401
    assert b"Open the address that `lightning-badge` printed" in content
    assert token.encode() not in content
    assert "set-cookie" not in headers
    assert open_with(browser, Cookie=wrong) == 401


def test_the_token_is_exchanged_for_a_cookie_that_scripts_cannot_read(browser: Browser) -> None:
    token = browser.cookie.partition("=")[2]
    status, headers, _ = browser.get(f"/?token={token}", Cookie=None)
    assert (status, headers["location"]) == (303, "/")
    assert headers["set-cookie"].startswith(f"lightning_badge_{browser.port}={token}; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(headers["set-cookie"].split("; "))
    for wrong in ("", "x", token[:-1], f"{token}&token={token}", "%ff", "\u0142".encode().hex()):
        status, headers, _ = browser.get(f"/?token={wrong}", Cookie=None)
        assert status == 401
        assert "set-cookie" not in headers


def test_every_response_forbids_what_pages_do_not_need(browser: Browser) -> None:
    for path in ("/", "/static/nothing", "/sample/0123456789abcdef", "/api/open", "/x"):
        _, headers, _ = browser.get(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not {"server", "access-control-allow-origin"} & headers.keys()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../page.json",
        "/static/..%2f..%2fserve.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/sample/../token",
        "/sample/..%2f..%2flabels.db",
        "/sample/%00",
        "/sample/0000.png",
        "/page/token",
        "/labels.db",
    ],
)
def test_paths_lead_nowhere(browser: Browser, run: Path, path: str) -> None:
    status, _, content = browser.get(path)
    assert status == 404
    assert (run / "page" / "token").read_text().encode() not in content


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "0" * 15, "0" * 17, "ABCDEF0123456789", 7, None]
)
def test_keys_that_are_no_keys(browser: Browser, key: Any) -> None:
    answer = {**given({"key": key, "round": 0, "rank": 0}), "key": key}
    for name, body in (
        ("answer", {"want": 1, "answers": [answer]}),
        ("flag", {"key": key, "comment": "x"}),
        ("why", {"key": key}),
        ("next", {"want": 1, "release": [key]}),
    ):
        whole = {"labeler": "ann", "session": browser.session, **body}
        status, _, content = browser.request("POST", f"/api/{name}", json.dumps(whole).encode())
        assert (status, "key: expected" in json.loads(content)["error"]) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"x"',
        b"\xff\xfe",
        b'{"labeler": NaN}',
        b"[" * 60_000,
        b'{"labeler": "ann", "session": "00000000", "want": 1e400}',
        b'{"labeler": "ann", "session": "00000000", "want": true}',
        b'{"labeler": "ann", "session": "00000000", "want": ' + b"9" * 5000 + b"}",
        b'{"labeler": "a\\u0000b", "session": "00000000", "want": 1}',
        b'{"labeler": "\\ud800", "session": "00000000", "want": 1}',
        b'{"labeler": " ", "session": "00000000", "want": 1}',
        b'{"labeler": "%s", "session": "00000000", "want": 1}' % (b"x" * 41),
        b'{"labeler": "ann", "session": "0000\\n0000", "want": 1}',
    ],
)
@pytest.mark.parametrize("name", ["open", "answer"])
def test_bodies_that_are_no_calls(browser: Browser, name: str, body: bytes) -> None:
    status, headers, content = browser.request("POST", f"/api/{name}", body)
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert "\n" not in json.loads(content)["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"request": "x"},
        {"request": None},
        {"status": "delete"},
        {"label": "cat"},
        {"label": True},
        {"label": 1.5},
        {"label": [[1]]},
        {"round": -1},
        {"round": 10**30},
        {"rank": "0"},
        {"seconds": -1},
        {"seconds": "1"},
        {"new_class": "a\nb"},
        {"new_class": ""},
    ],
)
def test_answers_that_are_no_answers(browser: Browser, run: Path, change: dict[str, Any]) -> None:
    (item,) = browser.call("open", want=1)["items"]
    whole = {"labeler": "ann", "session": browser.session, "want": 0}
    whole["answers"] = [{**given(item), **change}]
    assert browser.request("POST", "/api/answer", json.dumps(whole).encode())[0] == 400
    with store_of(run) as store:
        assert item["id"] not in store.labels()


def test_answers_to_rounds_and_classes_that_do_not_exist(browser: Browser) -> None:
    (item,) = browser.call("open", want=1)["items"]
    for change in ({"round": 7}, {"label": 3}, {"label": -1}, {"new_class": "fox"}):
        answer = {**given(item), **change}
        assert browser.call("answer", want=0, answers=[answer])["confirmed"] == []


def test_too_many_answers(browser: Browser) -> None:
    (item,) = browser.call("open", want=1)["items"]
    answers = [given(item) for _ in range(51)]
    whole = {"labeler": "ann", "session": browser.session, "want": 1, "answers": answers}
    assert browser.request("POST", "/api/answer", json.dumps(whole).encode())[0] == 400


@pytest.mark.parametrize("admitted", [True, False])
def test_a_body_of_ten_megabytes_is_not_read(browser: Browser, url: str, admitted: bool) -> None:
    host = urlsplit(url).netloc
    head = (
        f"POST /api/open HTTP/1.1\r\nHost: {host}\r\nOrigin: {browser.origin}\r\n"
        f"Cookie: {browser.cookie if admitted else 'x=y'}\r\nContent-Type: application/json\r\n"
    )
    declared = raw(url, f"{head}Content-Length: {10 * 2**20}\r\n\r\n".encode())
    assert declared.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in declared
    chunk = f"{MOST_BYTES:x}\r\n".encode() + b" " * MOST_BYTES + b"\r\n"
    chunked = raw(url, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 160)
    assert chunked[:12] in (b"HTTP/1.1 413", b""), "refused, or closed while it was being sent"
    nonsense = raw(url, f"{head}Content-Length: -5\r\n\r\n".encode())
    assert nonsense.startswith(b"HTTP/1.1 4")


def test_a_body_where_none_belongs(browser: Browser) -> None:
    assert browser.request("GET", "/", b"x" * 10)[0] == 413
    assert browser.request("DELETE", "/")[0] == 405
    assert browser.request("PUT", "/api/open", b"{}")[0] == 405


def test_heads_that_are_too_long(browser: Browser, url: str) -> None:
    assert browser.get(f"/?{'x' * 3000}")[0] == 414
    assert raw(url, b"GET / HTTP/1.1\r\nX: " + b"x" * 10**6).startswith((b"HTTP/1.1 4", b""))
    assert raw(url, b"\x16\x03\x01\x02\x00 no http\r\n\r\n").startswith((b"HTTP/1.1 4", b""))


def test_a_websocket_is_not_opened(browser: Browser) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert browser.request("GET", "/nothing", headers=upgrade)[0] == 404


def test_a_thousand_connections_do_not_keep_a_labeler_out(
    browser: Browser, url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 3600.0)  # nothing else closes them
    parts = urlsplit(url)
    opened = []
    with ExitStack() as stack:
        for number in range(1000):
            connection = socket.socket()
            opened.append(connection)
            stack.callback(connection.close)
            connection.connect((parts.hostname, parts.port))
            if number % 2:
                connection.sendall(b"GET / HTTP/1.1\r\n")  # and never the rest
            if number % 100 == 99:
                with closing(Browser(url)) as other:
                    assert open_with(other) == 200
        waits_until(lambda: sum(map(is_open, opened)) <= connections.MOST_CONNECTIONS, at_most_s=10)


def is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_request_that_stays_incomplete_is_closed(
    browser: Browser, url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.2)
    began = time.monotonic()
    assert raw(url, b"GET / HTTP/1.1\r\nHost: x") == b""
    assert time.monotonic() - began >= 0.2


def test_a_body_that_stays_incomplete_is_refused(
    browser: Browser, url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("lightning_badge.labelers.page.security._BODY_SECONDS", 0.2)
    head = (
        f"POST /api/open HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nOrigin: {browser.origin}\r\n"
        f"Cookie: {browser.cookie}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    assert raw(url, head.encode() + b"{").startswith(b"HTTP/1.1 408")


HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


@pytest.fixture
def strange(tmp_path: Path) -> dict[str, Path]:
    """Files that are no pictures, by name."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    files = {name: tmp_path / name for name in ("page.png", "drawing.png", "script.png", "cut.png")}
    files["page.png"].write_bytes(HTML)
    files["drawing.png"].write_bytes(SVG)
    files["script.png"].write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nquit\n")
    files["cut.png"].write_bytes(png(0)[:20])
    files["link.png"] = tmp_path / "link.png"
    files["link.png"].symlink_to(secret)
    files["pipe.png"] = tmp_path / "pipe.png"
    os.mkfifo(files["pipe.png"])
    files["folder.png"] = tmp_path / "folder.png"
    files["folder.png"].mkdir()
    files["gone.png"] = tmp_path / "gone.png"
    files["device.png"] = Path("/dev/zero")
    files["null.png"] = Path("a\x00b")
    return files


def test_files_that_are_no_pictures_are_not_sent(strange: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory(path) as directory, LabelStore(directory.labels_path) as store:
        store.cut(0)
        rows = [ShownSample(name, str(file)) for name, file in strange.items()]
        write_page(directory.path, Page("strange", "images", ("a", "b")), rows)
    publish(path, 0, list(strange))
    with serving(path) as url, closing(Browser(url)) as browser:
        for item in browser.call("open", want=20)["items"]:
            status, headers, content = browser.get(f"/sample/{item['key']}")
            assert (item["id"], status) == (item["id"], 404)
            assert headers["content-type"] == "application/json"
            assert "secret" not in content.decode().replace("secret.txt", "")
            assert str(tmp_path) not in content.decode()


def test_a_picture_with_a_page_behind_it_is_sent_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory(path) as directory, LabelStore(directory.labels_path) as store:
        store.cut(0)
        rows = [ShownSample("both", "", png(1) + HTML)]
        write_page(directory.path, Page("strange", "images", ("a", "b")), rows)
    publish(path, 0, ["both"])
    with serving(path) as url, closing(Browser(url)) as browser:
        (item,) = browser.call("open", want=1)["items"]
        status, headers, _ = browser.get(f"/sample/{item['key']}")
        assert (status, headers["content-type"]) == (200, "image/png")
        assert "sandbox" in headers["content-security-policy"]
        assert headers["cache-control"] == "private, max-age=31536000, immutable"


@pytest.mark.parametrize("format", ["PCX", "EPS", "TGA"])
def test_pictures_of_rare_formats_are_not_decoded(format: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, format)
    with pytest.raises(PictureError, match="no image that can be shown"):
        picture_of(file.getvalue())


def test_a_large_picture_is_scaled() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (3000, 30)).save(file, "PNG")
    small, full = (picture_of(file.getvalue(), full=full) for full in (False, True))
    assert (small.media_type, full.content) == ("image/png", file.getvalue())
    with Image.open(io.BytesIO(small.content)) as image:
        assert image.size == (2048, 20)


def test_a_picture_that_unpacks_to_too_many_pixels_is_refused() -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(PictureError, match="pixels"):
        picture_of(file.getvalue())


def test_names_and_texts_of_samples_are_data_and_not_markup(tmp_path: Path) -> None:
    path, name = tmp_path / "run", "<img src=x onerror=alert(1)>"
    with RunDirectory(path) as directory, LabelStore(directory.labels_path) as store:
        store.cut(0)
        rows = [ShownSample(name, "</script><b>")]
        write_page(directory.path, Page("t", "texts", ("a", "b")), rows)
    publish(path, 0, [name])
    with serving(path) as url, closing(Browser(url)) as browser:
        _, headers, content = browser.request(
            "POST", "/api/open", json.dumps({**OPEN, "session": browser.session}).encode()
        )
        assert headers["content-type"] == "application/json"
        (item,) = json.loads(content)["items"]
        assert (item["id"], item["text"]) == (name, "</script><b>")


def test_long_texts_are_shortened(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory(path) as directory, LabelStore(directory.labels_path) as store:
        store.cut(0)
        write_page(directory.path, Page("t", "texts", ("a", "b")), [ShownSample("x", "y" * 10**6)])
    publish(path, 0, ["x"])
    with serving(path) as url, closing(Browser(url)) as browser:
        (item,) = browser.call("open", want=1)["items"]
        assert len(item["text"]) < 60_000
