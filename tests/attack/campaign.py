"""Runs of the loop with one fault each, and what became of them.

Called by ``test_injected_faults.py``; `children` says how it has to be started::

    python campaign.py FOLDER '[{"labelers": "files", "kind": "fail", "at": 17}]'

Prints one line of JSON for each fault.
"""

import csv
import json
import shutil
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg  # noqa: F401
import pandas  # noqa: F401
from attack.children import Child, Fault
from page_client import Browser, RefusedError, given
from tiny_table import NAMES, commands, make_data

# Children find these imported, and the two above.
import lightning_badge.app.run_loop
import lightning_badge.callback
import lightning_badge.labelers.page.serve  # noqa: F401
from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

COMMANDS = commands("run")
MOST_STARTS = 8
AT_ONCE = 12  # answers in a file
LOOK_S = 0.02
WAIT_S = 900  # a run that hangs; a busy machine needs minutes


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        statuses: Exit statuses of the starts of the loop; negative: the signal.
        errors: What these starts wrote to standard error.
        calls: Number of I/O calls of the first start, where it was not killed.
        seconds: How long it took.
        labels: Labels by sample.
        curve: The learning curve.
        rounds: Sample ids of each round's ordering.
        lost: Confirmed answers that the store does not hold.
        repeated: Samples that were labeled more than once.
    """

    statuses: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    calls: int | None = None
    seconds: float = 0.0
    labels: dict[str, Any] = field(default_factory=dict)
    curve: str = ""
    rounds: list[list[str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def start(self, folder: Path, arguments: tuple[str, ...], fault: Fault | None) -> int:
        """Runs the command to its end."""
        child = Child(folder, arguments, fault)
        self.add(child)
        if fault is not None:
            self.calls = child.calls()
        return self.statuses[-1]

    def add(self, child: Child) -> None:
        """Notes how a start of the loop ended."""
        self.statuses.append(child.wait())
        self.errors.append(child.printed()[1])


def simulated(folder: Path, fault: Fault) -> Outcome:
    """Runs the loop with known labels until it ends; the first start has the fault."""
    make_data(folder, is_labeled=True)
    outcome = Outcome()
    outcome.start(folder, COMMANDS["dataset"], fault)
    while outcome.statuses[-1] != 0 and len(outcome.statuses) < MOST_STARTS:
        outcome.start(folder, COMMANDS["dataset"], None)
    return read_run(folder, outcome, {})


def by_files(folder: Path, fault: Fault) -> Outcome:
    """Runs the loop while somebody answers the samples asked for by files, twice."""
    right, outcome = make_data(folder, is_labeled=False), Outcome()
    confirmed: dict[str, int] = {}
    files = 0
    for number in range(MOST_STARTS):
        if outcome.start(folder, COMMANDS["files"], None if number else fault) != 0:
            continue
        if files == 2:
            break
        with (folder / "run" / "query.csv").open(newline="", encoding="utf-8") as file:
            asked = [row["sample_id"] for row in csv.DictReader(file)][:AT_ONCE]
        lines = "".join(f"{sample_id},{NAMES[right[sample_id]]}\n" for sample_id in asked)
        (folder / "run" / "answers" / f"{files}.csv").write_text(f"sample_id,label\n{lines}")
        confirmed |= {sample_id: right[sample_id] for sample_id in asked}
        files += 1
    return read_run(folder, outcome, confirmed)


class PageRun:
    """A run whose samples somebody labels at the page.

    Args:
        folder: The working folder.
        fault: Of the first start of the loop or of the server.
    """

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.outcome = Outcome()
        self._folder, self._fault = folder, fault
        self._right = make_data(folder, is_labeled=False)
        self._commands = {"loop": COMMANDS["page"], "label": ("label", "run")}
        self._children: dict[str, Child] = {}
        self._starts = Counter[str]()
        self._tab: Browser | None = None
        self._held: tuple[dict[str, Any], str] | None = None
        self._confirmed: dict[str, int] = {}

    def go(self) -> Outcome:
        """Runs it until the loop has ended."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and self._tend("loop"):
            if (self._folder / "run" / "page" / "page.json").exists() and self._tend("label"):
                self._work()
        for name, child in self._children.items():
            child.terminate()
            self._count_calls(name, child)
        self._close()
        return read_run(self._folder, self.outcome, self._confirmed)

    def _tend(self, name: str) -> bool:
        """Starts a process that does not run; returns whether it goes on."""
        child = self._children.get(name)
        if child is not None:
            if child.poll() is None:
                return True
            self._count_calls(name, child)
            if name == "loop":
                self.outcome.add(child)
                if child.wait() == 0:
                    return False
            else:
                self._close()
        if self._starts[name] >= MOST_STARTS:
            return False
        is_hit = self._starts[name] == 0 and self._fault.command == name
        self._starts[name] += 1
        environment = {"LIGHTNING_BADGE_SUPERVISED": "1"}
        fault = self._fault if is_hit else None
        self._children[name] = Child(self._folder, self._commands[name], fault, environment)
        return True

    def _work(self) -> None:
        """Answers one sample, or sends an answer again that was not confirmed."""
        try:
            if self._tab is None:
                address = self._children["label"].printed()[0].partition("label at ")[2]
                if not address.endswith("\n"):
                    time.sleep(LOOK_S)
                    return
                self._tab = Browser(address.split()[0])
            if self._held is None:
                items = self._tab.call("next", want=1)["items"]
                if not items:
                    time.sleep(LOOK_S)
                    return
                name = items[0]["id"]
                self._held = given(items[0], self._right[name]), name
            answer, name = self._held
            reply = self._tab.call("answer", want=1, answers=[answer])
            assert reply["confirmed"] == [answer["request"]], reply
            self._confirmed[name] = self._right[name]
            self._held = None
        except (OSError, HTTPException):
            self._close()
        except RefusedError as error:
            if error.status != 503:
                raise
            if self._fault.kind == "disk_full":  # it stays full until somebody makes room
                self._children["label"].terminate()

    def _count_calls(self, name: str, child: Child) -> None:
        if self._fault.command == name and self._starts[name] == 1:
            self.outcome.calls = child.calls()

    def _close(self) -> None:
        if self._tab is not None:
            self._tab.close()
        self._tab = None


