"""An animation of an ordering: its first picks move one by one to their places on the map."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.embedding_map import fill_embedding_map
from lightning_badge.research.viz.placement import apart
from lightning_badge.viz.sample_grid import as_pictures
from lightning_badge.viz.style import INK, class_color

if TYPE_CHECKING:
    from PIL.Image import Image

# A frame and its duration in hundredths of a second, the time unit of GIF.
Frame = tuple["Image", int]

SIZE = (800, 520)
_MAP_SHARE = 0.68
STEP, _FIRST_HOLD, _LAST_HOLD = 6, 150, 300
_SLOW_PICKS, SLOW_STEPS, _FAST_STEPS = 10, 18, 7
_CARD, _THUMB = 180, 26


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
    """Draws the frames of an animation, from the empty map to the map with all picks.

    Each pick is shown large beside the map with its caption, then moves to its place with easing.
    The first ten take a second each, later ones are faster. The background is opaque white, so the
    animation looks the same on light and dark pages.

    Args:
        places: Coordinates ``[n, 2]`` of a map.
        labels: Classes ``[n]``.
        class_names: Names of all classes.
        picks: Rows in the order of their ranks ``[k]``, at least one.
        images: Images of the picks ``[k, channels, height, width]``: floats in 0..1 or uint8.
        captions: One for each pick.
        unseen: Classes without training samples; they are marked.

    Yields:
        Frames of 800 by 520 pixels and their durations in hundredths of a second.

    Raises:
        BadgeError: The number of images or captions differs from the number of picks.
    """
    from PIL import Image

    pictures = (255 * as_pictures(images)).astype(np.uint8)
    if not len(picks) == len(pictures) == len(captions):
        raise BadgeError(
            "animation: expected one image and one caption per pick, got "
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
        steps = SLOW_STEPS if rank < _SLOW_PICKS else _FAST_STEPS
        for step in range(1, steps + 1):
            yield pick.frame(canvas, before, step / steps), STEP
        pick.draw_final(canvas)
        before = pick.card(_CARD)
    # The last card stays beside the map.
    yield pick.frame(canvas, before, 1.0), _LAST_HOLD


@dataclass(frozen=True)
class _Pick:
    """A pick that moves from the card beside the map to its place, or to free space near it."""

    picture: Image
    caption: str
    color: str
    place: npt.NDArray[np.float64]
    beside: npt.NDArray[np.float64]

    def card(self, side: float) -> Image:
        """Returns the picture with a border in the colour of its class."""
        from PIL import Image, ImageOps

        edge = max(2, round(side / 30))
        inner = round(side) - 2 * edge
        size = ImageOps.contain(self.picture, (inner, inner), Image.Resampling.LANCZOS)
        return ImageOps.expand(ImageOps.pad(size, (inner, inner)), edge, self.color)

    def frame(self, canvas: Image, before: Image, time: float) -> Image:
        """Draws the canvas at a time in 0..1: the card fades in, then a copy moves to the map."""
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
        moved = _eased(max(0.0, 1.5 * time - 0.5))
        if moved > 0.0:
            start = np.array([middle, top + _CARD / 2])
            center = start + moved * (self.beside - start)
            self._paste(frame, center, _CARD + moved * (_THUMB - _CARD))
        return frame

    def draw_final(self, canvas: Image) -> None:
        """Draws the picture permanently, with a line to its place if it was moved aside."""
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
    """Returns the map and the positions of the picks on it, ``[k, 2]`` in pixels."""
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
    """Maps 0..1 to 0..1 with zero speed at both ends."""
    return time * time * (3 - 2 * time)


def _font(size: int) -> Any:
    from matplotlib.font_manager import findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont("DejaVu Sans"), size)  # comes with matplotlib
