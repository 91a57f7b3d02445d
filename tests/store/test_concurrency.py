"""Several processes write to and read from one store; some are killed at random moments."""

import random
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from lightning_badge.store.label_store import LabelStore

WRITE = """
import sys
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore

path, writer, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with LabelStore(path, timeout_s=60.0) as store:
    for number in range(count):
        request = f"{writer}-{number}"
        answer = NewAnswer(number, writer, f"writer {writer}", 0, request_id=request)
        print("begin", number, flush=True)
        store.add([answer])
        print("end", number, flush=True)
        if number % 10 == 0:
            store.add([answer])  # sent again
"""
READ = """
import sys
from lightning_badge.store.label_store import LabelStore

with LabelStore(sys.argv[1], timeout_s=60.0) as store:
    seen = []
    while len(seen) < int(sys.argv[2]):
        now = [answer.answer_id for answer in store.answers()]
        assert now[:len(seen)] == seen, "the log changed"
        seen = now
"""


def start(program: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writers", "readers", "each"), [(3, 1, 60), pytest.param(8, 2, 2500, marks=pytest.mark.long)]
)
def test_answers_of_several_processes_are_all_there_and_none_twice(
    tmp_path: Path, writers: int, readers: int, each: int
) -> None:
    path = tmp_path / "labels.db"
    processes = [start(READ, path, writers * each) for _ in range(readers)]
    processes += [start(WRITE, path, writer, each) for writer in range(writers)]
    errors: list[str] = []

    def finish(process: "subprocess.Popen[str]") -> None:
        errors.append(process.communicate()[1])

    threads = [threading.Thread(target=finish, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [""] * len(processes)
    with LabelStore(path) as store:
        stored = [(answer.label, answer.sample_id) for answer in store.answers()]
    assert len(stored) == writers * each
    assert set(stored) == {(writer, number) for writer in range(writers) for number in range(each)}
    for writer in range(writers):
        assert [number for who, number in stored if who == writer] == list(range(each))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
def test_no_kill_loses_or_repeats_an_answer(tmp_path: Path, kills: int) -> None:
    path, random_state = tmp_path / "labels.db", random.Random(0)
    hit: Counter[str] = Counter()
    confirmed, reached = -1, -1
    for _ in range(kills):
        process = start(WRITE, path, 0, 10**6)
        # The client repeats all requests of its earlier attempts, and is killed a random time
        # after the first answer that is new.
        assert process.stdout is not None
        for line in process.stdout:
            if line.split() == ["end", str(reached + 1)]:
                break
        timer = threading.Timer(random_state.uniform(0.0, 0.02), process.kill)
        timer.start()
        words = [line.split(), *(line.split() for line in process.stdout)]
        timer.join()
        process.communicate()
        assert process.returncode == -9
        phase, number = next(pair for pair in reversed(words) if len(pair) == 2)
        hit["inside add" if phase == "begin" else "between answers"] += 1
        confirmed = int(number) - (phase == "begin")
        reached = int(number)
        with LabelStore(path) as store:
            ids = [answer.sample_id for answer in store.answers()]
        assert ids == list(range(len(ids)))
        assert len(ids) - 1 in (confirmed, reached)
    print(dict(hit))
    assert hit["inside add"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