def by_page(folder: Path, fault: Fault) -> Outcome:
    """Runs the loop and the server of the page while somebody answers."""
    return PageRun(folder, fault).go()


def read_run(folder: Path, outcome: Outcome, confirmed: dict[str, int]) -> Outcome:
    """Adds what the run directory holds, and compares it with the confirmed answers."""
    run = RunDirectory(folder / "run")
    with LabelStore(run.labels_path) as store:
        answers = [(str(a.sample_id), a.label) for a in store.answers()]
        outcome.labels = {str(key): label for key, label in store.labels().items()}
        rounds = store.finished_rounds()
    outcome.curve = run.learning_curve_csv_path.read_text()
    for round in [*rounds, len(rounds)]:
        path = run.ordering_path(round)
        found = read_ordering(path).sample_ids if path.exists() else ()
        outcome.rounds.append([str(sample_id) for sample_id in found])
    outcome.lost = [name for name, label in confirmed.items() if (name, label) not in answers]
    counted = Counter(name for name, _ in answers)
    outcome.repeated = [name for name, times in counted.items() if times > 1]
    return outcome


RUNS = {"dataset": simulated, "files": by_files, "page": by_page}


def main() -> None:
    """Runs the faults of the command line."""
    base, faults = Path(sys.argv[1]), json.loads(sys.argv[2])
    for number, entry in enumerate(faults):
        folder = base / f"{number:04d}"
        folder.mkdir(parents=True)
        run = RUNS[entry["labelers"]]
        fault = Fault(**{key: value for key, value in entry.items() if key != "labelers"})
        started = time.monotonic()
        try:
            outcome = run(folder, fault)
            outcome.seconds = time.monotonic() - started
            found = asdict(outcome)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"fault": entry, **found}), flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
