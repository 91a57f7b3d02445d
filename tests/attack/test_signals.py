"""SIGTERM and Ctrl-C to real commands in each phase: exit 143 or 130, one line, the same run."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signalled import PHASES

from lightning_badge.ordering_file import read_ordering
from lightning_badge.stopping import HOW_TO_GO_ON

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
TIMEOUT = 300
SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
LOOP = (
    *("-m", "lightning_badge", "loop", "budget=variable", "max_rounds=2", "trainer.max_steps=20"),
    *(
        "trainer.val_check_interval=10",
        "trainer.accelerator=cpu",
        "run_dir=run",
        "+data.eval_batch_size=100",
    ),
)


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        start_new_session=True,
        # A background job of a shell ignores Ctrl-C, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Returns the exit status and what was printed as errors."""
    try:
        _, errors = process.communicate(timeout=TIMEOUT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, errors


def check_stopped(process: "subprocess.Popen[str]", status: int) -> None:
    """Checks the exit status, and that one line says how to go on, at the end."""
    returned, errors = end(process)
    assert returned == status, errors
    assert errors.splitlines()[-1:] == [HOW_TO_GO_ON]
    assert errors.count(HOW_TO_GO_ON) == 1
    assert "Traceback" not in errors


def answers(run: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(run / "labels.db") as store:
        return store.execute(
            "SELECT round, sample_id, label FROM answers ORDER BY answer_id"
        ).fetchall()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    returned, errors = end(start(folder, *LOOP))
    assert returned == 0, errors
    return folder / "run"


def signalled(phase: str, number: int, **more: Any) -> list[str]:
    """Returns overrides that send a process of the loop a signal."""
    facts = {"phase": f"'{phase}'", "number": int(number), "mark": "mark", **more}
    return [
        "+callbacks.signalled._target_=signalled.Signalled",
        *(f"+callbacks.signalled.{name}={value}" for name, value in facts.items()),
    ]


def test_sigterm_in_the_pool_pass(tmp_path: Path) -> None:
    check_stopped(start(tmp_path, *LOOP, *signalled("pool pass", signal.SIGTERM)), 143)
    assert not list((tmp_path / "run").rglob("ordering*"))


@pytest.mark.long
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "ordering of files"])
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_loop_in_each_phase(
    number: int, status: int, phase: str, tmp_path: Path, whole: Path
) -> None:
    check_stopped(start(tmp_path, *LOOP, *signalled(phase, number)), status)
    assert (tmp_path / "mark").exists()
    returned, errors = end(start(tmp_path, *LOOP, *signalled(phase, number)))
    assert returned == 0, errors
    assert answers(tmp_path / "run") == answers(whole)
    curve = "learning_curve.csv"
    assert (tmp_path / "run" / curve).read_text() == (whole / curve).read_text()


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_the_script_of_the_loop(number: int, status: int, tmp_path: Path) -> None:
    script = TESTS.parent / "scripts" / "al_loop.py"
    overrides = [*LOOP[3:], *signalled("ordering", number)]
    check_stopped(start(tmp_path, str(script), *overrides), status)


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
@pytest.mark.parametrize(("rank", "group"), [(0, False), (1, False), (0, True)])
@pytest.mark.parametrize("phase", ["training", "pool pass"])
def test_several_processes(
    phase: str, rank: int, group: bool, number: int, status: int, tmp_path: Path, whole: Path
) -> None:
    stops = signalled(phase, number, rank=rank, group=group)
    check_stopped(start(tmp_path, *LOOP, *stops, "trainer=ddp_cpu"), status)
    returned, errors = end(start(tmp_path, *LOOP, *stops, "trainer=ddp_cpu"))
    assert returned == 0, errors
    assert len(answers(tmp_path / "run")) == len(answers(whole))


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_page_with_its_processes(number: int, status: int, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    process = start(tmp_path, *LOOP, "labelers=page", "progress=false")
    assert process.stdout is not None
    assert any(line.startswith("label at http") for line in process.stdout)
    process.send_signal(number)
    check_stopped(process, status)
    for name in ("run.lock", "page/server.lock"):
        pid = int((tmp_path / "run" / name).read_text().split()[1])
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_the_server_of_a_page_alone(number: int, status: int, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    from page_run import begin_run

    begin_run(tmp_path / "run")
    process = start(tmp_path, "-m", "lightning_badge", "label", "run")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("label at http")
    process.send_signal(number)
    check_stopped(process, status)


@pytest.fixture
def silent_service() -> Iterator[socket.socket]:
    """A service that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        yield listening


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_requests_to_a_service(
    number: int, status: int, tmp_path: Path, silent_service: socket.socket
) -> None:
    pytest.importorskip("httpx")
    url = f"http://127.0.0.1:{silent_service.getsockname()[1]}/label"
    process = start(tmp_path, *LOOP, "labelers=service", f"labelers.url={url}")
    connection, _ = silent_service.accept()
    with connection:
        assert connection.recv(4)
        process.send_signal(number)
        check_stopped(process, status)


MODULE = """
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x)

    def validation_step(self, batch, _):
        self(batch[0])


class Data(LightningDataModule):
    def val_dataloader(self):
        return DataLoader(TensorDataset(torch.ones(16, 4), torch.arange(16) % 3), batch_size=8)

    def predict_dataloader(self):
        return self.val_dataloader()
"""


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
@pytest.mark.parametrize("devices", [1, 2])
def test_embed(devices: int, number: int, status: int, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(MODULE)
    save = (
        "import theirs, lightning.pytorch as pl; t = pl.Trainer(accelerator='cpu', logger=False); "
        "t.strategy.connect(theirs.Net()); t.save_checkpoint('best.ckpt')"
    )
    assert end(start(tmp_path, "-c", save))[0] == 0
    embed = [
        *("embed", "shards", "--module", "theirs.Net", "--ckpt", "best.ckpt", "--no-progress"),
        *("--data", "theirs.Data", "--accelerator", "cpu", "--devices", str(devices)),
    ]
    sends = [str(TESTS / "signalled.py"), "pool pass", str(int(number)), "mark", *embed]
    check_stopped(start(tmp_path, *sends), status)
    returned, errors = end(start(tmp_path, *sends))
    assert returned == 0, errors
    assert "16 samples" in errors


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_order(number: int, status: int, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    np.savez(tmp_path / "pool.npz", penultimate=rows, logits=rows[:, :3])
    sends = [str(TESTS / "signalled.py"), "ordering of files", str(int(number)), "mark"]
    check_stopped(start(tmp_path, *sends, "order", "pool.npz"), status)
    assert not (tmp_path / "ordering.parquet").exists()
    returned, errors = end(start(tmp_path, *sends, "order", "pool.npz"))
    assert returned == 0, errors
    assert len(read_ordering(tmp_path / "ordering.parquet")) == 60
