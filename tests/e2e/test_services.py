"""A loop and a labeling service, each in its own process, killed while 60 labels are made."""

import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import forked
import numpy as np
import pytest
from e2e.page_place import NAMES, Place
from PIL import Image
from services import EXAMPLE, running, uniform

from lightning_badge.app.run_loop import run_loop
from lightning_badge.labels import SKIP
from lightning_badge.store.label_store import LabelStore

pytest.importorskip("httpx")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent.parent
QUICK = [
    *("trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.accelerator=cpu"),
    *("logger=none", "progress=false", "run_dir=run"),
]
LIGHTNING_BADGE = [sys.executable, "-m", "lightning_badge"]


Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts programs, and ends those that are left."""
    with ExitStack() as stack, (tmp_path / "stderr").open("a") as said:

        def start(*command: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ledger(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def documented() -> tuple[str, list[str]]:
    """Returns the two commands of the page about services."""
    text = (TESTS.parent / "docs" / "services.md").read_text()
    _, serve, loop = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[0].strip().split("\n")
    program, subcommand, *arguments = loop.split()
    assert (program, subcommand) == ("lightning-badge", "loop")
    return serve, arguments


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_a_killed_service_and_a_killed_loop_lose_and_pay_nothing_twice(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    port = str(free_port())
    loop = [text.replace("8010", port) for text in documented()[1]]
    loop += [
        "budget=cost",
        f"budget.limit={0.03 * count:.2f}",
        "budget.price=0.03",
        "budget.k=null",
        "max_rounds=2",
        *QUICK,
    ]
    serve = [sys.executable, str(TESTS / "services.py"), port, "ledger.jsonl"]
    service = start(*serve, str(count // 3))
    killed = forked.start(tmp_path, "loop", *loop)
    assert service.wait(300) == -signal.SIGKILL  # with requests that are open
    killed.kill()
    killed.join()
    service = start(*serve, str(2 * count // 3))

    def start_again() -> None:
        assert service.wait(300) == -signal.SIGKILL
        start(*serve, "-1")

    with ThreadPoolExecutor() as threads:
        restarted = threads.submit(start_again)
        monkeypatch.chdir(tmp_path)
        run_loop(loop)  # in this process, which has the imports
        restarted.result()

    paid = ledger(tmp_path)
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        answers = store.answers()
    assert len(answers) == count, "the limit is reached, and not exceeded"
    assert len({answer.sample_id for answer in answers}) == count, "none twice"
    assert sorted(answer.request_id for answer in answers) == sorted(
        answer["request_id"] for answer in paid
    ), "each is paid once, and nothing that is paid is lost"
    assert round(sum(answer.cost for answer in answers), 6) == round(0.03 * count, 6)
    names = {answer["request_id"]: answer["label"] for answer in paid}
    assert all(str(answer.label) == names[answer.request_id] for answer in answers)
    assert {(answer.annotator, answer.seconds) for answer in answers} == {("service", 2.5)}


@pytest.mark.long
def test_the_commands_of_the_page_about_services(start: Start, tmp_path: Path) -> None:
    serve, loop = documented()
    assert serve == "python examples/labeling_service.py 8010 ledger.jsonl &"
    port = str(free_port())
    service = start(sys.executable, str(EXAMPLE), port, "ledger.jsonl")
    assert service.stdout is not None
    assert service.stdout.readline() == f"http://127.0.0.1:{port}/label\n"
    loop = [text.replace("8010", port) for text in loop]
    assert start(*LIGHTNING_BADGE, "loop", *loop, *QUICK).wait(300) == 0
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        assert len(store.labels()) == len(ledger(tmp_path)) == 40  # 1.20 at 0.03 each


@pytest.mark.long
def test_people_at_the_page_decide_where_a_model_is_contradicted(tmp_path: Path) -> None:
    """The model errs about a fifth of the samples, and names no class for another tenth."""
    said: dict[str, str] = {}

    def chat(body: Any) -> Any:
        uri = body["messages"][1]["content"][0]["image_url"]["url"]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        right = int(pixels.reshape(3, -1).mean(1).argmax())
        fate = uniform(uri)
        said[uri] = NAMES[(right + (fate < 0.2)) % 3] if fate > 0.1 else "I cannot tell"
        return {"choices": [{"message": {"content": said[uri]}}]}

    with running(chat) as url:
        model = ["labelers.beside.model=stand-in", "labelers.beside.key=null"]
        place = Place(
            tmp_path,
            *("labelers=page_and_chat", f"labelers.beside.url={url}", *model),
            *("budget.k=40", "max_rounds=3", "labelers.stay=false"),
            count=300,
        )
        try:
            loop = place.loop()
            ann = place.person(place.url(), "ann", pause_s=0.02)
            while loop.poll() is None:
                assert ann.error is None, ann.error
                time.sleep(0.05)
            assert loop.returncode == 0, place.printed()
            ann.go_home()
        finally:
            place.close()
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        labels, answers = store.labels(), store.answers()
    by_model = {a.sample_id: a for a in answers if a.annotator == "model:stand-in"}
    by_ann = {a.sample_id: a for a in answers if a.annotator == "ann"}
    assert len(by_model) + len(by_ann) == len(answers)
    assert len(by_model) > 20
    contested = {
        key for key, a in by_model.items() if a.label is SKIP or a.guess not in (None, a.label)
    }
    assert contested
    for sample_id, label in labels.items():
        assert sample_id in by_ann or sample_id not in contested
        assert label == int(sample_id[:3]) % 3 or sample_id not in by_ann
    shown = []
    for subcommand in ("status", "export"):
        command = [*LIGHTNING_BADGE, subcommand, "run"]
        shown.append(subprocess.check_output(command, cwd=tmp_path, text=True))
    assert "from models)" in shown[0]
    shown += [
        (tmp_path / "run" / "export" / name).read_text() for name in ("labels.csv", "report.html")
    ]
    assert ["model:stand-in" in text for text in shown] == [True, False, True, True]
