"""The report opens offline, shows what people know, and nothing breaks out of it."""

import re
from collections.abc import Callable
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_badge.app.handover.predictions import LoadedModel, Predictions
from lightning_badge.app.handover.previews import previews
from lightning_badge.app.handover.report import HARDEST, render_report
from lightning_badge.app.handover.run_data import load_run
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.models import MLP
from lightning_badge.labels import SKIP
from lightning_badge.sample_ids import as_sample_ids
from lightning_badge.store.budget_changes import commit_budget
from lightning_badge.store.label_store import LabelStore

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
MakeRun = Callable[[str], Path]


class Page(HTMLParser):
    """Collects the tags, the addresses and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("src", "href", "action", "data", "poster", "srcset")
        self.addresses += [value or "" for name, value in attributes if name in names]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)


@pytest.fixture
def report(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def render(kind: str) -> str:
        path = make_run(kind)
        monkeypatch.chdir(path.parent)
        run = load_run(path)
        ids = run.datamodule.pool_ids
        confidence = np.linspace(0.9, 0.5, len(ids), dtype=np.float32)
        labels = ["<b>below</b>"] * len(ids)
        model = LoadedModel(MLP(), "lightning_badge.examples.models.MLP", is_plain=True)
        return render_report(run, model, Predictions(ids, labels, confidence), NOW)

    return render


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "texts", "tables", "several"])
def test_a_report_asks_for_nothing_and_shows_the_samples(
    report: Callable[[str], str], kind: str
) -> None:
    html = report(kind)
    page = Page(html)
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "script" not in page.tags
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert page.tags.count("figure") == HARDEST + 6
    assert page.tags.count("img") == (HARDEST + 6 if kind == "images" else 0)
    assert page.tags.count("blockquote") == (0 if kind == "images" else HARDEST + 6)
    assert page.tags.count("circle") == 2  # rounds of the learning curve
    assert "<b>below</b>" not in html
    assert "<b>below</b>" in page.text
    assert html.count("<html") == html.count("</html>") == 1
    if kind == "texts":
        assert "my <card> was stolen & used" in page.text


@pytest.mark.slow
def test_the_hardest_samples_come_first(report: Callable[[str], str]) -> None:
    shown = re.findall(r"([\d.]+)% sure", Page(report("tables")).text)
    assert len(shown) == HARDEST
    assert shown[0] == "50.0"
    assert list(map(float, shown)) == sorted(map(float, shown))


@pytest.mark.slow
def test_annotators_skips_and_changes_are_shown(
    make_run: MakeRun, report: Callable[[str], str], tmp_path: Path
) -> None:
    path = make_run("texts")
    backup = (path / "labels.db").read_bytes()
    with LabelStore(path / "labels.db") as store:
        first, second, *_ = store.labels()
        store.record(0, [(first, SKIP), (second, store.labels()[second])], annotator="Ann <&>")
        with store.leases.transaction():
            commit_budget(store.changes, {"k": 5}, {"k": 9}, who="<ann>", how="command")
    try:
        page = Page(report("texts"))
    finally:
        (path / "labels.db").write_bytes(backup)
    assert "Ann <&>" in page.text
    assert "1 samples skipped" in page.text
    assert "Changes" in page.text
    assert "k: 5 -> 9" in page.text
    assert "<ann>" in page.text
    assert "100% of 1 pairs of labels of 1 samples are equal" in page.text


def test_images_of_other_data_are_drawn_from_their_tensors() -> None:
    pytest.importorskip("PIL.Image")
    data = [(torch.rand(1, 8, 8), 0), (torch.randn(3, 8, 8), 1), (torch.rand(5), 0)]
    datamodule = ActiveLearningDataModule(data, initial_labeled=["a"], sample_ids=["a", "b", "c"])
    shown = previews(datamodule, ["a", "b", "c"])
    assert [preview.picture is not None for preview in shown.values()] == [True, True, False]
    assert str(shown["a"].picture).startswith("data:image/png;base64,")


def test_long_texts_are_cut(tmp_path: Path) -> None:
    from lightning_badge.datamodule.folder import folder

    path = tmp_path / "a.csv"
    path.write_text("text\n" + "\n".join(f"{n} " + "word " * 200 for n in range(30)))
    datamodule = folder(str(path), classes=["a", "b"])
    (preview,) = previews(datamodule, as_sample_ids([3])).values()
    assert preview.text is not None
    assert preview.text.startswith("3 word")
    assert preview.text.endswith("...")
    assert len(preview.text) == 403
