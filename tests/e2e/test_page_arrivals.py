"""Images that appear while two people label at the page, in real processes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import LabelStore

pytest.importorskip("starlette", reason="the page needs the extra page")
pytest.importorskip("PIL.Image")
from e2e.page_place import Place, check_answers
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.long]
BEGAN, ARRIVED, STRIKING = 300, 100, 10


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(
        *(tmp_path, "budget=schedule", "budget.sizes=[30,1000]", "max_rounds=3", "validation=none"),
        *("data.watch=true", "arrivals=during", "labelers.stay=false"),
        count=BEGAN,
    )
    yield place
    place.close()


def drop(folder: Path, first: int, *, striking: bool, number: int) -> None:
    """Writes images, each first under a hidden name, as programs that copy files do."""
    rng = np.random.default_rng(first)
    for n in range(first, first + number):
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[8 * (n % 3) : 8 * (n % 3) + 8] += 120
        if striking:
            pixels = rng.choice(np.array([0, 255], np.uint8), (24, 24, 3)) ^ np.uint8(n % 7)
        Image.fromarray(pixels).save(folder / f"{n}.png")


def answered(place: Place) -> list[str]:
    with LabelStore(place.run.labels_path) as store:
        return [str(answer.sample_id) for answer in store.answers()]


def editions(place: Place, round: int) -> list[Path]:
    return sorted(place.run.round_path(round).glob("ordering-*.parquet"))


def test_all_that_arrives_reaches_the_page_and_nothing_is_asked_twice(place: Place) -> None:
    loop = place.loop()
    url = place.url()
    people = [place.person(url, name, pause_s=0.4) for name in ("ann", "bob")]
    place.until(lambda: len(answered(place)) > 45)
    drop(place.folder / "photos", 500, striking=False, number=ARRIVED - STRIKING)
    place.until(lambda: editions(place, 1))
    trainer = place.pid("run.lock")
    assert trainer
    os.kill(trainer, signal.SIGKILL)
    drop(place.folder / "photos", 900, striking=True, number=STRIKING)
    place.until(lambda: len(editions(place, 1)) >= 2)
    server = place.pid("page/server.lock")
    assert server
    os.kill(server, signal.SIGKILL)
    assert loop.wait() == 0, place.printed()
    for person in people:
        person.go_home()
    check_answers(place, people)
    names = answered(place)
    assert sorted(names) == sorted(
        [f"{n:03d}.png" for n in range(BEGAN)]
        + [f"{n}.png" for n in range(500, 500 + ARRIVED - STRIKING)]
        + [f"{n}.png" for n in range(900, 900 + STRIKING)]
    )
    assert len(set(names)) == len(names)
    before, after = (read_ordering(path) for path in editions(place, 1)[-2:])
    published = after.metadata["published"]
    moved = [
        key
        for rank, key in enumerate(before)
        if key in names[: names.index("900.png")] and list(after).index(key) != rank
    ]
    # What was answered before the second edition keeps its rank.
    assert len(moved) <= 12, "only what was leased in the moment of the change"
    ranks = [list(after).index(f"{n}.png") for n in range(900, 900 + STRIKING)]
    chance = (published + len(after)) / 2
    assert np.median(ranks) < 0.5 * chance
