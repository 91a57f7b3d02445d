"""The Python of the site's pages runs as it stands, each page in a folder of its own."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders.raw import tiny_bert
from lightning.pytorch import Trainer, seed_everything
from tiny import Classifier, blobs, make_trainer

from lightning_badge import (
    ActiveLearningDataModule,
    BadgeCallback,
    GradientEmbedding,
    LazyOrdering,
    order,
    read_ordering,
)
from lightning_badge.examples.frozen import LogisticHead

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?:<!-- test: (runs|continues) -->\n)?```python\n(.*?)```", re.DOTALL)

pytestmark = pytest.mark.slow


def programs(page: str) -> list[str]:
    """Returns the programs of a page: a block that continues belongs to the one before it."""
    found: list[str] = []
    for kind, code in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if kind == "runs":
            found.append(code)
        elif kind == "continues":
            found[-1] += code
    return found


def run(code: str, **names: Any) -> dict[str, Any]:
    """Runs code as a program that knows some names already; returns its names."""
    seed_everything(0, verbose=False)
    names["__name__"] = "__main__"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning gives advice on loaders
        exec(compile(code, "page", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_start() -> None:
    (code,) = programs("docs/start.md")
    assert len(run(code)["ordering"]) == 1387


def test_callback(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complete, keeping = programs("docs/callback.md")
    assert len(complete.splitlines()) <= 20
    run(complete)
    printed = capsys.readouterr().out
    assert "1387 samples ordered, best first" in printed
    assert "87 labeled" in printed
    assert len(read_ordering(place / "badge/ordering.parquet")) == 1387
    run(keeping)
    assert len(read_ordering(place / "badge/ordering.parquet")) == 100


@pytest.mark.parametrize("number", [0, 1])
def test_without_a_trainer(place: Path, number: int) -> None:
    run(programs("docs/without_trainer.md")[number])
    assert len(read_ordering(place / "ordering.parquet")) == 200


@pytest.mark.parametrize("page", ["docs/folder.md", "docs/encoders.md"])
def test_pages_that_check_themselves(page: str) -> None:
    (code,) = programs(page)
    assert "\nassert " in code
    run(code)


def test_arrivals(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = programs("docs/arrivals.md")
    run(code)
    assert len(capsys.readouterr().out.split()) >= 10


def test_own_module() -> None:
    (code,) = programs("docs/own_module.md")
    names = run(code)
    assert len(names["labeled"]) == 140
    assert not {*names["today"]} & {*names["unlabeled"]}
    assert len(names["unlabeled"]) == 860


def test_multi_label() -> None:
    (code,) = programs("docs/multi_label.md")
    ordering = run(code)["ordering"]
    assert ordering.hallucinated_label is None
    assert ordering.confidence is not None


def test_rare_classes() -> None:
    (code,) = programs("docs/rare_classes.md")
    names = run(code)
    assert len(names["first"]) == 20
    assert len(names["rest"]) + int(names["looks_rare"].sum()) == 1000


def tiny_distilbert(folder: Path) -> None:
    """Saves a model with random weights and a tokenizer of a few words."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", *["where", "is", "my", "card", "key", "lost"]]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    fast.save_pretrained(folder)
    config = transformers.DistilBertConfig(
        vocab_size=len(words), dim=8, hidden_dim=16, n_layers=1, n_heads=2, num_labels=2
    )
    transformers.DistilBertForSequenceClassification(config).save_pretrained(folder)


def test_text(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = programs("docs/text.md")
    tiny_distilbert(place / "distilbert-base-uncased")
    run(code)
    printed = capsys.readouterr().out.split()
    assert len([name for name in printed if re.fullmatch(r"b\d+", name)]) == 5


def embedding(first: int, n: int = 60) -> GradientEmbedding:
    ids = [f"img_{number}" for number in range(first, first + n)]
    return GradientEmbedding.from_logits(torch.rand(n, 4), torch.randn(n, 3), sample_ids=ids)


def readme() -> dict[str, Any]:
    data = ActiveLearningDataModule(blobs(100), initial_labeled=20)
    return {"model": Classifier(), "datamodule": data}


def callback_page() -> dict[str, Any]:
    samples = [(torch.rand(4), number % 5) for number in range(2000)]
    names = [f"img_{number}" for number in range(2000)]
    return {"train_set": samples, "val_set": samples[:20], "names": names}


def lazy_page() -> dict[str, Any]:
    return {"embedding": embedding(0, 3000), "arrived": embedding(3000, 5)}


def herding_page() -> dict[str, Any]:
    return {"embedding": embedding(0), "labeled_embedding": embedding(60)}


# Blocks without a mark need objects that their page describes; these functions make them.
SURROUNDINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "README.md": readme,
    "docs/callback.md": callback_page,
    "docs/herding.md": herding_page,
    "docs/lazy.md": lazy_page,
    "docs/scale.md": dict,
}


def unmarked(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [code for kind, code in BLOCK.findall(text) if not kind]


@pytest.mark.parametrize("page", SURROUNDINGS)
def test_blocks_that_need_something_run_with_it(page: str) -> None:
    used = (ActiveLearningDataModule, BadgeCallback, LazyOrdering, Trainer, order)
    names: dict[str, Any] = {thing.__name__: thing for thing in used} | {"torch": torch}
    run(unmarked(page)[0], **names | SURROUNDINGS[page]())


def test_predicting_with_a_frozen_encoder(place: Path) -> None:
    pytest.importorskip("transformers")
    tiny_bert(place / "sentence-transformers/all-MiniLM-L6-v2")
    trainer = make_trainer(place)
    trainer.strategy.connect(LogisticHead(num_classes=3, in_features=16))
    trainer.save_checkpoint("RUN_DIR/export/best.ckpt")
    (code,) = unmarked("docs/encoders.md")
    assert run(code)["logits"].shape == (1, 3)


def test_every_block_of_python_is_run() -> None:
    pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
    pages += [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))]
    without_mark = {page: len(unmarked(page)) for page in pages}
    assert {page: count for page, count in without_mark.items() if count} == {
        **dict.fromkeys(SURROUNDINGS, 1),
        "docs/encoders.md": 1,
        "docs/scale.md": 3,  # two are for Ray and Spark: the page says that they were not run
    }
    assert (ROOT / "docs/scale.md").read_text().count("not tested here") == 2
