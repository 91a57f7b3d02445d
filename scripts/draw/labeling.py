"""Records somebody who labels scikit-learn's digits at the page, while models are trained.

``python scripts/draw/labeling.py --out labeling.webp`` makes a folder of images, starts
``lightning-badge loop labelers=page`` on it, labels in headless Chromium, and writes an animation.
Needs the extras ``page``, ``examples`` and ``test``, and Chromium.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import numpy as np
from PIL import Image

from lightning_badge.exceptions import BadgeError

VIEW: Any = {"width": 960, "height": 640}
SIDE, COUNT, PAUSE_MS, MOST = 160, 600, 450, 400
BETTER = "A better ordering is in use"
OVERRIDES = (
    *("data=folder", "data.path=digits", "data.classes=[0,1,2,3,4,5,6,7,8,9]"),
    *("data.image_size=16", "labelers=page", "budget=on_demand", "budget.at_least=15"),
    *("run_dir=run", "logger=none", "trainer.max_steps=100", "trainer.val_check_interval=50"),
)


def main() -> None:
    """Parses the command line and records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("labeling.webp"), help="the animation")
    parser.add_argument("--frames", type=int, default=36, help="largest number of frames")
    arguments = parser.parse_args()
    with one_line_errors():
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium is None:
            raise BadgeError("expected Chromium on the path, found none; install it")
        with tempfile.TemporaryDirectory() as folder:
            label_of = write_digits(Path(folder) / "digits")
            with served(Path(folder)) as url:
                frames = record(url, label_of, chromium)
        save(frames, arguments.frames, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 2**10:.0f} KiB")


def write_digits(folder: Path) -> dict[str, str]:
    """Writes images whose names say nothing; returns the digit of each."""
    from sklearn.datasets import load_digits

    data = load_digits()
    folder.mkdir()
    label_of = {}
    for number, row in enumerate(np.random.default_rng(0).permutation(len(data.images))[:COUNT]):
        small = Image.fromarray((255 - data.images[row] * 15.9).astype("uint8"))
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.png")
        label_of[f"{number:04d}.png"] = str(data.target[row])
    return label_of


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Runs the loop in a folder; yields the address of its page."""
    command = [sys.executable, "-m", "lightning_badge", "loop", *OVERRIDES]
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as loop,
    ):
        try:
            assert loop.stdout is not None
            for line in loop.stdout:
                if line.startswith("label at "):
                    yield line.removeprefix("label at ").strip()
                    break
            else:
                raise BadgeError(f"the loop ended: {(folder / 'errors').read_text().strip()}")
        finally:
            loop.terminate()


def record(url: str, label_of: dict[str, str], chromium: str) -> list[Image.Image]:
    """Labels until the second better ordering is in use; returns a picture after each key."""
    from playwright.sync_api import sync_playwright

    frames: list[Image.Image] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEW)
        page.set_default_timeout(120_000)
        page.goto(url)
        page.fill("#name-field", "Ana")
        page.keyboard.press("Enter")
        rounds = 0
        for _ in range(MOST):
            shown = page.wait_for_selector("#stage > img")
            page.wait_for_timeout(PAUSE_MS)  # a person looks
            frames.append(picture_of(page))
            assert shown is not None  # else waiting ends in an error
            alt = shown.get_attribute("alt") or ""
            page.keyboard.press(label_of[alt.removeprefix("Sample ")])
            page.wait_for_selector(f'#stage > img[alt="{alt}"]', state="detached")
            now = page.text_content("#round") or ""
            rounds = max(rounds, *(int(text) for text in re.findall(r"round (\d+)", now)), 0)
            if rounds >= 2 and BETTER not in (page.text_content("#notices") or ""):
                break
        browser.close()
    return frames


def picture_of(page: Any) -> Image.Image:
    """Returns what the page shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(frames: list[Image.Image], most: int, path: Path) -> None:
    """Writes an animation of at most ``most`` frames, evenly chosen; the last one stays longer."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    pictures = [frames[number] for number in chosen]
    times = [500] * (len(pictures) - 1) + [2500]
    options: dict[str, Any] = {"quality": 70, "method": 4, "loop": 0}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, **options)


if __name__ == "__main__":
    main()
