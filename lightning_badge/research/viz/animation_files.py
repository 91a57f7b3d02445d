"""Animations as files: GIF by Pillow, WebM where the program ``ffmpeg`` is."""

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
    """Writes frames as a GIF that repeats for ever.

    All frames share one palette, so that nothing flickers.

    Raises:
        BadgeError: No frames.
    """
    from PIL import Image

    coming = iter(frames)
    begun = list(islice(coming, 1 + SLOW_STEPS))
    if not begun:
        raise BadgeError("animation: expected frames, got none")
    palette = _palette(begun[-1][0])
    pictures, milliseconds = [], []
    for picture, hundredths in chain(begun, coming):
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
    """Returns an image whose palette has the colours of a frame with map and picture in it."""
    from PIL import ImageColor

    image = frame.quantize(_COLORS)
    most = np.array(image.getpalette()).reshape(-1, 3)
    # The mean of what is nearly white is not white: on a white page a tinted box would show.
    most[most.min(axis=1) >= _NEARLY_WHITE] = 255
    # Small in a frame, so lost among the most frequent colours, and yet what is to be told apart.
    full = np.array([ImageColor.getrgb(color) for color in CLASS_COLORS])
    tints = [255 - np.round(share * (255 - full)).astype(int) for share in _TINTS]
    image.putpalette(np.concatenate([most, *tints]).flatten().tolist())
    return image


def can_write_webm() -> bool:
    """Whether the program ``ffmpeg`` is found."""
    return shutil.which("ffmpeg") is not None


def write_webm(frames: Iterable[Frame], path: Path) -> None:
    """Writes frames as a WebM video, by the program ``ffmpeg``.

    Raises:
        BadgeError: There is no ``ffmpeg``, or it cannot make a video of the frames.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise BadgeError("animation: expected the program ffmpeg on the path, for WebM; install it")
    width, height = SIZE
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"100/{STEP}"]
    video = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-crf", "34", "-b:v", "0", "-f", "webm"]
    command = [ffmpeg, "-y", "-loglevel", "error", *raw, "-i", "-", *video, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        # Where it ends early it says why.
        with suppress(BrokenPipeError):
            for image, hundredths in frames:
                # What stands longer than a step is sent again and again.
                for _ in range(round(hundredths / STEP)):
                    encoder.stdin.write(image.tobytes())
        _, said = encoder.communicate()
    if encoder.returncode:
        reason = (said.decode(errors="replace").strip().splitlines() or ["no reason"])[-1]
        raise BadgeError(f"animation: {ffmpeg} made no WebM video: {reason}")
