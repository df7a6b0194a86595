"""The colours of a run's curves and bars, in one place: told apart by colour-blind readers, and in print.

The hues are those of Okabe and Ito, with two more of the same weight. Pictures are drawn for white paper.
"""

from __future__ import annotations

INK = "#20242c"
GRID = "#c9ced6"

FEDERATED = "#0072b2"
CENTRALISED = "#e69f00"
UNTUNED = "#7f8791"
OTHERS = ("#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#a08c00", "#8a6bd1")
MARKERS = ("s", "^", "D", "v", "P", "X")


def colour_of(label: str, position: int) -> str:
    """Return the colour of a model: the fixed ones by label, the others by their position."""
    fixed = {"untuned": UNTUNED, "centralised": CENTRALISED}
    return fixed.get(label, OTHERS[position % len(OTHERS)])


def marker_of(label: str, position: int) -> str:
    """Return the marker that tells a line apart where colour is not seen."""
    return "o" if label in ("untuned", "centralised") else MARKERS[position % len(MARKERS)]
