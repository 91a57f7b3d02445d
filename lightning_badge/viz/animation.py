"""An ordering in motion: its first picks fly one after the other to their places on the map."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.embedding_map import fill_embedding_map
from lightning_badge.viz.placement import apart
from lightning_badge.viz.sample_grid import as_pictures
from lightning_badge.viz.style import INK, class_color

if TYPE_CHECKING:
    from PIL.Image import Image

# A frame and how long it stands, in hundredths of a second: all that GIF can tell.
Frame = tuple["Image", int]

SIZE = (800, 520)
_MAP_SHARE = 0.68
_STEP, _FIRST_HOLD, _LAST_HOLD = 6, 150, 300
_SLOW_PICKS, _SLOW_STEPS, _FAST_STEPS = 10, 18, 7
_CARD, _THUMB = 180, 26
_COLORS, _NEARLY_WHITE = 128, 248


def ordering_frames(
    places: npt.NDArray[np.float64],
    labels: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    picks: Sequence[int],
    images: Any,
    captions: Sequence[str],
    unseen: Collection[int] = (),
) -> Iterator[Frame]:
    """Draws the frames of an animation: first the map alone, last all picks on it.

    Each pick is shown large beside the map with its caption, then flies, eased, to its place. The
    first ten take a second each, the others go faster. The background is opaque white, so the
    animation looks the same on a light and on a dark page.

    Args:
        places: Coordinates ``[n, 2]`` of a map.
        labels: Classes ``[n]``.
        class_names: Of all classes.
        picks: Rows in the order of their ranks ``[k]``, one or more.
        images: Of the picks, ``[k, channels, height, width]``: floats in 0..1 or uint8.
        captions: One for each pick.
        unseen: Classes that training never saw; they are marked.

    Yields:
        Frames of 800 by 520 pixels and how long each stands, in hundredths of a second.

    Raises:
        BadgeError: Not one image and one caption for each pick.
    """
    from PIL import Image

    pictures = (255 * as_pictures(images)).astype(np.uint8)
    if not len(picks) == len(pictures) == len(captions):
        raise BadgeError(
            "animation: expected one image and one caption a pick, got "
            f"{len(pictures)} images and {len(captions)} captions for {len(picks)} picks"
        )
    background, pixels = _background(places, labels, class_names, picks, unseen)
    beside = apart(pixels, _THUMB)
    colors = [class_color(label) for label in np.asarray(labels)[list(picks)]]
    canvas = background.copy()
    before = Image.new("RGB", (_CARD, _CARD), "white")
    yield canvas.copy(), _FIRST_HOLD
    for rank, (picture, caption, color) in enumerate(zip(pictures, captions, colors, strict=True)):
        image = Image.fromarray(picture).convert("RGB")
        pick = _Pick(image, caption, color, pixels[rank], beside[rank])
        steps = _SLOW_STEPS if rank < _SLOW_PICKS else _FAST_STEPS
        for step in range(1, steps + 1):
            yield pick.frame(canvas, before, step / steps), _STEP
        pick.land(canvas)
        before = pick.card(_CARD)
    # The last card stays beside the map.
    yield pick.frame(canvas, before, 1.0), _LAST_HOLD


@dataclass(frozen=True)
class _Pick:
    """A pick on its way from the card beside the map to its place, or to free room beside that."""

    picture: Image
    caption: str
    color: str
    place: npt.NDArray[np.float64]
    beside: npt.NDArray[np.float64]

    def card(self, side: float) -> Image:
        """Returns the picture with a frame in the colour of its class."""
        from PIL import Image, ImageOps

        edge = max(2, round(side / 30))
        inner = round(side) - 2 * edge
        size = ImageOps.contain(self.picture, (inner, inner), Image.Resampling.LANCZOS)
        return ImageOps.expand(ImageOps.pad(size, (inner, inner)), edge, self.color)

    def frame(self, canvas: Image, before: Image, time: float) -> Image:
        """Returns the canvas at a time in 0..1: a card that fades in, then a copy that flies."""
        from PIL import Image, ImageDraw

        frame = canvas.copy()
        left, top = _card_corner()
        shown = Image.blend(before, self.card(_CARD), min(1.0, 3 * time))
        frame.paste(shown, (left, top))
        middle = left + _CARD // 2
        ImageDraw.Draw(frame).multiline_text(
            (middle, top + _CARD + 12),
            self.caption,
            fill=INK,
            font=_font(15),
            anchor="ma",
            align="center",
            spacing=6,
        )
        flown = _eased(max(0.0, 1.5 * time - 0.5))
        if flown > 0.0:
            start = np.array([middle, top + _CARD / 2])
            center = start + flown * (self.beside - start)
            self._paste(frame, center, _CARD + flown * (_THUMB - _CARD))
        return frame

    def land(self, canvas: Image) -> None:
        """Draws the picture for good, and where it is off its place a line to there."""
        from PIL import ImageDraw

        ImageDraw.Draw(canvas).line([*self.place, *self.beside], fill=INK)
        self._paste(canvas, self.beside, _THUMB)

    def _paste(self, canvas: Image, center: npt.NDArray[np.float64], side: float) -> None:
        card = self.card(side)
        x, y = np.round(center - np.array(card.size) / 2).astype(int)
        canvas.paste(card, (int(x), int(y)))


def _background(
    places: npt.NDArray[np.float64],
    labels: npt.ArrayLike,
    class_names: Sequence[str],
    picks: Sequence[int],
    unseen: Collection[int],
) -> tuple[Image, npt.NDArray[np.float64]]:
    """Returns the map and where on it the picks lie ``[k, 2]``, in pixels."""
    from matplotlib.figure import Figure
    from PIL import Image

    width, height = SIZE
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    axes = figure.add_axes((0.01, 0.01, _MAP_SHARE - 0.01, 0.98))
    fill_embedding_map(axes, places, labels, class_names, unseen=unseen, faint=True)
    middle = (_card_corner()[0] + _CARD / 2) / width
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="lower center",
        bbox_to_anchor=(middle, 0.01),
        ncols=2,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=1.0,
    )
    png = io.BytesIO()
    figure.savefig(png, format="png")
    x, y = axes.transData.transform(places[list(picks)].reshape(-1, 2)).T
    return Image.open(png).convert("RGB"), np.stack([x, height - y], axis=1)


def _card_corner() -> tuple[int, int]:
    width, _ = SIZE
    return round(width * (1 + _MAP_SHARE) / 2 - _CARD / 2), 24


def _eased(time: float) -> float:
    """Starts and ends at rest."""
    return time * time * (3 - 2 * time)


def _font(size: int) -> Any:
    from matplotlib.font_manager import findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont("DejaVu Sans"), size)  # comes with matplotlib


def write_gif(frames: Iterable[Frame], path: Path) -> None:
    """Writes frames as a GIF that repeats for ever, all in the colours of the last one.

    Raises:
        BadgeError: No frames.
    """
    from PIL import Image

    pictures, hundredths = zip(*frames, strict=True) if (frames := list(frames)) else ((), ())
    if not pictures:
        raise BadgeError("animation: expected frames, got none")
    palette = pictures[-1].quantize(_COLORS)
    # The mean of what is nearly white is not white: on a white page a tinted box would show.
    colors = np.array(palette.getpalette()).reshape(-1, 3)
    colors[colors.min(axis=1) >= _NEARLY_WHITE] = 255
    palette.putpalette(colors.flatten().tolist())
    first, *others = (p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures)
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=[10 * each for each in hundredths],
        loop=0,
        optimize=False,
    )


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
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"100/{_STEP}"]
    video = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-crf", "34", "-b:v", "0", "-f", "webm"]
    command = [ffmpeg, "-y", "-loglevel", "error", *raw, "-i", "-", *video, str(path)]
    # A frame that stands longer than a step is sent again and again.
    content = b"".join(image.tobytes() * round(cs / _STEP) for image, cs in frames)
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"])[-1]
        raise BadgeError(f"animation: {ffmpeg} made no WebM video: {reason}")
