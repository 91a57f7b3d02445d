"""The style that all pictures share: colours, markers and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito, "Color Universal Design" (2008), with gray in place of the yellow, which is hard to
# see on white. Markers repeat the distinction for gray-scale print and colour-blind readers.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#888888")
MARKERS = "osD^vPXh"
# Petroff, "Accessible Color Sequences for Data Visualization" (arXiv 2107.02270): ten colours that
# remain distinct under common colour vision deficiencies; Okabe and Ito have only eight. Ten
# colours are hard to tell apart, so pictures that use them also write the class names.
CLASS_COLORS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
INK, FAINT = "#333333", "#DDDDDD"


def class_color(label: int) -> str:
    """Returns the colour of a class; the ten colours repeat from class 10 on."""
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def plain(text: str) -> str:
    r"""Returns text that matplotlib draws as it is; else it reads mathematics between dollar signs.

    Example:
        >>> print(plain("costs 5$, sold for 6$"))
        costs 5\$, sold for 6\$
    """
    return text.replace("$", r"\$")


def clean(axes: Axes) -> None:
    """Removes the top and right spines and draws faint horizontal grid lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=12)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
