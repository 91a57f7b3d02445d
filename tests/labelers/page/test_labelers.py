"""What the page shows of each kind of data, and how the loop waits for its answers."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.datamodule import folder
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.base import PreparedLabelers
from lightning_badge.labelers.page.labelers import PageLabelers, for_run
from lightning_badge.labelers.page.page_files import Page, PageSamples, read_page, read_samples
from lightning_badge.ordering import Ordering
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query


def written(datamodule: Any, path: Path, **arguments: Any) -> tuple[Page, PageSamples]:
    labelers = for_run(datamodule, path, host="127.0.0.1", stay=True, **arguments)
    assert isinstance(labelers, PreparedLabelers)
    labelers.prepare(overlap=2, accept_changes=True)
    return read_page(path), read_samples(path)


def tensors(*shape: int, **arguments: Any) -> ActiveLearningDataModule:
    data = [(torch.full(shape, n / 8), n % 2) for n in range(8)]
    given = {"initial_labeled": {5: 1}, "class_names": ["even", "odd"], **arguments}
    return ActiveLearningDataModule(data, **given)


def test_images_of_a_folder_are_shown_by_their_paths(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "photos").mkdir()
    for n in range(40):
        image.new("RGB", (20, 10), (n, 0, 0)).save(tmp_path / "photos" / f"{n:02d}.png")
    (tmp_path / "known.csv").write_text("sample_id,label\n03.png,dog\n")
    data = folder(
        str(tmp_path / "photos"),
        classes=["cat", "dog"],
        labels=str(tmp_path / "known.csv"),
        validation="auto",
        image_size=8,
    )
    page, samples = written(data, tmp_path / "run")
    assert (page.title, page.kind, page.class_names) == ("photos", "images", ("cat", "dog"))
    assert (page.overlap, page.accept_changes, page.guess) == (2, True, False)
    assert page.validation == tuple(data.validation_ids.tolist()) != ()
    assert set(page.initial.items()) <= {("03.png", 1)}
    assert len(samples) == 40, "validation samples are shown too"
    for row, sample_id in enumerate(samples.sample_ids.tolist()):
        assert Path(samples.shown(row)) == tmp_path / "photos" / sample_id
        assert samples.picture(row) is None


def test_texts_and_their_classes(tmp_path: Path) -> None:
    lines = [f'"<b>text</b> number {n}, ""quoted"" and long"' for n in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(["text", *lines]))
    data = folder(str(tmp_path / "texts.csv"), classes=["a", "b"], multilabel=True)
    page, samples = written(data, tmp_path / "run")
    assert (page.kind, page.multilabel, page.initial) == ("texts", True, {})
    assert samples.sample_ids.tolist() == list(range(40))
    assert samples.shown(7) == '<b>text</b> number 7, "quoted" and long'


def test_rows_of_a_table_keep_names_and_values(tmp_path: Path) -> None:
    rows = [{"size": n / 3, "unit": None if n == 4 else "km, h=1", "n": n} for n in range(30)]
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = folder(str(tmp_path / "table.jsonl"), classes=["a", "b"], kind="tables")
    page, samples = written(data, tmp_path / "run")
    assert page.kind == "tables"
    assert [json.loads(samples.shown(row)) for row in range(30)] == rows


def test_values_that_json_has_not_become_texts(tmp_path: Path) -> None:
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    days = [datetime.date(2024, 1, 1 + n) for n in range(5)]
    table = pa.table({"day": days, "x": [1.0, float("nan"), 2.0, float("inf"), 0.5]})
    pq.write_table(table, tmp_path / "table.parquet")
    data = folder(str(tmp_path / "table.parquet"), classes=["a", "b"], kind="tables")
    _, samples = written(data, tmp_path / "run")
    assert json.loads(samples.shown(1)) == {"day": "2024-01-02", "x": "nan"}


@pytest.mark.parametrize("channels", [1, 3])
def test_image_tensors_become_pictures(channels: int, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    page, samples = written(tensors(channels, 6, 4, validation_ids=[2]), tmp_path / "run")
    assert (page.title, page.kind, page.initial) == ("run", "images", {5: 1})
    assert page.validation == (2,)
    for row in range(8):
        picture = samples.picture(row)
        assert picture is not None
        pixels = np.asarray(image.open(io.BytesIO(picture)))
        assert pixels.shape == (6, 4, 3)
        assert set(pixels.flatten().tolist()) == {round(row / 8 * 255)}
        assert samples.shown(row) == ""


@pytest.mark.parametrize(
    ("datamodule", "arguments", "message"),
    [
        (tensors(5), {}, r"begin with Tensor \[5\]; choose labelers=files"),
        (tensors(4, 6, 6), {}, r"begin with Tensor \[4, 6, 6\]"),
        (tensors(1, 6, 6, class_names=None), {}, "expected data with names of their classes"),
        (tensors(1, 6, 6), {"guess": "yes"}, "labelers.guess: expected true or false"),
        (tensors(1, 6, 6), {"guidelines": "missing.md"}, "expected a Markdown file"),
    ],
)
def test_what_the_page_cannot_show_is_one_line_before_anything(
    datamodule: Any, arguments: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelError, match=message) as caught:
        for_run(datamodule, tmp_path / "run", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_guidelines_are_rendered_without_html_and_scripts(tmp_path: Path) -> None:
    file = tmp_path / "guide.md"
    file.write_text(
        "# Cats\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))\n\n|a|\n|-|\n|b|"
    )
    page, _ = written(tensors(1, 6, 6), tmp_path / "run", guidelines=str(file))
    html = page.guidelines or ""
    assert "<h1>Cats</h1>" in html
    assert "<table>" in html
    assert "<script" not in html
    assert 'href="javascript' not in html


def test_it_waits_for_answers_of_another_process(tmp_path: Path) -> None:
    labelers = PageLabelers(tensors(1, 6, 6), tmp_path)
    with LabelStore(tmp_path / "labels.db") as store:
        query = Query(store, store.cut(0), Ordering(np.arange(8)))
        query.allow(None)
        labelers.publish(query)
        batches = labelers.collect()
        assert next(batches) == []
        answering = threading.Thread(
            target=lambda: store.record(0, [(n, 0) for n in range(3)], annotator="ann")
        )
        answering.start()
        while query.progress().labels < 3:
            assert next(batches) == []
        answering.join()
        assert next(batches) == [], "time passes without an answer"
        batches.close()
        assert str(tmp_path) in labelers.to_do()
