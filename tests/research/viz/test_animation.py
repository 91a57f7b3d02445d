import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz import animation
from lightning_badge.research.viz.animation import Frame, ordering_frames
from lightning_badge.research.viz.animation_files import can_write_webm, write_gif, write_webm
from lightning_badge.viz.style import CLASS_COLORS

pytest.importorskip("matplotlib")
image = pytest.importorskip("PIL.Image")


def frames(picks: list[int], **changed: Any) -> list[Frame]:
    angles = np.linspace(0, 6, 30)
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    arguments = {
        "images": np.zeros((len(picks), 1, 4, 4)),
        "captions": [f"rank {rank}" for rank, _ in enumerate(picks, start=1)],
        **changed,
    }
    return list(
        ordering_frames(places, np.arange(30) % 3, ["a", "b", "c"], picks=picks, **arguments)
    )


@pytest.fixture(scope="module")
def two_picks() -> list[Frame]:
    return frames([3, 20])


def changed_pixels(before: Frame, after: Frame) -> int:
    return int((np.asarray(before[0]) != np.asarray(after[0])).any(axis=2).sum())


def test_only_the_first_and_the_last_frame_are_long(two_picks: list[Frame]) -> None:
    hundredths = [hold for _, hold in two_picks]
    assert hundredths[0] >= 100
    assert hundredths[-1] >= 100
    assert max(hundredths[1:-1]) <= 100 / 12


def test_the_first_frame_is_the_map_without_picks(two_picks: list[Frame]) -> None:
    # The first frame does not depend on the picks.
    assert changed_pixels(two_picks[0], frames([7])[0]) == 0
    assert changed_pixels(two_picks[0], two_picks[-1]) > 0


def test_a_pick_stays_at_its_final_place(two_picks: list[Frame]) -> None:
    first, second = frames([3]), two_picks
    after_first = next(i for i, frame in enumerate(second) if changed_pixels(frame, first[-1]) == 0)
    # After that, only the second pick is added on the map; the card beside the map is cut off.
    width = round(animation.SIZE[0] * animation._MAP_SHARE)
    before, last = (np.asarray(second[i][0])[:, :width] for i in (after_first, -1))
    is_changed = (before != last).any(axis=2)
    assert 0 < is_changed.sum() <= 1.1 * animation._THUMB**2


def test_moves_start_and_end_with_zero_speed() -> None:
    times = np.linspace(0, 1, 101)
    moved = np.array([animation._eased(float(time)) for time in times])
    assert (moved[0], moved[-1]) == (0.0, 1.0)
    speed = np.diff(moved)
    assert (speed > 0).all()
    assert speed[[0, -1]].max() < speed[50] / 10


def test_corners_are_opaque_white(two_picks: list[Frame]) -> None:
    for picture, _ in two_picks:
        assert picture.mode == "RGB"
        assert [picture.getpixel(at) for at in ((0, 0), (799, 519))] == [(255, 255, 255)] * 2


def test_a_gif_keeps_pictures_and_times_and_repeats(two_picks: list[Frame], tmp_path: Path) -> None:
    write_gif(two_picks, tmp_path / "ordering.gif")
    with image.open(tmp_path / "ordering.gif") as gif:
        assert gif.info["loop"] == 0
        total = 0
        for number in range(gif.n_frames):
            gif.seek(number)
            total += gif.info["duration"]
        last = np.asarray(gif.convert("RGB")).astype(int)
    assert total == 10 * sum(hold for _, hold in two_picks)
    expected = np.asarray(two_picks[-1][0])
    assert np.abs(last - expected).mean() < 2
    assert (last == 255).all(axis=2)[(expected == 255).all(axis=2)].all()


def test_a_gif_keeps_the_colours_of_the_classes(tmp_path: Path) -> None:
    # The palette must keep the class colours, which have few pixels, despite a colourful picture.
    colourful = np.random.default_rng(0).random((1, 3, 32, 32))
    write_gif(frames([0], images=colourful), tmp_path / "ordering.gif")
    with image.open(tmp_path / "ordering.gif") as gif:
        gif.seek(gif.n_frames - 1)
        shown = {color for _, color in gif.convert("RGB").getcolors(1 << 20)}
    for color in CLASS_COLORS[:3]:
        exact = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        assert min(np.abs(exact - other).max() for other in shown) <= 3


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_webm_is_written_with_ffmpeg(two_picks: list[Frame], tmp_path: Path) -> None:
    write_webm(two_picks, tmp_path / "ordering.webm")
    assert (tmp_path / "ordering.webm").read_bytes().startswith(b"\x1aE\xdf\xa3")  # EBML


def test_without_ffmpeg_webm_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not can_write_webm()
    with pytest.raises(BadgeError, match="expected the program ffmpeg"):
        write_webm([], tmp_path / "ordering.webm")


def test_an_error_of_ffmpeg_is_reported(
    two_picks: list[Frame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'unknown encoder' >&2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadgeError, match="failed to write a WebM video: unknown encoder"):
        write_webm(two_picks, tmp_path / "ordering.webm")


def test_missing_images_or_frames_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadgeError, match="got 1 images and 2 captions for 2 picks"):
        frames([1, 2], images=np.zeros((1, 1, 4, 4)))
    with pytest.raises(BadgeError, match="expected frames, got none"):
        write_gif([], tmp_path / "ordering.gif")
