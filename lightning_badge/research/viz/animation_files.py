"""Animations as files: GIF with Pillow, WebM with the program ``ffmpeg``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.animation import SIZE, SLOW_STEPS, STEP, Frame
from lightning_badge.viz.style import CLASS_COLORS

if TYPE_CHECKING:
    from PIL.Image import Image

_COLORS, _NEARLY_WHITE, _TINTS = 128, 248, (1.0, 0.6, 0.3)


def write_gif(frames: Iterable[Frame], path: Path) -> None:
    """Writes frames as a GIF that repeats forever.

    All frames share one palette to avoid flicker.

    Raises:
        BadgeError: There are no frames.
    """
    from PIL import Image

    remaining = iter(frames)
    first = list(islice(remaining, 1 + SLOW_STEPS))
    if not first:
        raise BadgeError("animation: expected frames, got none")
    palette = _palette(first[-1][0])
    pictures, milliseconds = [], []
    for picture, hundredths in chain(first, remaining):
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
        milliseconds.append(10 * hundredths)
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        optimize=False,
    )


def _palette(frame: Image) -> Image:
    """Returns an image with a palette for all frames, from a frame with map and picture."""
    from PIL import ImageColor

    image = frame.quantize(_COLORS)
    most = np.array(image.getpalette()).reshape(-1, 3)
    # Quantization averages near-white colours, which would show as a tinted box on a white page.
    most[most.min(axis=1) >= _NEARLY_WHITE] = 255
    # Class colours cover too few pixels to be among the most frequent colours, so they are added.
    full = np.array([ImageColor.getrgb(color) for color in CLASS_COLORS])
    tints = [255 - np.round(share * (255 - full)).astype(int) for share in _TINTS]
    image.putpalette(np.concatenate([most, *tints]).flatten().tolist())
    return image


def can_write_webm() -> bool:
    """Returns whether the program ``ffmpeg`` is on the path."""
    return shutil.which("ffmpeg") is not None


def write_webm(frames: Iterable[Frame], path: Path) -> None:
    """Writes frames as a WebM video with the program ``ffmpeg``.

    Raises:
        BadgeError: ``ffmpeg`` is not on the path, or it fails to encode the frames.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise BadgeError(
            "animation: expected the program ffmpeg on the path to write WebM, got "
            "none; install ffmpeg"
        )
    width, height = SIZE
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"100/{STEP}"]
    video = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-crf", "34", "-b:v", "0", "-f", "webm"]
    command = [ffmpeg, "-y", "-loglevel", "error", *raw, "-i", "-", *video, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        # If ffmpeg exits early, its message is read below.
        with suppress(BrokenPipeError):
            for image, hundredths in frames:
                # The video has a constant frame rate, so longer frames are repeated.
                for _ in range(round(hundredths / STEP)):
                    encoder.stdin.write(image.tobytes())
        _, stderr = encoder.communicate()
    if encoder.returncode:
        reason = (stderr.decode(errors="replace").strip().splitlines() or ["no reason"])[-1]
        raise BadgeError(f"animation: {ffmpeg} failed to write a WebM video: {reason}")
