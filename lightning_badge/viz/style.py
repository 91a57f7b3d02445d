"""What all pictures share: colours, ink and the lines that are left away."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito, "Color Universal Design" (2008), with gray for the yellow that fades on white.
# Markers say the same once more, for print and for eyes that see no colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#888888")
MARKERS = "osD^vPXh"
# Petroff, "Accessible Color Sequences for Data Visualization" (arXiv 2107.02270), ten colours that
# stay apart under the common deficiencies of colour vision; Okabe and Ito stop at eight. Ten are
# many for any eye: pictures that use them write the class beside the colour too.
CLASS_COLORS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
INK, FAINT = "#333333", "#DDDDDD"


def class_color(label: int) -> str:
    """Returns the colour of a class; from the eleventh on they repeat."""
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def clean(axes: Axes) -> None:
    """Leaves two spines and faint horizontal lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=12)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
