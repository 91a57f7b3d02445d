"""`lightning-badge label` as a process: its address, its end, and what a kill leaves behind."""

import itertools
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from page_client import Browser, given
from page_run import begin_run, publish, store_of

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers.page.address import Address, bound_socket, token_of
from lightning_badge.labelers.page.serve import Binding

COMMAND = (sys.executable, "-m", "lightning_badge", "label")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run", 400))
    return tmp_path / "run"


def start(run: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Returns a server and its address."""
    process = subprocess.Popen([*COMMAND, str(run), *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    assert line.startswith("label at http"), line
    return process, line.split()[-1]


@contextmanager
def started(run: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, url = start(run, *options)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait()


def error_of(run: Path, *options: str) -> str:
    """Returns the one line with which the command refuses to start."""
    done = subprocess.run([*COMMAND, str(run), *options], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.slow
def test_no_torch_is_imported() -> None:
    code = """
import sys
from lightning_badge.app import main
from lightning_badge.app.commands import label
from lightning_badge.labelers.page import app, serve, review, api
heavy = {"torch", "lightning", "pandas", "matplotlib", "hydra"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_while_browsers_are_connected(
    run: Path, number: signal.Signals, status: int
) -> None:
    with started(run) as (process, url), closing(Browser(url)) as browser:
        browser.call("open", want=2)
        process.send_signal(number)
        assert process.wait(timeout=60) == status


@pytest.mark.slow
def test_address_and_sessions_outlive_a_restart(run: Path) -> None:
    with started(run) as (process, url), closing(Browser(url)) as browser:
        items = browser.call("open", want=2)["items"]
        process.kill()
        process.wait()
        browser.close()
        left = [run / "page" / f".{name}.0123456789abcdef.tmp" for name in ("token", "page.json")]
        for path in left:
            path.write_text("half")
        with started(run) as (_, again):
            assert again == url
            assert [path.exists() for path in left] == [False, True]  # the loop may write the other
            assert browser.answer(items[0], want=1)["items"] == items[1:]
            assert "in use by process" in error_of(run)
    mode = stat.S_IMODE((run / "page" / "token").stat().st_mode)
    assert mode == 0o600


@pytest.mark.slow
def test_a_server_ends_when_the_run_is_started_over(run: Path) -> None:
    with started(run) as (process, _):
        run.rename(run.with_name("aside"))
        begin_run(run)
        assert process.wait(timeout=60) == 1


@pytest.mark.slow
def test_errors_are_one_line(run: Path, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} of 127.0.0.1: expected a free port" in error_of(run, "--port", port)
    assert "expected a run directory, got none" in error_of(tmp_path / "nothing")
    assert "expected a run directory, got another folder" in error_of(tmp_path)
    assert "everybody who reaches this machine" in error_of(run, "--host", "0.0.0.0")


def test_a_taken_port_is_passed_over_unless_it_is_asked_for(run: Path) -> None:
    with bound_socket(run, "127.0.0.1", None) as first:
        port = first.getsockname()[1]
        with pytest.raises(RunDirectoryError, match=f"port {port} of 127.0.0.1: expected a free"):
            bound_socket(run, "127.0.0.1", port)
        with bound_socket(run, "127.0.0.1", None) as second:
            other = second.getsockname()[1]
            assert other != port
    with bound_socket(run, "127.0.0.1", None) as again:
        assert again.getsockname()[1] == other, "the port of the last time"


def test_a_host_of_another_machine_is_one_line(run: Path) -> None:
    with pytest.raises(RunDirectoryError, match="--host 192.0.2.1: expected an address of this"):
        bound_socket(run, "192.0.2.1", None)


def test_a_damaged_token_is_named(run: Path) -> None:
    (run / "page" / "token").write_text("short")
    with pytest.raises(RunDirectoryError, match="expected a token of 20 or more"):
        token_of(run)


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        (Binding("0.0.0.0"), "--host 0.0.0.0: everybody"),
        (Binding("::"), "--host ::: everybody"),
        (Binding(certificate=Path(__file__)), "expected both or none"),
        (Binding(certificate=Path("no.pem"), key=Path(__file__)), "no.pem: expected a file in PEM"),
        (Binding(proxy="labels.example.org"), "--behind-proxy labels.example.org: expected the"),
        (Binding(proxy="https://example.org/labels"), "--behind-proxy"),
        (Binding(proxy="https://ann:pw@example.org"), "^--behind-proxy: expected"),
        (Binding(proxy="https://example.org?key=pw"), "^--behind-proxy: expected"),
    ],
)
def test_bindings_that_are_refused(binding: Binding, reason: str) -> None:
    with pytest.raises(RunDirectoryError, match=reason):
        binding.check()


