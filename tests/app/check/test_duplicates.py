from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.app.check.duplicates import Duplicates, find_duplicates
from lightning_badge.app.check.sketch import Sketch, earlier_ones
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder import folder


def duplicates_of(path: Path, **arguments: Any) -> Duplicates:
    datamodule = folder(str(path), **{"classes": ["a", "b"], **arguments})
    found = find_duplicates(datamodule, datamodule.labels_dict(), progress=False)
    assert found is not None
    return found


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=40),
    st.integers(1, 7),
)
def test_the_first_close_row_before_is_found(rows: list[list[int]], at_once: int) -> None:
    table = torch.tensor(rows, dtype=torch.float32)
    naive = [
        next((j for j in range(i) if (table[i] - table[j]).square().sum() <= 1.5), None)
        for i in range(len(rows))
    ]
    assert earlier_ones(Sketch(table, 1.5), at_once=at_once) == naive


class TestImages:
    """One photo in several versions, beside other photos of the same kind."""

    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        image = pytest.importorskip("PIL.Image")
        rng = np.random.default_rng(0)
        (tmp_path / "photos").mkdir()
        for name in "abc":
            coarse = image.fromarray(rng.integers(0, 200, (6, 8, 3), dtype=np.uint8))
            coarse.resize((160, 120)).save(tmp_path / "photos" / f"{name}.png")
        return tmp_path / "photos"

    def add(self, photos: Path, name: str, **options: Any) -> None:
        image = pytest.importorskip("PIL.Image")
        with image.open(photos / "a.png") as opened:
            changed = options.pop("change", lambda it: it)(opened.copy())
        changed.save(photos / name, **options)

    def test_different_photos_are_no_duplicates(self, photos: Path) -> None:
        found = duplicates_of(photos)
        assert (found.compared, found.exact, found.near) == (3, 0, 0)

    def test_a_copy_is_exact(self, photos: Path) -> None:
        (photos / "z.png").write_bytes((photos / "a.png").read_bytes())
        found = duplicates_of(photos)
        assert (found.exact, found.near) == (1, 0)
        assert found.exact_examples == [("z.png", "a.png")]

    @pytest.mark.parametrize(
        "options",
        [
            {"quality": 60},
            {"change": lambda it: it.resize((80, 60))},
            {"change": lambda it: it.point(lambda value: value + 12)},
            {"change": lambda it: it.crop((1, 1, 159, 119))},
        ],
    )
    def test_another_version_is_near(self, photos: Path, options: dict[str, Any]) -> None:
        self.add(photos, "z.jpg", **options)
        found = duplicates_of(photos)
        assert (found.exact, found.near) == (0, 1)
        assert found.near_examples == [("z.jpg", "a.png")]

    @pytest.mark.parametrize("change", ["transpose", "invert"])
    def test_another_picture_is_not(self, photos: Path, change: str) -> None:
        pytest.importorskip("PIL")
        from PIL import Image, ImageOps

        changes = {
            "transpose": lambda it: it.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            "invert": ImageOps.invert,
        }
        self.add(photos, "z.png", change=changes[change])
        assert duplicates_of(photos).near == 0

    def test_flat_images_of_other_colours_are_not(self, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image")
        for n, colour in enumerate(["black", "white", "red", "blue", "gray"]):
            image.new("RGB", (20, 20), colour).save(tmp_path / f"{n}.png")
        assert duplicates_of(tmp_path).near == 0


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows))
    return path


def test_texts_with_small_changes_are_near(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmno"), 6)) for _ in range(200)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(40)]
    texts += [f"{texts[0]}  ", f"{texts[1]}!", f"{texts[2].upper()}"]
    found = duplicates_of(write(tmp_path / "a.csv", "text", *texts))
    assert found.exact_examples == [(40, 0)]  # white space does not count
    assert found.near_examples == [(41, 1), (42, 2)]
    assert (found.exact, found.near) == (1, 2)


def test_rows_of_a_table_that_nearly_are_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [",".join(map(str, row)) for row in rng.normal(size=(30, 3)).round(6)]
    close = ",".join(str(float(value) + 1e-3) for value in rows[5].split(","))
    found = duplicates_of(write(tmp_path / "a.csv", "x,y,z", *rows, rows[3], close))
    assert (found.exact_examples, found.near_examples) == ([(30, 3)], [(31, 5)])


def test_copies_with_another_label_are_named(tmp_path: Path) -> None:
    rows = [f"{n},{n}.5,a" for n in range(20)]
    path = write(tmp_path / "a.csv", "x,y,label", *rows, "3,3.5,b", "4,4.5,a", "9,1,")
    assert duplicates_of(path).conflicting == [(20, 3)]


def test_of_many_samples_some_are_compared() -> None:
    data = [(torch.rand(3, 8, 8), 0) for _ in range(30)]
    datamodule = ActiveLearningDataModule(data, initial_labeled=[0], labels=[0] * 30)
    found = find_duplicates(datamodule, {}, most=20, progress=False)
    assert found is not None
    assert found.compared == 20
    assert find_duplicates(datamodule, {}, most=20, progress=False) == found


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([torch.zeros(4), torch.ones(4), torch.zeros(4)], 1),
        ([torch.zeros(1, 8, 8), torch.ones(1, 8, 8), torch.zeros(1, 8, 8)], 1),
        ([torch.zeros(4, dtype=torch.int64)] * 3, None),
        ([torch.zeros(4), torch.zeros(5), torch.zeros(4)], None),
        (["a", "b", "c"], None),
    ],
)
def test_other_data_are_compared_where_inputs_are_numbers(
    inputs: list[Any], expected: int | None
) -> None:
    data = [(item, 0) for item in inputs]
    datamodule = ActiveLearningDataModule(data, initial_labeled=[0])
    found = find_duplicates(datamodule, {}, progress=False)
    assert (found and found.exact) == expected
