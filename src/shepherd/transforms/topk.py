"""Send the largest values of an update only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from shepherd.model.adapter import Adapter, Layout
from shepherd.transforms.bits import count_places, most_gap_bytes, read_gaps, write_gaps
from shepherd.transforms.feedback import WithFeedback
from shepherd.transforms.reading import check_parts, damaged, vector_of
from shepherd.tree import Tree


class TopK(WithFeedback):
    """Send the values of largest magnitude and where they stand (Aji and Heafield, arXiv 1704.05021), with feedback.

    They are the largest of the whole update, over all tensors together, so a tensor that moved little sends little.
    A place takes about a byte where one value in a hundred is sent.

    Attributes
    ----------
    ratio : float
        The share of the values that is sent.
    count : int, optional
        So many instead.
    """

    name: str = "topk"
    ratio: float = Field(0.01, gt=0, le=1)
    count: int | None = Field(None, gt=0)

    def sent(self, values: int) -> int:
        """Return how many of so many values are sent."""
        return min(values, self.count or max(1, round(self.ratio * values)))

    def written(self, owed: Adapter, rng: np.random.Generator) -> dict[str, Any]:
        """Return gaps between places, and values; of equal magnitudes the first in the vector go."""
        vector = owed.vector
        places = _largest(vector.abs(), self.sent(len(vector)))
        return {"gaps": write_gaps(places.numpy()), "values": self.write_values(vector[places], rng)}

    def decompress(self, message: Tree, layout: Layout) -> Adapter:
        """Return the values in their places, and zero elsewhere; see `Compression.decompress`."""
        check_parts(self.name, message, ("gaps", "values"))
        whole = sum(layout.sizes)
        count = self.sent(whole)
        gaps = vector_of(self.name, "gaps", message["gaps"], torch.uint8, None)
        # Before a byte of them becomes eight.
        if (found := count_places(gaps)) != count:
            raise damaged(self.name, f"has {found:,} places, not {count:,}")
        if len(gaps) > (most := most_gap_bytes(count, whole)):
            raise damaged(self.name, f"has {len(gaps):,} bytes of places, and {most:,} are the most")
        places = read_gaps(gaps)
        if count and places[-1] >= whole:
            raise damaged(self.name, "has a place beyond the update's end")
        vector = torch.zeros(whole)
        vector[torch.from_numpy(places)] = self.read_values(message["values"], count)
        return Adapter.from_vector(layout, vector)


def _largest(magnitudes: torch.Tensor, count: int) -> torch.Tensor:
    """Return the places of the largest, ascending."""
    if count == len(magnitudes):
        return torch.arange(count)
    least = magnitudes.kthvalue(len(magnitudes) - count + 1).values
    above = (magnitudes > least).nonzero().view(-1)
    equal = (magnitudes == least).nonzero().view(-1)[: count - len(above)]
    return torch.cat([above, equal]).sort().values
