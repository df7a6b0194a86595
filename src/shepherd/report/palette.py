"""The colours of a run's curves and bars, in one place: told apart by colour-blind readers, and in print.

The hues are those of Okabe and Ito, with two more of the same weight. Pictures are drawn for white paper.
"""

from __future__ import annotations

from collections.abc import Sequence

INK = "#20242c"
GRID = "#c9ced6"

FEDERATED = "#0072b2"
CENTRALISED = "#e69f00"
UNTUNED = "#7f8791"
OTHERS = ("#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#a08c00", "#8a6bd1")
REST = "#b4bac3"
CLIENTS = (FEDERATED, CENTRALISED, *OTHERS, "#6b4423")
# Paul Tol's "muted" scheme, for parts of one whole: nine colours told apart under the common colour-vision
# deficiencies.
PARTS = (
    "#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677", "#44AA99", "#AA4499", "#999933", "#882255",
)  # fmt: skip
_MARKERS = ("s", "^", "D", "v", "P", "X")


def model_styles(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return a (colour, marker) for each model a run is compared with, the same in every picture.

    Untuned and centralised have their own; the others take the next free one while there are any, and the
    rest share a grey. The marker tells lines apart where colour is not seen.
    """
    own = {"untuned": (UNTUNED, "o"), "centralised": (CENTRALISED, "o")}
    free = iter(zip(OTHERS, _MARKERS, strict=True))
    return [own[label] if label in own else next(free, (REST, "")) for label in labels]
