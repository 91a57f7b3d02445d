"""What README, CONTRIBUTING and docs show is what runs, and their links lead somewhere."""

import re
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PAGES += sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/experiments").glob("*.md")])
MARK = "<!-- test: runs -->"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return re.findall(rf"{MARK}\n```python\n(.*?)```", text_of(page), re.DOTALL)


def run(code: str, folder: Path) -> forked.Ended:
    done = forked.run_program(folder, code)
    assert done.status == 0, done.err
    return done


@pytest.mark.slow
def test_the_strategy_of_the_contributors_page(tmp_path: Path) -> None:
    """It is short, ranks by norm, and takes what arrives."""
    (code, *_) = blocks("CONTRIBUTING.md")
    check = """
import torch
from lightning_badge import LazyOrdering

pool = GradientEmbedding.from_logits(torch.rand(30, 4), torch.randn(30, 3))
more = GradientEmbedding.from_logits(9 * torch.ones(1, 4), torch.zeros(1, 3), sample_ids=[99])
lazy = LazyOrdering(pool, "loud")
first = lazy.take(5)
assert list(first.gains) == sorted(pool.sq_norm.tolist(), reverse=True)[:5]
lazy.extend(more)
assert lazy.take(1).sample_ids[0] == 99
assert len(lazy.take()) == 25
"""
    run(code + check, tmp_path)
    body = [line for line in code.partition("class ")[2].splitlines() if line.strip()]
    assert len(body) <= 20


@pytest.mark.slow
def test_the_budget_of_the_contributors_page(tmp_path: Path) -> None:
    (_, code, _) = blocks("CONTRIBUTING.md")
    size = (
        "TenthBudget().query_size(round=0, labeled=5, pool=95, ordering=Ordering(sample_ids=[1]))"
    )
    run(f"{code}\nassert {size} == 9\n", tmp_path)


@pytest.mark.slow
def test_the_labelers_of_the_contributors_page(tmp_path: Path) -> None:
    """They ask in order, hand back what they hold, and go home."""
    code = blocks("CONTRIBUTING.md")[2]
    check = """
import builtins
from lightning_badge import LabelStore, Ordering

lines = iter(["3", "1", ""])
builtins.input = lambda prompt: next(lines)
with LabelStore("labels.db") as store:
    query = Query(store, store.cut(0), Ordering(sample_ids=["b", "a", "c"]))
    query.allow(None)
    labelers = TerminalLabelers()
    labelers.publish(query)
    for batch in labelers.collect():
        store.add(batch)
    labelers.close()
    assert store.labels() == {"b": 3, "a": 1}
    assert store.leases.unexpired(0.0) == {}
"""
    run(code + check, tmp_path)


def test_every_marked_block_is_run_by_a_test() -> None:
    marked = {page.name: page.read_text(encoding="utf-8").count(MARK) for page in PAGES}
    assert {name: n for name, n in marked.items() if n} == {
        "callback.md": 2,
        "encoders.md": 1,
        "arrivals.md": 1,
        "folder.md": 1,
        **dict.fromkeys(
            ("multi_label.md", "own_module.md", "rare_classes.md", "start.md", "text.md"), 1
        ),
        "without_trainer.md": 2,
        "CONTRIBUTING.md": 3,
    }


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_the_recording_is_an_animation_of_less_than_two_megabytes() -> None:
    pictures = pytest.importorskip("PIL.Image")
    path = ROOT / "docs/labeling.webp"
    assert path.stat().st_size < 2_000_000
    with pictures.open(path) as animation:
        assert animation.n_frames > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
