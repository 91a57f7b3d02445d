"""The image of the labeling page: its commands install and serve it, behind TLS by Caddy.

There is no Docker engine in the tests. The commands are read from the Dockerfile and from
compose.yaml and run in a virtual environment, with the folders of the image below another one.
"""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import venv
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from release_facts import PROJECT, ROOT, constraints

from lightning_badge.store.label_store import LabelStore

DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
CADDYFILE = (DOCKER / "Caddyfile").read_text(encoding="utf-8")
# Instruction and arguments; lines that end with a backslash go on.
STEPS = [
    tuple(line.split(" ", 1))
    for line in re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
]
FOLDERS = ("/src", "/dist", "/tmp", "/runs", "/data")  # of the image


def below(root: Path, text: str) -> str:
    """Returns a command whose folders of the image lie below another one."""
    return re.sub(rf"(?<![\w.])({'|'.join(FOLDERS)})\b", rf"{root}\1", text)


class TestWhatTheFilesSay:
    def test_the_python_is_one_that_ran(self) -> None:
        bases = {
            re.match(r"python:([\d.]+)-slim", text)[1] for step, text in STEPS if step == "FROM"
        }
        classifiers = PROJECT["classifiers"]
        assert {f"Programming Language :: Python :: {base}" for base in bases} <= set(classifiers)

    def test_its_extras_exist(self) -> None:
        (extras,) = re.findall(r"\.whl\)\[([^]]+)\]", DOCKERFILE)
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
        assert "page" in extras.split(",")

    def test_versions_are_pinned(self) -> None:
        installs = [text for step, text in STEPS if step == "RUN" and "pip install" in text]
        assert len(installs) == 2
        assert all("--constraint" in text for text in installs)
        assert {"hatchling", "build"} <= constraints("3.11").keys()

    def test_it_does_not_run_as_root(self) -> None:
        steps = [step for step, _ in STEPS]
        assert dict(STEPS)["USER"] == "1000"
        assert steps.index("USER") < steps.index("ENTRYPOINT")
        service = COMPOSE["services"]["labeling"]
        assert service["cap_drop"] == ["ALL"]
        assert "ports" not in service  # others reach it through Caddy only

    def test_all_name_the_same_port(self) -> None:
        service = COMPOSE["services"]["labeling"]
        assert dict(STEPS)["EXPOSE"] == "8765"
        assert service["expose"] == ["8765"]
        assert "labelers.port=8765" in service["command"]
        assert "'127.0.0.1', 8765" in dict(STEPS)["HEALTHCHECK"]
        assert "{$LABELING_SERVER:labeling:8765}" in CADDYFILE

    def test_what_must_last_lies_in_volumes(self) -> None:
        service = COMPOSE["services"]["labeling"]
        (run_dir,) = [text for text in service["command"] if text.startswith("run_dir=")]
        kept = [text.rpartition(":")[2] for text in service["volumes"] if text.startswith("runs:")]
        assert run_dir.removeprefix("run_dir=").startswith(kept[0])
        assert kept[0] == dict(STEPS)["VOLUME"]
        assert set(COMPOSE["volumes"]) == {"runs", "certificates"}