def test_others_may_connect_by_tls_or_a_proxy() -> None:
    Binding("0.0.0.0", certificate=Path(__file__), key=Path(__file__)).check()
    Binding("0.0.0.0", proxy="https://labels.example.org").check()


def address_of(host: str, **more: Any) -> Address:
    return Address(host, 8765, "t" * 30, **more)


@pytest.mark.parametrize(
    ("address", "host", "scheme"),
    [
        (address_of("127.0.0.1"), "127.0.0.1:8765", "http"),
        (address_of("127.0.0.1"), "LOCALHOST:9000", "http"),
        (address_of("::1"), "[::1]:8765", "http"),
        (address_of("127.0.0.1"), "127.0.0.1.example.org:8765", None),
        (address_of("127.0.0.1"), "192.0.2.1:8765", None),
        (address_of("0.0.0.0", is_encrypted=True), "192.0.2.1:8765", "https"),
        (address_of("0.0.0.0", is_encrypted=True), f"{socket.gethostname()}:8765", "https"),
        (address_of("0.0.0.0", is_encrypted=True), "example.org:8765", None),
        (address_of("127.0.0.1", proxy="https://a.example.org/"), "a.example.org", "https"),
        (address_of("127.0.0.1", proxy="https://a.example.org"), "127.0.0.1:8765", None),
        (address_of("127.0.0.1"), "", None),
    ],
)
def test_hosts_that_are_answered(address: Address, host: str, scheme: str | None) -> None:
    assert address.scheme_for(host) == scheme


@pytest.mark.slow
def test_tls_is_served(run: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names, *files], check=True, capture_output=True)
    options = ("--host", "0.0.0.0", "--certfile", str(certificate), "--keyfile", str(key))
    with started(run, *options) as (_, url):
        port = url.split(":")[2].split("/")[0]
        context = ssl.create_default_context(cafile=str(certificate))
        token = url.partition("=")[2]
        with (
            socket.create_connection(("127.0.0.1", int(port))) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            head = f"GET /?token={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
            encrypted.sendall(head.encode())
            reply = encrypted.recv(4096).decode()
    assert reply.startswith("HTTP/1.1 303")
    assert "; Secure" in reply


class Person:
    """Labels without a pause, and sends unconfirmed answers again, as the page does."""

    def __init__(self) -> None:
        self.confirmed: dict[str, dict[str, Any]] = {}
        self.names: dict[str, str] = {}
        self._unsent: list[dict[str, Any]] = []
        self._items: list[dict[str, Any]] = []

    def label_until_it_breaks(self, url: str, killer: threading.Timer, *, after: int) -> None:
        """Labels until the server is killed, which happens after some confirmed answers."""
        with closing(Browser(url)) as browser, suppress(OSError, HTTPException):
            self._take(browser.call("open", want=20)["items"])
            for number in itertools.count():
                if number == after:
                    killer.start()
                self._unsent = self._unsent or [given(self._items[0], len(self.confirmed) % 3)]
                self.send(browser, want=20)

    def send(self, browser: Browser, want: int) -> None:
        for answer in list(self._unsent):
            reply = browser.call("answer", want=want, answers=[answer])
            assert reply["confirmed"] == [answer["request"]]
            self.confirmed[answer["request"]] = answer
            self._unsent.remove(answer)
            self._take(reply["items"])

    def _take(self, items: list[dict[str, Any]]) -> None:
        self._items = items or self._items  # corrects a sample when all are labeled
        self.names |= {item["key"]: item["id"] for item in items}


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.long)])
def test_a_confirmed_answer_outlives_any_kill_and_counts_once(run: Path, kills: int) -> None:
    person = Person()
    for kill in range(kills):
        with started(run) as (process, url):
            # The kill falls before, within or after a commit.
            killer = threading.Timer(kill % 20 * 0.001, process.kill)
            person.label_until_it_breaks(url, killer, after=1 + kill % 3)
            killer.join()
            assert process.wait() == -signal.SIGKILL
    with started(run) as (_, url), closing(Browser(url)) as browser:
        person.send(browser, want=0)
    with store_of(run) as store:
        stored = [(a.request_id, a.sample_id, a.label) for a in store.answers()]
    assert len(stored) >= kills
    assert sorted(stored) == sorted(
        (request, person.names[answer["key"]], answer["label"])
        for request, answer in person.confirmed.items()
    )