class Browser:
    """Opens the page through TLS and calls it as the page does."""

    def __init__(self, url: str, authority: Path) -> None:
        self.origin = url.partition("/?")[0]
        context = ssl.create_default_context(cafile=str(authority))
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )
        self.session = uuid.uuid4().hex
        self.page = self.opener.open(url, timeout=60).read().decode()

    def call(self, name: str, **body: Any) -> Any:
        content = json.dumps({"labeler": "ann", "session": self.session, **body}).encode()
        headers = {"Origin": self.origin, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.origin}/api/{name}", content, headers)
        return json.loads(self.opener.open(request, timeout=60).read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(is_so: Callable[[], Any], process: "subprocess.Popen[str]", log: Path) -> Any:
    """Returns the first true result."""
    while not (result := is_so()):
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    return result


@pytest.fixture
def caddy(tmp_path: Path) -> Iterator[tuple[int, int, Path]]:
    """Yields the port of TLS, that of the page's server, and the authority's certificate."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("needs caddy: apt-get install caddy")
    outside, inside = free_port(), free_port()
    # An authority of its own in place of a public one, which had to reach this machine by name.
    (tmp_path / "Caddyfile").write_text(
        "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\tlocal_certs\n}\n"
        f"import {DOCKER / 'Caddyfile'}\n"
    )
    environment = {
        **os.environ,
        "LABELING_HOST": f"localhost:{outside}",
        "LABELING_SERVER": f"127.0.0.1:{inside}",
        "XDG_DATA_HOME": str(tmp_path / "caddy"),
        "XDG_CONFIG_HOME": str(tmp_path / "caddy"),
    }
    authority = tmp_path / "caddy/caddy/pki/authorities/local/root.crt"
    with (tmp_path / "caddy.log").open("w") as log:
        command = [program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log, text=True)
    try:
        until(authority.exists, process, tmp_path / "caddy.log")
        yield outside, inside, authority
    finally:
        process.terminate()
        process.wait()


def loop_command(root: Path, outside: int, inside: int) -> list[str]:
    """Returns the command of the service, with what compose fills in, and other ports."""
    values = {"CLASSES": "dark,light", "LABELING_HOST": f"localhost:{outside}"}
    words = []
    for word in COMPOSE["services"]["labeling"]["command"]:
        text = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values[found[1]], word)
        words.append(below(root, text).replace("port=8765", f"port={inside}"))
    return words


def is_healthy(python: Path, port: int) -> bool:
    """Runs the health check, at another port."""
    words = json.loads(dict(STEPS)["HEALTHCHECK"].partition("CMD ")[2])
    command = [str(python), *(word.replace("8765", str(port)) for word in words[1:])]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def check_labeling(python: Path, root: Path, caddy: tuple[int, int, Path]) -> None:
    """Starts the service as compose does, and labels through Caddy."""
    outside, inside, authority = caddy
    (root / "data").mkdir(parents=True)
    (root / "runs").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for n in range(40):
        pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8) + np.uint8(130 * (n % 2))
        Image.fromarray(pixels).save(root / "data" / f"{n:02d}.png")
    assert json.loads(dict(STEPS)["ENTRYPOINT"]) == ["lightning-badge"]
    command = [str(python), "-m", "lightning_badge", *loop_command(root, outside, inside)]
    out = root / "out"
    with out.open("w") as log:
        process = subprocess.Popen(
            command, cwd=root / "runs", stdout=log, stderr=subprocess.STDOUT, text=True
        )
    try:
        found = until(lambda: re.search(r"label at (https\S+)", out.read_text()), process, out)
        assert found[1].startswith(f"https://localhost:{outside}/?token=")
        browser = Browser(found[1], authority)
        assert "<title>" in browser.page
        assert [cookie.secure for cookie in browser.cookies] == [True]
        reply = until(lambda: (r := browser.call("next", want=1))["items"] and r, process, out)
        for _ in range(5):
            item = reply["items"][0]
            answer = {name: item[name] for name in ("key", "round", "rank")}
            answer |= {"request": str(uuid.uuid4()), "status": "label", "seconds": 1.0}
            answer["label"] = int(Path(item["id"]).stem) % 2
            reply = browser.call("answer", want=1, answers=[answer])
            assert reply["confirmed"] == [answer["request"]]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            Browser(f"{browser.origin}/?token=other", authority)
        assert is_healthy(python, inside)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait() in (0, 143), out.read_text()
    assert not is_healthy(python, inside)
    with LabelStore(root / "runs/labels/labels.db") as store:
        assert len(store.answers()) == 5


@pytest.mark.long
def test_people_label_through_caddy(tmp_path: Path, caddy: tuple[int, int, Path]) -> None:
    check_labeling(Path(sys.executable), tmp_path / "image", caddy)


@pytest.mark.long
def test_the_commands_of_the_image(tmp_path: Path, caddy: tuple[int, int, Path]) -> None:
    """Runs them in a clean environment; another user is not made."""
    root, environment = tmp_path / "image", tmp_path / "python"
    venv.create(environment, with_pip=True)
    variables = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    variables.pop("PYTHONPATH", None)
    shutil.copytree(ROOT, root / "src", ignore=shutil.ignore_patterns(".git", ".*_cache", "runs"))
    (root / "tmp").mkdir()
    folder = root
    for step, text in STEPS:
        if step == "WORKDIR":
            folder = Path(below(root, text))
            folder.mkdir(exist_ok=True)
        elif step == "COPY" and text.startswith("constraints.txt"):
            shutil.copy(ROOT / "constraints.txt", root / "tmp")
        elif step == "COPY" and text.startswith("--from=build"):
            source, target = text.split()[1:]
            shutil.copytree(below(root, source), below(root, target))
        elif step == "RUN" and not text.startswith("useradd"):
            command = ["bash", "-euc", below(root, text)]
            subprocess.run(command, cwd=folder, env=variables, check=True)
    check_labeling(environment / "bin/python", root, caddy)
